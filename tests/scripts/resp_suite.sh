#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Redis' own tests against forecached, by hand: tests/scripts/resp_suite.sh DIR [UNIT...]
# DIR is the unpacked source of Redis 7.0.15 (on Debian: apt-get source redis). Prints, for each unit, how
# many tests passed and failed, the names of those that failed, and the sum. Nothing of it is copied here.
set -u
usage='usage: resp_suite.sh REDIS-SOURCE [UNIT...]   (with $top_builddir or $FORECACHED)'
[ $# -ge 1 ] && [ -x "$1/runtest" ] || { echo "$usage" >&2; exit 2; }
command -v tclsh >/dev/null || { echo "resp_suite.sh: tclsh is not installed" >&2; exit 2; }
source=$(cd "$1" && pwd)
shift
build=${top_builddir:-.}
program=${FORECACHED:-$build/daemon/forecached}
units=${*:-unit/type/string unit/type/incr unit/expire unit/keyspace unit/scan unit/multi unit/introspection
	unit/other unit/quit unit/info-command unit/protocol}
run=$(mktemp -d "${TMPDIR:-/tmp}/forecached-suite.XXXXXX") || exit 1
pid=
finish()
{
	[ -z "$pid" ] || { kill "$pid" 2>/dev/null; wait "$pid" 2>/dev/null; }
	rm -f "$(readlink "$run/run/segment")"
	rm -rf "$run"
}
trap finish EXIT
trap 'exit 1' INT TERM

ok=0 failed=0
for unit in $units; do
	# a daemon for each, so that a unit that ends early leaves nothing behind
	rm -f "$run/log"
	echo '{ "limits": { "max_key_bytes": 65536 } }' >"$run/conf"
	"$program" --config "$run/conf" --dir "$run/run" --redis 127.0.0.1:0 >"$run/log" 2>&1 &
	pid=$!
	tries=0
	while ! port=$(sed -n 's/.*event=redis .*port=\([0-9]*\).*/\1/p' "$run/log" 2>/dev/null | grep .); do
		tries=$((tries + 1))
		[ $tries -lt 100 ] || { cat "$run/log" >&2; exit 1; }
		sleep 0.1
	done
	(cd "$source" && timeout "${SUITE_TIMEOUT:-300}" ./runtest --durable --host 127.0.0.1 --port "$port" \
		--single "$unit" --singledb --ignore-encoding --ignore-digest \
		--tags "-needs:repl -needs:debug -needs:save -needs:config-maxmemory") >"$run/out" 2>&1
	sed 's/\x1b\[[0-9;]*m//g' "$run/out" >"$run/plain"
	o=$(grep -c '^\[ok\]' "$run/plain")
	f=$(grep -Ec '^\[(err|exception)\]' "$run/plain")
	ok=$((ok + o)) failed=$((failed + f))
	printf '%-22s ok %3d  failed %3d\n' "$unit" "$o" "$f"
	grep -E '^\[(err|exception)\]' "$run/plain" | sed 's/^/    /' | cut -c1-150
	[ -z "${SUITE_KEEP:-}" ] || cp "$run/plain" "$SUITE_KEEP/$(echo "$unit" | tr / _).log"
	kill "$pid" && wait "$pid" 2>/dev/null
	pid=
done
printf '%-22s ok %3d  failed %3d\n' sum $ok $failed
