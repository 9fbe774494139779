/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The messages of the protocol: what is written reads back as it was, and whatever bytes come, they
 * are read or refused with a reason. Run it under ASan: that is what "no crash" means here.
 */
#include "proto/loader.h"
#include "proto/notice.h"
#include "proto/reply.h"
#include "proto/scan.h"

#include "base/rng.h"
#include "tests/tap.h"

#include <errno.h>
#include <string.h>

static struct proto_limits limits;
static struct rng rng;

/* -- Random things -------------------------------------------------------------------------- */

static char pool[1 << 16];
static size_t pool_used;

/* Bytes of 1 to max, of any kind: text, invalid UTF-8, NULs. They live until the next message. */
static struct bytes some_bytes(size_t max)
{
	size_t n = 1 + rng_below(&rng, max), i;
	char *p = pool + pool_used;
	bool text = rng_below(&rng, 2);

	pool_used += n;
	for (i = 0; i < n; i++)
		p[i] = (char)(text ? 'a' + rng_below(&rng, 26) : rng_below(&rng, 256));
	return bytes_of(p, n);
}

static struct bytes maybe_bytes(size_t max)
{
	return rng_below(&rng, 2) ? some_bytes(max) : bytes_of(NULL, 0);
}

static uint64_t maybe_u64(void)
{
	return rng_below(&rng, 2) ? rng_u64(&rng) : 0;
}

/* Whole milliseconds: a double brings them back to the microsecond. */
static struct span maybe_span(void)
{
	return rng_below(&rng, 2) ? SPAN_MS(rng_below(&rng, 86400000)) : SPAN_ZERO;
}

static struct instant maybe_instant(void)
{
	return rng_below(&rng, 2)
	               ? (struct instant){(int64_t)rng_below(&rng, 4000000000u) * 1000003}
	               : INSTANT_NONE;
}

static struct event some_event(void)
{
	return (struct event){
	        .at = maybe_instant(),
	        .endpoint = maybe_bytes(20),
	        .key = some_bytes(30),
	        .outcome = (enum event_outcome)rng_below(&rng, EVENT_OUTCOMES),
	        .count = rng_below(&rng, 2) ? 1 : 1 + (uint32_t)rng_below(&rng, EVENT_MAX_COUNT),
	        .value_bytes = rng_below(&rng, 2) ? rng_below(&rng, (uint64_t)1 << 53) : 0,
	        .load = maybe_span(),
	        .version = maybe_u64(),
	};
}

static void some_request(struct request *r)
{
	static const unsigned pauses[] = {REQUEST_LEARNING, REQUEST_PREFETCH,
	                                  REQUEST_LEARNING | REQUEST_PREFETCH};
	static const double numbers[] = {0, 1, -1, 0.5, 1e300, -1e-300, 3, 4};
	size_t i, n = 1 + rng_below(&rng, 5);

	request_init(r);
	pool_used = 0;
	r->id = maybe_u64();
	r->op = (enum op)rng_below(&rng, OPS);
	switch (r->op) {
	case OP_GET:
	case OP_LEASE:
		r->key = some_bytes(40);
		r->endpoint = maybe_bytes(20);
		r->get.mode =
		        r->op == OP_LEASE ? MODE_LEASE : (enum request_mode)rng_below(&rng, 3);
		r->get.failed = r->op == OP_LEASE ? maybe_u64() : 0;
		break;
	case OP_MGET:
	case OP_MSET:
		r->endpoint = maybe_bytes(20);
		for (i = 0; i < n; i++)
			*vec_push(&r->pair) = (struct request_pair){
			        some_bytes(40),
			        r->op == OP_MSET ? maybe_bytes(100) : bytes_of(NULL, 0)};
		if (r->op == OP_MGET) {
			r->get.mode = (enum request_mode)rng_below(&rng, 3);
			break;
		}
		r->set.ttl = maybe_span();
		r->set.load = maybe_span();
		r->set.read = maybe_instant();
		break;
	case OP_SET:
		r->key = some_bytes(40);
		r->endpoint = maybe_bytes(20);
		r->set.value = maybe_bytes(1000);
		r->set.ttl = maybe_span();
		r->set.lease = maybe_u64();
		r->set.load = maybe_span();
		r->set.version = maybe_u64();
		r->set.read = maybe_instant();
		break;
	case OP_CHANGED:
		r->key = some_bytes(40);
		r->endpoint = maybe_bytes(20);
		r->changed.version = maybe_u64();
		break;
	case OP_EVENT:
		for (i = 0; i < n; i++)
			*vec_push(&r->events.list) = some_event();
		break;
	case OP_TTL:
		r->key = some_bytes(40);
		r->endpoint = maybe_bytes(20);
		break;
	case OP_TTLS:
		r->endpoint = maybe_bytes(20);
		/* fall through */
	case OP_ENDPOINTS:
		r->list.max = 1 + (uint32_t)rng_below(&rng, 1000);
		break;
	case OP_FORECAST:
		r->endpoint = some_bytes(20);
		r->ahead.step = SPAN_S(1 + rng_below(&rng, 86400));
		r->ahead.steps = 1 + (uint32_t)rng_below(&rng, 1000);
		break;
	case OP_HISTORY:
		r->endpoint = some_bytes(20);
		r->list.max = 1 + (uint32_t)rng_below(&rng, 1000);
		break;
	case OP_PREWARM:
		r->key = some_bytes(40);
		r->prewarm.dry_run = rng_below(&rng, 2);
		r->prewarm.max_keys = (uint32_t)rng_below(&rng, 2000);
		break;
	case OP_SCHEDULE_ADD:
		r->key = some_bytes(40);
		r->schedule.rrule = maybe_bytes(40);
		r->schedule.tz = maybe_bytes(40);
		r->schedule.calendar = maybe_bytes(40);
		r->schedule.start = maybe_instant();
		r->schedule.lead = maybe_span();
		r->schedule.max_keys = (uint32_t)rng_below(&rng, 2000);
		if (!instant_is_set(r->schedule.start))
			r->schedule.start_local = bytes_str("2026-11-23T09:30:00");
		for (i = 0; i < n; i++)
			r->schedule.pattern[r->schedule.n_patterns++] = some_bytes(20);
		break;
	case OP_SCHEDULE_NEXT:
		r->key = maybe_bytes(40);
		r->ahead.steps = 1 + (uint32_t)rng_below(&rng, 1000);
		break;
	case OP_SCHEDULE_REPORT:
		r->key = maybe_bytes(40);
		r->list.max = 1 + (uint32_t)rng_below(&rng, 1000);
		break;
	case OP_PURGE:
		r->key = some_bytes(40);
		r->purge.what = (enum request_purge)rng_below(&rng, 3);
		break;
	case OP_PAUSE:
		r->pause.for_ = maybe_span();
		/* fall through */
	case OP_RESUME:
		r->pause.what = pauses[rng_below(&rng, 3)];
		break;
	case OP_EXPORT:
		r->list.offset = maybe_u64();
		r->list.max = 1 + (uint32_t)rng_below(&rng, 1000);
		break;
	case OP_IMPORT:
		for (i = 0; i < n; i++) {
			struct record_row *row = vec_push(&r->record);

			memset(row, 0, sizeof(*row));
			row->kind = bytes_str("key");
			row->name = some_bytes(40);
			row->endpoint = maybe_bytes(20);
			for (row->n_fields = 0; row->n_fields < n; row->n_fields++) {
				row->field[row->n_fields].name =
				        bytes_str(&"abcdefgh"[row->n_fields]);
				row->field[row->n_fields].v = numbers;
				row->field[row->n_fields].n = 1 + rng_below(&rng, 8);
			}
		}
		break;
	case OP_HELLO:
		r->hello.client = maybe_bytes(20);
		break;
	case OP_DELETE:
	case OP_WHY:
	case OP_SCHEDULE_REMOVE:
		r->key = some_bytes(40);
		break;
	default:
		break;
	}
}

