# tests/unit/t_X.c tests one .c file; tests/scripts/*.sh and *.py test the build and the programs.
# A folder's unit tests stand together; each list below is kept in alphabetical order.
UNIT_CPPFLAGS = $(OS_CPPFLAGS)
EXTRA_DIST += %D%/tap.h %D%/sanitized.h

dist_check_SCRIPTS += %D%/scripts/install.sh
dist_check_SCRIPTS += %D%/scripts/layers.sh
dist_check_SCRIPTS += %D%/scripts/purity.sh
TESTS += %D%/scripts/install.sh
TESTS += %D%/scripts/layers.sh
TESTS += %D%/scripts/purity.sh

check_PROGRAMS += %D%/unit/t_calendar
%C%_unit_t_calendar_SOURCES = %D%/unit/t_calendar.c
%C%_unit_t_calendar_CPPFLAGS = $(UNIT_CPPFLAGS) $(ICAL_CFLAGS)
%C%_unit_t_calendar_LDADD = calendar/libcalendar.la base/libbase.la $(ICAL_LIBS) -lm
TESTS += %D%/unit/t_calendar

check_PROGRAMS += %D%/unit/t_harmonic
%C%_unit_t_harmonic_SOURCES = %D%/unit/t_harmonic.c
%C%_unit_t_harmonic_CPPFLAGS = $(UNIT_CPPFLAGS) $(GSL_CFLAGS)
%C%_unit_t_harmonic_LDADD = models/libmodels.la base/libbase.la $(GSL_LIBS) -lm
TESTS += %D%/unit/t_harmonic

check_PROGRAMS += %D%/unit/t_heap
%C%_unit_t_heap_SOURCES = %D%/unit/t_heap.c
%C%_unit_t_heap_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_heap_LDADD = base/libbase.la -lm
TESTS += %D%/unit/t_heap

check_PROGRAMS += %D%/unit/t_http_origin
%C%_unit_t_http_origin_SOURCES = %D%/unit/t_http_origin.c
%C%_unit_t_http_origin_CPPFLAGS = $(UNIT_CPPFLAGS) $(CURL_CFLAGS)
%C%_unit_t_http_origin_LDADD = daemon/libio.la base/libbase.la $(CURL_LIBS) -lm
TESTS += %D%/unit/t_http_origin
EXTRA_DIST += %D%/scripts/origin_faults.py

check_PROGRAMS += %D%/unit/t_http_rules
%C%_unit_t_http_rules_SOURCES = %D%/unit/t_http_rules.c
%C%_unit_t_http_rules_CPPFLAGS = $(UNIT_CPPFLAGS) $(CURL_CFLAGS)
%C%_unit_t_http_rules_LDADD = daemon/libio.la base/libbase.la $(CURL_LIBS) -lm
TESTS += %D%/unit/t_http_rules

check_PROGRAMS += %D%/unit/t_hash
%C%_unit_t_hash_SOURCES = %D%/unit/t_hash.c
%C%_unit_t_hash_CPPFLAGS = $(UNIT_CPPFLAGS) $(XXHASH_CFLAGS)
%C%_unit_t_hash_LDADD = base/libbase.la -lm
TESTS += %D%/unit/t_hash

check_PROGRAMS += %D%/unit/t_near
%C%_unit_t_near_SOURCES = %D%/unit/t_near.c
%C%_unit_t_near_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_near_LDADD = base/libbase.la
TESTS += %D%/unit/t_near

check_PROGRAMS += %D%/unit/t_intern
%C%_unit_t_intern_SOURCES = %D%/unit/t_intern.c
%C%_unit_t_intern_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_intern_LDADD = base/libbase.la -lm
TESTS += %D%/unit/t_intern

check_PROGRAMS += %D%/unit/t_mem
%C%_unit_t_mem_SOURCES = %D%/unit/t_mem.c
%C%_unit_t_mem_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_mem_LDADD = base/libbase.la
TESTS += %D%/unit/t_mem

