/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * forecached: a caching daemon that learns.
 *
 * The map of the program, in the order in which things are made:
 *
 *	config, setup	what the operator states, made ready (zones, origins)
 *	rundir		the run directory and its lock: one daemon each
 *	clock, loop	time, and the epoll loop that all of the engine's thread runs in
 *	segment, store	shared memory with the values; an earlier daemon's is taken over
 *	engine		decides; daemon.c carries out
 *	learned		the file of what was learned: read once, then kept up to date
 *	workers		fits, calendars
 *	large		large values on their way into the store
 *	wire		ZeroMQ, in a thread of its own; requests.c, query.c, loaders.c answer
 *	origins		HTTP loads
 *	schedules	recurrence rules
 *	resp		the listener for Redis clients
 *	web		HTTP for operators
 *
 * and taken down in the reverse order, but `large` first, which refers to what others hold. Exit
 * codes: 0; 1 something failed; 2 usage; 75 another daemon serves the directory, try later; 78 the
 * configuration is wrong.
 */
#include <config.h>

#include "daemon/daemon.h"

#include "base/text.h"
#include "daemon/crew.h"
#include "daemon/large.h"
#include "daemon/learned.h"
#include "daemon/loaders.h"
#include "daemon/log.h"
#include "daemon/origins.h"
#include "daemon/resp.h"
#include "daemon/rundir.h"
#include "daemon/schedules.h"
#include "daemon/unmatched.h"
#include "daemon/web.h"

#include <argp.h>
#include <curl/curl.h>
#include <errno.h>
#include <gsl/gsl_errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* What was learned may take so long to be written at the end; systemd's unit gives it half a minute more. */
#define SAVE_S 60

enum { EXIT_USAGE = 2, EXIT_TEMPORARY = 75, EXIT_CONFIG = 78 };

/* A segment's clock that is further ahead than this was another clock: its entries are dropped. */
static const struct span CARRY_ON_MAX = {86400 * 1000000LL};

struct options {
	const char *config, *dir, *state, *log_level, *redis, *http;
	bool check, show, has_seed;
	uint64_t seed;
	double time_scale;
	struct instant time_start;
};

/* -- Options ---------------------------------------------------------------------------------- */

const char *argp_program_version = "forecached " PACKAGE_VERSION;

enum {
	OPT_DIR = 256,
	OPT_STATE,
	OPT_CHECK,
	OPT_SHOW,
	OPT_SCALE,
	OPT_START,
	OPT_LEVEL,
	OPT_SEED,
	OPT_REDIS,
	OPT_HTTP,
	OPT_FOREGROUND
};

static const struct argp_option option_list[] = {
        {"config", 'c', "FILE", 0, "Read FILE; without it the defaults hold", 0},
        {"dir", OPT_DIR, "DIR", 0,
         "Run directory with the sockets; default $FORECACHED_DIR, $XDG_RUNTIME_DIR/forecached or "
         "/run/forecached",
         0},
        {"state", OPT_STATE, "DIR", 0,
         "Directory of what was learned; default $STATE_DIRECTORY or DIR/state", 0},
        {"check-config", OPT_CHECK, NULL, 0,
         "Say whether the configuration is right (exit 0 or 78)", 0},
        {"show-config", OPT_SHOW, NULL, 0,
         "Print every value in force, with its unit and where it came from", 0},
        {"time-scale", OPT_SCALE, "N", 0,
         "Let the daemon's clock run N times as fast (0.001 to 100000)", 0},
        {"time-start", OPT_START, "TIME", 0,
         "Start the daemon's clock at TIME: 2026-11-23T09:30:00Z", 0},
        {"redis", OPT_REDIS, "ADDRESS", 0,
         "Listen for Redis clients there; default 127.0.0.1:6390, a port of 0 is any that is free, "
         "\"off\" is nowhere",
         0},
        {"http", OPT_HTTP, "ADDRESS", 0,
         "Listen for HTTP there; default 127.0.0.1:6391, a port of 0 is any that is free, \"off\" "
         "is nowhere",
         0},
        {"log-level", OPT_LEVEL, "LEVEL", 0, "error, warn, notice, info or debug", 0},
        {"seed", OPT_SEED, "N", 0, "Seed of the engine's chance; default a new one each time", 0},
        {"foreground", OPT_FOREGROUND, NULL, 0, "Stay in the foreground: what it always does", 0},
        {0},
};

