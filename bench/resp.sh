#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# forecached against redis-server, side by side: redis-benchmark GET and SET of 1 KiB over 50 connections,
# without a pipeline and 32 deep. The two take turns ROUNDS times (5), so that what else this machine does
# meets both; medians are shown. CPU is the server's own, user and system, by /proc.
#	bench/resp.sh [BUILD]		RESP_KEYS=100000: that many keys at random, instead of one
set -eu
build=${1:-.}
program=${FORECACHED:-$build/daemon/forecached}
rounds=${ROUNDS:-5} keys=${RESP_KEYS:-}
for p in redis-server redis-benchmark redis-cli "$program"; do
	command -v "$p" >/dev/null || { echo "bench/resp.sh: $p is not installed or built" >&2; exit 2; }
done
run=$(mktemp -d "${TMPDIR:-/tmp}/forecached-resp.XXXXXX")
finish()
{
	kill $ours_pid $theirs_pid 2>/dev/null || :
	wait 2>/dev/null || :
	rm -f "$(readlink "$run/run/segment")"
	rm -rf "$run"
}
ours_pid= theirs_pid=
trap finish EXIT
trap 'exit 1' INT TERM

echo '{ "segment_bytes": "512MiB", "log_level": "info", "http": "off" }' >"$run/conf"
"$program" --config "$run/conf" --dir "$run/run" --redis 127.0.0.1:0 --http off >"$run/log" 2>&1 &
ours_pid=$!
tries=0
until ours=$(sed -n 's/.*event=redis .*port=\([0-9]*\).*/\1/p' "$run/log" 2>/dev/null | grep .); do
	tries=$((tries + 1))
	[ $tries -lt 100 ] || { cat "$run/log" >&2; exit 1; }
	sleep 0.1
done
theirs=$((ours < 60000 ? ours + 1 : ours - 1))
redis-server --port $theirs --save '' --appendonly no --dir "$run" >"$run/redis.log" 2>&1 &
theirs_pid=$!
until redis-cli -p $theirs ping >/dev/null 2>&1; do sleep 0.1; done

ticks() # PID
{
	sed 's/.*) //' "/proc/$1/stat" | cut -d' ' -f12,13 | tr ' ' + | sed 's/$//' | xargs -I{} sh -c 'echo $(({}))'
}

median() # FILE
{
	sort -n "$1" | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

hz=$(getconf CLK_TCK)
one() # NAME PORT PID COMMAND N PIPELINE
{
	before=$(ticks "$3")
	rps=$(redis-benchmark -p "$2" -t "$4" -n "$5" -P "$6" -c 50 -d 1024 ${keys:+-r $keys} --csv 2>/dev/null |
		tail -n 1 | cut -d'"' -f4)
	after=$(ticks "$3")
	echo "$rps" >>"$run/$4.$6.$1.rps"
	awk -v t=$((after - before)) -v hz="$hz" -v n="$5" 'BEGIN { printf "%.3f\n", t / hz * 1e6 / n }' \
		>>"$run/$4.$6.$1.cpu"
}

i=0
while [ $i -lt "$rounds" ]; do
	for c in set get; do
		for p in 1 32; do
			n=$((p == 1 ? 100000 : 1000000))
			one ours "$ours" $ours_pid $c $n $p
			one theirs "$theirs" $theirs_pid $c $n $p
		done
	done
	i=$((i + 1))
done

echo "1 KiB, 50 connections, ${keys:-1} key(s), medians of $rounds rounds in turn; $(nproc) CPUs, load $(cut -d' ' -f1 /proc/loadavg)"
printf '%-16s %12s %12s %7s   %9s %9s %7s\n' '' 'ours /s' 'redis /s' ratio 'ours us' 'redis us' ratio
for p in 1 32; do
	for c in get set; do
		a=$(median "$run/$c.$p.ours.rps") b=$(median "$run/$c.$p.theirs.rps")
		x=$(median "$run/$c.$p.ours.cpu") y=$(median "$run/$c.$p.theirs.cpu")
		awk -v name="$c, pipeline $p" -v a="$a" -v b="$b" -v x="$x" -v y="$y" 'BEGIN {
			printf "%-16s %12.0f %12.0f %6.2fx   %9.2f %9.2f %6.2fx\n", name, a, b, a / b, x, y, (y > 0 ? x / y : 0) }'
	done
done
