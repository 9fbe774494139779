noinst_LTLIBRARIES += %D%/libengine.la
%C%_libengine_la_SOURCES = \
	%D%/engine.h %D%/engine.c \
	%D%/adopt.c \
	%D%/course.c \
	%D%/effects.c \
	%D%/evict.c \
	%D%/explain.c \
	%D%/import.c \
	%D%/jump.c \
	%D%/keyring.c \
	%D%/large.c \
	%D%/learned.c \
	%D%/levels.c \
	%D%/load.c \
	%D%/names.c \
	%D%/peak.c \
	%D%/plain.h %D%/plain.c \
	%D%/planning.c \
	%D%/policy.h %D%/policy.c \
	%D%/prefetch.c \
	%D%/record.h %D%/record.c \
	%D%/replan.c \
	%D%/round.c \
	%D%/schedule.c \
	%D%/serve.c \
	%D%/state.h \
	%D%/survey.h %D%/survey.c

# What a program that runs an engine links, in the order of the layers.
ENGINE_LIBS = engine/libengine.la predictor/libpredictor.la analyzer/libanalyzer.la models/libmodels.la \
	store/libstore.la base/libbase.la $(GSL_LIBS) -lm
