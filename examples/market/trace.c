/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * market-trace: writes what users asked for and what changed, as replay files for forecache
 * simulate. Both come from the same truth as market-origin and market-drive.
 */
#include "examples/market/args.h"
#include "examples/market/traffic.h"
#include "examples/market/truth.h"
#include "examples/market/when.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] = "usage: market-trace --requests FILE --changes FILE [--from TIME] "
                            "[--until TIME] [--seed N]\n"
                            "\n"
                            "TIME is like 2026-11-16T09:15:00-05:00; without an offset it is New "
                            "York's. By default two weeks up\n"
                            "to Monday 2026-11-16, 09:15 in New York.\n";

const char args_program[] = "market-trace";

static FILE *create(const char *path)
{
	FILE *f = fopen(path, "w");

	if (f == NULL)
		args_die(path, strerror(errno));
	return f;
}

static void finish(FILE *f, const char *path)
{
	if (ferror(f) || fclose(f) != 0)
		args_die(path, strerror(errno));
}

static void put_time(FILE *f, struct instant t)
{
	fprintf(f, "%" PRId64 ".%06" PRId64, t.us / 1000000, t.us % 1000000);
}

static size_t write_requests(const struct truth *t, uint64_t seed, struct instant from,
                             struct instant until, const char *path)
{
	static const int bytes[TRUTH_KINDS] = {180, 9000, 2400, 5200};
	FILE *f = create(path);
	struct traffic traffic;
	struct instant at;
	size_t key, n = 0;

	fputs("time_s\tendpoint\tkey\tbytes\tload_ms\n", f);
	traffic_init(&traffic, seed, from, until);
	while (traffic_next(&traffic, &at, &key)) {
		enum truth_kind kind = truth_kind_of(key);

		put_time(f, at);
		fprintf(f, "\t%s\t%s\t%d\t%.0f\n", truth_endpoint(kind), truth_name(t, key),
		        bytes[kind], span_s(truth_load_time(t, key, at)) * 1000);
		n++;
	}
	finish(f, path);
	return n;
}

/*
 * All changes in (from, until], in order of time: the next one of each key waits in a tournament.
 */
static size_t write_changes(struct truth *t, struct instant from, struct instant until,
                            const char *path)
{
	FILE *f = create(path);
	struct instant next[TRUTH_KEYS];
	size_t heap[TRUTH_KEYS], n = 0;

	for (size_t k = 0; k < TRUTH_KEYS; k++) {
		size_t i = k;

		next[k] = truth_next_change(t, k, from, 30);
		for (; i > 0 && next[heap[(i - 1) / 2]].us > next[k].us; i = (i - 1) / 2)
			heap[i] = heap[(i - 1) / 2];
		heap[i] = k;
	}
	fputs("time_s\tkey\n", f);
	while (next[heap[0]].us <= until.us) {
		size_t k = heap[0], i = 0;

		put_time(f, next[k]);
		fprintf(f, "\t%s\n", truth_name(t, k));
		n++;
		next[k] = truth_next_change(t, k, next[k], 30);
		for (;;) {
			size_t c = 2 * i + 1;

			if (c + 1 < TRUTH_KEYS && next[heap[c + 1]].us < next[heap[c]].us)
				c++;
			if (c >= TRUTH_KEYS || next[heap[c]].us >= next[k].us)
				break;
			heap[i] = heap[c];
			i = c;
		}
		heap[i] = k;
	}
	finish(f, path);
	return n;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
	        {"requests", required_argument, NULL, 'r'},
	        {"changes", required_argument, NULL, 'c'},
	        {"from", required_argument, NULL, 'f'},
	        {"until", required_argument, NULL, 'u'},
	        {"seed", required_argument, NULL, 's'},
	        {"help", no_argument, NULL, 'h'},
	        {NULL, 0, NULL, 0},
	};
	const char *requests = NULL, *changes = NULL;
	struct instant from = INSTANT_NONE, until = INSTANT_NONE;
	uint64_t seed = 1;
	struct truth *t;
	size_t n_requests, n_changes;
	char a[32], b[32];
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 'r':
			requests = optarg;
			break;
		case 'c':
			changes = optarg;
			break;
		case 'f':
		case 'u':
			if (!when_parse(optarg, c == 'f' ? &from : &until))
				args_die(optarg, "not a time like 2026-11-16T09:15:00-05:00");
			break;
		case 's':
			seed = strtoull(optarg, NULL, 10);
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (requests == NULL || changes == NULL || optind != argc) {
		fputs(usage, stderr);
		return 2;
	}
	if (!instant_is_set(until))
		when_parse("2026-11-16T09:15", &until);
	if (!instant_is_set(from))
		from = when_day_start(when_day(until) - 14);
	if (until.us <= from.us)
		args_die("--until", "must come after --from");
	t = truth_new(seed);
	n_requests = write_requests(t, seed, from, until, requests);
	n_changes = write_changes(t, from, until, changes);
	fprintf(stderr, "%zu requests and %zu changes from %s to %s (seed %" PRIu64 ")\n",
	        n_requests, n_changes, when_text(from, a), when_text(until, b), seed);
	truth_free(&t);
	return 0;
}