check_PROGRAMS += %D%/unit/t_reuse
%C%_unit_t_reuse_SOURCES = %D%/unit/t_reuse.c
%C%_unit_t_reuse_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_reuse_LDADD = base/libbase.la -lm
TESTS += %D%/unit/t_reuse

check_PROGRAMS += %D%/unit/t_rng
%C%_unit_t_rng_SOURCES = %D%/unit/t_rng.c
%C%_unit_t_rng_CPPFLAGS = $(UNIT_CPPFLAGS) $(GSL_CFLAGS)
%C%_unit_t_rng_LDADD = base/libbase.la $(GSL_LIBS)
TESTS += %D%/unit/t_rng

check_PROGRAMS += %D%/unit/t_sim_baseline
%C%_unit_t_sim_baseline_SOURCES = %D%/unit/t_sim_baseline.c %D%/sim_made.h
%C%_unit_t_sim_baseline_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_sim_baseline_LDADD = $(SIM_LIBS)
TESTS += %D%/unit/t_sim_baseline

check_PROGRAMS += %D%/unit/t_sim_score
%C%_unit_t_sim_score_SOURCES = %D%/unit/t_sim_score.c %D%/sim_made.h
%C%_unit_t_sim_score_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_sim_score_LDADD = $(SIM_LIBS)
TESTS += %D%/unit/t_sim_score

check_PROGRAMS += %D%/unit/t_sim_source
%C%_unit_t_sim_source_SOURCES = %D%/unit/t_sim_source.c
%C%_unit_t_sim_source_CPPFLAGS = $(UNIT_CPPFLAGS) $(ZLIB_CFLAGS) $(LZMA_CFLAGS) $(ZSTD_CFLAGS)
%C%_unit_t_sim_source_LDADD = $(SIM_LIBS)
TESTS += %D%/unit/t_sim_source

check_PROGRAMS += %D%/unit/t_sim_trace
%C%_unit_t_sim_trace_SOURCES = %D%/unit/t_sim_trace.c
%C%_unit_t_sim_trace_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_sim_trace_LDADD = $(SIM_LIBS)
TESTS += %D%/unit/t_sim_trace

check_PROGRAMS += %D%/unit/t_sim_weblog
%C%_unit_t_sim_weblog_SOURCES = %D%/unit/t_sim_weblog.c
%C%_unit_t_sim_weblog_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_sim_weblog_LDADD = base/libbase.la
TESTS += %D%/unit/t_sim_weblog

check_PROGRAMS += %D%/unit/t_sim_week
%C%_unit_t_sim_week_SOURCES = %D%/unit/t_sim_week.c
%C%_unit_t_sim_week_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_sim_week_LDADD = $(SIM_LIBS)
TESTS += %D%/unit/t_sim_week

dist_check_SCRIPTS += %D%/scripts/sim_backtest.py
dist_check_SCRIPTS += %D%/scripts/sim_replay.py
dist_check_SCRIPTS += %D%/scripts/bench_learning.py
dist_check_SCRIPTS += %D%/scripts/sim_report.py
if HAVE_PYTHON3
TESTS += %D%/scripts/sim_backtest.py
TESTS += %D%/scripts/sim_replay.py
TESTS += %D%/scripts/bench_learning.py
TESTS += %D%/scripts/sim_report.py
endif

check_PROGRAMS += %D%/unit/t_loghist
%C%_unit_t_loghist_SOURCES = %D%/unit/t_loghist.c
%C%_unit_t_loghist_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_loghist_LDADD = base/libbase.la -lm
TESTS += %D%/unit/t_loghist

check_PROGRAMS += %D%/unit/t_state_db
%C%_unit_t_state_db_SOURCES = %D%/unit/t_state_db.c
%C%_unit_t_state_db_CPPFLAGS = $(UNIT_CPPFLAGS) $(SQLITE_CFLAGS) $(CJSON_CFLAGS)
%C%_unit_t_state_db_LDADD = daemon/libio.la base/libbase.la $(SQLITE_LIBS) $(CJSON_LIBS) -lm
TESTS += %D%/unit/t_state_db