/* -- Sameness ------------------------------------------------------------------------------- */

#define SAME_BYTES(a, b) OK(bytes_equal(a, b), "%zu and %zu bytes", (a).n, (b).n)
#define SAME_U64(a, b)                                                                             \
	OK((uint64_t)(a) == (uint64_t)(b), "%" PRIu64 " %" PRIu64, (uint64_t)(a), (uint64_t)(b))

static void same_events(const struct event *a, const struct event *b, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		SAME_U64(a[i].at.us, b[i].at.us);
		SAME_BYTES(a[i].endpoint, b[i].endpoint);
		SAME_BYTES(a[i].key, b[i].key);
		SAME_U64(a[i].outcome, b[i].outcome);
		SAME_U64(a[i].count, b[i].count);
		SAME_U64(a[i].value_bytes, b[i].value_bytes);
		SAME_U64(a[i].load.us, b[i].load.us);
		SAME_U64(a[i].version, b[i].version);
	}
}

/* Writes r2 again: what was read and what was written are the same when their bytes are. */
static void same_request(const struct request *r, const struct request *r2, const struct pack *w)
{
	struct pack w2;

	SAME_U64(r->id, r2->id);
	SAME_U64(r->op, r2->op);
	SAME_BYTES(r->key, r2->key);
	SAME_BYTES(r->endpoint, r2->endpoint);
	pack_init(&w2, 1 << 20);
	request_write(&w2, r2);
	OK(bytes_equal(pack_bytes(w), pack_bytes(&w2)), "%s written again", op_name(r->op));
	pack_release(&w2);
}

/* -- Tests ---------------------------------------------------------------------------------- */

TEST(requests_read_back_as_they_were)
{
	struct request r, r2;
	struct proto_error err;
	struct message m;
	struct pack w;
	int i, status, seen[OPS] = {0};

	message_init(&m);
	request_init(&r2);
	pack_init(&w, 1 << 20);
	for (i = 0; i < 5000; i++) {
		some_request(&r);
		seen[r.op]++;
		pack_reset(&w);
		request_write(&w, &r);
		OK(pack_status(&w) == 0);
		status = request_read(&r2, &m, pack_bytes(&w), &limits, &err);
		OK(status == STATUS_OK, "%s: %s", op_name(r.op), err.text);
		if (status == STATUS_OK) {
			same_request(&r, &r2, &w);
			if (r.op == OP_EVENT)
				same_events(r.events.list.v, r2.events.list.v, r.events.list.n);
			if (r.op == OP_SET) {
				SAME_BYTES(r.set.value, r2.set.value);
				SAME_U64(r.set.ttl.us, r2.set.ttl.us);
				SAME_U64(r.set.read.us, r2.set.read.us);
				SAME_U64(r.set.load.us, r2.set.load.us);
				SAME_U64(r.set.version, r2.set.version);
				SAME_U64(r.set.lease, r2.set.lease);
			}
		}
		request_release(&r);
	}
	for (i = 0; i < OPS; i++)
		OK(seen[i] > 0, "%s never came up", op_name((enum op)i));
	pack_release(&w);
	request_release(&r2);
	message_release(&m);
}

