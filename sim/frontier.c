/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sim/frontier.h"

#include "base/bug.h"
#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The first round is nearly all of the work. */
#define FIRST_ROUND 0.95

static const char *const names[FRONTIER_POLICIES] = {"learn", "static-best", "endpoint-best",
                                                     "alex-best", "bound"};

const char *frontier_policy_name(enum frontier_policy p)
{
	return names[p];
}

/* Shows two rounds as one. */
struct rounds {
	const struct simulate *s;
	bool second;
	double requests; /* so far */
	double before;   /* of the first round */
};

static void show_progress(void *arg, double share, double requests)
{
	struct rounds *r = arg;

	r->requests = r->before + requests;
	r->s->progress(r->s->arg,
	               r->second ? FIRST_ROUND + share * (1 - FIRST_ROUND) : share * FIRST_ROUND,
	               r->requests);
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The first error that is none of the policy's own business. */
static int first_error(const struct simulate_result *r, size_t n, struct fault *reterr)
{
	for (size_t i = 0; i < n; i++) {
		if (r[i].error == 0 || r[i].error == -ENODATA)
			continue;
		*reterr = r[i].fault;
		return r[i].error;
	}
	return 0;
}

/* Whether the hooks and the endpoints of this point are wanted. */
static bool is_own(const struct learn_options *learn, double objective)
{
	return !(objective < learn->policy.max_stale || objective > learn->policy.max_stale);
}

/* Every policy under every objective; the slow ones first, so that no thread is left with one. */
static int run_policies(struct frontier *f, const struct simulate *s,
                        const struct learn_options *learn, const struct learn_options *options,
                        struct fault *reterr)
{
	struct simulate_run run[FRONTIER_POLICIES * FRONTIER_MAX];
	struct simulate_result result[FRONTIER_POLICIES * FRONTIER_MAX];
	size_t n = 0;
	int err;

	_Static_assert(FRONTIER_POLICIES * FRONTIER_MAX <= SIMULATE_MAX_POLICIES,
	               "more runs than simulate_all takes");
	for (int p = 0; p < FRONTIER_POLICIES; p++)
		for (size_t i = 0; i < f->n; i++)
			run[n++] = (struct simulate_run){names[p], &options[i],
			                                 !is_own(learn, f->point[i].objective)};
	simulate_all(s, run, n, result);
	err = first_error(result, n, reterr);
	for (size_t i = 0; i < n; i++) {
		f->point[i % f->n].policy[i / f->n] = result[i];
		f->seconds[i / f->n] += result[i].seconds;
	}
	return err;
}

static int run_same_staleness(struct frontier *f, const struct simulate *s,
                              const struct learn_options *learn, struct learn_options *options,
                              struct fault *reterr)
{
	struct simulate_run run[FRONTIER_MAX];
	struct simulate_result result[FRONTIER_MAX];
	int err;

	for (size_t i = 0; i < f->n; i++) {
		const struct figures *learned = &f->point[i].policy[FRONTIER_LEARN].total;

		options[i].policy.max_stale = learned->requests ? learned->stale_per_request : 0;
		run[i] = (struct simulate_run){names[FRONTIER_STATIC_BEST], &options[i],
		                               !is_own(learn, f->point[i].objective)};
	}
	simulate_all(s, run, f->n, result);
	err = first_error(result, f->n, reterr);
	for (size_t i = 0; i < f->n; i++)
		f->point[i].same = result[i];
	return err;
}

int frontier_run(const struct simulate *given, const struct learn_options *learn,
                 const double *objective, size_t n, struct frontier *ret, struct fault *reterr)
{
	struct learn_options options[FRONTIER_MAX];
	struct rounds rounds = {.s = given};
	struct simulate s = *given;
	double sorted[FRONTIER_MAX];
	int err;

	BUG_ON(n == 0 || n > FRONTIER_MAX);
	*ret = (struct frontier){.n = n};
	if (s.progress) {
		s.progress = show_progress;
		s.arg = &rounds;
	}
	memcpy(sorted, objective, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), compare_doubles);
	for (size_t i = 0; i < n; i++) {
		ret->point[i].objective = sorted[i];
		options[i] = *learn;
		options[i].policy.max_stale = sorted[i];
		if (!is_own(learn, sorted[i])) {
			options[i].learned = NULL;
			options[i].n_looks = 0;
		}
	}
	err = run_policies(ret, &s, learn, options, reterr);
	if (err)
		return err;
	rounds.second = true;
	rounds.before = rounds.requests;
	return run_same_staleness(ret, &s, learn, options, reterr);
}

void frontier_release(struct frontier *f)
{
	for (size_t i = 0; i < f->n; i++) {
		for (int p = 0; p < FRONTIER_POLICIES; p++)
			simulate_result_release(&f->point[i].policy[p]);
		simulate_result_release(&f->point[i].same);
	}
	f->n = 0;
}