check_PROGRAMS += %D%/unit/t_zone
%C%_unit_t_zone_SOURCES = %D%/unit/t_zone.c
%C%_unit_t_zone_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_zone_LDADD = base/libbase.la -lm
TESTS += %D%/unit/t_zone

check_PROGRAMS += %D%/unit/t_instant
%C%_unit_t_instant_SOURCES = %D%/unit/t_instant.c
%C%_unit_t_instant_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_instant_LDADD = base/libbase.la -lm
TESTS += %D%/unit/t_instant

check_PROGRAMS += %D%/unit/t_market
%C%_unit_t_market_SOURCES = %D%/unit/t_market.c
%C%_unit_t_market_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_market_LDADD = examples/market/libmarket.la base/libbase.la
TESTS += %D%/unit/t_market

check_PROGRAMS += %D%/unit/store_flips
%C%_unit_store_flips_SOURCES = %D%/unit/store_flips.c
%C%_unit_store_flips_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_store_flips_LDADD = store/libstore.la -lm
TESTS += %D%/unit/store_flips
EXTRA_DIST += %D%/store_open.h %D%/store_packed.h

check_PROGRAMS += %D%/unit/store_model
%C%_unit_store_model_SOURCES = %D%/unit/store_model.c
%C%_unit_store_model_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_store_model_LDADD = store/libstore.la -lm
TESTS += %D%/unit/store_model

check_PROGRAMS += %D%/unit/store_torture
%C%_unit_store_torture_SOURCES = %D%/unit/store_torture.c
%C%_unit_store_torture_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_store_torture_LDADD = store/libstore.la -lm
TESTS += %D%/unit/store_torture

check_PROGRAMS += %D%/unit/t_packed
%C%_unit_t_packed_SOURCES = %D%/unit/t_packed.c
%C%_unit_t_packed_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_packed_LDADD = store/libreader.la -lm
TESTS += %D%/unit/t_packed

check_PROGRAMS += %D%/unit/t_reader
%C%_unit_t_reader_SOURCES = %D%/unit/t_reader.c
%C%_unit_t_reader_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_reader_LDADD = store/libstore.la -lm
TESTS += %D%/unit/t_reader

check_PROGRAMS += %D%/unit/t_store
%C%_unit_t_store_SOURCES = %D%/unit/t_store.c
%C%_unit_t_store_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_store_LDADD = store/libstore.la -lm
TESTS += %D%/unit/t_store

check_PROGRAMS += %D%/unit/t_client
%C%_unit_t_client_SOURCES = %D%/unit/t_client.c
%C%_unit_t_client_CPPFLAGS = $(UNIT_CPPFLAGS) $(ZMQ_CFLAGS)
%C%_unit_t_client_LDADD = client/libforecache.la proto/libproto.la store/libstore.la $(ZMQ_LIBS) \
	-lpthread -lm
TESTS += %D%/unit/t_client

# The library's own objects once more, so that their allocations can be made to fail.
check_PROGRAMS += %D%/unit/t_client_oom
%C%_unit_t_client_oom_SOURCES = %D%/unit/t_client_oom.c $(client_libforecache_la_SOURCES)
%C%_unit_t_client_oom_CPPFLAGS = $(UNIT_CPPFLAGS) $(ZMQ_CFLAGS)
%C%_unit_t_client_oom_LDADD = proto/libproto.la store/libstore.la $(ZMQ_LIBS) $(MSGPACK_LIBS) \
	$(XXHASH_LIBS) -lpthread -lm
%C%_unit_t_client_oom_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free \
	-Wl,--wrap=aligned_alloc,--wrap=strdup
TESTS += %D%/unit/t_client_oom

