# bench/

# Independent of the engine: a judge of decision logs (tests run it, too), traces with a known truth,
# and the optimum for them.
EXTRA_DIST += %D%/README.md %D%/figures.py %D%/generate.py %D%/judge.py %D%/oracle.py %D%/simulate

# Misses beside LRU and S3-FIFO; `make bench-evict` runs it, some minutes.
EXTRA_PROGRAMS += %D%/evict
%C%_evict_SOURCES = %D%/evict.c %D%/reference.h %D%/reference.c
%C%_evict_CPPFLAGS = $(OS_CPPFLAGS) $(GSL_CFLAGS)
%C%_evict_LDADD = $(SIM_LIBS)

bench-evict: %D%/evict$(EXEEXT)
	%D%/evict$(EXEEXT) 1 $(KEYS)
.PHONY: bench-evict

EXTRA_PROGRAMS += %D%/store
%C%_store_SOURCES = %D%/store.c
%C%_store_CPPFLAGS = $(OS_CPPFLAGS)
%C%_store_LDADD = store/libstore.la -lm

EXTRA_PROGRAMS += %D%/learn
%C%_learn_SOURCES = %D%/learn.c
%C%_learn_CPPFLAGS = $(OS_CPPFLAGS)
%C%_learn_LDADD = $(LEARNING_LIBS)

EXTRA_PROGRAMS += %D%/forecast
%C%_forecast_SOURCES = %D%/forecast.c
%C%_forecast_CPPFLAGS = $(OS_CPPFLAGS)
%C%_forecast_LDADD = $(ENGINE_LIBS) $(XXHASH_LIBS)

EXTRA_PROGRAMS += %D%/peak
%C%_peak_SOURCES = %D%/peak.c
%C%_peak_CPPFLAGS = $(OS_CPPFLAGS)
%C%_peak_LDADD = $(ENGINE_LIBS) $(XXHASH_LIBS)

# `make bench` builds and runs them all: one table, nothing passes or fails.
EXTRA_PROGRAMS += %D%/bench
%C%_bench_SOURCES = %D%/bench.h %D%/bench.c %D%/daemon.c \
	%D%/events.c %D%/get.c %D%/host.h %D%/host.c %D%/memory.c %D%/pause.c \
	%D%/peer.h %D%/peer.c daemon/crew.h daemon/crew.c
%C%_bench_CPPFLAGS = $(OS_CPPFLAGS) $(ZMQ_CFLAGS) $(GSL_CFLAGS)
%C%_bench_LDADD = client/libforecache.la proto/libproto.la $(ENGINE_LIBS) store/libreader.la \
	base/libbase.la $(ZMQ_LIBS) $(MSGPACK_LIBS) $(XXHASH_LIBS) $(LMDB_LIBS) -lpthread

bench: %D%/bench$(EXEEXT) %D%/store$(EXEEXT) %D%/learn$(EXEEXT) %D%/forecast$(EXEEXT) %D%/peak$(EXEEXT) \
		daemon/forecached$(EXEEXT) cli/forecache$(EXEEXT) \
		examples/market/market-trace$(EXEEXT)
	FORECACHED=daemon/forecached %D%/bench$(EXEEXT)
	@echo
	%D%/store$(EXEEXT)
	%D%/learn$(EXEEXT)
	%D%/forecast$(EXEEXT)
	%D%/peak$(EXEEXT)
	$(srcdir)/%D%/simulate .
.PHONY: bench

# Gets from Python, against redis-py; by itself, as it needs a redis-server.
EXTRA_DIST += %D%/python_get.py

# Whether HTTP holds up the cache; by itself, as it takes a million keys.
dist_noinst_SCRIPTS += %D%/web.py

# Redis clients, against redis-server; by itself, too.
dist_noinst_SCRIPTS += %D%/resp.sh

# Every figure that README.md and docs/ publish of how well it learns: some minutes.
learning-figures: cli/forecache$(EXEEXT) examples/market/market-trace$(EXEEXT)
	$(PYTHON3) $(srcdir)/%D%/figures.py . --out $(srcdir)/docs/learning-figures.md
.PHONY: learning-figures
