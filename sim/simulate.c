/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sim/simulate.h"

#include "base/mem.h"
#include "sim/baseline.h"
#include "sim/fixed.h"
#include "sim/log.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/*
 * Half hours count for the worst one when the objective allows them so many stale answers: in fewer
 * requests one stale answer would already be a share of many times the objective.
 */
static const double HALF_HOUR_STALE = 20;

#define STATIC_PREFIX "static:"
#define STATIC_MAX_S  INT64_C(3155760000) /* SPAN_MAX */

/* -- One policy ------------------------------------------------------------------------------- */

struct contest {
	const struct simulate *s;
	const struct simulate_run *run;
	struct simulate_result *result;
	size_t n;
	struct lanes lanes; /* when any policy looks back */
	struct pace *pace;  /* per policy */

	pthread_mutex_t lock;
	pthread_cond_t changed;
	size_t next, running; /* the policy to start next; threads at work */
};

typedef int policy_fn(struct contest *c, size_t i);

/* What a replay writes to. */
struct tape {
	struct score score;
	struct log *log; /* NULL: none is wanted */
};

static int tape_open(struct tape *y, const struct contest *c, size_t i)
{
	const struct simulate *s = c->s;

	y->log = NULL;
	score_init(&y->score, s->trace, s->score_from,
	           span_from_s(c->run[i].learn->policy.stale_after));
	if (!s->log_path)
		return 0;
	y->log = log_open(s->log_path, s->trace, c->run[i].policy, c->run[i].learn->seed,
	                  &c->result[i].fault);
	return y->log ? 0 : -EIO;
}

/*
 * Fills in the result; the total is over the endpoints in `in` (NULL: all). err of the run, or of
 * the log.
 */
static int tape_close(struct tape *y, const struct contest *c, size_t i, const bool *in, int err)
{
	struct simulate_result *r = &c->result[i];
	struct fault fault;
	/* the first fault is the one to tell */
	int closed = log_close(&y->log, err ? &fault : &r->fault);

	for (uint32_t e = 0; e < c->s->trace->endpoints.n_ids; e++)
		r->endpoint[e] = score_endpoint(&y->score, e);
	r->total = score_total(&y->score, in);
	r->worst = score_worst_half_hour(&y->score, HALF_HOUR_STALE / fmax(r->max_stale, 1e-9),
	                                 &r->worst_start);
	score_release(&y->score);
	return err ? err : closed;
}

static int run_learn(struct contest *c, size_t i)
{
	const struct simulate *s = c->s;
	struct tape y;
	int err = tape_open(&y, c, i);

	if (err == 0)
		err = learn_run(s->trace, c->run[i].learn, &y.score, y.log, &c->pace[i],
		                &c->result[i].fault);
	return tape_close(&y, c, i, NULL, err);
}

/* Replays the rule; `in` as for tape_close. */
static int run_fixed(struct contest *c, size_t i, const struct fixed_rule *rule, const bool *in)
{
	const struct simulate *s = c->s;
	struct tape y;
	int err = tape_open(&y, c, i);

	if (err == 0 && !fixed_run(s->trace, rule, &y.score, y.log, &c->pace[i]))
		err = -EINTR;
	err = tape_close(&y, c, i, in, err);
	for (uint32_t e = 0; e < s->trace->endpoints.n_ids; e++) {
		if (rule->kind == FIXED_TTL)
			c->result[i].endpoint[e].ttl_s = rule->value[e];
		else
			c->result[i].endpoint[e].factor = rule->value[e];
	}
	return err;
}

/* One value for all endpoints. */
static int run_single(struct contest *c, size_t i, enum fixed_kind kind, double value,
                      bool single_flight)
{
	uint32_t n_endpoints = c->s->trace->endpoints.n_ids;
	double *values = mem_calloc(n_endpoints, sizeof(*values));
	struct fixed_rule rule = {kind, values, single_flight};
	int err;

	for (uint32_t e = 0; e < n_endpoints; e++)
		values[e] = value;
	err = run_fixed(c, i, &rule, NULL);
	if (kind == FIXED_TTL)
		c->result[i].total.ttl_s = value;
	else
		c->result[i].total.factor = value;
	free(values);
	return err;
}

