# The reader is an archive of its own: what links it has no code that could write a segment.
noinst_LTLIBRARIES += %D%/libreader.la %D%/libstore.la
%C%_libreader_la_SOURCES = \
	%D%/layout.h %D%/layout.c \
	%D%/packed.h %D%/packed.c \
	%D%/reader.h %D%/reader.c
%C%_libreader_la_CPPFLAGS = $(AM_CPPFLAGS) $(ZSTD_CFLAGS)
%C%_libreader_la_LIBADD = base/libbase.la $(ZSTD_LIBS)
%C%_libstore_la_SOURCES = \
	%D%/arena.h %D%/arena.c \
	%D%/bits.h %D%/bits.c \
	%D%/store.h %D%/store.c
%C%_libstore_la_LIBADD = %D%/libreader.la
