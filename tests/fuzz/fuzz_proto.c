/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Messages of the protocol. The first byte says who reads: a kind of message, or the rows of a
 * table; the frame follows. What could be read is written, and must read back and be written as the
 * same bytes.
 */
#include "tests/fuzz/fuzz.h"

#include "base/bug.h"
#include "proto/loader.h"
#include "proto/notice.h"
#include "proto/reply.h"
#include "proto/scan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const words[] = {"\xa3get",
                                    "\xa4mget",
                                    "\xa3set",
                                    "\xa4mset",
                                    "\xa5"
                                    "event",
                                    "\xac"
                                    "schedule.add",
                                    "\xa6import",
                                    "\xa5"
                                    "purge",
                                    "\xa8"
                                    "endpoint",
                                    "\xa9"
                                    "endpoints",
                                    "\xa3key",
                                    "\xa7outcome",
                                    "\xa6time_s",
                                    "\xa5"
                                    "count",
                                    "\xa7load_ms",
                                    "\xa7version",
                                    "\xa4mode",
                                    "\xa5lease",
                                    "\xa5ttl_s",
                                    "\xa3hit",
                                    "\xa5"
                                    "value",
                                    "\xa8register",
                                    "\xcb\x41\xda\x60\x11\x22\x33\x44\x55",
                                    "\xdd\xff\xff\xff\xff",
                                    "\xdf\xff\xff\xff\xff",
                                    "\xdb\xff\xff\xff\xff",
                                    "\xc9\xff\xff\xff\xff",
                                    "\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
                                    "\xd3\x80",
                                    "\xc0",
                                    "\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91",
                                    NULL};

const struct fuzz_target fuzz_target = {"proto", words, 2048};

/* The smallest limits that a configuration may set come into play within the longest input. */
static struct proto_limits limits(void)
{
	struct proto_limits l = proto_limits_default();

	l.max_key_bytes = 64;
	l.max_endpoint_bytes = 64;
	l.max_value_bytes = 256;
	l.max_elements = 512;
	l.max_events = 16;
	l.max_keys = 8;
	l.max_records = 8;
	l.max_loader_endpoints = 4;
	return l;
}

static const struct row_table *const table[] = {&row_ttl,    &row_why,   &row_forecast,
                                                &row_advice, &row_hello, &row_schedule,
                                                &row_due,    &row_peak,  &row_notice};
#define TABLES (sizeof(table) / sizeof(table[0]))

/*
 * Reads the frame as `kind` and writes what it found into w. 0, or the reader's error. Everything
 * that was read is written before the message goes, as views point into it.
 */
enum kind { ROWS_OF_EVENTS, COLUMNS_OF_EVENTS, REQUEST, REPLY, GOT, LOADER, TOLD, NOTICE, TABLE };
#define KINDS (TABLE + TABLES)

static int read_events(struct message *m, bool columns, struct bytes frame,
                       const struct proto_limits *l, struct pack *w, struct proto_error *err)
{
	struct events e;
	int rc;

	events_init(&e);
	rc = events_read(&e, m, frame, l, err);
	for (size_t i = 0; !rc && i < e.refused && i < EVENTS_MAX_SAID; i++)
		BUG_ON(!e.said[i].why.text[0]);
	for (size_t i = 0; !rc && i < e.list.n; i++) {
		BUG_ON(!e.list.v[i].key.n || e.list.v[i].key.n > l->max_key_bytes);
		BUG_ON(!e.list.v[i].count || e.list.v[i].count > EVENT_MAX_COUNT);
		BUG_ON(e.list.v[i].outcome >= EVENT_OUTCOMES);
		BUG_ON(e.list.v[i].load.us < 0 || e.list.v[i].load.us > EVENT_MAX_LOAD.us);
	}
	if (!rc)
		(columns ? events_write_columns : events_write_rows)(w, e.list.v, e.list.n);
	events_release(&e);
	return rc;
}

static int read_request(struct message *m, struct bytes frame, const struct proto_limits *l,
                        struct pack *w, struct proto_error *err)
{
	struct request r;
	int rc;

	request_init(&r);
	rc = request_read(&r, m, frame, l, err);
	if (rc == STATUS_OK)
		request_write(w, &r);
	request_release(&r);
	return rc;
}

