# Messages: bytes to structs and back. Pure: no sockets.
noinst_LTLIBRARIES += %D%/libproto.la
%C%_libproto_la_SOURCES = \
	%D%/error.h %D%/error.c \
	%D%/event.h %D%/event.c \
	%D%/limits.h %D%/limits.c \
	%D%/loader.h %D%/loader.c \
	%D%/notice.h %D%/notice.c \
	%D%/object.h \
	%D%/pack.h %D%/pack.c \
	%D%/reply.h %D%/reply.c \
	%D%/request.h %D%/request.c \
	%D%/resp.h %D%/resp.c \
	%D%/row.h %D%/row.c \
	%D%/scan.h %D%/scan.c \
	%D%/status.h %D%/status.c \
	%D%/value.h %D%/value.c
%C%_libproto_la_CPPFLAGS = $(AM_CPPFLAGS) $(MSGPACK_CFLAGS)
%C%_libproto_la_LIBADD = $(MSGPACK_LIBS)
