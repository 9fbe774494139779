#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# forecached against redis-server, side by side: redis-benchmark GET and SET of 1 KiB over 50 connections,
# without a pipeline and 32 deep, and 32 deep from two threads of redis-benchmark, since one is often what
# limits: "busy" is how much of the time a server, and that client's threads together, used a core. The two
# servers take turns ROUNDS times (5), so that what else this machine does meets both; medians are shown. CPU
# is the server's own, user and system, by /proc.
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

# CPU seconds of what this shell has run, since `from`, out of what its `times` says
cat >"$run/cpu.awk" <<'END'
NR == 2 { split($1, u, /[ms]/); split($2, k, /[ms]/); print u[1] * 60 + u[2] + k[1] * 60 + k[2] - from }
END

hz=$(getconf CLK_TCK)
one() # NAME PORT PID COMMAND N PIPELINE THREADS
{
	times >"$run/times"
	client=$(awk -f "$run/cpu.awk" "$run/times")
	before=$(ticks "$3")
	rps=$(redis-benchmark -p "$2" -t "$4" -n "$5" -P "$6" --threads "$7" -c 50 -d 1024 ${keys:+-r $keys} --csv 2>/dev/null |
		tail -n 1 | cut -d'"' -f4)
	after=$(ticks "$3")
	times >"$run/times"
	client=$(awk -f "$run/cpu.awk" -v from="$client" "$run/times")
	row=$run/$4.$6.$7.$1
	echo "$rps" >>"$row.rps"
	awk -v t=$((after - before)) -v hz="$hz" -v n="$5" 'BEGIN { printf "%.3f\n", t / hz * 1e6 / n }' >>"$row.cpu"
	awk -v t=$((after - before)) -v hz="$hz" -v n="$5" -v r="$rps" 'BEGIN { printf "%.0f\n", 100 * t / hz * r / n }' >>"$row.busy"
	awk -v t="$client" -v n="$5" -v r="$rps" 'BEGIN { printf "%.0f\n", 100 * t * r / n }' >>"$row.client"
}

i=0
while [ $i -lt "$rounds" ]; do
	for c in set get; do
		for p in "1 1" "32 1" "32 2"; do
			n=$([ "${p% *}" = 1 ] && echo 100000 || echo 1000000)
			one ours "$ours" $ours_pid $c "$n" ${p% *} ${p#* }
			one theirs "$theirs" $theirs_pid $c "$n" ${p% *} ${p#* }
		done
	done
	i=$((i + 1))
done

echo "1 KiB, 50 connections, ${keys:-1} key(s), medians of $rounds rounds in turn; $(nproc) CPUs, load $(cut -d' ' -f1 /proc/loadavg)"
printf '%-26s %9s %9s %6s   %7s %7s %6s   %14s %14s\n' '' 'ours /s' 'redis /s' ratio 'ours us' 'redis' ratio 'busy: ours' 'redis'
for p in "1 1" "32 1" "32 2"; do
	for c in get set; do
		row=$run/$c.${p% *}.${p#* }
		name="$c, pipeline ${p% *}, $([ "${p#* }" = 1 ] && echo "a thread" || echo "${p#* } threads")"
		a=$(median "$row.ours.rps") b=$(median "$row.theirs.rps")
		x=$(median "$row.ours.cpu") y=$(median "$row.theirs.cpu")
		awk -v name="$name" -v a="$a" -v b="$b" -v x="$x" -v y="$y" \
			-v ours="$(median "$row.ours.busy") + $(median "$row.ours.client") %" \
			-v theirs="$(median "$row.theirs.busy") + $(median "$row.theirs.client") %" 'BEGIN {
			printf "%-26s %9.0f %9.0f %5.2fx   %7.2f %7.2f %5.2fx   %14s %14s\n", name, a, b, a / b, x, y, (y > 0 ? x / y : 0), ours, theirs }'
	done
done