dist_check_SCRIPTS += %D%/scripts/client_links.sh
TESTS += %D%/scripts/client_links.sh

check_PROGRAMS += %D%/unit/proto_check
%C%_unit_proto_check_SOURCES = %D%/unit/proto_check.c
%C%_unit_proto_check_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_proto_check_LDADD = proto/libproto.la base/libbase.la -lm
EXTRA_DIST += %D%/scripts/protocol_doc.py %D%/scripts/redis_advice.py
if HAVE_PYTHON3
TESTS += %D%/scripts/protocol_doc.py %D%/scripts/redis_advice.py
endif

check_PROGRAMS += %D%/unit/t_proto
%C%_unit_t_proto_SOURCES = %D%/unit/t_proto.c
%C%_unit_t_proto_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_proto_LDADD = proto/libproto.la base/libbase.la -lm
TESTS += %D%/unit/t_proto

check_PROGRAMS += %D%/unit/t_human
%C%_unit_t_human_SOURCES = %D%/unit/t_human.c
%C%_unit_t_human_CPPFLAGS = $(UNIT_CPPFLAGS) $(GSL_CFLAGS)
%C%_unit_t_human_LDADD = cli/libcli.la base/libbase.la $(GSL_LIBS)
TESTS += %D%/unit/t_human

check_PROGRAMS += %D%/unit/t_watch_target
%C%_unit_t_watch_target_SOURCES = %D%/unit/t_watch_target.c
%C%_unit_t_watch_target_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_watch_target_LDADD = models/libmodels.la base/libbase.la -lm
TESTS += %D%/unit/t_watch_target

TESTS += %D%/scripts/cli_docs.sh
dist_check_SCRIPTS += %D%/scripts/cli_docs.sh
dist_check_SCRIPTS += %D%/scripts/cli_answers.py
dist_check_SCRIPTS += %D%/scripts/cli_daemon.py
dist_check_SCRIPTS += %D%/scripts/cli_watch.py
if HAVE_PYTHON3
TESTS += %D%/scripts/cli_daemon.py
TESTS += %D%/scripts/cli_answers.py
TESTS += %D%/scripts/cli_watch.py
endif

MODELS_LIBS = models/libmodels.la base/libbase.la $(GSL_LIBS) $(XXHASH_LIBS) -lm

check_PROGRAMS += %D%/unit/t_pool
%C%_unit_t_pool_SOURCES = %D%/unit/t_pool.c
%C%_unit_t_pool_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_pool_LDADD = $(MODELS_LIBS)
TESTS += %D%/unit/t_pool

check_PROGRAMS += %D%/unit/t_change
%C%_unit_t_change_SOURCES = %D%/unit/t_change.c
%C%_unit_t_change_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_change_LDADD = $(MODELS_LIBS)
TESTS += %D%/unit/t_change

check_PROGRAMS += %D%/unit/t_activity
%C%_unit_t_activity_SOURCES = %D%/unit/t_activity.c
%C%_unit_t_activity_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_activity_LDADD = $(MODELS_LIBS)
TESTS += %D%/unit/t_activity

check_PROGRAMS += %D%/unit/t_correction
%C%_unit_t_correction_SOURCES = %D%/unit/t_correction.c
%C%_unit_t_correction_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_correction_LDADD = $(MODELS_LIBS)
TESTS += %D%/unit/t_correction

check_PROGRAMS += %D%/unit/t_rise
%C%_unit_t_rise_SOURCES = %D%/unit/t_rise.c
%C%_unit_t_rise_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_rise_LDADD = $(MODELS_LIBS)
TESTS += %D%/unit/t_rise

check_PROGRAMS += %D%/unit/t_shape
%C%_unit_t_shape_SOURCES = %D%/unit/t_shape.c
%C%_unit_t_shape_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_shape_LDADD = $(MODELS_LIBS)
TESTS += %D%/unit/t_shape

