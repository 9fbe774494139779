noinst_LTLIBRARIES += %D%/libbase.la
%C%_libbase_la_SOURCES = \
	%D%/bug.h %D%/bug.c \
	%D%/bytes.h \
	%D%/estimate.h \
	%D%/fault.h %D%/fault.c \
	%D%/hash.h %D%/hash.c %D%/hash_avx2.c \
	%D%/heap.h %D%/heap.c \
	%D%/instant.h \
	%D%/intern.h %D%/intern.c \
	%D%/loghist.h %D%/loghist.c \
	%D%/mem.h %D%/mem.c \
	%D%/near.h %D%/near.c \
	%D%/quad.h \
	%D%/range.h \
	%D%/record.h \
	%D%/rng.h %D%/rng.c \
	%D%/text.h %D%/text.c \
	%D%/vec.h \
	%D%/zone.h %D%/zone.c
%C%_libbase_la_CPPFLAGS = $(AM_CPPFLAGS) $(XXHASH_CFLAGS)
%C%_libbase_la_LIBADD = -lm
