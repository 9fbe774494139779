/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * market-drive: the users of the example market, against one running forecached or two side by
 * side, and the count of what they got.
 *
 *	market-drive zero     says which CLOCK_BOOTTIME is --time-start on the daemon's clock
 *	market-drive run      plays the traffic and reports
 *
 * HOW IT WORKS the requests of traffic.h are laid out beforehand, and each is asked of every
 * daemon. Threads take the next one each, sleep until its time has come on the daemon's clock, and
 * call fc_get_or_load without a function of their own: it looks into the shared memory, and what is
 * not there the daemon loads from its market-origin. Each daemon has an origin of its own, of the
 * same seed: the same values and load times, and what one daemon loads does not slow the other.
 * Every answer carries its version, and truth.h says which version was the right one at that
 * instant, so stale answers are counted by what is true, not by what the daemon believes. The loads
 * come from the log that market-origin writes. Then the same requests go through caches with a
 * fixed TTL (static.h).
 *
 * Times are of the daemon's clock: at --time-scale 60 a millisecond of this machine's own work
 * counts as 60, so response times from the daemon are somewhat longer than they would be.
 */
#include "examples/market/args.h"
#include "base/mem.h"
#include "client/forecache.h"
#include "examples/market/static.h"
#include "examples/market/traffic.h"
#include "examples/market/truth.h"
#include "examples/market/when.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <msgpack.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define MAX_SIDES  2
#define THREADS    48 /* for each daemon */
#define LATE_US    3000 /* a thread that wakes up later than this lives on a busy machine */
#define MAX_FAILED 0.01 /* of the requests: a machine that stalls for seconds may cost some */

static const char usage[] =
        "usage: market-drive zero --dir DIR --time-start TIME --time-scale N\n"
        "       market-drive run --time-start TIME --time-scale N\n"
        "                        --side NAME --dir DIR --time-zero US --origin-log FILE [--side "
        "...]\n"
        "                        [--from TIME] [--until TIME] [--bell TIME] [--max-stale SHARE] "
        "[--seed N]\n"
        "\n"
        "One or two sides, each a daemon: its directory, and the log of the origin behind it. "
        "Times are\n"
        "like 2026-11-16T09:15:00-05:00.\n";

/* One daemon, and what its users got. */
struct side {
	const char *name, *dir, *origin_log;
	struct when clock;
	struct fc *fc;
	struct answer *answer; /* of each request, in order of time */
	size_t n;
	atomic_size_t next, done, hits, late;
	const struct truth *truth;
	pthread_mutex_t lock;
	char error[160]; /* the first thing that went wrong; guarded by lock */
	/* what the daemon said of the bell; guarded by lock */
	bool rang;
	uint64_t warm, wanted, left;
};

struct drive {
	struct instant start, from, until, bell;
	double scale, max_stale;
	uint64_t seed;
	struct truth *truth;
	struct side side[MAX_SIDES];
	size_t n_sides;
	struct answer *answer; /* n requests, not answered yet */
	size_t n;
};

const char args_program[] = "market-drive";

static void *need(void *p)
{
	if (p == NULL)
		args_die("memory", "none is left");
	return p;
}

/* -- msgpack ---------------------------------------------------------------------------------- */

static const msgpack_object *field(const msgpack_object *map, const char *name)
{
	size_t n = strlen(name);

	if (map->type != MSGPACK_OBJECT_MAP)
		return NULL;
	for (uint32_t i = 0; i < map->via.map.size; i++) {
		const msgpack_object_kv *kv = &map->via.map.ptr[i];

		if (kv->key.type == MSGPACK_OBJECT_STR && kv->key.via.str.size == n &&
		    memcmp(kv->key.via.str.ptr, name, n) == 0)
			return &kv->val;
	}
	return NULL;
}

