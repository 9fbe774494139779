/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Files of `forecache import`. What is taken is written again, and must read back to the same text;
 * the engine takes or refuses each record with a reason.
 */
#include "tests/fuzz/fuzz.h"

#include "base/bug.h"
#include "daemon/record_json.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const words[] = {
        "\"kind\":",     "\"name\":",    "\"name_hex\":",
        "\"endpoint\":", "\"fields\":",  "\"endpoint\"",
        "\"key\"",       "\"class\"",    "\"schedule\"",
        "\"ff00\"",      "\\u0000",      "\\ud83d\\ude00",
        "[1,2,3]",       "-1e308",       "{\"forecached\":\"learned state\",\"version\":1}\n",
        "null",          "[[[[[[[[[[[[", NULL};

const struct fuzz_target fuzz_target = {"record", words, 16384};

struct sink {
	FILE *out;
	struct engine *engine; /* NULL: none */
	size_t n;
};

static bool is_ascii(const char *s)
{
	while (*s && !(*s & 0x80))
		s++;
	return !*s;
}

static int take(void *arg, const struct record *r, const char **ret_why)
{
	struct sink *s = arg;
	bool ascii = is_ascii(r->kind);
	int rc;

	s->n++;
	BUG_ON(!r->kind || r->n_fields > RECORD_MAX_FIELDS);
	for (size_t i = 0; i < r->n_fields; i++) {
		BUG_ON(!r->field[i].name);
		ascii &= is_ascii(r->field[i].name);
		for (size_t k = 0; k < r->field[i].n; k++)
			BUG_ON(!isfinite(r->field[i].v[k]));
	}
	rc = record_export(s->out, r);
	BUG_ON(rc && ascii);
	if (rc) {
		*ret_why = "kind: is none of ours";
		return -EINVAL;
	}
	if (s->engine) {
		const char *why = NULL;

		BUG_ON(engine_import(s->engine, (struct instant){1770000000000000}, r, &why) &&
		       !why);
	}
	return 0;
}

static int reread(const void *p, size_t n, struct engine *engine, char **ret_text, size_t *ret_n,
                  size_t *ret_records)
{
	struct sink s = {.engine = engine};
	struct fault err = {{0}};
	FILE *in = fmemopen((void *)(uintptr_t)p, n, "r");
	int rc;

	BUG_ON(!in);
	s.out = open_memstream(ret_text, ret_n);
	BUG_ON(!s.out || record_export_begin(s.out));
	rc = record_import(in, take, &s, ret_records, &err);
	BUG_ON(rc > 0 || (rc && !err.text[0]) || !memchr(err.text, 0, sizeof(err.text)));
	fclose(in);
	fclose(s.out);
	return rc;
}

/* Whatever was learned elsewhere, a TTL keeps its limits, and nothing that is told is not a number.
 */
static void check_engine(struct engine *e, const struct policy *p)
{
	struct instant now = {1770000000000000};
	struct bytes endpoint = bytes_str("/q/<s>"), key = bytes_str("/q/0");
	struct forecast_row row[4];
	struct effects fx = {0};
	enum ttl_reason reason;
	struct why why;

	for (int i = 0; i < 8; i++) {
		struct input in = {.kind = INPUT_EVENT, .endpoint = endpoint, .key = key};
		struct span ttl = engine_ttl(e, now, endpoint, key, &reason, NULL);

		BUG_ON(span_s(ttl) < 0 || span_s(ttl) > p->max_age + 1);
		in.event.outcome = i % 2 ? OUTCOME_HIT : OUTCOME_SET;
		in.event.at = INSTANT_NONE;
		in.event.version = 1 + (uint64_t)i / 2;
		effects_clear(&fx);
		engine_input(e, now, &in, &fx);
		engine_tick(e, now, 1000, &fx);
		for (size_t k = 0; k < fx.list.n; k++)
			if (fx.list.v[k].kind == EFFECT_FIT)
				harmonic_data_free(&fx.list.v[k].fit.data);
		now = instant_add(now, SPAN_S(1800));
	}
	if (engine_forecast(e, now, endpoint, SPAN_S(60), 4, row))
		for (int i = 0; i < 4; i++)
			BUG_ON(!(row[i].per_s >= 0) || !(row[i].lo80 <= row[i].hi80) ||
			       !(row[i].volatility >= 0));
	if (engine_why(e, now, key, &why))
		BUG_ON(isnan(why.row.change_rate_per_s.mean) || isnan(why.request_rate.mean));
	effects_release(&fx);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct engine_config c = {.seed = 1,
	                          .limits = engine_limits_default(),
	                          .policy = policy_default(),
	                          .origin = ORIGIN_NONE};
	char *once = NULL, *twice = NULL;
	size_t once_n, twice_n, records = 0, again = 0;
	struct engine *engine;

	if (!size)
		return 0;
	engine = engine_new(&c, NULL, (struct instant){1770000000000000});
	if (!reread(data, size, engine, &once, &once_n, &records)) {
		BUG_ON(reread(once, once_n, NULL, &twice, &twice_n, &again));
		BUG_ON(records != again || once_n != twice_n || memcmp(once, twice, once_n));
	}
	check_engine(engine, &c.policy);
	engine_free(&engine);
	free(once);
	free(twice);
	return 0;
}