static int read_reply(struct message *m, struct bytes frame, const struct proto_limits *l,
                      struct pack *w, struct proto_error *err)
{
	struct reply r;
	int rc = reply_read(&r, m, frame, l, err);

	if (rc)
		return rc;
	if (r.status) {
		pack_bin(w, r.text);
		return -EAGAIN; /* a failure's text is written from a C string alone: nothing to
		                   compare */
	}
	reply_start(w, r.id, r.has_id);
	pack_raw(w, r.raw);
	return 0;
}

static int read_loader(struct message *m, struct bytes frame, const struct proto_limits *l,
                       struct pack *w, struct proto_error *err)
{
	struct loader_message msg;
	int rc;

	loader_message_init(&msg);
	rc = loader_message_read(&msg, m, frame, l, err);
	if (!rc)
		loader_message_write(w, &msg);
	loader_message_release(&msg);
	return rc;
}

static int read_row(const struct row_table *t, struct message *m, struct pack *w,
                    struct proto_error *err)
{
	void *row = calloc(1, t->bytes);
	int rc = row_read(t, m->root, row, err);

	if (!rc && t == &row_notice) {
		char topic[NOTICE_TOPIC_BYTES];

		BUG_ON(notice_topic(row, topic) > sizeof(topic));
		notice_write(w, row);
	} else if (!rc) {
		row_write(w, t, row);
	}
	free(row);
	return rc;
}

static int read_one(unsigned kind, struct bytes frame, struct pack *w, struct proto_error *err)
{
	struct proto_limits l = limits();
	struct message m;
	struct told told;
	struct got got;
	int rc = 0;

	message_init(&m);
	switch (kind) {
	case ROWS_OF_EVENTS:
	case COLUMNS_OF_EVENTS:
		rc = read_events(&m, kind == COLUMNS_OF_EVENTS, frame, &l, w, err);
		break;
	case REQUEST:
		rc = read_request(&m, frame, &l, w, err);
		break;
	case REPLY:
		rc = read_reply(&m, frame, &l, w, err);
		break;
	case LOADER:
		rc = read_loader(&m, frame, &l, w, err);
		break;
	case TOLD:
		rc = told_read(&told, &m, frame, &l, err);
		if (!rc)
			told_write(w, &told);
		break;
	default:
		rc = message_read(&m, frame, &l, err);
		if (!rc && kind == GOT) {
			rc = got_read(&got, m.root, &l, err);
			if (!rc)
				got_write(w, &got);
		} else if (!rc) {
			rc = read_row(kind == NOTICE ? &row_notice : table[kind - TABLE], &m, w,
			              err);
		}
	}
	message_release(&m);
	return rc;
}

static void check_scan(struct bytes frame)
{
	struct proto_error err = {{0}};
	size_t first = scan_value(frame, 512);
	int rc = scan_message(frame, 512, &err);

	BUG_ON(first > frame.n);
	BUG_ON(rc == 0 && first != frame.n);
	BUG_ON(rc && (rc != -EBADMSG || !err.text[0]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proto_error err = {{0}};
	struct pack once, twice;
	struct bytes frame;
	unsigned kind;
	int rc;

	if (!size)
		return 0;
	kind = data[0] % KINDS;
	frame = bytes_of(data + 1, size - 1);
	check_scan(frame);

	pack_init(&once, 1 << 16);
	pack_init(&twice, 1 << 16);
	rc = read_one(kind, frame, &once, &err);
	BUG_ON(rc && rc != -EAGAIN && !err.text[0]);
	BUG_ON(memchr(err.text, '\n', sizeof(err.text)) || !memchr(err.text, 0, sizeof(err.text)));
	if (!rc) {
		BUG_ON(pack_status(&once));
		rc = read_one(kind, pack_bytes(&once), &twice, &err);
		if (rc)
			fprintf(stderr, "kind %u: what was written is refused: %s\n", kind,
			        err.text);
		BUG_ON(rc || pack_status(&twice));
		BUG_ON(!bytes_equal(pack_bytes(&once), pack_bytes(&twice)));
	}
	pack_release(&once);
	pack_release(&twice);
	return 0;
}