/* Reads the bytes as every kind of message; what comes of it is no matter. */
static void read_as_all(struct bytes b)
{
	static struct request r;
	static struct events e;
	static struct loader_message l;
	static struct message m;
	struct proto_error err = {""};
	struct row_notice notice;
	struct row_why why;
	struct reply reply;
	struct told told;
	struct got got;

	if (b.n == 0 && !b.p) { /* the end: give everything back */
		request_release(&r);
		events_release(&e);
		loader_message_release(&l);
		message_release(&m);
		return;
	}
	request_read(&r, &m, b, &limits, &err);
	events_read(&e, &m, b, &limits, &err);
	loader_message_read(&l, &m, b, &limits, &err);
	told_read(&told, &m, b, &limits, &err);
	reply_read(&reply, &m, b, &limits, &err);
	if (!message_read(&m, b, &limits, &err)) {
		got_read(&got, m.root, &limits, &err);
		notice_read(&notice, m.root, &err);
		row_read(&row_why, m.root, &why, &err);
	}
	OK(memchr(err.text, 0, sizeof(err.text)) != NULL, "an error without an end");
}

/*
 * Each truncation, each byte to each other value; from a copy of just that size, so ASan sees a
 * read past it.
 */
static void damage(struct bytes b)
{
	unsigned char *copy;
	size_t i;
	int bit;

	for (i = 0; i < b.n; i++) {
		copy = malloc(i ? i : 1);
		memcpy(copy, b.p, i);
		OK(scan_message(bytes_of(copy, i), 1 << 20, NULL) != 0, "cut to %zu of %zu", i,
		   b.n);
		read_as_all(bytes_of(copy, i));
		free(copy);
	}
	copy = malloc(b.n + 1);
	memcpy(copy, b.p, b.n);
	copy[b.n] = 0xc0;
	OK(scan_message(bytes_of(copy, b.n + 1), 1 << 20, NULL) != 0, "one byte more");
	for (i = 0; i < b.n; i++) {
		unsigned char was = copy[i];

		for (bit = 0; bit < 8; bit++) {
			copy[i] = (unsigned char)(was ^ 1 << bit);
			read_as_all(bytes_of(copy, b.n));
		}
		copy[i] = (unsigned char)rng_u64(&rng);
		read_as_all(bytes_of(copy, b.n));
		copy[i] = was;
	}
	free(copy);
}

TEST(damaged_messages_are_read_or_refused)
{
	struct loader_message l;
	struct event batch[5];
	struct request r;
	struct pack w;
	int i;

	pack_init(&w, 1 << 20);
	for (i = 0; i < 200; i++) {
		some_request(&r);
		pack_reset(&w);
		request_write(&w, &r);
		damage(pack_bytes(&w));
		request_release(&r);
	}
	pool_used = 0;
	for (i = 0; i < 5; i++)
		batch[i] = some_event();
	pack_reset(&w);
	events_write_columns(&w, batch, 5);
	damage(pack_bytes(&w));
	pack_reset(&w);
	got_write(&w, &(struct got){.found = true,
	                            .value = bytes_str("x"),
	                            .age_s = 1,
	                            .ttl_s = 2,
	                            .lease = 7,
	                            .endpoint = bytes_str("/q")});
	damage(pack_bytes(&w));
	loader_message_init(&l);
	l.word = LOADER_VALUE;
	l.value = bytes_str("abc");
	l.version = 9;
	l.max_age = SPAN_S(5);
	pack_reset(&w);
	loader_message_write(&w, &l);
	damage(pack_bytes(&w));
	read_as_all(bytes_of(NULL, 0));
	pack_release(&w);
}

TEST(garbage_is_read_or_refused)
{
	unsigned char b[64];
	int i;
	size_t k, n;

	for (i = 0; i < 200000; i++) {
		n = 1 + rng_below(&rng, sizeof(b));
		for (k = 0; k < n; k++)
			b[k] = (unsigned char)rng_u64(&rng);
		read_as_all(bytes_of(b, n));
	}
	read_as_all(bytes_of(NULL, 0));
}

TEST(declared_sizes_are_not_believed)
{
	static const struct {
		const char *bytes;
		size_t n;
	} bombs[] = {
	        {"\xdd\x10\x00\x00\x00", 5},         /* array of 2^28 */
	        {"\xdf\xff\xff\xff\xff", 5},         /* map of 2^32-1 */
	        {"\xc6\xff\xff\xff\xff", 5},         /* bin of 4 GiB */
	        {"\xdb\x00\x00\x00\x02x", 6},        /* str, a byte too long */
	        {"\x92\xdd\x01\x00\x00\x00\xc0", 7}, /* within an array */
	        {"\xc9\xff\xff\xff\xff\x01", 6},     /* ext32 */
	        {"\xd4\x01\x02", 3},                 /* fixext: whole, but none of ours */
	        {"\xc1", 1},
	        {"", 0},
	};
	struct proto_error err;
	unsigned char deep[64];
	size_t i;

	for (i = 0; i < sizeof(bombs) / sizeof(bombs[0]); i++) {
		err.text[0] = '\0';
		OK(scan_message(bytes_of(bombs[i].bytes, bombs[i].n), 1000, &err) == -EBADMSG,
		   "bomb %zu", i);
		OK(err.text[0] != '\0', "bomb %zu has no reason", i);
	}
	memset(deep, 0x91, sizeof(deep));
	deep[PROTO_MAX_DEPTH] = 0xc0;
	OK(scan_message(bytes_of(deep, PROTO_MAX_DEPTH + 1), 1000, &err) == 0);
	deep[PROTO_MAX_DEPTH] = 0x91;
	deep[PROTO_MAX_DEPTH + 1] = 0xc0;
	OK(scan_message(bytes_of(deep, PROTO_MAX_DEPTH + 2), 1000, &err) == -EBADMSG);
	OK(scan_message(bytes_of("\x93\x01\x02\x03", 4), 4, &err) == 0);
	OK(scan_message(bytes_of("\x93\x01\x02\x03", 4), 3, &err) == -EBADMSG);
	OK(scan_message(bytes_of("\x01\x02", 2), 9, &err) == -EBADMSG, "left over");
	OK(scan_value(bytes_of("\x92\x01\xa1x\x05", 5), 9) == 4);
}

