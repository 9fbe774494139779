noinst_LTLIBRARIES += %D%/libmodels.la
%C%_libmodels_la_SOURCES = \
	%D%/harmonic.h %D%/harmonic.c
%C%_libmodels_la_CPPFLAGS = $(AM_CPPFLAGS) $(GSL_CFLAGS)
%C%_libmodels_la_LIBADD = $(GSL_LIBS)
