#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# make install puts everything where the file hierarchy wants it, keeps a configuration that is there,
# and make uninstall takes it all away. A program builds and runs against what was installed.
set -u
unset MAKEFLAGS MFLAGS MAKELEVEL
cd "${top_builddir:-.}" || exit 99
n=0 bad=0
dest=$(mktemp -d) || exit 99
wrong=$dest.wrong
log=$dest.log
trap 'rm -rf "$dest" "$wrong" "$log"' EXIT

result()
{
	n=$((n + 1))
	if [ -s "$wrong" ]; then
		bad=$((bad + 1))
		head -n 30 "$wrong" | sed 's/^/# /'
		echo "not ok $n - $1"
	else
		echo "ok $n - $1"
	fi
}

# The value of a variable of the Makefile.
var() { printf 'include Makefile\nprint-%s:\n\t@echo $(%s)\n' "$1" "$1" | ${MAKE:-make} -s -f - "print-$1" 2>/dev/null; }

bindir=$(var bindir) sbindir=$(var sbindir) libdir=$(var libdir) includedir=$(var includedir)
sysconfdir=$(var sysconfdir) mandir=$(var mandir) docdir=$(var docdir) datadir=$(var datadir) prefix=$(var prefix)

: >"$wrong"
[ -n "$bindir" ] && [ -n "$sysconfdir" ] || echo "the Makefile does not say its directories" >>"$wrong"
${MAKE:-make} install DESTDIR="$dest" >"$log" 2>&1 || { echo "make install failed:"; tail -n 20 "$log"; } >>"$wrong"
result "make install with DESTDIR"

: >"$wrong"
file() # MODE PATH
{
	if [ ! -f "$dest$2" ]; then
		echo "missing: $2" >>"$wrong"
	else
		mode=$(stat -L -c %a "$dest$2")
		[ "$mode" = "$1" ] || echo "$2 has mode $mode, not $1" >>"$wrong"
	fi
}
file 755 "$sbindir/forecached"
file 755 "$bindir/forecache"
file 755 "$libdir/libforecache.so"
file 644 "$includedir/forecache.h"
file 644 "$libdir/pkgconfig/forecache.pc"
file 644 "$sysconfdir/forecached/forecached.conf"
file 644 "$mandir/man8/forecached.8"
file 644 "$mandir/man5/forecached.conf.5"
file 644 "$mandir/man1/forecache.1"
file 644 "$prefix/lib/systemd/system/forecached.service"
file 644 "$prefix/lib/sysusers.d/forecached.conf"
file 644 "$prefix/lib/tmpfiles.d/forecached.conf"
file 644 "$docdir/README.md"
result "programs, library, header, manual pages, configuration and units are in their places"

: >"$wrong"
find "$dest" \( -type f -o -type l \) | sed "s|^$dest||" | while read -r f; do
	case $f in
	"$sbindir"/forecached | "$bindir"/forecache | "$libdir"/libforecache.so* | "$libdir"/libforecache.la | \
	"$includedir"/forecache.h | "$libdir"/pkgconfig/forecache.pc | "$sysconfdir"/forecached/* | \
	"$mandir"/man[1358]/f* | "$prefix"/lib/systemd/system/forecached.* | "$prefix"/lib/sysusers.d/* | \
	"$prefix"/lib/tmpfiles.d/* | "$docdir"/* | "$datadir"/forecached/* | "$datadir"/bash-completion/* | \
	"$prefix"/lib/python3*/*) ;;
	*) echo "what is $f?" ;;
	esac
done >>"$wrong"
result "nothing else is installed"

: >"$wrong"
unit=$dest$prefix/lib/systemd/system/forecached.service
grep -q "^ExecStart=$sbindir/forecached .*$sysconfdir/forecached/forecached.conf" "$unit" ||
	echo "the unit does not start $sbindir/forecached with $sysconfdir/forecached/forecached.conf" >>"$wrong"
grep -q '@[a-z]*@' "$unit" "$dest$prefix/lib/tmpfiles.d/forecached.conf" && echo "a name was not filled in" >>"$wrong"
grep -rlI "$dest" "$dest" 2>/dev/null | sed 's/^/DESTDIR is written into /' >>"$wrong"
result "installed files name the installed places"

: >"$wrong"
"$dest$sbindir/forecached" --check-config --config "$dest$sysconfdir/forecached/forecached.conf" >"$log" 2>&1 ||
	{ echo "forecached --check-config refuses the configuration that is installed:"; cat "$log"; } >>"$wrong"
result "the installed configuration is right"

: >"$wrong"
case $(${NM:-nm} -D "$dest$libdir/libforecache.so" 2>/dev/null) in
*__asan_* | *__tsan_*)
	n=$((n + 1))
	echo "ok $n - a program builds against what was installed # SKIP the build is instrumented" ;;
*)
	cat >"$dest/app.c" <<'END'
#include <forecache.h>
#include <stdio.h>
int main(void)
{
	struct fc *fc;
	struct fc_value v = { 0 };
	int rc = fc_open(NULL, &fc);

	if (rc)
		return 1;
	rc = fc_get(fc, "/quotes/<symbol>", "/quotes/IBM", 11, &v);
	printf("%s %s\n", fc_version(), rc < 0 ? "error" : "value"); /* no daemon: an error, and no hang */
	fc_value_release(&v);
	fc_close(&fc);
	return rc < 0 ? 0 : 2;
}
END
	flags=$(PKG_CONFIG_PATH=$dest$libdir/pkgconfig PKG_CONFIG_SYSROOT_DIR=$dest pkg-config --cflags --libs forecache) ||
		echo "pkg-config does not find forecache" >>"$wrong"
	# shellcheck disable=SC2086 # words
	${CC:-cc} -std=c11 -Wall -Werror -o "$dest/app" "$dest/app.c" $flags >"$log" 2>&1 || cat "$log" >>"$wrong"
	FORECACHED_DIR=$dest LD_LIBRARY_PATH=$dest$libdir "$dest/app" >"$log" 2>&1 ||
		{ echo "the program fails with $?:"; cat "$log"; } >>"$wrong"
	rm -f "$dest/app" "$dest/app.c"
	result "a program builds against what was installed" ;;
esac

: >"$wrong"
echo '// mine' >"$dest$sysconfdir/forecached/forecached.conf"
${MAKE:-make} install DESTDIR="$dest" >"$log" 2>&1 || echo "make install failed the second time" >>"$wrong"
[ "$(cat "$dest$sysconfdir/forecached/forecached.conf")" = '// mine' ] ||
	echo "make install has overwritten the configuration" >>"$wrong"
${MAKE:-make} uninstall DESTDIR="$dest" >"$log" 2>&1 || echo "make uninstall failed" >>"$wrong"
find "$dest" \( -type f -o -type l \) | sed "s|^$dest||" | grep -v "^$sysconfdir/forecached/forecached.conf\$" |
	sed 's/^/make uninstall leaves /' >>"$wrong"
[ -f "$dest$sysconfdir/forecached/forecached.conf" ] || echo "make uninstall removes a changed configuration" >>"$wrong"
result "a changed configuration survives install and uninstall, nothing else does"

echo "1..$n"
[ $bad -eq 0 ]
