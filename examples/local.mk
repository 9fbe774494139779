# A slow HTTP API, its users and its history: what ./quickstart shows, and something to try things on.
noinst_LTLIBRARIES += %D%/market/libmarket.la
%C%_market_libmarket_la_SOURCES = \
	%D%/market/args.h %D%/market/args.c \
	%D%/market/static.h %D%/market/static.c \
	%D%/market/traffic.h %D%/market/traffic.c \
	%D%/market/truth.h %D%/market/truth.c \
	%D%/market/when.h %D%/market/when.c
%C%_market_libmarket_la_CPPFLAGS = $(OS_CPPFLAGS)
%C%_market_libmarket_la_LIBADD = base/libbase.la $(XXHASH_LIBS) -lm

noinst_PROGRAMS += %D%/market/market-origin %D%/market/market-trace
%C%_market_market_origin_SOURCES = %D%/market/origin.c
%C%_market_market_origin_CPPFLAGS = $(OS_CPPFLAGS) $(MHD_CFLAGS)
%C%_market_market_origin_LDADD = %D%/market/libmarket.la base/libbase.la $(MHD_LIBS)
%C%_market_market_trace_SOURCES = %D%/market/trace.c
%C%_market_market_trace_CPPFLAGS = $(OS_CPPFLAGS)
%C%_market_market_trace_LDADD = %D%/market/libmarket.la base/libbase.la

noinst_PROGRAMS += %D%/market/market-drive
%C%_market_market_drive_SOURCES = %D%/market/drive.c
%C%_market_market_drive_CPPFLAGS = $(OS_CPPFLAGS) $(MSGPACK_CFLAGS)
%C%_market_market_drive_LDADD = %D%/market/libmarket.la base/libbase.la client/libforecache.la $(MSGPACK_LIBS) -lm

dist_noinst_SCRIPTS += %D%/market/demo

# The table of README.md: two weeks of the market, each policy at the same share of stale answers.
EXTRA_DIST += %D%/market/compare
.PHONY: market-compare
market-compare: %D%/market/market-trace$(EXEEXT) cli/forecache$(EXEEXT)
	$(srcdir)/examples/market/compare .

# An app that keeps its own Redis and takes its TTLs from forecached.
EXTRA_DIST += %D%/redis-advice/README.md %D%/redis-advice/advice.py %D%/redis-advice/app.py

# Apps that are cached by the backends of python/.
EXTRA_DIST += %D%/asgi/app.py %D%/django/app.py
EXTRA_DIST += %D%/flask-api/README.md %D%/flask-api/app.py %D%/flask-api/load.py
