#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# The driver of the fuzz targets finds a planted mistake, keeps the input, and says how to repeat it.
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
n=0

check()
{
	n=$((n + 1))
	if [ "$1" -eq 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; fi
}

mkdir "$dir/corpus"
printf 'abcdefgh' >"$dir/corpus/a"
cat >"$dir/planted.c" <<'C'
#include "tests/fuzz/fuzz.h"
#include <stdlib.h>
const struct fuzz_target fuzz_target = { "planted", NULL, 64 };
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	volatile uint8_t sink;

	if (size > 2 && data[1] == 0xff && getenv("ABORT"))
		abort();
	if (size > 2 && data[2] == 0xff && getenv("READ"))
		sink = data[size]; /* one byte too far */
	(void)sink;
	return 0;
}
C
src=$top_srcdir
# shellcheck disable=SC2086
${CC:-cc} -D_GNU_SOURCE -I"$src" -o "$dir/planted" "$dir/planted.c" "$src/tests/fuzz/standalone.c" \
	"$src/base/mem.c" "$src/base/bug.c" "$src/base/rng.c" -lm >&2
check $? "the driver builds by itself"
cd "$dir" || exit 1

./planted --runs 20000 corpus >clean 2>&1 && grep -q '^ok 2 - planted: 20000 mutations' clean
check $? "a target without a mistake passes"

for what in ABORT READ; do
	env $what=1 ./planted --runs 20000 --seed 7 corpus >found 2>&1
	[ $? -gt 1 ] && ! grep -q '^ok 2' found && [ -s planted.crash ]
	check $? "$what: found, and the input kept"

	args=$(sed -n 's/^# died in \(--seed 7 --only [0-9]*\),.*/\1/p' found)
	mv planted.crash first
	# shellcheck disable=SC2086
	env $what=1 ./planted $args corpus >again 2>&1
	cmp -s first planted.crash
	check $? "$what: $args repeats it"

	env $what=1 ./planted --runs 0 first >again 2>&1
	[ $? -gt 1 ]
	check $? "$what: the kept input alone repeats it"
done

mkdir none
./planted none >empty 2>&1
[ $? -eq 1 ] && grep -q '^not ok 1' empty
check $? "an empty corpus fails"
./planted missing >missing.out 2>&1
[ $? -eq 1 ] && grep -q '^Bail out' missing.out
check $? "a missing corpus fails"
echo "1..$n"
