/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli/watch_target.h"

#include <math.h>

/*
 * Last-Modified has whole seconds: between looks closer than this it says no more than the hash
 * does.
 */
#define LAST_MODIFIED_MIN_S 5.0

void watch_target_init(struct watch_target *t, double every_s, double past_cap_s)
{
	*t = (struct watch_target){
	        .rate = {.a = 0.5, .b = 0.5 * every_s},
	        .every_s = every_s,
	        .past_cap_s = past_cap_s,
	        .last_modified_s = NAN,
	        .first_age_s = NAN,
	};
}

bool watch_target_believes_last_modified(const struct watch_target *t)
{
	/* it must have stood still at least once: many servers send the time of the answer */
	return t->lm_stood > 0 && t->lm_wrong == 0;
}

/* Did Last-Modified move as the content did? */
static void compare_last_modified(struct watch_target *t, const struct watch_look *look,
                                  bool changed)
{
	bool moved;

	if (!isfinite(look->last_modified_s) || !isfinite(t->last_modified_s))
		return;
	moved = look->last_modified_s != t->last_modified_s;
	if (moved != changed)
		t->lm_wrong++;
	else if (moved)
		t->lm_moved++;
	else
		t->lm_stood++;
}

/*
 * The first answer's Last-Modified says that the last change before the watch was so long ago. A
 * file of ten years would then outweigh all that is seen now, so its weight is bounded: its mean
 * stays.
 */
static void take_first_age(struct watch_target *t)
{
	double age_s = t->first_age_s, weight = fmin(1, t->past_cap_s / age_s);

	if (!(age_s >= 1) || !watch_target_believes_last_modified(t))
		return;
	change_count(&t->rate, weight, weight * age_s);
	t->first_age_s = NAN;
}

enum watch_verdict watch_target_look(struct watch_target *t, const struct watch_look *look,
                                     double *ret_changed_s)
{
	double tau_s = look->at_s - t->last_s, age_s = look->date_s - look->last_modified_s;
	enum watch_verdict verdict;
	bool changed;

	if (t->looks++ == 0) {
		t->first_s = t->last_s = look->at_s;
		t->version = look->version;
		t->last_modified_s = look->last_modified_s;
		t->first_age_s = age_s;
		return WATCH_FIRST;
	}
	changed = !look->not_modified && look->version != t->version;
	compare_last_modified(t, look, changed);
	if (changed) {
		bool exact = watch_target_believes_last_modified(t) &&
		             tau_s >= LAST_MODIFIED_MIN_S && age_s >= 0 && age_s <= tau_s;

		*ret_changed_s = exact ? look->at_s - age_s : look->at_s - tau_s / 2;
		if (exact)
			change_count(&t->rate, 1, age_s);
		else
			change_changed(&t->rate, tau_s);
		t->changes++;
		t->version = look->version;
		verdict = WATCH_CHANGED;
	} else {
		change_unchanged(&t->rate, tau_s);
		t->not_modified += look->not_modified;
		verdict = WATCH_UNCHANGED;
	}
	take_first_age(t);
	if (isfinite(look->last_modified_s))
		t->last_modified_s = look->last_modified_s;
	t->last_s = look->at_s;
	return verdict;
}

double watch_target_interval(const struct watch_target *t, double max_s)
{
	double s = t->looks > 1 ? change_tau(t->rate, 0.5) : t->every_s;

	return fmin(fmax(s, t->every_s), fmax(max_s, t->every_s));
}

/* Share of stale answers over a TTL of `ttl_s`: the mean over u of 1 - (b / (b + u))^a. */
static double stale_share(struct change c, double ttl_s)
{
	double l = log1p(ttl_s / c.b), d = c.a - 1;
	double fresh = fabs(d * l) < 1e-9 ? c.b * l : c.b * -expm1(-d * l) / d;

	return 1 - fresh / ttl_s;
}

double watch_advised_ttl(struct change rate, double max_stale)
{
	double lo = log(rate.b) - 40, hi = log(rate.b) + 60;

	if (stale_share(rate, exp(hi)) < max_stale)
		return HUGE_VAL;
	/*
	 * for short TTLs the share is a T / 2b, below what 1 - x can tell from 0: start where it
	 * can
	 */
	if (max_stale < 1e-6)
		return 2 * max_stale * rate.b / rate.a;
	for (int i = 0; i < 100; i++) {
		double mid = (lo + hi) / 2;

		if (stale_share(rate, exp(mid)) < max_stale)
			lo = mid;
		else
			hi = mid;
	}
	return exp((lo + hi) / 2);
}
