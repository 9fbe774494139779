/* SPDX-License-Identifier: GPL-3.0-or-later */
/* get, set, del, changed, ttl: single keys. */
#include "cli/cli.h"

#include "base/vec.h"
#include "cli/ask.h"
#include "cli/human.h"
#include "cli/json.h"
#include "cli/options.h"
#include "cli/term.h"
#include "base/text.h"
#include "proto/row.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What a person would type in a set; larger ones are the daemon's to judge. */
#define READ_CHUNK 65536

#define VERSION_MAX 9007199254740992.0 /* 2^53: what a number on the command line says exactly */

static struct option_row endpoint_row(const char **into)
{
	return (struct option_row){
	        "endpoint",  'e',
	        OPTION_TEXT, into,
	        0,           0,
	        "TEMPLATE",  "the endpoint of the key (else: by rule, or mined from the key)"};
}

static cJSON *got_json(const char *key, const struct got *g)
{
	cJSON *o = cJSON_CreateObject();
	char *text;

	text = text_json(bytes_str(key));
	cJSON_AddStringToObject(o, "key", text);
	free(text);
	text = text_json(g->endpoint);
	cJSON_AddStringToObject(o, "endpoint", text);
	free(text);
	cJSON_AddStringToObject(o, "outcome", event_outcome_name(g->outcome));
	cJSON_AddItemToObject(o, "age_s", json_number(g->age_s));
	cJSON_AddItemToObject(o, "ttl_s", json_number(g->ttl_s));
	if (g->found) {
		bool utf8 = text_is_utf8(g->value);

		text = utf8 ? mem_dup(g->value.p, g->value.n) : text_base64(g->value);
		cJSON_AddStringToObject(o, utf8 ? "value" : "value_base64", text);
		free(text);
	}
	if (g->lease) {
		char digits[32];

		snprintf(digits, sizeof(digits), "%" PRIu64, g->lease);
		cJSON_AddStringToObject(o, "lease", digits);
	}
	return o;
}

static void say_got(const struct got *g)
{
	char age[HUMAN_MAX], ttl[HUMAN_MAX];

	if (!g->found)
		cli_say("%s", event_outcome_name(g->outcome));
	else if (g->ttl_s < 0)
		cli_say("%s: %s old, no longer fresh since %s", event_outcome_name(g->outcome),
		        human_span(age, g->age_s), human_span(ttl, -g->ttl_s));
	else
		cli_say("%s: %s old, fresh for another %s", event_outcome_name(g->outcome),
		        human_span(age, g->age_s), human_span(ttl, g->ttl_s));
}

int cmd_get(int argc, char **argv)
{
	static const struct usage usage = {
	        .synopsis = "KEY",
	        .brief = "Prints the value of a key, byte for byte. A miss is loaded if there is "
	                 "an origin or a loader for it; else the exit status is 3.",
	        .examples = "forecache get /quotes/IBM\n"
	                    "forecache get /quotes/IBM --peek --info     # only what is cached, "
	                    "and how old it is\n",
	        .min_args = 1,
	        .max_args = 1,
	};
	const char *endpoint = NULL;
	bool peek = false, info = false;
	const struct option_row rows[] = {
	        endpoint_row(&endpoint),
	        {"peek", 0, OPTION_FLAG, &peek, 0, 0, NULL,
	         "only what is in the cache; load nothing"},
	        {"info", 'i', OPTION_FLAG, &info, 0, 0, NULL,
	         "say on stderr how old it is and how long it is fresh"},
	};
	int status = options_parse(&usage, rows, sizeof(rows) / sizeof(rows[0]), &argc, &argv);
	struct proto_limits limits = proto_limits_default();
	struct proto_error err;
	struct request r;
	struct answer a;
	struct got g;

	if (status >= 0)
		return status;
	request_init(&r);
	r.op = OP_GET;
	r.key = bytes_str(argv[0]);
	r.endpoint = bytes_str(endpoint);
	r.get.mode = peek ? MODE_PEEK : MODE_LOAD;
	status = ask(&r, &a);
	request_release(&r);
	if (status)
		return status;
	limits.max_value_bytes = BYTES_MAX_VALUE;
	if (got_read(&g, a.reply.result, &limits, &err)) {
		status = cli_error("get: the answer cannot be read: %s", err.text);
		goto out;
	}
	status = g.found ? CLI_OK : CLI_NOT_FOUND;
	if (cli.json) {
		json_print(got_json(argv[0], &g));
		goto out;
	}
	if (info)
		say_got(&g);
	if (g.found) {
		fwrite(g.value.p, 1, g.value.n, stdout);
		if (term_is_tty())
			putchar('\n');
	} else if (!info) {
		cli_say("no value for \"%s\"%s", argv[0],
		        peek ? " is cached"
		             : ": its origin has none, or no origin or loader is said to load it "
		               "(`endpoints` in forecached.conf)");
	}
out:
	answer_release(&a);
	return status;
}

