/* SPDX-License-Identifier: MIT */
/*
 * What was wrong with an input, a file, or what else came from outside: a text for the person who can do
 * something about it. Functions that meet such return a negative errno value and say why in the fault
 * that the caller hands in.
 */
#ifndef FORECACHED_BASE_FAULT_H
#define FORECACHED_BASE_FAULT_H

struct fault {
	char text[512];
};

/*
 * Writes the text (cut when too long) and returns err, so that `return fault_set(f, -EINVAL, ...)`.
 */
__attribute__((format(printf, 3, 4))) int fault_set(struct fault *f, int err, const char *fmt, ...);

#endif