static double number_of(const msgpack_object *o)
{
	if (o == NULL)
		return NAN;
	switch (o->type) {
	case MSGPACK_OBJECT_POSITIVE_INTEGER:
		return (double)o->via.u64;
	case MSGPACK_OBJECT_NEGATIVE_INTEGER:
		return (double)o->via.i64;
	case MSGPACK_OBJECT_FLOAT32:
	case MSGPACK_OBJECT_FLOAT64:
		return o->via.f64;
	default:
		return NAN;
	}
}

static bool text_is(const msgpack_object *o, const char *text)
{
	return o != NULL && o->type == MSGPACK_OBJECT_STR && o->via.str.size == strlen(text) &&
	       memcmp(o->via.str.ptr, text, strlen(text)) == 0;
}

/* -- One request ------------------------------------------------------------------------------ */

static void failed(struct side *d, const char *key, const char *why)
{
	pthread_mutex_lock(&d->lock);
	if (d->error[0] == '\0')
		snprintf(d->error, sizeof(d->error), "%s: %s", key, why);
	pthread_mutex_unlock(&d->lock);
}

static void ask(struct side *d, struct answer *a)
{
	const char *key = truth_name(d->truth, a->key),
	           *endpoint = truth_endpoint(truth_kind_of(a->key));
	struct fc_value v = {0};
	int rc = fc_get_or_load(d->fc, endpoint, key, strlen(key), NULL, NULL, &v);

	a->version = rc == 0 ? truth_body_version(v.data, v.bytes) : -1;
	a->how = a->version < 0 ? ANSWER_FAILED : v.outcome == FC_HIT ? ANSWER_HIT : ANSWER_LOADED;
	if (a->version < 0)
		failed(d, key, rc == 0 ? "a value without a version" : fc_strerror(rc));
	fc_value_release(&v);
}

static void *user(void *arg)
{
	struct side *d = arg;
	size_t i;

	prctl(PR_SET_TIMERSLACK, 1000UL);
	while ((i = atomic_fetch_add(&d->next, 1)) < d->n) {
		struct answer *a = &d->answer[i];
		int64_t due = when_boot_of(&d->clock, a->at), begin = when_boot_us();

		/* waking up late is not the cache's fault; having had no thread free is */
		if (begin < due) {
			when_sleep_until(due);
			begin = when_boot_us();
			if (begin - due > LATE_US)
				atomic_fetch_add(&d->late, 1);
			a->at.us += (int64_t)((double)(begin - due) * d->clock.scale);
			due = begin;
		}
		ask(d, a);
		a->response_ms = (float)((double)(when_boot_us() - due) * d->clock.scale / 1000);
		if (a->how == ANSWER_HIT)
			atomic_fetch_add(&d->hits, 1);
		atomic_fetch_add(&d->done, 1);
	}
	return NULL;
}

/* -- The daemon's own word -------------------------------------------------------------------- */

static int on_notice(void *arg, const char *topic, const void *notice, size_t n)
{
	struct side *d = arg;
	msgpack_unpacked m;

	(void)topic;
	msgpack_unpacked_init(&m);
	if (msgpack_unpack_next(&m, notice, n, NULL) == MSGPACK_UNPACK_SUCCESS &&
	    text_is(field(&m.data, "what"), "peak")) {
		pthread_mutex_lock(&d->lock);
		d->rang = true;
		d->wanted = (uint64_t)number_of(field(&m.data, "wanted"));
		d->warm = (uint64_t)number_of(field(&m.data, "warm"));
		d->left = (uint64_t)number_of(field(&m.data, "left"));
		pthread_mutex_unlock(&d->lock);
	}
	msgpack_unpacked_destroy(&m);
	return 0;
}

static void *listen_for_bell(void *arg)
{
	struct side *d = arg;

	while (atomic_load(&d->done) < d->n)
		fc_monitor(d->fc, "", 0.5, on_notice, d);
	return NULL;
}

/*
 * When was, or will be, --time-start on the daemon's clock? Best of some tries: the quickest
 * answer.
 */
