/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * market-drive: the users of the example market, against a running forecached, and the count of
 * what they got.
 *
 *	market-drive zero     says which CLOCK_BOOTTIME is --time-start on the daemon's clock
 *	market-drive run      plays the traffic and reports
 *
 * HOW IT WORKS the requests of traffic.h are laid out beforehand. Threads take the next one each,
 * sleep until its time has come on the daemon's clock, and call fc_get_or_load without a function
 * of their own: it looks into the shared memory, and what is not there the daemon loads from
 * market-origin. Every answer carries its version, and truth.h says which version was the right one
 * at that instant, so stale answers are counted by what is true, not by what the daemon believes.
 * The loads come from the log that market-origin writes. Then the same requests go through caches
 * with a fixed TTL (static.h).
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

#define THREADS    48
#define LATE_US    3000 /* a thread that wakes up later than this lives on a busy machine */
#define MAX_FAILED 0.01 /* of the requests: a machine that stalls for seconds may cost some */

static const char usage[] =
        "usage: market-drive zero --time-start TIME\n"
        "       market-drive run --time-scale N --time-start TIME --time-zero US --origin-log "
        "FILE\n"
        "                        [--from TIME] [--until TIME] [--bell TIME] [--max-stale SHARE] "
        "[--seed N]\n"
        "\n"
        "The daemon is the one of $FORECACHED_DIR. Times are like 2026-11-16T09:15:00-05:00.\n";

struct drive {
	struct when clock;
	struct instant from, until, bell;
	double max_stale;
	uint64_t seed;
	const char *origin_log;
	struct truth *truth;
	struct fc *fc;
	struct answer *answer;
	size_t n;
	atomic_size_t next, done, hits, late;
	pthread_mutex_t lock;
	char error[160]; /* the first thing that went wrong */
	/* what the daemon said of the bell; guarded by lock */
	bool rang;
	uint64_t warm, wanted, left;
};

const char args_program[] = "market-drive";

static void *need(void *p)
{
	if (p == NULL)
		args_die("memory", "none is left");
	return p;
}

/*
 * -- msgpack --------------------------------------------------------------------------------------
 */

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

/*
 * -- One request ----------------------------------------------------------------------------------
 */

static void failed(struct drive *d, const char *key, const char *why)
{
	pthread_mutex_lock(&d->lock);
	if (d->error[0] == '\0')
		snprintf(d->error, sizeof(d->error), "%s: %s", key, why);
	pthread_mutex_unlock(&d->lock);
}

static void ask(struct drive *d, struct answer *a)
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
	struct drive *d = arg;
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

/*
 * -- The daemon's own word ------------------------------------------------------------------------
 */

static int on_notice(void *arg, const char *topic, const void *notice, size_t n)
{
	struct drive *d = arg;
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
	struct drive *d = arg;

	while (atomic_load(&d->done) < d->n)
		fc_monitor(d->fc, "", 0.5, on_notice, d);
	return NULL;
}

/*
 * When was, or will be, --time-start on the daemon's clock? Best of some tries: the quickest
 * answer.
 */
static void zero(struct drive *d)
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

/*
 * -- Report ---------------------------------------------------------------------------------------
 */

/*
 * The loads that market-origin wrote down, those before `from` left out; by kind, too, if wanted.
 */