/* A signed number of 1, 2, 4 or 8 bytes: we write none, others may. */
static void some_int(struct pack *w)
{
	unsigned width = (unsigned)rng_below(&rng, 4);
	unsigned char raw[9] = {(unsigned char)(0xd0 + width)};
	uint64_t u = rng_u64(&rng);

	memcpy(raw + 1, &u, 8);
	pack_raw(w, bytes_of(raw, 1 + ((size_t)1 << width)));
}

/* Arrays, maps and values of all kinds, to compare the walk with msgpack-c's own. */
static void some_value(struct pack *w, unsigned depth)
{
	uint64_t i, n, kind = rng_below(&rng, depth < 6 ? 11 : 9);

	switch (kind) {
	case 0:
		pack_nil(w);
		return;
	case 1:
		pack_bool(w, rng_below(&rng, 2));
		return;
	case 2:
		pack_uint(w, rng_u64(&rng) >> rng_below(&rng, 64));
		return;
	case 3:
		some_int(w);
		return;
	case 4:
		pack_num(w, rng_normal(&rng));
		return;
	case 5:
	case 6:
		pool_used = 0;
		pack_str(w, some_bytes(rng_below(&rng, 20) ? 40 : 40000));
		return;
	case 7:
	case 8:
		pool_used = 0;
		pack_bin(w, some_bytes(rng_below(&rng, 20) ? 300 : 60000));
		return;
	case 9:
		n = rng_below(&rng, depth ? 8 : 70000);
		pack_array(w, (uint32_t)n);
		for (i = 0; i < n; i++)
			some_value(w, depth ? depth + 1 : 7);
		return;
	default:
		n = rng_below(&rng, 20);
		pack_map(w, (uint32_t)n);
		for (i = 0; i < n; i++) {
			some_value(w, 7);
			some_value(w, depth + 1);
		}
	}
}

TEST(the_walk_takes_what_msgpack_c_takes)
{
	struct proto_error err;
	struct message m;
	struct pack w;
	int i;

	limits.max_frame_bytes = 1 << 30;
	message_init(&m);
	pack_init(&w, (size_t)1 << 30);
	for (i = 0; i < 300; i++) {
		pack_reset(&w);
		some_value(&w, i % 20 ? 1 : 0);
		OK(scan_value(pack_bytes(&w), 1 << 22) == w.n);
		OK(message_read(&m, pack_bytes(&w), &limits, &err) == 0, "%s", err.text);
	}
	pack_release(&w);
	message_release(&m);
	limits = proto_limits_default();
}

TEST(columns_say_what_rows_say)
{
	struct proto_error err;
	struct event *list;
	struct events e;
	struct message m;
	struct pack w;
	size_t i, n;
	int round;

	message_init(&m);
	events_init(&e);
	pack_init(&w, 1 << 24);
	for (round = 0; round < 300; round++) {
		n = rng_below(&rng, 50);
		list = calloc(n ? n : 1, sizeof(*list));
		pool_used = 0;
		for (i = 0; i < n; i++)
			list[i] = some_event();
		pack_reset(&w);
		if (round % 2)
			events_write_columns(&w, list, n);
		else
			events_write_rows(&w, list, n);
		OK(events_read(&e, &m, pack_bytes(&w), &limits, &err) == 0, "%s", err.text);
		SAME_U64(e.refused, 0);
		SAME_U64(e.list.n, n);
		if (e.list.n == n)
			same_events(list, e.list.v, n);
		free(list);
	}
	pack_release(&w);
	events_release(&e);
	message_release(&m);
}

static bool has(const char *text, const char *part)
{
	return strstr(text, part) != NULL;
}

TEST(bad_events_are_named_and_the_good_ones_kept)
{
	struct proto_error err;
	struct events e;
	struct message m;
	struct pack w;
	char *big = calloc(1, 1025);

	message_init(&m);
	events_init(&e);
	pack_init(&w, 1 << 20);
#define BAD(write, reason)                                                                         \
	do {                                                                                       \
		pack_reset(&w);                                                                    \
		pack_array(&w, 3);                                                                 \
		events_write_good(&w);                                                             \
		write;                                                                             \
		events_write_good(&w);                                                             \
		OK(events_read(&e, &m, pack_bytes(&w), &limits, &err) == 0, "%s", err.text);       \
		SAME_U64(e.refused, 1);                                                            \
		SAME_U64(e.list.n, 2);                                                             \
		SAME_U64(e.said[0].index, 1);                                                      \
		OK(has(e.said[0].why.text, reason) && has(e.said[0].why.text, "events[1]."), "%s", \
		   e.said[0].why.text);                                                            \
	} while (0)
#define events_write_good(w) pack_raw(w, bytes_of("\x94\xc0\xc0\xa1k\xa3hit", 9))
	BAD(pack_raw(&w, bytes_of("\x01", 1)), "must be an array");
	BAD(pack_raw(&w, bytes_of("\x93\xc0\xc0\xa1k", 5)), "fewer than 4");
	BAD(pack_raw(&w, bytes_of("\x94\xa1x\xc0\xa1k\xa3hit", 10)), "time_s");
	BAD(pack_raw(&w, bytes_of("\x94\xcb\x7f\xf0\0\0\0\0\0\0\xc0\xa1k\xa3hit", 17)), "time_s");
	BAD(pack_raw(&w, bytes_of("\x94\xcb\x7f\xf8\0\0\0\0\0\0\xc0\xa1k\xa3hit", 17)), "time_s");
	BAD(pack_raw(&w, bytes_of("\x94\xff\xc0\xa1k\xa3hit", 9)),
	    "time_s: must be a number from 0");
	BAD(pack_raw(&w, bytes_of("\x94\xc0\x01\xa1k\xa3hit", 9)), "endpoint: must be str or bin");
	BAD(pack_raw(&w, bytes_of("\x94\xc0\xc0\xa0\xa3hit", 8)), "key: is shorter than 1");
	BAD(pack_raw(&w, bytes_of("\x94\xc0\xc0\xc0\xa3hit", 8)), "key: must be str or bin");
	BAD((pack_raw(&w, bytes_of("\x94\xc0\xc0", 3)), pack_bin(&w, bytes_of(big, 1025)),
	     pack_text(&w, "hit")),
	    "key: is longer than 1024");
	BAD(pack_raw(&w, bytes_of("\x94\xc0\xc0\xa1k\xa3hot", 9)), "outcome: must be hit");
	BAD(pack_raw(&w, bytes_of("\x95\xc0\xc0\xa1k\xa3hit\xff", 10)), "bytes: must be a whole");
	BAD(pack_raw(&w, bytes_of("\x96\xc0\xc0\xa1k\xa3hit\x00\xff", 11)), "load_ms: must be");
	BAD(pack_raw(&w, bytes_of("\x97\xc0\xc0\xa1k\xa3hit\x00\x00\xff", 12)), "version: must be");
	BAD(pack_raw(&w, bytes_of("\x98\xc0\xc0\xa1k\xa3hit\x00\x00\x01\x00", 13)),
	    "count: must be");
#undef BAD
	/* more bad ones than are said */
	pack_reset(&w);
	pack_array(&w, 100);
	for (int i = 0; i < 100; i++)
		pack_nil(&w);
	OK(events_read(&e, &m, pack_bytes(&w), &limits, &err) == 0);
	SAME_U64(e.refused, 100);
	/* a whole message that is none */
	OK(events_read(&e, &m, bytes_of("\xa3xyz", 4), &limits, &err) == -EBADMSG);
	limits.max_events = 1;
	OK(events_read(&e, &m, bytes_of("\x92\xc0\xc0", 3), &limits, &err) != 0);
	OK(has(err.text, "more than 1 values"), "%s", err.text);
	limits = proto_limits_default();
	free(big);
	pack_release(&w);
	events_release(&e);
	message_release(&m);
}