static void zero(struct side *d)
{
	int64_t best_us = INT64_MAX, zero_us = 0;

	for (int i = 0; i < 20; i++) {
		int64_t before = when_boot_us(), after, took;
		msgpack_unpacked reply;
		void *result = NULL;
		size_t n = 0;
		char why[120] = "";
		double now_s, scale;
		int rc = fc_request(d->fc, "hello", NULL, 0, 10, &result, &n, why, sizeof(why));

		if (rc)
			args_die("hello", why[0] != '\0' ? why : fc_strerror(rc));
		after = when_boot_us();
		took = after - before;
		msgpack_unpacked_init(&reply);
		if (msgpack_unpack_next(&reply, result, n, NULL) != MSGPACK_UNPACK_SUCCESS)
			args_die("hello", "the daemon's answer is no msgpack");
		now_s = number_of(field(&reply.data, "time_s"));
		scale = number_of(field(&reply.data, "time_scale"));
		if (!isfinite(now_s) || !(scale > 0))
			args_die("hello", "the daemon does not say its time");
		if (took < best_us) {
			best_us = took;
			zero_us = before + took / 2 -
			          (int64_t)((now_s - instant_s(d->clock.start)) * 1e6 / scale);
		}
		msgpack_unpacked_destroy(&reply);
		free(result);
	}
	printf("%" PRId64 "\n", zero_us);
}

/* -- Report ----------------------------------------------------------------------------------- */

/*
 * The loads that market-origin wrote down, those before `from` left out; by kind, too, if wanted.
 */
static void read_origin_log(const struct drive *d, const struct side *x, struct loads *l,
                            uint64_t *ret_by_kind)
{
	FILE *f = fopen(x->origin_log, "r");
	char line[200];

	if (f == NULL)
		args_die(x->origin_log, strerror(errno));
	loads_init(l, d->from, d->until);
	while (fgets(line, sizeof(line), f) != NULL) {
		char *rest, key[64] = "";
		double at_s = strtod(line, &rest);
		size_t k;

		if (at_s < instant_s(d->from) || at_s >= instant_s(d->until))
			continue;
		loads_add(l, instant_from_s(at_s));
		sscanf(rest, "%63s", key);
		k = ret_by_kind != NULL ? truth_find(d->truth, key) : TRUTH_NONE;
		if (k != TRUTH_NONE)
			ret_by_kind[truth_kind_of(k)]++;
	}
	fclose(f);
}

static struct instant minutes_after(struct instant t, double minutes)
{
	return instant_add(t, span_from_s(60 * minutes));
}

/* What the daemons that were told of the bell have to say of it. */
static void say_bell(struct drive *d)
{
	char when[32];

	for (size_t i = 0; i < d->n_sides; i++) {
		struct side *x = &d->side[i];

		pthread_mutex_lock(&x->lock);
		if (x->rang && x->wanted > 0) {
			printf("%s  the bell, %s: %" PRIu64 " of %" PRIu64 " wanted keys warm",
			       when_text(d->bell, when), x->name, x->warm, x->wanted);
			if (x->left > 0)
				printf(", %" PRIu64 " left to demand because too volatile",
				       x->left);
			putchar('\n');
		}
		pthread_mutex_unlock(&x->lock);
	}
}

#define WIDE  "%-30s"
#define HEADS WIDE " %7s %7s %9s %9s %7s %7s %8s\n"
#define CELLS WIDE " %7zu %5.1f %% %6.0f ms %6.0f ms %7" PRIu64 " %7s %6.2f %%\n"

/* peak NULL: not said. */
static void row(const char *name, const struct figures *f, uint64_t loads, const double *peak)
{
	char text[16] = "";

	if (peak != NULL)
		snprintf(text, sizeof(text), "%.1f", *peak);
	printf(CELLS, name, f->misses, 100 * f->hit_ratio, f->mean_ms, f->p99_ms, loads, text,
	       100 * f->stale);
}

