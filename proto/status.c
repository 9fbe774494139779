/* SPDX-License-Identifier: MIT */
#include "proto/status.h"

const char *status_name(int status)
{
	switch (status) {
#define X(name, number, code, text)                                                                \
	case number:                                                                               \
		return code;
		STATUS_TABLE(X)
#undef X
	default:
		return "unknown";
	}
}

const char *status_text(int status)
{
	switch (status) {
#define X(name, number, code, text)                                                                \
	case number:                                                                               \
		return text;
		STATUS_TABLE(X)
#undef X
	default:
		return "a status of a later version of the protocol";
	}
}
