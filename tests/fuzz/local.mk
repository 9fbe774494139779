# Every reader of bytes from outside, fed with its corpus and with mutations of it. `make check` runs
# FUZZ_RUNS=2000 of them; `make fuzz FUZZ_RUNS=1000000 [FUZZ_SEED=7]` runs long, by hand.
FUZZERS = \
	%D%/fuzz_calendar \
	%D%/fuzz_config \
	%D%/fuzz_http \
	%D%/fuzz_packed \
	%D%/fuzz_proto \
	%D%/fuzz_record \
	%D%/fuzz_resp \
	%D%/fuzz_store \
	%D%/fuzz_trace \
	%D%/fuzz_weblog
FUZZ_MAIN = %D%/fuzz.h %D%/standalone.c
EXTRA_DIST += %D%/corpus
check_PROGRAMS += $(FUZZERS)
TESTS += $(FUZZERS)
CLEANFILES += *.crash

%C%_fuzz_calendar_SOURCES = %D%/fuzz_calendar.c $(FUZZ_MAIN)
%C%_fuzz_calendar_CPPFLAGS = $(UNIT_CPPFLAGS) $(ICAL_CFLAGS)
%C%_fuzz_calendar_LDADD = calendar/libcalendar.la base/libbase.la $(ICAL_LIBS)

%C%_fuzz_config_SOURCES = %D%/fuzz_config.c $(FUZZ_MAIN)
%C%_fuzz_config_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_fuzz_config_LDADD = daemon/libdaemon.la base/libbase.la

%C%_fuzz_proto_SOURCES = %D%/fuzz_proto.c $(FUZZ_MAIN)
%C%_fuzz_proto_CPPFLAGS = $(UNIT_CPPFLAGS) $(MSGPACK_CFLAGS)
%C%_fuzz_proto_LDADD = proto/libproto.la base/libbase.la -lm

%C%_fuzz_http_SOURCES = %D%/fuzz_http.c $(FUZZ_MAIN)
%C%_fuzz_http_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_fuzz_http_LDADD = daemon/libio.la base/libbase.la -lm

%C%_fuzz_packed_SOURCES = %D%/fuzz_packed.c $(FUZZ_MAIN)
%C%_fuzz_packed_CPPFLAGS = $(UNIT_CPPFLAGS) $(XXHASH_CFLAGS) $(ZSTD_CFLAGS)
%C%_fuzz_packed_LDADD = store/libreader.la base/libbase.la $(XXHASH_LIBS) $(ZSTD_LIBS)

%C%_fuzz_record_SOURCES = %D%/fuzz_record.c $(FUZZ_MAIN)
%C%_fuzz_record_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_fuzz_record_LDADD = daemon/libio.la $(ENGINE_LIBS)

%C%_fuzz_resp_SOURCES = %D%/fuzz_resp.c $(FUZZ_MAIN)
%C%_fuzz_resp_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_fuzz_resp_LDADD = proto/libproto.la base/libbase.la -lm

%C%_fuzz_store_SOURCES = %D%/fuzz_store.c $(FUZZ_MAIN)
%C%_fuzz_store_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_fuzz_store_LDADD = store/libstore.la store/libreader.la base/libbase.la

%C%_fuzz_trace_SOURCES = %D%/fuzz_trace.c $(FUZZ_MAIN)
%C%_fuzz_trace_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_fuzz_trace_LDADD = sim/libsim.la

%C%_fuzz_weblog_SOURCES = %D%/fuzz_weblog.c $(FUZZ_MAIN)
%C%_fuzz_weblog_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_fuzz_weblog_LDADD = sim/libsim.la

fuzz: $(FUZZERS)
	@seed=$${FUZZ_SEED:-`date +%s`}; for p in $(FUZZERS); do \
		top_srcdir='$(abs_top_srcdir)' FUZZ_RUNS=$${FUZZ_RUNS:-200000} FUZZ_SEED=$$seed ./$$p || exit 1; \
	done
.PHONY: fuzz

TESTS += tests/scripts/fuzz_driver.sh
EXTRA_DIST += tests/scripts/fuzz_driver.sh