/* The requests and loads in [from, until): a row of the table. */
static void row_of(struct drive *d, const char *name, const struct answer *a,
                   const struct loads *l, struct instant from, struct instant until)
{
	double peak = loads_peak(l, from, until);
	size_t begin = 0, end;
	struct figures f;

	while (begin < d->n && d->answer[begin].at.us < from.us)
		begin++;
	for (end = begin; end < d->n && d->answer[end].at.us < until.us;)
		end++;
	f = figures_of(d->truth, a + begin, end - begin);
	row(name, &f, loads_sum(l, from, until), &peak);
}

static void by_endpoint(struct drive *d, const struct side *x)
{
	struct answer *part = need(malloc(d->n * sizeof(*part)));
	uint64_t by_kind[TRUTH_KINDS] = {0};
	struct loads l;

	read_origin_log(d, x, &l, by_kind);
	for (int kind = 0; kind < TRUTH_KINDS; kind++) {
		struct figures f;
		char name[40];
		size_t n = 0;

		for (size_t i = 0; i < d->n; i++)
			if ((int)truth_kind_of(x->answer[i].key) == kind)
				part[n++] = x->answer[i];
		f = figures_of(d->truth, part, n);
		snprintf(name, sizeof(name), "    %s", truth_endpoint(kind));
		row(name, &f, by_kind[kind], NULL);
	}
	loads_release(&l);
	free(part);
}

/* What a fixed TTL would have done. */
struct fixed {
	char name[64];
	struct answer *answer;
	struct loads loads;
};

static void fixed_run(struct drive *d, struct fixed *x, double ttl_s)
{
	memcpy(x->answer, d->answer, d->n * sizeof(*x->answer));
	loads_release(&x->loads);
	loads_init(&x->loads, d->from, d->until);
	static_run(d->truth, ttl_s, x->answer, d->n, &x->loads);
}

static void say_window(struct drive *d, const char *title, struct fixed *fixed, size_t n_fixed,
                       const struct loads *loads, struct instant from, struct instant until,
                       bool with_endpoints)
{
	printf("%s\n", title);
	for (size_t i = 0; i < n_fixed; i++)
		row_of(d, fixed[i].name, fixed[i].answer, &fixed[i].loads, from, until);
	for (size_t i = 0; i < d->n_sides; i++) {
		char name[64];

		snprintf(name, sizeof(name), "  %s", d->side[i].name);
		row_of(d, name, d->side[i].answer, &loads[i], from, until);
		if (with_endpoints && i + 1 == d->n_sides)
			by_endpoint(d, &d->side[i]);
	}
}

/* Loads per second of each minute around the bell. */
static void say_minutes(struct drive *d, const struct fixed *fixed, size_t n_fixed,
                        const struct loads *loads)
{
	struct instant from = minutes_after(d->bell, -5);
	char when[32], name[64];

	if (from.us < d->from.us || minutes_after(d->bell, 5).us > d->until.us)
		return;
	printf("\n" WIDE, "Loads/s of the minute from");
	for (int i = 0; i < 10; i++)
		printf(" %.5s", when_text(minutes_after(from, i), when) + 11);
	putchar('\n');
	for (size_t i = 0; i < n_fixed + d->n_sides; i++) {
		const struct loads *l = i < n_fixed ? &fixed[i].loads : &loads[i - n_fixed];

		snprintf(name, sizeof(name), "  %s", i < n_fixed ? fixed[i].name + 2
		                                                 : d->side[i - n_fixed].name);
		printf(WIDE, name);
		for (int m = 0; m < 10; m++)
			printf(" %5.1f", (double)loads_sum(l, minutes_after(from, m),
			                                   minutes_after(from, m + 1)) /
			                         60);
		putchar('\n');
	}
}

/*
 * A version that the origin never had, or had not yet: nothing of that kind may ever be answered.
 */