static void read_origin_log(struct drive *d, struct loads *l, uint64_t *ret_by_kind)
{
	FILE *f = fopen(d->origin_log, "r");
	char line[200];

	if (f == NULL)
		args_die(d->origin_log, strerror(errno));
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

static void say_bell(struct drive *d, const struct loads *fixed)
{
	struct instant from = {d->bell.us - 60 * INT64_C(1000000)},
	               until = {d->bell.us + 120 * INT64_C(1000000)};
	struct loads learned;
	char when[32];

	read_origin_log(d, &learned, NULL);
	printf("%s  ", when_text(d->bell, when));
	pthread_mutex_lock(&d->lock);
	if (d->rang) {
		printf("%" PRIu64 " of %" PRIu64 " wanted keys warm", d->warm, d->wanted);
		if (d->left > 0)
			printf(", %" PRIu64 " left to demand because too volatile", d->left);
		if (d->wanted > d->warm + d->left)
			printf(", %" PRIu64 " not in time", d->wanted - d->warm - d->left);
	} else {
		printf("the daemon has not said how many keys are warm");
	}
	pthread_mutex_unlock(&d->lock);
	printf("; origin peak %.0f loads/s, static TTL %.0f\n", loads_peak(&learned, from, until),
	       loads_peak(fixed, from, until));
	loads_release(&learned);
}

#define HEADS "%-30s %7s %9s %9s %7s %7s %8s\n"
#define CELLS "%-30s %5.1f %% %6.0f ms %6.0f ms %7" PRIu64 " %7s %6.2f %%\n"

static void row(const char *name, const struct figures *f, const struct loads *l,
                const struct drive *d)
{
	char peak[16];

	snprintf(peak, sizeof(peak), "%.1f", loads_peak(l, d->from, d->until));
	printf(CELLS, name, 100 * f->hit_ratio, f->mean_ms, f->p99_ms, l->sum, peak,
	       100 * f->stale);
}

static void by_endpoint(struct drive *d)
{
	struct answer *part = need(malloc(d->n * sizeof(*part)));
	uint64_t by_kind[TRUTH_KINDS] = {0};
	struct loads l;

	read_origin_log(d, &l, by_kind);
	for (int kind = 0; kind < TRUTH_KINDS; kind++) {
		struct figures f;
		char name[40];
		size_t n = 0;

		for (size_t i = 0; i < d->n; i++)
			if ((int)truth_kind_of(d->answer[i].key) == kind)
				part[n++] = d->answer[i];
		f = figures_of(d->truth, part, n);
		snprintf(name, sizeof(name), "  %s", truth_endpoint(kind));
		printf(CELLS, name, 100 * f.hit_ratio, f.mean_ms, f.p99_ms, by_kind[kind], "",
		       100 * f.stale);
	}
	loads_release(&l);
	free(part);
}

/*
 * A version that the origin never had, or had not yet: nothing of that kind may ever be answered.
 */
static size_t impossible(struct drive *d)
{
	size_t wrong = 0;

	for (size_t i = 0; i < d->n; i++) {
		const struct answer *a = &d->answer[i];
		struct instant end = {a->at.us + (int64_t)((double)a->response_ms * 1000) + 1000};

		if (a->how != ANSWER_FAILED &&
		    (a->version > truth_version(d->truth, a->key, end) ||
		     truth_version(d->truth, a->key, (struct instant){a->version}) != a->version))
			wrong++;
	}
	return wrong;
}

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
}

