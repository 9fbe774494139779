/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a fuzz target is: one reader of bytes that come from outside, fed with anything.
 *
 * HOW IT WORKS fuzz_X.c defines fuzz_target and LLVMFuzzerTestOneInput, which hands the bytes to
 * the reader and checks with BUG_ON what must hold for every answer (what was read can be written
 * and read again, views point into the input, a refusal names a reason). standalone.c is the main
 * program; clang's -fsanitize=fuzzer can take its place, which is why the function is called as it
 * is.
 */
#ifndef FORECACHED_TESTS_FUZZ_FUZZ_H
#define FORECACHED_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

struct fuzz_target {
	const char *name;         /* the corpus is tests/fuzz/corpus/NAME/ */
	const char *const *words; /* what the format is made of, NULL at the end; may be NULL */
	size_t max_bytes;         /* inputs never get longer */
};

extern const struct fuzz_target fuzz_target;

/* Always 0; what is wrong aborts. The bytes are valid during the call, right before an unmapped
 * page. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