static size_t impossible(struct drive *d, const struct side *x)
{
	size_t wrong = 0;

	for (size_t i = 0; i < d->n; i++) {
		const struct answer *a = &x->answer[i];
		struct instant end = {a->at.us + (int64_t)((double)a->response_ms * 1000) + 1000};

		if (a->how != ANSWER_FAILED &&
		    (a->version > truth_version(d->truth, a->key, end) ||
		     truth_version(d->truth, a->key, (struct instant){a->version}) != a->version))
			wrong++;
	}
	return wrong;
}

/* Faults of the run, said once for each side. True: the run is not to be believed. */
static bool say_faults(struct drive *d)
{
	bool bad = false, busy = false;

	for (size_t i = 0; i < d->n_sides; i++) {
		struct side *x = &d->side[i];
		size_t wrong = impossible(d, x),
		       missing = figures_of(d->truth, x->answer, d->n).failed;

		if (wrong > 0)
			printf("%s: %zu answers had a version that the origin did not have.\n",
			       x->name, wrong);
		if (missing > 0)
			printf("%s: %zu requests failed, the first: %s\n", x->name, missing,
			       x->error);
		busy |= (double)atomic_load(&x->late) > 0.02 * (double)d->n;
		bad |= wrong > 0 || (double)missing > MAX_FAILED * (double)d->n;
	}
	if (busy)
		printf("This machine was busy with other things: the response times are its own, "
		       "not forecached's.\n");
	return bad;
}

static void report(struct drive *d)
{
	struct fixed fixed[2] = {{.name = "  static TTL 60 s, a guess"}};
	struct loads loads[MAX_SIDES];
	char title[96], when[32];
	double stale = 0, ttl_s;
	size_t n = 0;

	for (size_t i = 0; i < d->n_sides; i++) {
		read_origin_log(d, &d->side[i], &loads[i], NULL);
		stale = figures_of(d->truth, d->side[i].answer, d->n).stale;
	}
	for (int i = 0; i < 2; i++)
		fixed[i].answer = need(malloc(d->n * sizeof(struct answer)));
	fixed_run(d, &fixed[0], 60);
	/*
	 * as many stale answers for the fixed TTL as the learned ones had: only then do loads
	 * compare
	 */
	memcpy(fixed[1].answer, d->answer, d->n * sizeof(struct answer));
	ttl_s = static_best(d->truth, fmax(stale, d->max_stale), fixed[1].answer, d->n);
	snprintf(fixed[1].name, sizeof(fixed[1].name), "  static TTL %.2g s, hindsight", ttl_s);
	fixed_run(d, &fixed[1], ttl_s);

	printf("\n" HEADS, "", "misses", "hits", "response", "p99", "loads", "peak/s", "stale");
	for (size_t i = 0; i < d->n; i++)
		n += d->answer[i].at.us >= d->bell.us &&
		     d->answer[i].at.us < minutes_after(d->bell, 1).us;
	if (n > 0) {
		snprintf(title, sizeof(title), "The minute from the bell, %zu requests", n);
		say_window(d, title, fixed, 2, loads, d->bell, minutes_after(d->bell, 1), false);
	}
	snprintf(title, sizeof(title), "From %.5s", when_text(d->from, when) + 11);
	n = strlen(title);
	snprintf(title + n, sizeof(title) - n, " to %.5s, %zu requests",
	         when_text(d->until, when) + 11, d->n);
	say_window(d, title, fixed, 2, loads, d->from, d->until, true);
	say_minutes(d, fixed, 2, loads);
	printf("\nStale answers are counted by the origin's true changes; the objective is %g %%.\n"
	       "The TTL in hindsight is the longest that has as many over the whole time, found\n"
	       "afterwards on the same requests. peak/s: loads per second in the busiest %d s.\n"
	       "Response times from forecached contain this machine's own work: 1 ms here counts\n"
	       "as %g ms. So figures differ a little from run to run.\n",
	       100 * d->max_stale, LOADS_STEP_S, d->scale);
	for (int i = 0; i < 2; i++) {
		loads_release(&fixed[i].loads);
		free(fixed[i].answer);
	}
	for (size_t i = 0; i < d->n_sides; i++)
		loads_release(&loads[i]);
}