/* All of stdin. The caller frees; NULL after a complaint. */
static char *read_stdin(size_t *ret_n)
{
	VEC(char) in = {0};
	size_t n;

	do {
		vec_reserve(&in, in.n + READ_CHUNK);
		n = fread(in.v + in.n, 1, READ_CHUNK, stdin);
		in.n += n;
	} while (n > 0 && in.n <= (1u << 29));
	if (ferror(stdin) || in.n > (1u << 29)) {
		cli_say("set: stdin: %s", ferror(stdin) ? strerror(errno) : "more than 512 MiB");
		free(in.v);
		return NULL;
	}
	*ret_n = in.n;
	return in.v;
}

/*
 * A request whose result is {"count": n}, of which nothing need be said. CLI_NOT_FOUND when n is 0.
 */
static int ask_count(const struct request *r)
{
	cJSON *result;
	double count;
	int status = ask_json(r, &result);

	if (status)
		return status;
	count = json_num(result, "count");
	if (count == 0) {
		char *name = text_printable(r->key);

		cli_say("%s %s: there is no such key", op_name(r->op), name);
		free(name);
	}
	if (cli.json)
		json_print(result);
	else
		cJSON_Delete(result);
	return count == 0 ? CLI_NOT_FOUND : CLI_OK;
}

int cmd_set(int argc, char **argv)
{
	static const struct usage usage = {
	        .synopsis = "KEY VALUE|-",
	        .brief = "Puts a value into the cache. VALUE - reads it from stdin.",
	        .examples = "forecache set /quotes/IBM '{\"bid\": 170.1}'\n"
	                    "curl -s https://api.example/q/IBM | forecache set /quotes/IBM - "
	                    "--endpoint '/quotes/<symbol>'\n",
	        .min_args = 2,
	        .max_args = 2,
	        .may_be_empty = 2,
	};
	const char *endpoint = NULL;
	double ttl_s = 0, load_s = 0, version = 0;
	const struct option_row rows[] = {
	        endpoint_row(&endpoint),
	        {"ttl", 't', OPTION_SPAN, &ttl_s, 0.001, 31536000, "TIME",
	         "your own TTL; what it means is the endpoint's `ttl` setting: obey, learn or "
	         "advise"},
	        {"load-time", 0, OPTION_SPAN, &load_s, 0, 86400, "TIME",
	         "what producing the value took"},
	        {"version", 0, OPTION_COUNT, &version, 1, VERSION_MAX, "N",
	         "version of the content (else its hash)"},
	};
	int status = options_parse(&usage, rows, sizeof(rows) / sizeof(rows[0]), &argc, &argv);
	struct request r;
	char *in = NULL;
	size_t n = 0;

	if (status >= 0)
		return status;
	if (!strcmp(argv[1], "-")) {
		in = read_stdin(&n);
		if (!in)
			return CLI_ERROR;
	}
	request_init(&r);
	r.op = OP_SET;
	r.key = bytes_str(argv[0]);
	r.endpoint = bytes_str(endpoint);
	r.set.value = in ? bytes_of(in, n) : bytes_str(argv[1]);
	r.set.ttl = span_from_s(ttl_s);
	r.set.load = span_from_s(load_s);
	r.set.version = (uint64_t)version;
	r.set.read = INSTANT_NONE;
	status = ask_count(&r);
	request_release(&r);
	free(in);
	return status;
}