static int run(struct drive *d)
{
	pthread_t thread[THREADS], bell;
	struct answer *same;
	struct loads guess_loads, best_loads, learned_loads;
	struct figures guess, best, learned;
	double best_ttl_s, equal;
	bool said_bell = d->bell.us <= d->from.us || d->bell.us >= d->until.us,
	     terminal = isatty(1) && !getenv("CI");
	char when[32], name[64];
	size_t wrong;

	truth_prepare(d->truth, d->from, instant_add(d->until, SPAN_S(3600)));
	lay_out(d);
	/*
	 * the fixed TTLs first: they cost seconds of this machine, which the live part has better
	 * use for
	 */
	same = need(malloc(d->n * sizeof(*same)));
	memcpy(same, d->answer, d->n * sizeof(*same));
	best_ttl_s = static_best(d->truth, d->max_stale, same, d->n);
	loads_init(&guess_loads, d->from, d->until);
	loads_init(&best_loads, d->from, d->until);
	static_run(d->truth, 60, same, d->n, &guess_loads);
	guess = figures_of(d->truth, same, d->n);
	static_run(d->truth, best_ttl_s, same, d->n, &best_loads);

	printf("%s  the first of %zu requests\n", when_text(d->from, when), d->n);
	fflush(stdout);
	if (pthread_create(&bell, NULL, listen_for_bell, d) != 0)
		args_die("thread", "cannot be started");
	for (size_t i = 0; i < THREADS; i++)
		if (pthread_create(&thread[i], NULL, user, d) != 0)
			args_die("thread", "cannot be started");

	for (size_t seen = 0, seen_hits = 0;;) {
		size_t done, hits;
		struct instant now;

		/* a line every ten minutes of the market's time */
		now = when_now(&d->clock);
		now.us = (now.us / 600000000 + 1) * 600000000;
		if (!said_bell && now.us > d->bell.us + 120 * INT64_C(1000000))
			now.us = d->bell.us + 120 * INT64_C(1000000);
		if (now.us > d->until.us)
			now = d->until;
		while (when_now(&d->clock).us < now.us) {
			if (terminal) {
				printf("\r\033[K%s", when_text(when_now(&d->clock), when));
				fflush(stdout);
			}
			usleep(100000);
		}
		done = atomic_load(&d->done), hits = atomic_load(&d->hits);
		if (terminal)
			printf("\r\033[K");
		if (!said_bell && now.us == d->bell.us + 120 * INT64_C(1000000)) {
			say_bell(d, &best_loads);
			said_bell = true;
		} else {
			printf("%s  %6zu requests, %2.0f %% of them hits\n", when_text(now, when),
			       done - seen,
			       done > seen
			               ? 100.0 * (double)(hits - seen_hits) / (double)(done - seen)
			               : 0.0);
			seen = done, seen_hits = hits;
		}
		fflush(stdout);
		if (now.us >= d->until.us)
			break;
	}
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	pthread_join(bell, NULL);

	learned = figures_of(d->truth, d->answer, d->n);
	read_origin_log(d, &learned_loads, NULL);
	/*
	 * as many stale answers for the fixed TTL as the learned ones had: only then do loads
	 * compare
	 */
	equal = fmax(learned.stale, d->max_stale);
	best_ttl_s = static_best(d->truth, equal, same, d->n);
	loads_release(&best_loads);
	loads_init(&best_loads, d->from, d->until);
	static_run(d->truth, best_ttl_s, same, d->n, &best_loads);
	best = figures_of(d->truth, same, d->n);
	free(same);
	printf("\n" HEADS, "", "hits", "response", "p99", "loads", "peak/s", "stale");
	row("static TTL 60 s, a guess", &guess, &guess_loads, d);
	snprintf(name, sizeof(name), "static TTL %.2g s, hindsight", best_ttl_s);
	row(name, &best, &best_loads, d);
	row("forecached, learned", &learned, &learned_loads, d);
	by_endpoint(d);
	printf("\nStale answers are counted by the origin's true changes; the objective is %g %%.\n"
	       "The TTL of the second row is the longest that has as many, found afterwards on\n"
	       "the same requests. peak/s: loads per second in the busiest %d s. Response times\n"
	       "from forecached contain this machine's own work: 1 ms here counts as %g ms.\n",
	       100 * d->max_stale, LOADS_STEP_S, d->clock.scale);
	wrong = impossible(d);
	if (wrong > 0)
		printf("%zu answers had a version that the origin did not have.\n", wrong);
	if (learned.failed > 0)
		printf("%zu requests failed, the first: %s\n", learned.failed, d->error);
	if ((double)atomic_load(&d->late) > 0.02 * (double)d->n)
		printf("This machine was busy with other things: the response times are its own, "
		       "not forecached's.\n");
	loads_release(&guess_loads);
	loads_release(&best_loads);
	loads_release(&learned_loads);
	return wrong > 0 || (double)learned.failed > MAX_FAILED * (double)d->n ? 1 : 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
	        {"time-scale", required_argument, NULL, 'x'},
	        {"time-start", required_argument, NULL, 't'},
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
	static struct drive d = {.clock = {.scale = 60}, .max_stale = 0.02, .seed = 1};
	struct fc_options fc = {.size = sizeof(fc), .timeout_s = 60};
	const char *what;
	int c, rc;

	pthread_mutex_init(&d.lock, NULL);
	when_parse("2026-11-16T09:15", &d.from);
	when_parse("2026-11-16T10:45", &d.until);
	when_parse("2026-11-16T09:30", &d.bell);
	d.clock.start = d.from;
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		struct instant *t = c == 't'   ? &d.clock.start
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
			d.clock.scale = args_number("--time-scale", optarg, 0.001, 100000);
			break;
		case 'z':
			d.clock.zero_us = (int64_t)args_number("--time-zero", optarg, 0, 1e17);
			break;
		case 'l':
			d.origin_log = optarg;
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
	    (strcmp(what, "run") == 0 && (d.origin_log == NULL || d.clock.zero_us == 0))) {
		fputs(usage, stderr);
		return 2;
	}
	rc = fc_open(&fc, &d.fc);
	if (rc)
		args_die("fc_open", fc_strerror(rc));
	if (strcmp(what, "zero") == 0) {
		zero(&d);
	} else {
		d.truth = truth_new(d.seed);
		rc = run(&d);
		truth_free(&d.truth);
		free(d.answer);
	}
	fc_close(&d.fc);
	return rc;
}