/* -- Run -------------------------------------------------------------------------------------- */

static void lay_out(struct drive *d)
{
	struct traffic traffic;
	struct instant at;
	size_t key, cap = 0;

	traffic_init(&traffic, d->seed, d->from, d->until);
	while (traffic_next(&traffic, &at, &key)) {
		if (d->n == cap) {
			cap = cap > 0 ? 2 * cap : 65536;
			d->answer = mem_realloc(d->answer, cap, sizeof(*d->answer));
		}
		d->answer[d->n++] = (struct answer){.at = at, .key = (uint32_t)key};
	}
	if (d->n == 0)
		args_die("--from, --until", "nobody asks for anything in that time");
	for (size_t i = 0; i < d->n_sides; i++) {
		struct side *x = &d->side[i];

		x->answer = need(malloc(d->n * sizeof(*x->answer)));
		memcpy(x->answer, d->answer, d->n * sizeof(*x->answer));
		x->n = d->n;
		x->truth = d->truth;
	}
}

/* Says how it goes, every ten minutes of the market's time, until it is over. */
static void follow(struct drive *d)
{
	bool said_bell = d->bell.us <= d->from.us || d->bell.us >= d->until.us,
	     terminal = isatty(1) && !getenv("CI");
	struct instant bell = minutes_after(d->bell, 2), now;
	size_t seen[MAX_SIDES] = {0}, seen_hits[MAX_SIDES] = {0};
	const struct when *clock = &d->side[0].clock;
	char when[32];

	printf("%s  the first of %zu requests\n", when_text(d->from, when), d->n);
	do {
		fflush(stdout);
		now = when_now(clock);
		now.us = (now.us / 600000000 + 1) * 600000000;
		if (!said_bell && now.us > bell.us)
			now = bell;
		if (now.us > d->until.us)
			now = d->until;
		while (when_now(clock).us < now.us) {
			if (terminal) {
				printf("\r\033[K%s", when_text(when_now(clock), when));
				fflush(stdout);
			}
			usleep(100000);
		}
		if (terminal)
			printf("\r\033[K");
		if (!said_bell && now.us == bell.us) {
			say_bell(d);
			said_bell = true;
			continue;
		}
		printf("%s", when_text(now, when));
		for (size_t i = 0; i < d->n_sides; i++) {
			struct side *x = &d->side[i];
			size_t done = atomic_load(&x->done) - seen[i],
			       hits = atomic_load(&x->hits) - seen_hits[i];

			if (i == 0)
				printf("  %6zu requests, hits", done);
			printf("%s %2.0f %% %s", i == 0 ? "" : ",",
			       done > 0 ? 100.0 * (double)hits / (double)done : 0.0, x->name);
			seen[i] += done, seen_hits[i] += hits;
		}
		putchar('\n');
	} while (now.us < d->until.us);
	fflush(stdout);
}

static int run(struct drive *d)
{
	pthread_t thread[MAX_SIDES][THREADS], bell[MAX_SIDES];

	truth_prepare(d->truth, d->from, instant_add(d->until, SPAN_S(3600)));
	lay_out(d);
	for (size_t i = 0; i < d->n_sides; i++) {
		if (pthread_create(&bell[i], NULL, listen_for_bell, &d->side[i]) != 0)
			args_die("thread", "cannot be started");
		for (size_t j = 0; j < THREADS; j++)
			if (pthread_create(&thread[i][j], NULL, user, &d->side[i]) != 0)
				args_die("thread", "cannot be started");
	}
	follow(d);
	for (size_t i = 0; i < d->n_sides; i++) {
		for (size_t j = 0; j < THREADS; j++)
			pthread_join(thread[i][j], NULL);
		pthread_join(bell[i], NULL);
	}
	report(d);
	return say_faults(d) ? 1 : 0;
}

/* -- Arguments -------------------------------------------------------------------------------- */