check_PROGRAMS += %D%/unit/t_walk
%C%_unit_t_walk_SOURCES = %D%/unit/t_walk.c
%C%_unit_t_walk_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_walk_LDADD = $(MODELS_LIBS)
TESTS += %D%/unit/t_walk

# The daemon from outside, over ZeroMQ; fcd.py starts and stops one for each test.
EXTRA_DIST += %D%/scripts/fcd.py
dist_check_SCRIPTS += %D%/scripts/daemon_config.py
dist_check_SCRIPTS += %D%/scripts/daemon_compression.py
dist_check_SCRIPTS += %D%/scripts/daemon_large.py
dist_check_SCRIPTS += %D%/scripts/daemon_loaders.py
dist_check_SCRIPTS += %D%/scripts/daemon_requests.py
dist_check_SCRIPTS += %D%/scripts/daemon_start.py
dist_check_SCRIPTS += %D%/scripts/schedules_daemon.py
dist_check_SCRIPTS += %D%/scripts/web_daemon.py
if HAVE_PYTHON3
TESTS += %D%/scripts/daemon_config.py
TESTS += %D%/scripts/daemon_compression.py
TESTS += %D%/scripts/daemon_large.py
TESTS += %D%/scripts/daemon_loaders.py
TESTS += %D%/scripts/daemon_requests.py
TESTS += %D%/scripts/daemon_start.py
TESTS += %D%/scripts/schedules_daemon.py
TESTS += %D%/scripts/web_daemon.py
endif
check_PROGRAMS += %D%/unit/t_timetable
%C%_unit_t_timetable_SOURCES = %D%/unit/t_timetable.c
%C%_unit_t_timetable_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_timetable_LDADD = $(MODELS_LIBS)
TESTS += %D%/unit/t_timetable

check_PROGRAMS += %D%/peek
%C%_peek_SOURCES = %D%/peek.c
%C%_peek_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_peek_LDADD = client/libforecache.la

check_PROGRAMS += %D%/resp_herd
%C%_resp_herd_SOURCES = %D%/resp_herd.c
%C%_resp_herd_CPPFLAGS = $(UNIT_CPPFLAGS)

check_PROGRAMS += %D%/herd
%C%_herd_SOURCES = %D%/herd.c
%C%_herd_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_herd_LDADD = client/libforecache.la -lpthread
dist_check_SCRIPTS += %D%/scripts/daemon_kill.py
if HAVE_PYTHON3
TESTS += %D%/scripts/daemon_kill.py
endif
check_PROGRAMS += %D%/unit/t_engine
%C%_unit_t_engine_SOURCES = %D%/unit/t_engine.c
%C%_unit_t_engine_CPPFLAGS = $(UNIT_CPPFLAGS) $(GSL_CFLAGS)
%C%_unit_t_engine_LDADD = $(ENGINE_LIBS)
TESTS += %D%/unit/t_engine

check_PROGRAMS += %D%/unit/t_evict
%C%_unit_t_evict_SOURCES = %D%/unit/t_evict.c
%C%_unit_t_evict_CPPFLAGS = $(UNIT_CPPFLAGS) $(GSL_CFLAGS)
%C%_unit_t_evict_LDADD = $(ENGINE_LIBS)
TESTS += %D%/unit/t_evict

check_PROGRAMS += %D%/unit/t_peak
%C%_unit_t_peak_SOURCES = %D%/unit/t_peak.c
%C%_unit_t_peak_CPPFLAGS = $(UNIT_CPPFLAGS) $(GSL_CFLAGS)
%C%_unit_t_peak_LDADD = $(ENGINE_LIBS)
TESTS += %D%/unit/t_peak

check_PROGRAMS += %D%/unit/t_round
%C%_unit_t_round_SOURCES = %D%/unit/t_round.c
%C%_unit_t_round_CPPFLAGS = $(UNIT_CPPFLAGS) $(GSL_CFLAGS)
%C%_unit_t_round_LDADD = $(ENGINE_LIBS)
TESTS += %D%/unit/t_round

