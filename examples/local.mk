# A slow HTTP API, its users and its history: what ./quickstart shows, and something to try things on.
noinst_LTLIBRARIES += %D%/market/libmarket.la
%C%_market_libmarket_la_SOURCES = \
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
