#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Dependencies point down: what each folder may include, of ours and of libraries. Also: every source
# file says its licence in its first lines, and the right one for its folder.
set -u
cd "${top_srcdir:-.}" || exit 99
n=0 bad=0

# folder | may include of ours (itself besides) | headers of libraries (patterns of case)
table='
base      |                                                        | xxhash.h
models    | base                                                   | gsl/*
analyzer  | base models                                            |
predictor | base models analyzer                                   |
store     | base                                                   | zstd.h
engine    | base models analyzer predictor store                   |
proto     | base                                                   | msgpack.h msgpack/*
calendar  | base                                                   | libical/*
daemon    | base models analyzer predictor store engine proto calendar | zmq.h curl/* microhttpd.h sqlite3.h cjson/* msgpack.h gsl/gsl_errno.h
client    | base store proto                                       | zmq.h
sim       | base models analyzer predictor store engine proto calendar | zlib.h lzma.h zstd.h
cli       | base models engine proto client sim calendar daemon    | cjson/* curl/* zmq.h msgpack.h gsl/gsl_errno.h
'
pure='base models analyzer predictor store engine proto'
# What C11 has, without clocks (time.h), signals and the environment's language; and the compiler's
# intrinsics (immintrin.h).
iso='assert.h ctype.h errno.h float.h immintrin.h inttypes.h limits.h math.h stdalign.h stdarg.h stdatomic.h stdbool.h
stddef.h stdint.h stdio.h stdlib.h stdnoreturn.h string.h'
# And what mem.c needs to ask for huge pages, which nothing that is computed depends on.
advice='base/mem.c?malloc.h base/mem.c?sys/mman.h'
libraries='xxhash.h gsl/* msgpack.h msgpack/* libical/* ical.h zmq.h curl/* microhttpd.h sqlite3.h cjson/* zlib.h
lzma.h zstd.h'

result() # STATUS TITLE
{
	n=$((n + 1))
	if [ -s "$wrong" ]; then
		bad=$((bad + 1))
		sed 's/^/# /' "$wrong"
		echo "not ok $n - $1"
	else
		echo "ok $n - $1"
	fi
}

among() # WORD PATTERN...
{
	word=$1
	shift
	set -f
	for p in $*; do
		# shellcheck disable=SC2254 # a pattern it is
		case $word in $p) set +f; return 0 ;; esac
	done
	set +f
	return 1
}

wrong=$(mktemp) || exit 99
includes=$(mktemp) || exit 99
trap 'rm -f "$wrong" "$includes"' EXIT

while IFS='|' read -r folder ours theirs; do
	folder=$(echo $folder)
	[ -n "$folder" ] || continue
	: >"$wrong"
	# file:line:"path or <path
	grep -nE '^[[:space:]]*#[[:space:]]*include' "$folder"/*.c "$folder"/*.h 2>/dev/null |
		sed 's/^\([^:]*:[0-9]*\):.*include[[:space:]]*\(["<][^">]*\).*/\1 \2/' >"$includes"
	[ -s "$includes" ] || echo "$folder: nothing to look at: no sources found" >>"$wrong"
	while read -r place what; do
		name=${what#?}
		case $what in
		\"config.h)
			among "$folder" $pure && echo "$place: config.h in a pure folder" >>"$wrong" ;;
		\"*/*)
			among "${name%%/*}" "$folder" $ours ||
				echo "$place: $folder/ may not include $name" >>"$wrong"
			[ "$folder" != client ] || among "$name" 'client/*' 'base/*' 'proto/*' store/reader.h store/layout.h store/packed.h ||
				echo "$place: of the store, client/ may use the reader alone, not $name" >>"$wrong"
			[ -e "$name" ] || echo "$place: there is no $name" >>"$wrong" ;;
		\"*) echo "$place: includes are rooted at the top folder, not \"$name\"" >>"$wrong" ;;
		\<*)
			if among "$name" "$libraries"; then
				among "$name" "$theirs" ||
					echo "$place: the library of <$name> is not $folder/'s" >>"$wrong"
			elif among "${place%%:*} $name" "$advice"; then
				:
			elif among "$folder" $pure && ! among "$name" "$iso"; then
				echo "$place: <$name> in a pure folder" >>"$wrong"
			fi ;;
		*) echo "$place: an include that this test cannot read" >>"$wrong" ;;
		esac
	done <"$includes"
	result "$folder/ includes only what stands below it"
done <<END
$table
END

: >"$wrong"
for f in */*.[ch] */*/*.[ch] */*.py */*/*.py */*.sh */*/*.sh */*.js; do
	[ -f "$f" ] || continue
	case $f in
	build/* | build-aux/* | forecached-* | _build/* | _inst/*) continue ;;
	base/* | store/* | proto/* | client/* | python/*) want=MIT ;;
	examples/redis-advice/* | examples/asgi/* | examples/django/* | examples/flask-api/*) want=MIT ;; # to be copied into apps
	*) want=GPL-3.0-or-later ;;
	esac
	head -n 3 "$f" | grep -q "SPDX-License-Identifier: $want\( \*/\)\?\$" ||
		echo "$f: none of its first three lines says SPDX-License-Identifier: $want" >>"$wrong"
done
result "every source file names its licence"

: >"$wrong"
for f in MIT GPL-3.0-or-later; do
	[ -s "LICENSES/$f.txt" ] || echo "LICENSES/$f.txt is missing" >>"$wrong"
done
result "the texts of both licences are there"

echo "1..$n"
[ $bad -eq 0 ]
