# tests/unit/t_X.c tests one .c file; tests/scripts/*.sh and *.py test the build and the programs.
# A folder's unit tests stand together; each list below is kept in alphabetical order.
UNIT_CPPFLAGS = $(OS_CPPFLAGS)
EXTRA_DIST += %D%/tap.h

check_PROGRAMS += %D%/unit/t_harmonic
%C%_unit_t_harmonic_SOURCES = %D%/unit/t_harmonic.c
%C%_unit_t_harmonic_CPPFLAGS = $(UNIT_CPPFLAGS) $(GSL_CFLAGS)
%C%_unit_t_harmonic_LDADD = base/libbase.la $(GSL_LIBS)
TESTS += %D%/unit/t_harmonic
