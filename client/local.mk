# libforecache: what apps link. forecache.h is the only header that is installed.
lib_LTLIBRARIES += %D%/libforecache.la
include_HEADERS += %D%/forecache.h
pkgconfig_DATA += %D%/forecache.pc
EXTRA_DIST += %D%/forecache.map
%C%_libforecache_la_SOURCES = \
	%D%/alone.h %D%/alone.c \
	%D%/call.c \
	%D%/fc.h %D%/forecache.c \
	%D%/get.c \
	%D%/lane.h %D%/lane.c \
	%D%/link.h %D%/link.c \
	%D%/monitor.c \
	%D%/outbox.h %D%/outbox.c \
	%D%/sample.h \
	%D%/segment.h %D%/segment.c \
	%D%/worker.h %D%/worker.c
%C%_libforecache_la_CPPFLAGS = $(OS_CPPFLAGS) $(ZMQ_CFLAGS)
%C%_libforecache_la_LIBADD = proto/libproto.la store/libreader.la $(ZMQ_LIBS) $(MSGPACK_LIBS) \
	$(XXHASH_LIBS) $(ZSTD_LIBS) -lpthread
# nodelete: threads of the app that did a get run code of ours when they end, even after a dlclose
%C%_libforecache_la_LDFLAGS = $(AM_LDFLAGS) -version-info $(FC_LT_VERSION) -no-undefined \
	-Wl,--version-script=$(top_srcdir)/%D%/forecache.map -Wl,-z,nodelete
%C%_libforecache_la_DEPENDENCIES = proto/libproto.la store/libreader.la %D%/forecache.map
