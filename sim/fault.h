/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What was wrong with an input, as one line for the person who made it. Functions of sim/ that read
 * files return a negative errno value and say why in the fault that the caller hands in.
 */
#ifndef FORECACHED_SIM_FAULT_H
#define FORECACHED_SIM_FAULT_H

struct fault {
	char text[512];
};

/*
 * Writes the text (cut when too long) and returns err, so that `return fault_set(f, -EINVAL, ...)`.
 */
__attribute__((format(printf, 3, 4))) int fault_set(struct fault *f, int err, const char *fmt, ...);

#endif
