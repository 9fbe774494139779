# bench/

# An independent judge of decision logs; tests run it, too.
EXTRA_DIST += %D%/judge.py

EXTRA_PROGRAMS += %D%/store
%C%_store_SOURCES = %D%/store.c
%C%_store_CPPFLAGS = $(OS_CPPFLAGS)
%C%_store_LDADD = store/libstore.la -lm