# The engine in a made-up world; each prints its figures, which docs/robustness.md shows
SCENARIO_SOURCES = %D%/scenario/world.h %D%/scenario/world.c
check_PROGRAMS += %D%/scenario/bells
%C%_scenario_bells_SOURCES = %D%/scenario/bells.c
%C%_scenario_bells_CPPFLAGS = $(UNIT_CPPFLAGS) $(GSL_CFLAGS)
%C%_scenario_bells_LDADD = calendar/libcalendar.la $(ENGINE_LIBS) $(XXHASH_LIBS) $(ICAL_LIBS)
TESTS += %D%/scenario/bells
check_PROGRAMS += %D%/scenario/calibration
%C%_scenario_calibration_SOURCES = %D%/scenario/calibration.c $(SCENARIO_SOURCES)
%C%_scenario_calibration_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_scenario_calibration_LDADD = $(ENGINE_LIBS) $(XXHASH_LIBS)
TESTS += %D%/scenario/calibration
check_PROGRAMS += %D%/scenario/fallback
%C%_scenario_fallback_SOURCES = %D%/scenario/fallback.c $(SCENARIO_SOURCES)
%C%_scenario_fallback_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_scenario_fallback_LDADD = $(ENGINE_LIBS) $(XXHASH_LIBS)
TESTS += %D%/scenario/fallback
check_PROGRAMS += %D%/scenario/keys
%C%_scenario_keys_SOURCES = %D%/scenario/keys.c $(SCENARIO_SOURCES)
%C%_scenario_keys_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_scenario_keys_LDADD = $(ENGINE_LIBS) $(XXHASH_LIBS)
TESTS += %D%/scenario/keys
check_PROGRAMS += %D%/scenario/origin
%C%_scenario_origin_SOURCES = %D%/scenario/origin.c $(SCENARIO_SOURCES)
%C%_scenario_origin_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_scenario_origin_LDADD = $(ENGINE_LIBS) $(XXHASH_LIBS)
TESTS += %D%/scenario/origin
check_PROGRAMS += %D%/scenario/regime
%C%_scenario_regime_SOURCES = %D%/scenario/regime.c $(SCENARIO_SOURCES)
%C%_scenario_regime_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_scenario_regime_LDADD = $(ENGINE_LIBS) $(XXHASH_LIBS)
TESTS += %D%/scenario/regime

check_PROGRAMS += %D%/unit/t_daemon_parts
%C%_unit_t_daemon_parts_SOURCES = %D%/unit/t_daemon_parts.c
%C%_unit_t_daemon_parts_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_daemon_parts_LDADD = daemon/libdaemon.la store/libstore.la store/libreader.la base/libbase.la -lm
TESTS += %D%/unit/t_daemon_parts

check_PROGRAMS += %D%/unit/t_plain
%C%_unit_t_plain_SOURCES = %D%/unit/t_plain.c
%C%_unit_t_plain_CPPFLAGS = $(UNIT_CPPFLAGS) $(GSL_CFLAGS)
%C%_unit_t_plain_LDADD = $(ENGINE_LIBS)
TESTS += %D%/unit/t_plain

check_PROGRAMS += %D%/unit/t_resp_miss
%C%_unit_t_resp_miss_SOURCES = %D%/unit/t_resp_miss.c
%C%_unit_t_resp_miss_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_resp_miss_LDADD = base/libbase.la -lm
TESTS += %D%/unit/t_resp_miss

check_PROGRAMS += %D%/unit/t_loop
%C%_unit_t_loop_SOURCES = %D%/unit/t_loop.c
%C%_unit_t_loop_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_loop_LDADD = base/libbase.la -lm
TESTS += %D%/unit/t_loop

# What is learned and decided, each by itself
LEARNING_LIBS = predictor/libpredictor.la analyzer/libanalyzer.la $(MODELS_LIBS)

