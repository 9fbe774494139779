/* SPDX-License-Identifier: MIT */
/*
 * Checks for what only a mistake of ours can cause. They stay in release builds: a daemon that goes
 * on with a broken invariant would answer wrongly, and a wrong answer is worse than none.
 *
 * What a peer, a file, a clock or a disk can cause is never a BUG_ON but an error code.
 */
#ifndef FORECACHED_BASE_BUG_H
#define FORECACHED_BASE_BUG_H

/* Prints where and what, then aborts. */
_Noreturn void bug_at(const char *file, int line, const char *what);

#define BUG_ON(cond)                                                                               \
	do {                                                                                       \
		if (__builtin_expect(!!(cond), 0))                                                 \
			bug_at(__FILE__, __LINE__, #cond);                                         \
	} while (0)

#endif
