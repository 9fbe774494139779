/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/state.h"

#include <stdlib.h>

static const size_t MAX_SCHEDULES = 64;

static size_t count_schedules(const struct engine *e)
{
	size_t n = 0;

	for (size_t i = 0; i < e->peak.n; i++)
		n += e->peak.v[i]->source == PREFETCH_SCHEDULE && e->peak.v[i]->name;
	return n;
}

static uint32_t max_keys_of(const struct input *in)
{
	return in->schedule.max_keys ? in->schedule.max_keys : PEAK_MAX_KEYS;
}

/* Would it do the same as now, other times aside? */
static bool is_same_rule(const struct peak *p, const struct input *in)
{
	return p->pattern && bytes_equal(bytes_str(p->pattern), in->schedule.pattern) &&
	       p->lead.us == in->schedule.lead.us && p->max_keys == max_keys_of(in);
}

void schedule_set(struct engine *e, struct instant now, const struct input *in, struct effects *fx)
{
	struct peak *p = peak_find(e, in->schedule.name);

	if (p && p->source != PREFETCH_SCHEDULE) {
		serve_reply(e, fx, in->ticket, KEY_NONE, REPLY_BUSY, OUTCOME_MISS);
		return;
	}
	if (!in->schedule.n_at) {
		if (p)
			peak_retire(e, p);
		serve_reply(e, fx, in->ticket, KEY_NONE, p ? REPLY_OK : REPLY_ABSENT, OUTCOME_MISS);
		return;
	}
	if (!p) {
		if (count_schedules(e) >= MAX_SCHEDULES) {
			serve_reply(e, fx, in->ticket, KEY_NONE, REPLY_BUSY, OUTCOME_MISS);
			return;
		}
		p = peak_new(e, in->schedule.name);
		p->source = PREFETCH_SCHEDULE;
	}
	/* sent again, as reloads do */
	if (is_same_rule(p, in) && course_goes_on(e, p, now, in->schedule.at, in->schedule.n_at)) {
		serve_reply(e, fx, in->ticket, KEY_NONE, REPLY_OK, OUTCOME_MISS);
		return;
	}
	free(p->pattern);
	p->pattern = mem_dup(in->schedule.pattern.p, in->schedule.pattern.n);
	p->at.n = 0;
	for (size_t i = 0; i < in->schedule.n_at; i++)
		*vec_push(&p->at) = in->schedule.at[i];
	p->lead = in->schedule.lead;
	p->max_keys = max_keys_of(in);
	course_seek(e, p, now);
	serve_reply(e, fx, in->ticket, KEY_NONE, REPLY_OK, OUTCOME_MISS);
}