TEST(columns_that_do_not_fit_are_refused)
{
	struct proto_error err;
	struct events e;
	struct message m;
	struct pack w;

	message_init(&m);
	events_init(&e);
	pack_init(&w, 1 << 20);
	pack_map(&w, 2);
	pack_text(&w, "key");
	pack_array(&w, 2);
	pack_text(&w, "a");
	pack_text(&w, "b");
	pack_text(&w, "outcome");
	pack_array(&w, 1);
	pack_uint(&w, 0);
	OK(events_read(&e, &m, pack_bytes(&w), &limits, &err) == -EBADMSG);
	OK(has(err.text, "outcome"), "%s", err.text);
	pack_reset(&w);
	pack_map(&w, 3);
	pack_text(&w, "key");
	pack_array(&w, 2);
	pack_text(&w, "a");
	pack_text(&w, "b");
	pack_text(&w, "outcome");
	pack_array(&w, 2);
	pack_uint(&w, 0);
	pack_uint(&w, 1);
	pack_text(&w, "endpoint");
	pack_array(&w, 2);
	pack_uint(&w, 7); /* there are no endpoints */
	pack_nil(&w);
	OK(events_read(&e, &m, pack_bytes(&w), &limits, &err) == 0, "%s", err.text);
	SAME_U64(e.refused, 1);
	SAME_U64(e.list.n, 1);
	pack_reset(&w);
	pack_map(&w, 1);
	pack_text(&w, "keys");
	pack_array(&w, 0);
	OK(events_read(&e, &m, pack_bytes(&w), &limits, &err) == -EBADMSG);
	OK(has(err.text, "events: 'keys' is not one that it takes: did you mean key?"), "%s",
	   err.text);
	pack_release(&w);
	events_release(&e);
	message_release(&m);
}

/* Reads `[id, op, ...]` from bytes and gives the status. */
static int status_of(const char *bytes, size_t n, struct proto_error *err, uint64_t *id,
                     bool *has_id)
{
	struct request r;
	struct message m;
	int status;

	message_init(&m);
	request_init(&r);
	err->text[0] = '\0';
	status = request_read(&r, &m, bytes_of(bytes, n), &limits, err);
	*id = r.id;
	*has_id = r.has_id;
	request_release(&r);
	message_release(&m);
	return status;
}

