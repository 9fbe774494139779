noinst_LTLIBRARIES += %D%/libpredictor.la
%C%_libpredictor_la_SOURCES = \
	%D%/budget.h %D%/budget.c \
	%D%/guard.h %D%/guard.c \
	%D%/level.h %D%/level.c \
	%D%/plan.h %D%/plan.c \
	%D%/prewarm.h %D%/prewarm.c \
	%D%/price.h %D%/price.c
