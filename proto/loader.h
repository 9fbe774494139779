/* SPDX-License-Identifier: MIT */
/*
 * Loaders: functions of the app that read its origin when the daemon asks. A loader is a DEALER;
 * what it sends has a word first, what it gets is a job or has a word first.
 *
 *	to the daemon					to the loader
 *	["register", [ENDPOINT...], concurrency]	["registered", beat_s]
 *	["value", job, VALUE, {version, max_age_s,	[job, endpoint, key, reason, deadline_s, version]
 *	          last_modified_s, load_ms}]		["beat"]
 *	["unchanged", job]				["refused", code, text]
 *	["absent", job]
 *	["error", job, text, {retry_after_s}]
 *	["uncacheable", job, VALUE]
 *	["beat"]  ["bye"]
 *
 * A loader that has said nothing for three beats is taken for gone and its jobs have failed. It may
 * answer its own jobs only; that is for the daemon to check, as is the time. deadline_s counts from
 * now; version is what the daemon holds, nil if nothing.
 *
 * OWNERSHIP views point into the frame.
 */
#ifndef FORECACHED_PROTO_LOADER_H
#define FORECACHED_PROTO_LOADER_H

#include "base/bytes.h"
#include "base/instant.h"
#include "base/vec.h"
#include "proto/pack.h"
#include "proto/value.h"

#include <stdbool.h>
#include <stdint.h>

#define LOADER_TABLE(X)                                                                            \
	X(REGISTER, "register")                                                                    \
	X(VALUE, "value")                                                                          \
	X(UNCHANGED, "unchanged")                                                                  \
	X(ABSENT, "absent")                                                                        \
	X(ERROR, "error")                                                                          \
	X(UNCACHEABLE, "uncacheable")                                                              \
	X(BEAT, "beat")                                                                            \
	X(BYE, "bye")

enum loader_word {
#define X(name, text) LOADER_##name,
	LOADER_TABLE(X)
#undef X
	        LOADER_WORDS
};

/* What a loader says. */
struct loader_message {
	enum loader_word word;
	VEC(struct bytes) endpoint; /* register */
	uint32_t concurrency;       /* register: jobs at once, >= 1 */
	uint64_t job;
	struct bytes value;
	uint64_t version;             /* 0: the hash of the value */
	struct span max_age;          /* 0: not said */
	struct instant last_modified; /* INSTANT_NONE: not said */
	struct span load;             /* what reading the origin took; 0: not said */
	struct span retry_after;      /* 0: not said */
	struct bytes error;           /* error: what happened */
};

void loader_message_init(struct loader_message *l);
void loader_message_release(struct loader_message *l);
int loader_message_read(struct loader_message *ret, struct message *m, struct bytes frame,
                        const struct proto_limits *limits, struct proto_error *reterr);
void loader_message_write(struct pack *w, const struct loader_message *l);

/* What a loader is told. */
enum told_kind { TOLD_JOB, TOLD_REGISTERED, TOLD_BEAT, TOLD_REFUSED };

struct told {
	enum told_kind kind;
	uint64_t job;
	struct bytes endpoint, key;
	struct bytes reason;  /* "demand", "refresh", ... */
	struct span deadline; /* from now, at the daemon's side */
	/* the daemon holds a value of this version: "unchanged" is an answer */
	bool have;
	uint64_t version;
	struct span beat;        /* registered: how often to say "beat" */
	struct bytes code, text; /* refused */
};
int told_read(struct told *ret, struct message *m, struct bytes frame,
              const struct proto_limits *limits, struct proto_error *reterr);
void told_write(struct pack *w, const struct told *t);

#endif