TEST(bad_requests_name_the_field_and_keep_their_id)
{
	static const struct {
		const char *bytes;
		size_t n;
		int status;
		bool has_id;
		const char *why;
	} t[] = {
	        {"\xc0", 1, STATUS_BAD_REQUEST, false, "must be an array"},
	        {"\x90", 1, STATUS_BAD_REQUEST, false, "fewer"},
	        {"\x92\xa1x\xa3get", 7, STATUS_BAD_REQUEST, false, "id: must be"},
	        {"\x92\xff\xa3get", 6, STATUS_BAD_REQUEST, false, "id: must be"},
	        {"\x91\x07", 2, STATUS_BAD_REQUEST, true, "op: must be"},
	        {"\x92\x07\xa3got", 6, STATUS_UNKNOWN_OP, true,
	         "op: there is no 'got': did you mean get?"},
	        {"\x92\x07\xa9x\x01\"'\\\xff\n\x7f~", 12, STATUS_UNKNOWN_OP, true,
	         "op: there is no 'x\\x01\\x22\\x27\\x5c\\xff\\x0a\\x7f~'"},
	        {"\x92\x07\xa3get", 6, STATUS_BAD_REQUEST, true, "get: takes 1 argument"},
	        {"\x93\x07\xa3get\xa0", 7, STATUS_BAD_REQUEST, true, "get: key: is shorter than 1"},
	        {"\x93\x07\xa3get\x05", 7, STATUS_BAD_REQUEST, true,
	         "get: key: must be str or bin"},
	        {"\x94\x07\xa3get\xa1k\x05", 9, STATUS_BAD_REQUEST, true, "options: must be a map"},
	        {"\x94\x07\xa3get\xa1k\x81\xa1x\x05", 12, STATUS_BAD_REQUEST, true,
	         "get: options: 'x' is not one that it takes"},
	        {"\x95\x07\xa3set\xa1k\xa1v\x81\xa3ttl\x05", 16, STATUS_BAD_REQUEST, true,
	         "set: options: 'ttl' is not one that it takes: did you mean ttl_s?"},
	        {"\xc1", 1, STATUS_BAD_REQUEST, false, "byte 0: 0xc1 stands for nothing"},
	        {"\xc7\x00\x01", 3, STATUS_BAD_REQUEST, false, "extension types"},
	        {"\x94\x07\xa3get\xa1k\x81\x01\x05", 11, STATUS_BAD_REQUEST, true, "must be str"},
	        {"\x94\x07\xa3get\xa1k\x81\xa4mode\xa3sad", 18, STATUS_BAD_REQUEST, true,
	         "mode: must be load, lease or peek"},
	        {"\x95\x07\xa3get\xa1k\x80\x80", 10, STATUS_BAD_REQUEST, true, "takes"},
	        {"\x93\x07\xa3get\xa1k\x00", 9, STATUS_BAD_REQUEST, false, "left over"},
	        {"\x95\x07\xa3set\xa1k\xa1v\x81\xa5ttl_s\xcb\x7f\xf0\0\0\0\0\0\0", 26,
	         STATUS_BAD_REQUEST, true, "set: ttl_s: must be a number from 0"},
	        {"\x95\x07\xa3set\xa1k\xa1v\x81\xa5ttl_s\xff", 18, STATUS_BAD_REQUEST, true,
	         "ttl_s"},
	        {"\x94\x07\xa5purge\xa0\x80", 10, STATUS_BAD_REQUEST, true, "name: is shorter"},
	};
	struct proto_error err;
	uint64_t id;
	bool has_id;
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		int status = status_of(t[i].bytes, t[i].n, &err, &id, &has_id);

		OK(status == t[i].status, "%zu: status %d: %s", i, status, err.text);
		OK(has_id == t[i].has_id && (!has_id || id == 7), "%zu", i);
		OK(has(err.text, t[i].why), "%zu: %s", i, err.text);
	}
}

TEST(what_is_above_a_limit_is_too_big)
{
	struct proto_error err;
	struct request r, r2;
	struct message m;
	struct pack w;
	char *big = calloc(1, 67108865);

	message_init(&m);
	request_init(&r2);
	pack_init(&w, 1 << 27);
	request_init(&r);
	r.op = OP_SET;
	r.key = bytes_of(big, 1024);
	r.set.value = bytes_of(big, 67108864);
	r.set.read = INSTANT_NONE;
	request_write(&w, &r);
	OK(request_read(&r2, &m, pack_bytes(&w), &limits, &err) == STATUS_OK, "%s", err.text);
	r.set.value.n++;
	pack_reset(&w);
	request_write(&w, &r);
	OK(request_read(&r2, &m, pack_bytes(&w), &limits, &err) == STATUS_TOO_BIG);
	OK(has(err.text, "set: value: is longer than 67108864 bytes"), "%s", err.text);
	r.set.value.n = 0;
	r.key.n = 1025;
	pack_reset(&w);
	request_write(&w, &r);
	OK(request_read(&r2, &m, pack_bytes(&w), &limits, &err) == STATUS_TOO_BIG);
	OK(has(err.text, "set: key: is longer than 1024 bytes"), "%s", err.text);
	pack_reset(&w);
	pack_raw(&w, bytes_of("\x93\x01\xa4mget", 7));
	pack_array(&w, 1001);
	for (int i = 0; i < 1001; i++)
		pack_text(&w, "k");
	OK(request_read(&r2, &m, pack_bytes(&w), &limits, &err) == STATUS_TOO_BIG, "%s", err.text);
	pack_release(&w);
	pack_init(&w, 10);
	pack_bin(&w, bytes_of(big, 11));
	OK(pack_status(&w) == -EMSGSIZE);
	OK(w.n <= 10);
	pack_release(&w);
	free(big);
	request_release(&r2);
	message_release(&m);
}

TEST(replies_read_back_as_they_were)
{
	struct got g = {EVENT_GRACE, true, bytes_str("v\0w"), bytes_str("/q/<s>"), 99, 1.5, -2.5,
	                42,          0};
	struct proto_error err;
	struct message m;
	struct reply r;
	struct got g2;
	struct pack w;

	g.value.n = 3;
	message_init(&m);
	pack_init(&w, 1 << 20);
	reply_start(&w, UINT64_MAX, true);
	got_write(&w, &g);
	OK(reply_read(&r, &m, pack_bytes(&w), &limits, &err) == 0, "%s", err.text);
	OK(r.has_id && r.id == UINT64_MAX && r.status == 0);
	OK(r.raw.n == w.n - 11 && (const char *)r.raw.p + r.raw.n == (const char *)w.p + w.n);
	OK(got_read(&g2, r.result, &limits, &err) == 0, "%s", err.text);
	OK(g2.found && g2.outcome == EVENT_GRACE && g2.version == 99 && g2.lease == 42);
	SAME_BYTES(g.value, g2.value);
	SAME_BYTES(g.endpoint, g2.endpoint);
	NEAR(g2.age_s, 1.5, 0);
	NEAR(g2.ttl_s, -2.5, 0);

	pack_reset(&w);
	got_write(&w,
	          &(struct got){.outcome = EVENT_MISS, .age_s = NAN, .ttl_s = NAN, .status = 6});
	OK(message_read(&m, pack_bytes(&w), &limits, &err) == 0);
	OK(got_read(&g2, m.root, &limits, &err) == 0, "%s", err.text);
	OK(!g2.found && isnan(g2.age_s) && g2.status == 6 && g2.lease == 0);

	pack_reset(&w);
	reply_error(&w, 5, true, STATUS_LEASE_LOST, NULL);
	OK(reply_read(&r, &m, pack_bytes(&w), &limits, &err) == 0, "%s", err.text);
	OK(r.status == STATUS_LEASE_LOST);
	SAME_BYTES(r.code, bytes_str("lease_lost"));
	SAME_BYTES(r.text, bytes_str(status_text(STATUS_LEASE_LOST)));

	pack_reset(&w);
	reply_error(&w, 0, false, STATUS_BAD_REQUEST, "x");
	OK(reply_read(&r, &m, pack_bytes(&w), &limits, &err) == 0, "%s", err.text);
	OK(!r.has_id);
	pack_release(&w);
	message_release(&m);
}