/* The same request for each key; the worst status counts. */
static int for_each_key(struct request *r, int n, char **key)
{
	int worst = CLI_OK;

	for (int i = 0; i < n; i++) {
		int status;

		r->key = bytes_str(key[i]);
		status = ask_count(r);
		if (status == CLI_UNREACHABLE)
			return status;
		if (status && worst != CLI_ERROR)
			worst = status;
	}
	return worst;
}

int cmd_del(int argc, char **argv)
{
	static const struct usage usage = {
	        .synopsis = "KEY...",
	        .brief = "Takes values out of the cache. Exit status 3 when one was not there.",
	        .examples = "forecache del /quotes/IBM\n"
	                    "forecache del /quotes/IBM /quotes/SAP\n",
	        .details = "What was learned of the keys stays. `purge` takes out whole endpoints.",
	        .min_args = 1,
	        .max_args = -1,
	};
	int status = options_parse(&usage, NULL, 0, &argc, &argv);
	struct request r;

	if (status >= 0)
		return status;
	request_init(&r);
	r.op = OP_DELETE;
	status = for_each_key(&r, argc, argv);
	request_release(&r);
	return status;
}

int cmd_changed(int argc, char **argv)
{
	static const struct usage usage = {
	        .synopsis = "KEY...",
	        .brief = "Says that the origin's value has changed: a change event, the most "
	                 "exact evidence there is. The old value is not served as fresh any more.",
	        .examples = "forecache changed /quotes/IBM\n"
	                    "forecache changed /articles/17 --version 42\n",
	        .min_args = 1,
	        .max_args = -1,
	};
	const char *endpoint = NULL;
	double version = 0;
	const struct option_row rows[] = {
	        endpoint_row(&endpoint),
	        {"version", 0, OPTION_COUNT, &version, 1, VERSION_MAX, "N",
	         "the new version (else: an unknown one)"},
	};
	int status = options_parse(&usage, rows, sizeof(rows) / sizeof(rows[0]), &argc, &argv);
	struct request r;

	if (status >= 0)
		return status;
	request_init(&r);
	r.op = OP_CHANGED;
	r.endpoint = bytes_str(endpoint);
	r.changed.version = (uint64_t)version;
	status = for_each_key(&r, argc, argv);
	request_release(&r);
	return status;
}

int cmd_ttl(int argc, char **argv)
{
	static const struct usage usage = {
	        .synopsis = "KEY",
	        .brief = "Prints the TTL that is advised for a key, in seconds. The key need not "
	                 "be cached.",
	        .examples = "forecache ttl /quotes/IBM\n"
	                    "redis-cli expire quotes:IBM \"$(forecache ttl /quotes/IBM | cut -d. "
	                    "-f1)\"\n",
	        .min_args = 1,
	        .max_args = 1,
	};
	const char *endpoint = NULL;
	const struct option_row rows[] = {endpoint_row(&endpoint)};
	int status = options_parse(&usage, rows, 1, &argc, &argv);
	struct request r;
	cJSON *result;

	if (status >= 0)
		return status;
	request_init(&r);
	r.op = OP_TTL;
	r.key = bytes_str(argv[0]);
	r.endpoint = bytes_str(endpoint);
	status = ask_json(&r, &result);
	request_release(&r);
	if (status)
		return status;
	if (cli.json)
		return json_print(result);
	printf("%.6g\n", json_num(result, "ttl_s"));
	cJSON_Delete(result);
	return CLI_OK;
}
