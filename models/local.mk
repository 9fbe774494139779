noinst_LTLIBRARIES += %D%/libmodels.la
%C%_libmodels_la_SOURCES = \
	%D%/activity.h %D%/activity.c \
	%D%/change.h %D%/change.c \
	%D%/correction.h %D%/correction.c \
	%D%/demand.h %D%/demand.c \
	%D%/ensemble.h %D%/ensemble.c \
	%D%/harmonic.h %D%/harmonic.c \
	%D%/interval.h %D%/interval.c \
	%D%/jump.h %D%/jump.c \
	%D%/looks.h %D%/looks.c \
	%D%/period.h %D%/period.c \
	%D%/pool.h %D%/pool.c \
	%D%/reuse.h %D%/reuse.c \
	%D%/rise.h %D%/rise.c \
	%D%/rls.h %D%/rls.c \
	%D%/shape.h %D%/shape.c \
	%D%/surprise.h %D%/surprise.c \
	%D%/tail.h %D%/tail.c \
	%D%/timetable.h %D%/timetable.c \
	%D%/walk.h %D%/walk.c \
	%D%/wander.h
%C%_libmodels_la_CPPFLAGS = $(AM_CPPFLAGS) $(GSL_CFLAGS)
%C%_libmodels_la_LIBADD = $(GSL_LIBS)