TEST(rows_read_back_and_doubt_is_nil)
{
	struct row_why y = {.endpoint = bytes_str("/q/<s>"),
	                    .ttl_s = 3,
	                    .age_s = NAN,
	                    .change_rate_per_s = {0.1, HUGE_VAL, 0},
	                    .hit_ratio = 0.5,
	                    .requests = ROW_UNCOUNTED,
	                    .loads = 7,
	                    .mode = bytes_str("learn"),
	                    .resident = true,
	                    .soft = INSTANT_NEVER,
	                    .hard = {1700000000123456}};
	struct proto_error err;
	struct row_why y2;
	struct message m;
	struct map map;
	struct pack w;

	message_init(&m);
	pack_init(&w, 1 << 20);
	row_write(&w, &row_why, &y);
	OK(message_read(&m, pack_bytes(&w), &limits, &err) == 0, "%s", err.text);
	OK(row_read(&row_why, m.root, &y2, &err) == 0, "%s", err.text);
	SAME_BYTES(y.endpoint, y2.endpoint);
	SAME_BYTES(y.mode, y2.mode);
	OK(y2.ttl_s == 3 && isnan(y2.age_s) && y2.loads == 7 && y2.resident && !y2.is_endpoint);
	OK(y2.change_rate_per_s.mean == 0.1 && y2.change_rate_per_s.sd == HUGE_VAL);
	OK(!instant_is_set(y2.soft) && y2.hard.us == y.hard.us);
	OK(value_map(m.root, "why", &map, &err) == 0);
	OK(map_find(&map, "key") == NULL, "the key of an endpoint");
	OK(value_is_nil(map_find(&map, "age_s")) && map_find(&map, "age_s"));
	OK(y2.requests == ROW_UNCOUNTED && value_is_nil(map_find(&map, "requests")));
	pack_reset(&w);
	pack_map(&w, 1);
	pack_text(&w, "ttl_s");
	pack_text(&w, "soon");
	OK(message_read(&m, pack_bytes(&w), &limits, &err) == 0);
	OK(row_read(&row_why, m.root, &y2, &err) == -EBADMSG);
	OK(has(err.text, "ttl_s: must be a number"), "%s", err.text);
	pack_release(&w);
	message_release(&m);
}

TEST(loaders_and_the_daemon_understand_each_other)
{
	struct proto_error err;
	struct loader_message l, l2;
	struct told t, t2;
	struct message m;
	struct pack w;
	unsigned word;

	message_init(&m);
	loader_message_init(&l);
	loader_message_init(&l2);
	pack_init(&w, 1 << 20);
	*vec_push(&l.endpoint) = bytes_str("/a");
	*vec_push(&l.endpoint) = bytes_str("/b/<x>");
	l.concurrency = 4;
	l.job = 77;
	l.value = bytes_str("value");
	l.version = 5;
	l.max_age = SPAN_S(60);
	l.last_modified = (struct instant){1700000000000000};
	l.load = SPAN_MS(12);
	l.retry_after = SPAN_S(3);
	l.error = bytes_str("no route");
	for (word = 0; word < LOADER_WORDS; word++) {
		l.word = (enum loader_word)word;
		pack_reset(&w);
		loader_message_write(&w, &l);
		OK(loader_message_read(&l2, &m, pack_bytes(&w), &limits, &err) == 0, "%u %s", word,
		   err.text);
		SAME_U64(l2.word, word);
		if (word == LOADER_REGISTER) {
			SAME_U64(l2.endpoint.n, 2);
			SAME_U64(l2.concurrency, 4);
			SAME_BYTES(l2.endpoint.v[1], l.endpoint.v[1]);
		}
		if (word >= LOADER_VALUE && word <= LOADER_UNCACHEABLE)
			SAME_U64(l2.job, 77);
		if (word == LOADER_VALUE) {
			SAME_BYTES(l2.value, l.value);
			SAME_U64(l2.version, 5);
			SAME_U64(l2.max_age.us, l.max_age.us);
			SAME_U64(l2.last_modified.us, l.last_modified.us);
			SAME_U64(l2.load.us, l.load.us);
		}
		if (word == LOADER_ERROR) {
			SAME_BYTES(l2.error, l.error);
			SAME_U64(l2.retry_after.us, l.retry_after.us);
		}
	}
	OK(loader_message_read(&l2, &m, bytes_of("\x93\xa8register\x91\xa1/\x00", 14), &limits,
	                       &err) == -EBADMSG);
	OK(has(err.text, "concurrency"), "%s", err.text);
	OK(loader_message_read(&l2, &m,
	                       bytes_of("\x91\xa4"
	                                "nope",
	                                6),
	                       &limits, &err) == -EBADMSG);

	t = (struct told){.kind = TOLD_JOB,
	                  .job = 9,
	                  .endpoint = bytes_str("/a"),
	                  .key = bytes_of("k\0", 2),
	                  .reason = bytes_str("refresh"),
	                  .deadline = SPAN_MS(2500),
	                  .have = true,
	                  .version = 0};
	pack_reset(&w);
	told_write(&w, &t);
	OK(told_read(&t2, &m, pack_bytes(&w), &limits, &err) == 0, "%s", err.text);
	OK(t2.kind == TOLD_JOB && t2.job == 9 && t2.have && t2.version == 0);
	SAME_BYTES(t.key, t2.key);
	SAME_U64(t2.deadline.us, 2500000);
	t.kind = TOLD_REGISTERED;
	t.beat = SPAN_S(1);
	pack_reset(&w);
	told_write(&w, &t);
	OK(told_read(&t2, &m, pack_bytes(&w), &limits, &err) == 0 && t2.beat.us == 1000000);
	pack_release(&w);
	loader_message_release(&l);
	loader_message_release(&l2);
	message_release(&m);
}