static bool static_seconds(const char *policy, double *ret_s)
{
	const char *text = policy + strlen(STATIC_PREFIX);
	int64_t us;

	if (strncmp(policy, STATIC_PREFIX, strlen(STATIC_PREFIX)) != 0 ||
	    !trace_decimal(text, strlen(text), 6, STATIC_MAX_S * 1000000, &us))
		return false;
	*ret_s = (double)us * 1e-6;
	return true;
}

static int run_static(struct contest *c, size_t i)
{
	double ttl_s = 0;

	static_seconds(c->run[i].policy, &ttl_s);
	return run_single(c, i, FIXED_TTL, ttl_s, true);
}

static int run_static_best(struct contest *c, size_t i)
{
	double ttl_s = baseline_static(&c->lanes, c->s->score_from, c->result[i].max_stale);

	return run_single(c, i, FIXED_TTL, ttl_s, false);
}

static int run_alex_best(struct contest *c, size_t i)
{
	double factor = baseline_alex(&c->lanes, c->s->score_from, c->result[i].max_stale);

	return run_single(c, i, FIXED_AGE, factor, false);
}

static int run_endpoint_best(struct contest *c, size_t i)
{
	uint32_t n_endpoints = c->s->trace->endpoints.n_ids, n_in = 0;
	double *ttl_s = mem_calloc(n_endpoints, sizeof(*ttl_s)), single_s = NAN;
	bool *in = mem_calloc(n_endpoints, sizeof(*in));
	struct fixed_rule rule = {FIXED_TTL, ttl_s, false};
	int err;

	for (uint32_t e = 0; e < n_endpoints; e++) {
		ttl_s[e] =
		        baseline_endpoint(&c->lanes, e, c->s->score_from, c->result[i].max_stale);
		in[e] = !isnan(ttl_s[e]);
		n_in += in[e];
		if (!in[e] && isnan(single_s))
			single_s = baseline_static(&c->lanes, c->s->score_from,
			                           c->result[i].max_stale);
		if (!in[e])
			ttl_s[e] = single_s;
	}
	if (n_in)
		err = run_fixed(c, i, &rule, in);
	else
		err = fault_set(&c->result[i].fault, -ENODATA,
		                "endpoint-best: no endpoint has %d scored requests",
		                BASELINE_MIN_REQUESTS);
	free(ttl_s);
	free(in);
	return err;
}

static int run_bound(struct contest *c, size_t i)
{
	const struct simulate *s = c->s;

	for (uint32_t e = 0; e < s->trace->endpoints.n_ids; e++)
		c->result[i].endpoint[e] =
		        baseline_bound(&c->lanes, e, s->score_from, c->result[i].max_stale);
	c->result[i].total =
	        baseline_bound(&c->lanes, UINT32_MAX, s->score_from, c->result[i].max_stale);
	return 0;
}

static const struct kind {
	const char *name;
	policy_fn *run;
	bool looks_back; /* needs the lanes */
	bool logs;       /* makes decisions one by one */
	double work;     /* about what one request costs, relative to the others: for the bar */
} kinds[] = {
        {"learn", run_learn, false, true, 10},
        {"static-best", run_static_best, true, true, 2},
        {"endpoint-best", run_endpoint_best, true, true, 2},
        {"alex-best", run_alex_best, true, true, 3},
        {"bound", run_bound, true, false, 1},
};

static const struct kind static_kind = {STATIC_PREFIX, run_static, false, true, 1};

static const struct kind *kind_of(const char *policy)
{
	double s;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(policy, kinds[i].name) == 0)
			return &kinds[i];
	return static_seconds(policy, &s) ? &static_kind : NULL;
}

