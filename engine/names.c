/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The words that the protocol, the logs and the decision log use for the engine's enums. */
#include "engine/engine.h"

#include "base/bug.h"

const char *outcome_name(enum outcome o)
{
	static const char *const name[] = {"hit", "grace", "miss", "joined", "set", "changed"};

	BUG_ON((unsigned)o >= sizeof(name) / sizeof(name[0]));
	return name[o];
}

const char *load_reason_name(enum load_reason r)
{
	static const char *const name[] = {"demand", "refresh", "prewarm",
	                                   "event",  "audit",   "probe"};

	BUG_ON((unsigned)r >= sizeof(name) / sizeof(name[0]));
	return name[r];
}

const char *ttl_reason_name(enum ttl_reason r)
{
	static const char *const name[] = {"planned",       "min_ttl",        "max_age",
	                                   "max_stale_key", "client",         "static",
	                                   "negative",      "pushed",         "client_too_short",
	                                   "client_right",  "client_too_long"};

	BUG_ON((unsigned)r >= sizeof(name) / sizeof(name[0]));
	return name[r];
}

const char *prefetch_source_name(enum prefetch_source s)
{
	static const char *const name[] = {"ahead", "schedule", "learned", "forecast",
	                                   "event", "manual",   "jump"};

	BUG_ON((unsigned)s >= sizeof(name) / sizeof(name[0]));
	return name[s];
}

const char *prewarm_skip_name(enum prewarm_skip s)
{
	static const char *const name[] = {"fresh",     "unlikely", "volatile", "personal",
	                                   "forbidden", "limit",    "room",     "origin",
	                                   "paused",    "wasteful", "unproven"};

	BUG_ON((unsigned)s >= sizeof(name) / sizeof(name[0]));
	return name[s];
}