TEST(notices_name_their_topic)
{
	struct row_notice n = {.seq = 3,
	                       .time_s = {1000000},
	                       .what = bytes_str("changed"),
	                       .endpoint = bytes_str("/q/<s>"),
	                       .key = bytes_of("k\xff", 2),
	                       .version = 8,
	                       .value = NAN};
	struct row_notice n2;
	struct proto_error err;
	char topic[NOTICE_TOPIC_BYTES];
	char *big = calloc(1, 5000);
	struct message m;
	struct map map;
	struct pack w;

	message_init(&m);
	pack_init(&w, 1 << 20);
	SAME_BYTES(bytes_of(topic, notice_topic(&n, topic)), bytes_str("changed:/q/<s>"));
	notice_write(&w, &n);
	OK(message_read(&m, pack_bytes(&w), &limits, &err) == 0, "%s", err.text);
	OK(notice_read(&n2, m.root, &err) == 0, "%s", err.text);
	SAME_BYTES(n.key, n2.key);
	SAME_U64(n2.version, 8);
	OK(value_map(m.root, "notice", &map, &err) == 0 && map_find(&map, "warm") == NULL);
	n.endpoint = bytes_of(big, 5000);
	OK(notice_topic(&n, topic) == NOTICE_TOPIC_BYTES);
	free(big);
	pack_release(&w);
	message_release(&m);
}

TEST(what_could_not_be_read_is_empty)
{
	struct map map = {&limits, 7};
	struct cursor c = {NULL, 7};

	OK(value_map(NULL, "x", &map, NULL) == -EBADMSG && map_find(&map, "version") == NULL);
	OK(value_array(NULL, "x", 0, 1, &c, NULL) == -EBADMSG && cursor_next(&c) == NULL);
}

TEST(a_key_is_str_only_if_it_is_utf8)
{
	static const struct {
		const char *key;
		bool utf8;
	} t[] = {
	        {"plain", true},
	        {"\xc3\xa9", true},
	        {"\xe2\x82\xac", true},
	        {"\xf0\x9f\x98\x80", true},
	        {"\xf4\x8f\xbf\xbf", true},
	        {"\x80", false},
	        {"\xc3", false},
	        {"\xc0\xaf", false}, /* overlong */
	        {"\xe0\x80\x80", false},
	        {"\xed\xa0\x80", false}, /* a surrogate */
	        {"\xf4\x90\x80\x80", false},
	        {"\xf5\x80\x80\x80", false},
	        {"a\xff", false},
	};
	struct pack w;
	size_t i;

	pack_init(&w, 100);
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		pack_reset(&w);
		pack_key(&w, bytes_str(t[i].key));
		OK(w.p[0] == (t[i].utf8 ? 0xa0 | strlen(t[i].key) : 0xc4), "%zu: %02x", i, w.p[0]);
	}
	pack_release(&w);
}

TEST(versions_that_are_text_are_hashed)
{
	struct proto_error err;
	struct message m;
	uint64_t a, b;

	message_init(&m);
	OK(message_read(&m,
	                bytes_of("\xa3"
	                         "abc",
	                         4),
	                &limits, &err) == 0);
	OK(value_version(m.root, "version", &a, &err) == 0 && a != 0);
	OK(message_read(&m,
	                bytes_of("\xc4\x03"
	                         "abc",
	                         5),
	                &limits, &err) == 0);
	OK(value_version(m.root, "version", &b, &err) == 0 && a == b);
	OK(message_read(&m,
	                bytes_of("\xa3"
	                         "abd",
	                         4),
	                &limits, &err) == 0);
	OK(value_version(m.root, "version", &b, &err) == 0 && a != b);
	OK(message_read(&m, bytes_of("\xc0", 1), &limits, &err) == 0);
	OK(value_version(m.root, "version", &b, &err) == 0 && b == 0);
	OK(message_read(&m, bytes_of("\xff", 1), &limits, &err) == 0);
	OK(value_version(m.root, "version", &b, &err) == -EBADMSG);
	message_release(&m);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	rng_init(&rng, tap_seed);
	limits = proto_limits_default();
	RUN(declared_sizes_are_not_believed);
	RUN(the_walk_takes_what_msgpack_c_takes);
	RUN(requests_read_back_as_they_were);
	RUN(columns_say_what_rows_say);
	RUN(bad_events_are_named_and_the_good_ones_kept);
	RUN(columns_that_do_not_fit_are_refused);
	RUN(bad_requests_name_the_field_and_keep_their_id);
	RUN(what_is_above_a_limit_is_too_big);
	RUN(replies_read_back_as_they_were);
	RUN(rows_read_back_and_doubt_is_nil);
	RUN(loaders_and_the_daemon_understand_each_other);
	RUN(notices_name_their_topic);
	RUN(what_could_not_be_read_is_empty);
	RUN(a_key_is_str_only_if_it_is_utf8);
	RUN(versions_that_are_text_are_hashed);
	RUN(damaged_messages_are_read_or_refused);
	RUN(garbage_is_read_or_refused);
	return tap_done();
}