int simulate_check(const char *policy, bool with_log, struct fault *reterr)
{
	const struct kind *k = kind_of(policy);

	if (!k && strncmp(policy, STATIC_PREFIX, strlen(STATIC_PREFIX)) == 0)
		return fault_set(reterr, -EINVAL,
		                 "policy %s: SECONDS must be a decimal number from 0 to %lld",
		                 policy, (long long)STATIC_MAX_S);
	if (!k)
		return fault_set(reterr, -EINVAL,
		                 "policy %s: there is no such policy; there are " SIMULATE_POLICIES,
		                 policy);
	if (with_log && !k->logs)
		return fault_set(reterr, -EINVAL,
		                 "policy %s: makes no decisions that could be logged", policy);
	return 0;
}

/* -- All of them ------------------------------------------------------------------------------ */

static double monotonic_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static void *work(void *arg)
{
	struct contest *c = arg;

	pthread_mutex_lock(&c->lock);
	while (c->next < c->n) {
		size_t i = c->next++;
		struct simulate_result *r = &c->result[i];
		double began = monotonic_s();

		pthread_mutex_unlock(&c->lock);
		r->endpoint = mem_calloc(c->s->trace->endpoints.n_ids, sizeof(*r->endpoint));
		r->error = kind_of(c->run[i].policy)->run(c, i);
		r->seconds = monotonic_s() - began;
		if (c->run[i].total_only)
			simulate_result_release(r);
		atomic_store_explicit(&c->pace[i].done, c->s->trace->at.n, memory_order_relaxed);
		pthread_mutex_lock(&c->lock);
	}
	c->running--;
	pthread_cond_signal(&c->changed);
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

static void report_progress(const struct contest *c)
{
	double requests = 0, done = 0, all = 0;

	for (size_t i = 0; i < c->n; i++) {
		double n = (double)atomic_load_explicit(&c->pace[i].done, memory_order_relaxed);
		double work = kind_of(c->run[i].policy)->work;

		requests += n;
		done += n * work;
		all += (double)c->s->trace->at.n * work;
	}
	if (c->s->progress)
		c->s->progress(c->s->arg, done / all, requests);
}

/* Returns when all threads are done, and reports five times a second until then. */
static void wait_for_all(struct contest *c)
{
	struct timespec until;

	pthread_mutex_lock(&c->lock);
	clock_gettime(CLOCK_REALTIME, &until);
	while (c->running) {
		until.tv_nsec += 200000000;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		while (c->running && pthread_cond_timedwait(&c->changed, &c->lock, &until) == 0)
			;
		pthread_mutex_unlock(&c->lock);
		report_progress(c);
		pthread_mutex_lock(&c->lock);
	}
	pthread_mutex_unlock(&c->lock);
}

void simulate_all(const struct simulate *s, const struct simulate_run *run, size_t n,
                  struct simulate_result *ret)
{
	struct contest c = {.s = s, .run = run, .result = ret, .n = n};
	pthread_t thread[SIMULATE_MAX_POLICIES];
	size_t n_threads = s->threads < n ? s->threads : n, started = 0;
	bool looks_back = false;

	c.pace = mem_calloc(n, sizeof(*c.pace));
	for (size_t i = 0; i < n; i++) {
		ret[i] = (struct simulate_result){.policy = run[i].policy,
		                                  .max_stale = run[i].learn->policy.max_stale};
		c.pace[i].interrupted = s->interrupted;
		looks_back |= kind_of(run[i].policy)->looks_back;
	}
	if (looks_back)
		lanes_init(&c.lanes, s->trace);
	pthread_mutex_init(&c.lock, NULL);
	pthread_cond_init(&c.changed, NULL);
	c.running = n_threads;
	for (; started < n_threads; started++)
		if (pthread_create(&thread[started], NULL, work, &c) != 0)
			break;
	if (started < n_threads) { /* do what they would have done */
		pthread_mutex_lock(&c.lock);
		c.running -= n_threads - started;
		c.running++;
		pthread_mutex_unlock(&c.lock);
		work(&c);
	}
	wait_for_all(&c);
	for (size_t i = 0; i < started; i++)
		pthread_join(thread[i], NULL);
	pthread_cond_destroy(&c.changed);
	pthread_mutex_destroy(&c.lock);
	lanes_release(&c.lanes);
	free(c.pace);
}

void simulate_result_release(struct simulate_result *r)
{
	free(r->endpoint);
	r->endpoint = NULL;
}
