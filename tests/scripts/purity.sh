#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# The pure folders ask nothing of the world: their archives refer to no clock, socket, file, environment,
# random source, thread or log, and hold no data that can change. And libforecache needs no GSL: it is
# linked into apps under other licences.
set -u
n=0 bad=0
top=${top_builddir:-.}
nm=${NM:-nm}
cc=${CC:-cc}

deny='
time clock clock_gettime clock_getres clock_nanosleep gettimeofday times localtime localtime_r gmtime gmtime_r mktime
timegm strftime nanosleep sleep usleep timer_create timerfd_create alarm setitimer
socket bind listen accept accept4 connect send sendto sendmsg recv recvfrom recvmsg poll ppoll select epoll_create1
epoll_wait eventfd getaddrinfo
fopen fopen64 fdopen freopen fclose fread fwrite fputs fputc puts putchar printf fprintf vprintf vfprintf perror
fgets getline scanf fscanf open open64 openat creat read write pread pwrite close stat fstat lstat unlink rename mkdir
opendir mmap munmap shm_open shm_unlink msync ftruncate remove tmpfile dlopen
__printf_chk __fprintf_chk __vfprintf_chk __vprintf_chk
getenv secure_getenv setenv putenv environ __environ setlocale
rand srand random srandom drand48 lrand48 rand_r getrandom getentropy arc4random
pthread_create pthread_mutex_lock thrd_create fork vfork execve system popen signal sigaction raise kill
syslog vsyslog openlog stdout stderr stdin exit _exit abort
gsl_rng_default gsl_rng_env_setup gsl_set_error_handler gsl_set_error_handler_off'

wrong=$(mktemp) || exit 99
symbols=$(mktemp) || exit 99
trap 'rm -f "$wrong" "$symbols"' EXIT

result()
{
	n=$((n + 1))
	if [ -s "$wrong" ]; then
		bad=$((bad + 1))
		sort -u "$wrong" | head -n 20 | sed 's/^/# /'
		echo "not ok $n - $1"
	else
		echo "ok $n - $1"
	fi
}

# Sanitizers put their own functions and tables into every object.
case $($nm -u "$top/base/.libs/libbase.a" 2>/dev/null) in
*__asan_* | *__tsan_* | *__ubsan_*) echo "1..0 # SKIP the build is instrumented"; exit 0 ;;
esac

for folder in base models analyzer predictor store engine proto; do
	: >"$wrong"
	# of a convenience library the archive contains those it was built from: its own objects count
	set -- "$top/$folder"/.libs/*.o "$top/$folder"/*.o
	found=no
	for object; do
		[ -f "$object" ] || continue
		found=yes
		$nm "$object" >"$symbols" 2>/dev/null || echo "$object: nm cannot read it" >>"$wrong"
		[ -s "$symbols" ] || echo "$object: no symbols" >>"$wrong"
		# bug.c says what broke, and ends the process: nothing else may
		case $object in */libbase_la-bug.o | */base_libbase_la-bug.o) continue ;; esac
		for name in $(awk '$(NF-1) == "U" { sub(/@.*/, "", $NF); print $NF }' "$symbols"); do
			for d in $deny; do
				[ "$name" != "$d" ] || echo "${object#"$top"/} refers to $name" >>"$wrong"
			done
		done
		# d, b, c: static data that can be written; tables of pointers (.data.rel.ro) are lower-case d as
		# well, so ask for their section
		awk '$(NF-1) ~ /^[dDbBcCsSgG]$/ { print $NF }' "$symbols" | while read -r name; do
			section=$(objdump -t "$object" | awk -v s="$name" '$NF == s { for (i = 1; i <= NF; i++) if ($i ~ /^[.*]/) print $i }')
			case $section in
			.data.rel.ro* | .rodata*) ;;
			*) echo "${object#"$top"/} holds data that can change: $name ($section)" >>"$wrong" ;;
			esac
		done
	done
	[ $found = yes ] || echo "$top/$folder: no objects to look at" >>"$wrong"
	result "$folder/ asks nothing of the world and keeps nothing to itself"
done

: >"$wrong"
lib=$(ls "$top"/client/.libs/libforecache.so 2>/dev/null)
if [ -z "$lib" ]; then
	echo "$top/client/.libs/libforecache.so is not there" >>"$wrong"
else
	objdump -p "$lib" | awk '$1 == "NEEDED" { print $2 }' >"$symbols"
	grep -q '^libc\.so' "$symbols" || echo "objdump does not say what $lib needs" >>"$wrong"
	grep -E 'libgsl|libcurl|libmicrohttpd|libsqlite3|libical|libcjson' "$symbols" |
		sed 's/^/libforecache is linked with /' >>"$wrong"
	$nm -D "$lib" | awk '$(NF-1) == "U" && $NF ~ /^(gsl|cblas)_/ { print "libforecache refers to " $NF }' >>"$wrong"
fi
result "libforecache is linked with no library under the GPL, and none that it does not need"

: >"$wrong"
if [ -n "$lib" ]; then
	$nm -D --defined-only "$lib" | awk '$NF !~ /^fc_/ && $(NF-1) != "A" { print "libforecache exports " $NF }' >>"$wrong"
	$nm -D --defined-only "$lib" | grep -q ' fc_open' || echo "libforecache exports no fc_open" >>"$wrong"
else
	echo "no library" >>"$wrong"
fi
result "libforecache exports fc_ names alone"

# The deny list works: an object that asks for the time and keeps a counter is caught.
: >"$wrong"
probe=$(mktemp -d) || exit 99
printf '#include <time.h>\nstatic int n; int *f(void); int *f(void) { n += (int)time(0); return &n; }\n' >"$probe/p.c"
if $cc -c -o "$probe/p.o" "$probe/p.c" 2>/dev/null; then
	$nm "$probe/p.o" | awk '$(NF-1) == "U" { print $NF }' | grep -qx time || echo "nm does not show a use of time()" >>"$wrong"
	$nm "$probe/p.o" | awk '$(NF-1) ~ /^[dDbBcC]$/ { print $NF }' | grep -qx n || echo "nm does not show static data" >>"$wrong"
else
	echo "$cc cannot compile" >>"$wrong"
fi
rm -rf "$probe"
result "what this test looks for is visible to it"

echo "1..$n"
[ $bad -eq 0 ]