static bool parse_utc(const char *text, struct instant *ret)
{
	struct tm tm = {0};
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	time_t t;

	if (!end || (*end && strcmp(end, "Z")))
		return false;
	t = timegm(&tm);
	if (t < 0)
		return false;
	*ret = instant_from_s((double)t);
	return true;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;
	enum log_level level;
	char *end;

	switch (key) {
	case 'c':
		o->config = arg;
		break;
	case OPT_DIR:
		o->dir = arg;
		break;
	case OPT_STATE:
		o->state = arg;
		break;
	case OPT_CHECK:
		o->check = true;
		break;
	case OPT_SHOW:
		o->show = true;
		break;
	case OPT_SCALE:
		o->time_scale = strtod(arg, &end);
		if (*end || !(o->time_scale >= 0.001 && o->time_scale <= 100000))
			argp_error(state, "--time-scale: '%s' is not a number from 0.001 to 100000",
			           arg);
		break;
	case OPT_START:
		if (!parse_utc(arg, &o->time_start))
			argp_error(state,
			           "--time-start: '%s' is not of the form 2026-11-23T09:30:00Z",
			           arg);
		break;
	case OPT_REDIS:
		o->redis = arg;
		break;
	case OPT_HTTP:
		o->http = arg;
		break;
	case OPT_LEVEL:
		if (!log_level_parse(arg, &level))
			argp_error(state,
			           "--log-level: '%s' is none of error, warn, notice, info, debug",
			           arg);
		o->log_level = arg;
		break;
	case OPT_SEED:
		errno = 0;
		o->seed = strtoull(arg, &end, 10);
		o->has_seed = true;
		if (errno || *end || end == arg || *arg == '-')
			argp_error(state, "--seed: '%s' is not a whole number", arg);
		break;
	case OPT_FOREGROUND:
		break;
	case ARGP_KEY_ARG:
		argp_error(state, "'%s' is one word too many", arg);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp argp = {
        .options = option_list,
        .parser = parse_option,
        .doc = "forecached, a caching daemon that learns how long values stay fresh.\v"
               "SIGTERM ends it in order, SIGHUP reads the configuration again. "
               "See forecached(8) and forecached.conf(5).",
};

/* -- Configuration ---------------------------------------------------------------------------- */

static int config_error(const char *file, const struct config_error *e)
{
	fprintf(stderr, "forecached: %s: %s%s%s\n", file ? file : "configuration", e->path,
	        *e->path ? ": " : "", e->why);
	return EXIT_CONFIG;
}

/* What command line and environment say stands above the file. */
static void override(struct config *c, const struct options *o)
{
	const char *state_env = getenv("STATE_DIRECTORY");
	const char *from;
	char *dir, path[4200];

	if (o->dir) {
		config_override(c, &c->dir, o->dir, "--dir");
	} else if (!*c->dir) {
		dir = rundir_default(&from);
		config_override(c, &c->dir, dir, from);
		free(dir);
	}
	if (o->state) {
		config_override(c, &c->state, o->state, "--state");
	} else if (!*c->state) {
		snprintf(path, sizeof(path), "%.4000s/state", c->dir);
		config_override(c, &c->state, state_env && *state_env ? state_env : path,
		                state_env && *state_env ? "$STATE_DIRECTORY" : "default");
	}
	if (o->redis)
		config_override(c, &c->redis, o->redis, "--redis");
	if (o->http)
		config_override(c, &c->http, o->http, "--http");
	if (o->log_level)
		config_override(c, &c->log_level, o->log_level, "--log-level");
}

static int read_setup(const struct options *o, const struct clock *clock, struct setup **ret)
{
	struct config_error err = {.path = ""};
	struct config *c = NULL;

	if (o->config) {
		if (config_load(o->config, &c, &err))
			return config_error(o->config, &err);
	} else {
		c = config_default();
	}
	override(c, o);
	if (config_check_redis(c, &err) || config_check_http(c, &err)) {
		config_free(&c);
		return config_error(o->config, &err);
	}
	if (setup_new(&c, clock_now(clock), ret, &err)) {
		config_free(&c);
		return config_error(o->config, &err);
	}
	if (setup_check(*ret, clock_now(clock), o->check, &err)) {
		setup_free(ret);
		return config_error(o->config, &err);
	}
	return 0;
}

/* What is right, but will not be for long. */
static void warn_on_stderr(const struct setup *s, const struct clock *clock)
{
	char text[400];

	for (size_t i = 0; setup_calendar_warning(
	             s, i, instant_add(clock_now(clock), clock->offset), text, sizeof(text));
	     i++)
		if (*text)
			fprintf(stderr, "forecached: warning: %s\n", text);
}

static void set_log(const struct config *c)
{
	enum log_level level = LOG_INFO;

	log_level_parse(c->log_level, &level);
	log_setup(level, (unsigned)c->log_burst, !strcmp(c->log_keys, "text"));
}

/* -- Making the daemon ------------------------------------------------------------------------ */

static int failed(const char *event, const char *text, int code)
{
	log_line(LOG_ERROR, event, "why=\"%s\"", text);
	return code;
}

static uint64_t random_u64(void)
{
	uint64_t x = 0;

	if (getrandom(&x, sizeof(x), 0) != sizeof(x))
		x = (uint64_t)getpid() * UINT64_C(0x9e3779b97f4a7c15);
	return x | 1;
}

/* The segment of an earlier daemon is taken over if it can be, else a new one is laid out. */
static int make_store(struct daemon *d)
{
	const struct config *c = d->setup->config;
	struct fault err = {.text = ""};
	struct store_found found = {0};
	uint64_t host = segment_host();
	const struct store_crew crew = {crew_run, crew_threads()};
	const char *from = "new";
	struct store_clock clock;
	struct instant before;
	int64_t began_us;
	int rc = 0;

	if (segment_open(c->segment_dir, d->dir, (uint64_t)c->segment_bytes,
	                 (mode_t)strtoul(c->segment_mode, NULL, 8), &d->segment, &err))
		return failed("segment", err.text, 1);
	before = segment_clock(&d->segment, host, clock_boot_us(&d->clock));
	if (instant_is_set(before) && before.us - clock_now(&d->clock).us <= CARRY_ON_MAX.us)
		clock_carry_on(&d->clock, before);
	clock = clock_for_store(&d->clock);
	clock.host = host;
	began_us = clock_monotonic_us();
	if (d->segment.used_before) {
		from = "attached";
		rc = store_attach(d->segment.mem, d->segment.bytes, d->boot_id, clock,
		                  clock_now(&d->clock), &crew, &found, &d->store);
	}
	if (rc == -EPROTO)
		from = "refused"; /* another layout, or a damaged header: laid out anew */
	if (!d->segment.used_before || rc == -EPROTO)
		rc = store_create(d->segment.mem, d->segment.bytes, d->boot_id, clock, &d->store);
	if (rc == -ENOMEM)
		return failed("segment", "out of memory for the store's index: lower segment_bytes",
		              1);
	if (rc)
		return failed("segment",
		              "segment_bytes: the store cannot use a segment of this size",
		              EXIT_CONFIG);
	d->count.restored_entries = found.kept;
	d->count.expired_entries = found.expired;
	d->count.dropped_entries = found.dropped;
	d->restore_s = (double)(clock_monotonic_us() - began_us) * 1e-6;
	log_line(LOG_INFO, "segment",
	         "path=%s bytes=%" PRIu64 " found=%s entries=%" PRIu64 " expired=%" PRIu64
	         " dropped=%" PRIu64 " seconds=%.3f",
	         d->segment.path, d->segment.bytes, from, found.kept, found.expired, found.dropped,
	         d->restore_s);
	return 0;
}

static int make_engine(struct daemon *d, const struct options *o)
{
	struct fault err = {.text = ""};

	if (rundir_make(d->state_dir, !strcmp(d->setup->config->segment_mode, "0640"), &err))
		return failed("state_directory", err.text, 1);
	d->setup->engine.seed = o->has_seed ? o->seed : random_u64();
	log_line(LOG_INFO, "engine", "seed=%" PRIu64 " time_scale=%.15g time=%.6f",
	         d->setup->engine.seed, d->clock.scale, instant_s(clock_now(&d->clock)));
	d->engine = engine_new(&d->setup->engine, d->store, clock_now(&d->clock));
	d->learned = learned_new(d);
	engine_adopt(d->engine, clock_now(&d->clock));
	return 0;
}

static void on_signal(void *arg, int signo)
{
	struct daemon *d = arg;

	if (signo == SIGHUP)
		daemon_reload(d);
	else
		daemon_drain(d);
}

static int make_listeners(struct daemon *d)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP, 0};
	const struct config *c = d->setup->config;
	struct fault err = {.text = ""};
	struct fault redis = {.text = ""};
	struct fault http = {.text = ""};
	int rc;

	d->workers = workers_new(d->loop, (size_t)c->workers);
	if (!d->workers)
		return failed("workers", "no thread can be started", 1);
	d->large = large_new(d, (size_t)c->workers);
	if (!d->large)
		return failed("workers", "no thread can be started", 1);
	rc = wire_new(c, d->dir, &d->wire, &err);
	if (rc)
		return failed("wire", err.text, rc == -EADDRINUSE ? EXIT_TEMPORARY : 1);
	d->origins = origins_new(d);
	d->loaders = loaders_new(d);
	d->schedules = schedules_new(d);
	d->unmatched = unmatched_new(d);
	origins_configure(d->origins);
	rc = loop_signals(d->loop, signals, on_signal, d);
	rc = rc ? rc : daemon_start(d);
	if (rc)
		return failed("loop", strerror(-rc), 1);
	rc = resp_new(d, &d->resp, &redis);
	if (rc)
		return failed("redis", redis.text, rc == -EADDRINUSE ? EXIT_TEMPORARY : 1);
	rc = web_new(d, &d->web, &http);
	if (rc)
		return failed("http", http.text, rc == -EADDRINUSE ? EXIT_TEMPORARY : 1);
	return 0;
}

