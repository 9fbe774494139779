# tests/unit/t_X.c tests one .c file; tests/scripts/*.sh and *.py test the build and the programs.
# A folder's unit tests stand together; each list below is kept in alphabetical order.
UNIT_CPPFLAGS = $(OS_CPPFLAGS)
EXTRA_DIST += %D%/tap.h