check_PROGRAMS += %D%/unit/t_demand
%C%_unit_t_demand_SOURCES = %D%/unit/t_demand.c
%C%_unit_t_demand_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_demand_LDADD = $(MODELS_LIBS)
TESTS += %D%/unit/t_demand

check_PROGRAMS += %D%/unit/t_ensemble
%C%_unit_t_ensemble_SOURCES = %D%/unit/t_ensemble.c
%C%_unit_t_ensemble_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_ensemble_LDADD = $(MODELS_LIBS)
TESTS += %D%/unit/t_ensemble

check_PROGRAMS += %D%/unit/t_jump
%C%_unit_t_jump_SOURCES = %D%/unit/t_jump.c
%C%_unit_t_jump_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_jump_LDADD = $(MODELS_LIBS)
TESTS += %D%/unit/t_jump

check_PROGRAMS += %D%/unit/t_period
%C%_unit_t_period_SOURCES = %D%/unit/t_period.c
%C%_unit_t_period_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_period_LDADD = $(MODELS_LIBS)
TESTS += %D%/unit/t_period

check_PROGRAMS += %D%/unit/t_tail
%C%_unit_t_tail_SOURCES = %D%/unit/t_tail.c
%C%_unit_t_tail_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_tail_LDADD = $(MODELS_LIBS)
TESTS += %D%/unit/t_tail

check_PROGRAMS += %D%/parity
%C%_parity_SOURCES = %D%/parity.c
%C%_parity_CPPFLAGS = $(UNIT_CPPFLAGS) $(ZMQ_CFLAGS)
%C%_parity_LDADD = proto/libproto.la store/libreader.la $(SIM_LIBS) $(ZMQ_LIBS)
dist_check_SCRIPTS += %D%/scripts/parity.py
if HAVE_PYTHON3
TESTS += %D%/scripts/parity.py
endif

check_PROGRAMS += %D%/unit/t_budget
%C%_unit_t_budget_SOURCES = %D%/unit/t_budget.c
%C%_unit_t_budget_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_budget_LDADD = $(LEARNING_LIBS)
TESTS += %D%/unit/t_budget

check_PROGRAMS += %D%/unit/t_level
%C%_unit_t_level_SOURCES = %D%/unit/t_level.c
%C%_unit_t_level_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_level_LDADD = $(LEARNING_LIBS)
TESTS += %D%/unit/t_level

check_PROGRAMS += %D%/unit/t_price
%C%_unit_t_price_SOURCES = %D%/unit/t_price.c
%C%_unit_t_price_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_price_LDADD = $(LEARNING_LIBS)
TESTS += %D%/unit/t_price

check_PROGRAMS += %D%/unit/t_template
%C%_unit_t_template_SOURCES = %D%/unit/t_template.c
%C%_unit_t_template_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_template_LDADD = $(LEARNING_LIBS)
TESTS += %D%/unit/t_template

check_PROGRAMS += %D%/unit/t_endpoint
%C%_unit_t_endpoint_SOURCES = %D%/unit/t_endpoint.c
%C%_unit_t_endpoint_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_endpoint_LDADD = $(LEARNING_LIBS)
TESTS += %D%/unit/t_endpoint

check_PROGRAMS += %D%/unit/t_audience
%C%_unit_t_audience_SOURCES = %D%/unit/t_audience.c
%C%_unit_t_audience_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_audience_LDADD = $(LEARNING_LIBS)
TESTS += %D%/unit/t_audience

check_PROGRAMS += %D%/unit/t_guard
%C%_unit_t_guard_SOURCES = %D%/unit/t_guard.c
%C%_unit_t_guard_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_guard_LDADD = $(LEARNING_LIBS)
TESTS += %D%/unit/t_guard

check_PROGRAMS += %D%/unit/t_personal
%C%_unit_t_personal_SOURCES = %D%/unit/t_personal.c
%C%_unit_t_personal_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_personal_LDADD = $(LEARNING_LIBS)
TESTS += %D%/unit/t_personal

