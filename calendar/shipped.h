/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The markets' calendars that come with the programs, as the bytes of their .ics files. shipped.c
 * is made from models/calendars/ by shipped.sh.
 */
#ifndef FORECACHED_CALENDAR_SHIPPED_H
#define FORECACHED_CALENDAR_SHIPPED_H

#include <stddef.h>

struct shipped_calendar {
	const char *code; /* of the market: "XNYS" */
	const char *ics;
	size_t n;
};

/* Ends with one whose code is NULL. */
extern const struct shipped_calendar shipped_calendars[];

#endif
