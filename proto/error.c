/* SPDX-License-Identifier: MIT */
#include "proto/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int proto_fail(struct proto_error *err, int rc, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return rc;
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return rc;
}

int proto_within(struct proto_error *err, int rc, const char *fmt, ...)
{
	char place[64];
	size_t n, keep;
	va_list ap;

	if (!err)
		return rc;
	va_start(ap, fmt);
	vsnprintf(place, sizeof(place), fmt, ap);
	va_end(ap);
	n = strlen(place);
	keep = strlen(err->text);
	if (keep > sizeof(err->text) - 1 - n)
		keep = sizeof(err->text) - 1 - n;
	memmove(err->text + n, err->text, keep);
	memcpy(err->text, place, n);
	err->text[n + keep] = '\0';
	return rc;
}
