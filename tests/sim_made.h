/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Made-up traces whose truth is known: Poisson requests, and changes at a rate per key. */
#ifndef FORECACHED_TESTS_SIM_MADE_H
#define FORECACHED_TESTS_SIM_MADE_H

#include "base/rng.h"
#include "sim/trace.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MADE_MAX_KEYS 64

struct made {
	unsigned keys; /* at most MADE_MAX_KEYS */
	double length_s, requests_per_s;
	double fastest, slowest; /* changes per second; log-uniform between */
	double load_ms;
	/* both rates follow the time of day: nothing at midnight, twice the mean at noon */
	bool diurnal;
};

/* Whether an event of the top rate at this time stays: thinning makes the rate follow the day. */
static inline bool made_stays(const struct made *m, struct rng *g, double at_s)
{
	return !m->diurnal || rng_uniform(g) < 0.5 - 0.5 * cos(at_s * 2 * M_PI / 86400);
}

static inline void made_write(const struct made *m, struct rng *g, FILE *requests, FILE *changes)
{
	double share[MADE_MAX_KEYS], sum = 0, top = m->diurnal ? 2 : 1, at;

	fputs("time_s\tkey\n", changes);
	for (unsigned k = 0; k < m->keys; k++) {
		double rate = exp(log(m->slowest) + rng_uniform(g) * log(m->fastest / m->slowest));

		share[k] = exp(rng_normal(g));
		sum += share[k];
		for (at = rng_exponential(g, top * rate); at < m->length_s;
		     at += rng_exponential(g, top * rate))
			if (made_stays(m, g, at))
				fprintf(changes, "%.6f\tk%u\n", at, k);
	}
	fputs("time_s\tendpoint\tkey\tbytes\tload_ms\n", requests);
	for (at = 0; (at += rng_exponential(g, top * m->requests_per_s)) < m->length_s;) {
		double pick = rng_uniform(g) * sum;
		unsigned k = 0;

		while (k + 1 < m->keys && (pick -= share[k]) > 0)
			k++;
		if (made_stays(m, g, at))
			fprintf(requests, "%.6f\te%u\tk%u\t10\t%g\n", at, k % 2, k, m->load_ms);
	}
}

/* The trace of it; ends the test program when that cannot be. */
static inline void made_read(struct trace *t, const struct made *m, struct rng *g)
{
	char r[] = "/tmp/forecached-made-r.XXXXXX", c[] = "/tmp/forecached-made-c.XXXXXX";
	FILE *requests = fdopen(mkstemp(r), "w"), *changes = fdopen(mkstemp(c), "w");
	struct trace_options o = {0};
	struct fault fault;

	if (!requests || !changes) {
		puts("Bail out! cannot write to /tmp");
		exit(1);
	}
	made_write(m, g, requests, changes);
	fclose(requests);
	fclose(changes);
	if (trace_read(t, r, &o, &fault) < 0 || trace_read_changes(t, c, &fault) < 0) {
		printf("Bail out! %s\n", fault.text);
		exit(1);
	}
	unlink(r);
	unlink(c);
}

#endif