/* Type=notify of systemd: a datagram to $NOTIFY_SOCKET. */
static void notify(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	size_t n = path ? strlen(path) : 0;
	int fd;

	if (!n || n >= sizeof(sa.sun_path))
		return;
	memcpy(sa.sun_path, path, n);
	if (*path == '@')
		sa.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&sa,
	           (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0)
		log_line(LOG_DEBUG, "notify", "why=\"%s\"", strerror(errno));
	close(fd);
}

static void take_down(struct daemon *d)
{
	if (d->learned && d->wire)
		learned_save(d->learned, SAVE_S);
	large_free(&d->large);
	web_free(&d->web);
	resp_free(&d->resp);
	unmatched_free(&d->unmatched);
	schedules_free(&d->schedules);
	loaders_free(&d->loaders);
	origins_free(&d->origins);
	wire_free(&d->wire);
	unpacker_release(&d->unpack.unpacker);
	workers_free(&d->workers);
	learned_free(&d->learned);
	if (d->loop)
		daemon_stop(d);
	engine_free(&d->engine);
	store_release(&d->store);
	segment_close(&d->segment);
	loop_free(&d->loop);
	clock_teardown(&d->clock);
	setup_free(&d->setup);
	free(d->dir);
	free(d->state_dir);
	free(d->config_file);
}

