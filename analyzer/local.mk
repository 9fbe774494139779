noinst_LTLIBRARIES += %D%/libanalyzer.la
%C%_libanalyzer_la_SOURCES = \
	%D%/endpoint.h %D%/endpoint.c \
	%D%/key.h \
	%D%/template.h %D%/template.c \
	%D%/witness.h %D%/witness.c
