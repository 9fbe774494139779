noinst_LTLIBRARIES += %D%/libsim.la
%C%_libsim_la_SOURCES = \
	%D%/backtest.h %D%/backtest.c \
	%D%/baseline.h %D%/baseline.c \
	%D%/eviction.h %D%/eviction.c \
	%D%/fixed.h %D%/fixed.c \
	%D%/frontier.h %D%/frontier.c \
	%D%/learn.h %D%/learn.c \
	%D%/log.h %D%/log.c \
	%D%/pace.h \
	%D%/score.h %D%/score.c \
	%D%/simulate.h %D%/simulate.c \
	%D%/source.h %D%/source.c \
	%D%/trace.h %D%/trace.c \
	%D%/weblog.h %D%/weblog.c \
	%D%/week.h %D%/week.c
%C%_libsim_la_CPPFLAGS = $(OS_CPPFLAGS) $(ZLIB_CFLAGS) $(LZMA_CFLAGS) $(ZSTD_CFLAGS)
%C%_libsim_la_LIBADD = base/libbase.la $(ZLIB_LIBS) $(LZMA_LIBS) $(ZSTD_LIBS) $(XXHASH_LIBS) -lm

# What a program that runs simulations links, in the order of the layers.
SIM_LIBS = sim/libsim.la calendar/libcalendar.la $(ENGINE_LIBS) $(XXHASH_LIBS)