static int serve(struct daemon *d, const struct options *o)
{
	const struct config *c = d->setup->config;
	bool group = !strcmp(c->segment_mode, "0640");
	struct fault err = {.text = ""};
	int rc, lock;

	d->dir = text_copy(c->dir);
	d->state_dir = text_copy(c->state);
	d->config_file = text_copy(o->config);
	d->boot_id = random_u64();
	d->started = clock_now(&d->clock);
	umask(group ? 0007 : 0077);
	lock = rundir_lock(d->dir, group, &err);
	if (lock < 0)
		return failed("run_directory", err.text, lock == -EBUSY ? EXIT_TEMPORARY : 1);
	d->loop = loop_new(&d->clock);
	if (!d->loop)
		return failed("loop", strerror(errno), 1);
	rc = make_store(d);
	rc = rc ? rc : make_engine(d, o);
	rc = rc ? rc : make_listeners(d);
	if (!rc) {
		log_line(LOG_INFO, "ready", "pid=%ld dir=%s", (long)getpid(), d->dir);
		notify("READY=1");
		rc = loop_run(d->loop) ? 1 : 0;
		daemon_give_up(d);
		notify("STOPPING=1");
	} else {
		segment_undo(&d->segment, d->dir);
	}
	take_down(d);
	log_line(LOG_INFO, "stopped", "status=%d", rc);
	close(lock);
	return rc;
}

static void prepare_process(void)
{
	static const int blocked[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE};
	struct rlimit files;
	sigset_t set;

	/* before any thread: they inherit the mask, and GSL's handler is one for the process */
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(blocked) / sizeof(*blocked); i++)
		sigaddset(&set, blocked[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	gsl_set_error_handler_off();
	curl_global_init(CURL_GLOBAL_DEFAULT);
	/* libzmq spins when it is out of descriptors: take what we may have */
	if (!getrlimit(RLIMIT_NOFILE, &files) && files.rlim_cur < files.rlim_max) {
		if (files.rlim_cur < 65536)
			files.rlim_cur = files.rlim_max < 65536 ? files.rlim_max : 65536;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

int main(int argc, char **argv)
{
	struct options o = {.time_scale = 1, .time_start = INSTANT_NONE};
	struct daemon d = {0};
	int rc;

	argp_err_exit_status = EXIT_USAGE;
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	prepare_process();
	rc = clock_setup(&d.clock, o.time_scale, o.time_start);
	if (rc) {
		fprintf(stderr, "forecached: CLOCK_BOOTTIME cannot be read: %s\n", strerror(-rc));
		return 1;
	}
	rc = read_setup(&o, &d.clock, &d.setup);
	if (!rc && (o.check || o.show)) {
		warn_on_stderr(d.setup, &d.clock);
		if (o.show)
			config_show(d.setup->config, stdout);
		else
			printf("forecached: %s: ok\n", o.config ? o.config : "the defaults");
		setup_free(&d.setup);
	} else if (!rc) {
		set_log(d.setup->config);
		rc = serve(&d, &o);
		if (d.setup)
			take_down(&d);
	}
	clock_teardown(&d.clock);
	curl_global_cleanup();
	return rc;
}
