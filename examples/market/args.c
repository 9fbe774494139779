/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "examples/market/args.h"

#include <stdio.h>
#include <stdlib.h>

void args_die(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s: %s\n", args_program, what, why);
	exit(1);
}

double args_number(const char *name, const char *text, double low, double high)
{
	char *end, why[80];
	double v = strtod(text, &end);

	if (end == text || *end != '\0' || !(v >= low && v <= high)) {
		snprintf(why, sizeof(why), "must be a number from %g to %g", low, high);
		args_die(name, why);
	}
	return v;
}
