#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# What an app gets with libforecache: no GSL (which is GPL), no name but fc_*, a header that C and C++ read.
set -u
lib=$top_builddir/client/.libs/libforecache.so
n=0
bad=0
check() # what, status
{
	n=$((n + 1))
	if [ "$2" -eq 0 ]; then
		echo "ok $n - $1"
	else
		echo "not ok $n - $1"
		bad=1
	fi
}

echo 1..6
test -f "$lib"
check "the library is there" $?

# all that it loads in the end, not only what it names itself
needed=$( (ldd "$lib" || readelf -d "$lib") 2>/dev/null)
# libzstd (BSD) decodes what is kept compressed in the segment
case $needed in
*libzmq*libzstd* | *libzstd*libzmq*) check "it links libzmq and libzstd" 0 ;;
*) check "it links libzmq and libzstd" 1 ;;
esac
case $needed in
*libgsl* | *libcurl* | *libsqlite* | *libmicrohttpd* | *libical* | *libcjson*)
	echo "# $needed"
	check "it links neither GSL nor what else the daemon uses" 1 ;;
*) check "it links neither GSL nor what else the daemon uses" 0 ;;
esac

exported=$($NM -D --defined-only "$lib" | sed 's/.* //; s/@.*//' | grep -v '^FORECACHE_0$' | sort)
declared=$(sed -n 's/^[^ *].*[ *]\(fc_[a-z_]*\)(.*/\1/p' "$top_srcdir/client/forecache.h" | grep -v _fn | sort -u)
test -n "$declared" && test "$exported" = "$declared"
rc=$?
test $rc -eq 0 || printf '# exported: %s\n# declared: %s\n' "$(echo $exported)" "$(echo $declared)"
check "it exports what the header declares and nothing else" $rc

dir=$(mktemp -d) || exit 99
trap 'rm -rf "$dir"' EXIT
printf '#include "forecache.h"\nint main(void) { return fc_version()[0] == 0; }\n' >"$dir/t.c"
cp "$dir/t.c" "$dir/t.cc"
$CC -std=c99 -pedantic -Wall -Werror -I"$top_srcdir/client" -c "$dir/t.c" -o "$dir/t.o"
check "the header is C99" $?
if command -v c++ >/dev/null; then
	c++ -std=c++11 -Wall -Werror -I"$top_srcdir/client" -c "$dir/t.cc" -o "$dir/tcc.o"
	check "the header is C++" $?
else
	echo "ok 6 - the header is C++ # SKIP no C++ compiler"
	n=6
fi
exit $bad