check_PROGRAMS += %D%/unit/t_plan
%C%_unit_t_plan_SOURCES = %D%/unit/t_plan.c
%C%_unit_t_plan_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_plan_LDADD = $(LEARNING_LIBS)
TESTS += %D%/unit/t_plan

check_PROGRAMS += %D%/unit/t_prewarm
%C%_unit_t_prewarm_SOURCES = %D%/unit/t_prewarm.c
%C%_unit_t_prewarm_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_prewarm_LDADD = $(LEARNING_LIBS)
TESTS += %D%/unit/t_prewarm

# The Python package, from the source tree
EXTRA_DIST += %D%/scripts/pyfc.py
dist_check_SCRIPTS += %D%/scripts/python_asgi.py
dist_check_SCRIPTS += %D%/scripts/python_cached.py
dist_check_SCRIPTS += %D%/scripts/python_client.py
dist_check_SCRIPTS += %D%/scripts/python_django.py
dist_check_SCRIPTS += %D%/scripts/python_flask.py
dist_check_SCRIPTS += %D%/scripts/python_package.py
dist_check_SCRIPTS += %D%/scripts/python_worker.py
if HAVE_PYTHON3
TESTS += %D%/scripts/python_asgi.py
TESTS += %D%/scripts/python_cached.py
TESTS += %D%/scripts/python_client.py
TESTS += %D%/scripts/python_django.py
TESTS += %D%/scripts/python_flask.py
TESTS += %D%/scripts/python_package.py
TESTS += %D%/scripts/python_worker.py
endif

check_PROGRAMS += %D%/unit/t_resp
%C%_unit_t_resp_SOURCES = %D%/unit/t_resp.c
%C%_unit_t_resp_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_unit_t_resp_LDADD = base/libbase.la -lm
TESTS += %D%/unit/t_resp

# Redis clients. By hand: `make resp-random` sends a million random commands to both servers, and
# tests/scripts/resp_suite.sh runs Redis' own tests.
EXTRA_DIST += %D%/scripts/resp_wire.py
dist_check_SCRIPTS += %D%/scripts/adopt_doc.py
dist_check_SCRIPTS += %D%/scripts/example_flask_api.py
dist_check_SCRIPTS += %D%/scripts/resp_clients.py
dist_check_SCRIPTS += %D%/scripts/resp_daemon.py
dist_check_SCRIPTS += %D%/scripts/resp_random.py
dist_check_SCRIPTS += %D%/scripts/resp_suite.sh
if HAVE_PYTHON3
TESTS += %D%/scripts/adopt_doc.py
TESTS += %D%/scripts/example_flask_api.py
TESTS += %D%/scripts/resp_clients.py
TESTS += %D%/scripts/resp_daemon.py
TESTS += %D%/scripts/resp_random.py
endif
resp-random: daemon/forecached
	top_builddir=. RESP_RANDOM_COMMANDS=$${RESP_RANDOM_COMMANDS:-1000000} \
		$(PYTHON3) $(srcdir)/tests/scripts/resp_random.py
.PHONY: resp-random

# The long forms of what make check does shortly; docs/safety.md has their figures. Flips belong in a
# build with --enable-asan --enable-ubsan.
kill-campaign: %D%/unit/store_torture
	for seed in 11 12; do %D%/unit/store_torture $$seed 500 || exit 1; done
flip-campaign: %D%/unit/store_flips
	for seed in 1 2 3 4 5; do %D%/unit/store_flips $$seed 2000000 || exit 1; done
model-campaign: %D%/unit/store_model
	%D%/unit/store_model 7 10000000
daemon-kill-campaign: daemon/forecached %D%/herd %D%/peek
	top_builddir=. KILLS=$${KILLS:-1000} $(PYTHON3) $(srcdir)/tests/scripts/daemon_kill.py killed_at_any_instant
.PHONY: kill-campaign flip-campaign model-campaign daemon-kill-campaign