/* The side that an option speaks of: the latest --side, or the only one. */
static struct side *current(struct drive *d)
{
	if (d->n_sides == 0)
		d->side[d->n_sides++].name = "forecached";
	return &d->side[d->n_sides - 1];
}

static void add_side(struct drive *d, const char *name)
{
	if (d->n_sides == MAX_SIDES)
		args_die("--side", "two at most");
	d->side[d->n_sides++].name = name;
}

static bool complete(const struct drive *d)
{
	for (size_t i = 0; i < d->n_sides; i++)
		if (d->side[i].origin_log == NULL || d->side[i].clock.zero_us == 0)
			return false;
	return d->n_sides > 0;
}

static void open_sides(struct drive *d)
{
	for (size_t i = 0; i < d->n_sides; i++) {
		struct side *x = &d->side[i];
		struct fc_options fc = {.size = sizeof(fc), .timeout_s = 60, .dir = x->dir};
		int rc;

		pthread_mutex_init(&x->lock, NULL);
		x->clock.start = d->start;
		x->clock.scale = d->scale;
		rc = fc_open(&fc, &x->fc);
		if (rc)
			args_die(x->dir != NULL ? x->dir : "fc_open", fc_strerror(rc));
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
	        {"time-scale", required_argument, NULL, 'x'},
	        {"time-start", required_argument, NULL, 't'},
	        {"side", required_argument, NULL, 'S'},
	        {"dir", required_argument, NULL, 'd'},
	        {"time-zero", required_argument, NULL, 'z'},
	        {"origin-log", required_argument, NULL, 'l'},
	        {"from", required_argument, NULL, 'f'},
	        {"until", required_argument, NULL, 'u'},
	        {"bell", required_argument, NULL, 'b'},
	        {"max-stale", required_argument, NULL, 'm'},
	        {"seed", required_argument, NULL, 's'},
	        {"help", no_argument, NULL, 'h'},
	        {NULL, 0, NULL, 0},
	};
	static struct drive d = {.scale = 60, .max_stale = 0.02, .seed = 1};
	const char *what;
	int c, rc = 0;

	when_parse("2026-11-16T09:15", &d.from);
	when_parse("2026-11-16T10:15", &d.until);
	when_parse("2026-11-16T09:30", &d.bell);
	d.start = d.from;
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		struct instant *t = c == 't'   ? &d.start
		                    : c == 'f' ? &d.from
		                    : c == 'u' ? &d.until
		                               : &d.bell;

		switch (c) {
		case 't':
		case 'f':
		case 'u':
		case 'b':
			if (!when_parse(optarg, t))
				args_die(optarg, "not a time like 2026-11-16T09:15:00-05:00");
			break;
		case 'x':
			d.scale = args_number("--time-scale", optarg, 0.001, 100000);
			break;
		case 'S':
			add_side(&d, optarg);
			break;
		case 'd':
			current(&d)->dir = optarg;
			break;
		case 'z':
			current(&d)->clock.zero_us =
			        (int64_t)args_number("--time-zero", optarg, 0, 1e17);
			break;
		case 'l':
			current(&d)->origin_log = optarg;
			break;
		case 'm':
			d.max_stale = args_number("--max-stale", optarg, 0, 1);
			break;
		case 's':
			d.seed = strtoull(optarg, NULL, 10);
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	what = optind + 1 == argc ? argv[optind] : "";
	if ((strcmp(what, "zero") != 0 && strcmp(what, "run") != 0) ||
	    (strcmp(what, "run") == 0 && !complete(&d))) {
		fputs(usage, stderr);
		return 2;
	}
	current(&d);
	open_sides(&d);
	if (strcmp(what, "zero") == 0) {
		zero(&d.side[0]);
	} else {
		d.truth = truth_new(d.seed);
		rc = run(&d);
		truth_free(&d.truth);
		free(d.answer);
	}
	for (size_t i = 0; i < d.n_sides; i++) {
		fc_close(&d.side[i].fc);
		free(d.side[i].answer);
	}
	return rc;
}
