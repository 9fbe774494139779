noinst_LTLIBRARIES += %D%/libanalyzer.la
%C%_libanalyzer_la_SOURCES = \
	%D%/audience.h %D%/audience.c \
	%D%/endpoint.h %D%/endpoint.c \
	%D%/key.h %D%/key.c \
	%D%/personal.h %D%/personal.c \
	%D%/template.h %D%/template.c \
	%D%/witness.h %D%/witness.c
