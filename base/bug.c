/* SPDX-License-Identifier: MIT */
#include "base/bug.h"

#include <stdio.h>
#include <stdlib.h>

void bug_at(const char *file, int line, const char *what)
{
	fprintf(stderr, "bug: %s:%d: %s\n", file, line, what);
	abort();
}
