# daemon/: everything but main, so that unit tests can link it.
noinst_LTLIBRARIES += %D%/libdaemon.la
%C%_libdaemon_la_SOURCES = \
	%D%/clock.h %D%/clock.c \
	%D%/config.h %D%/config.c \
	%D%/log.h %D%/log.c \
	%D%/loop.h %D%/loop.c \
	%D%/option.h %D%/option.c \
	%D%/pattern.h %D%/pattern.c
%C%_libdaemon_la_CPPFLAGS = $(OS_CPPFLAGS) $(CJSON_CFLAGS) $(ZMQ_CFLAGS) $(MSGPACK_CFLAGS)
%C%_libdaemon_la_LIBADD = $(CJSON_LIBS) $(ZMQ_LIBS)
