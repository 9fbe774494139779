/* SPDX-License-Identifier: GPL-3.0-or-later */
/* export, import: what a daemon has learned, as a file that seeds another one. */
#include "cli/cli.h"

#include "base/mem.h"
#include "cli/ask.h"
#include "cli/json.h"
#include "cli/options.h"
#include "daemon/record_json.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Records per question: the daemon's limits are 1000 by default, and some records are long. */
#define PAGE 200

/* -- Export ------------------------------------------------------------------------------------ */

/*
 * {kind, name, endpoint?, fields: {name: [numbers]}}; texts are copied into `kept`, to be freed
 * each.
 */
struct kept {
	VEC(void *) memory;
};

static char *keep_text(struct kept *k, struct bytes b)
{
	char *copy = mem_dup(b.p, b.n);

	*vec_push(&k->memory) = copy;
	return copy;
}

static void forget(struct kept *k)
{
	for (size_t i = 0; i < k->memory.n; i++)
		free(k->memory.v[i]);
	vec_free(&k->memory);
}

static int read_numbers(struct kept *k, const struct msgpack_object *v, struct record_field *ret,
                        struct proto_error *err)
{
	struct cursor c;
	double *number;
	int rc = value_array(v, "fields", 0, RECORD_MAX_VALUES, &c, err);

	if (rc)
		return rc;
	number = mem_calloc(c.left + 1, sizeof(*number));
	*vec_push(&k->memory) = number;
	ret->v = number;
	ret->n = c.left;
	while (c.left > 0 && !rc)
		rc = value_num(cursor_next(&c), "fields", -HUGE_VAL, HUGE_VAL, number++, err);
	return rc;
}

static int read_record(struct kept *k, const struct msgpack_object *v, struct record *ret,
                       struct proto_error *err)
{
	const struct msgpack_object *numbers, *endpoint;
	struct bytes kind;
	struct map m, fields;
	int rc = value_map(v, "record", &m, err);

	*ret = (struct record){0};
	rc = rc ? rc : value_bytes(map_find(&m, "kind"), "record.kind", 1, 64, &kind, err);
	rc = rc ? rc : value_bytes(map_find(&m, "name"), "record.name", 0, 65536, &ret->name, err);
	endpoint = rc ? NULL : map_find(&m, "endpoint");
	if (endpoint && !value_is_nil(endpoint))
		rc = value_bytes(endpoint, "record.endpoint", 0, 65536, &ret->endpoint, err);
	rc = rc ? rc : value_map(map_find(&m, "fields"), "record.fields", &fields, err);
	if (rc)
		return rc;
	if (fields.n > RECORD_MAX_FIELDS)
		return proto_fail(err, -EBADMSG, "record.fields: more than %d", RECORD_MAX_FIELDS);
	ret->kind = keep_text(k, kind);
	for (size_t i = 0; i < fields.n && !rc; i++) {
		ret->field[i].name = keep_text(k, map_at(&fields, i, &numbers));
		rc = read_numbers(k, numbers, &ret->field[i], err);
		ret->n_fields++;
	}
	return rc;
}

/* One page into the file. *ret_n: records in it, *ret_total: in all. */
static int export_page(FILE *f, uint64_t offset, size_t *ret_n, uint64_t *ret_total)
{
	struct proto_error err;
	struct record record;
	struct kept kept = {0};
	struct request r;
	struct answer a;
	struct cursor c;
	struct map m;
	int status, rc;

	request_init(&r);
	r.op = OP_EXPORT;
	r.list.offset = offset;
	r.list.max = PAGE;
	status = ask(&r, &a);
	request_release(&r);
	if (status)
		return status;
	rc = value_map(a.reply.result, "export", &m, &err);
	rc = rc ? rc : value_uint(map_find(&m, "total"), "total", UINT64_MAX, ret_total, &err);
	rc = rc ? rc : value_array(map_find(&m, "records"), "records", 0, PAGE, &c, &err);
	*ret_n = rc ? 0 : c.left;
	while (!rc && !status && c.left > 0) {
		rc = read_record(&kept, cursor_next(&c), &record, &err);
		if (!rc && (errno = -record_export(f, &record)))
			status = cli_error("export: a record cannot be written: %s",
			                   strerror(errno));
		forget(&kept);
	}
	if (rc)
		status = cli_error("export: the answer cannot be read: %s", err.text);
	answer_release(&a);
	return status;
}

int cmd_export(int argc, char **argv)
{
	static const struct usage usage = {
	        .synopsis = "[FILE]",
	        .brief = "Writes what was learned, one JSON object a line, to FILE or stdout. No "
	                 "values of the cache are in it.",
	        .examples = "forecache export learned.jsonl\n"
	                    "forecache export | ssh other-host forecache import -\n",
	        .max_args = 1,
	};
	int status = options_parse(&usage, NULL, 0, &argc, &argv);
	bool to_file = argc == 1 && strcmp(argv[0], "-");
	uint64_t offset = 0, total = 0;
	FILE *f = stdout;
	size_t n;

	if (status >= 0)
		return status;
	/*
	 * the first question comes before the file, so that an unreachable daemon leaves an old
	 * file alone
	 */
	status = ask_address("requests", (char[ASK_ADDRESS_MAX]){""});
	if (status)
		return status;
	if (to_file && !(f = fopen(argv[0], "we")))
		return cli_error("%s: %s", argv[0], strerror(errno));
	errno = -record_export_begin(f);
	if (errno)
		status = cli_error("export: %s", strerror(errno));
	do {
		n = 0;
		if (!status)
			status = export_page(f, offset, &n, &total);
		offset += n;
	} while (!status && n > 0 && offset < total);
	if (to_file && fclose(f) && !status)
		status = cli_error("%s: %s", argv[0], strerror(errno));
	if (!status)
		cli_say("exported %" PRIu64 " records", offset);
	return status;
}

/* -- Import ------------------------------------------------------------------------------------ */

struct import {
	struct request request;
	struct kept kept; /* what its records point into */
	int status;
	size_t sent;
};

/* What has been gathered goes to the daemon. */
static void send_page(struct import *im)
{
	cJSON *result;

	if (im->status == CLI_OK && im->request.record.n > 0) {
		im->status = ask_json(&im->request, &result);
		if (im->status == CLI_OK) {
			im->sent += im->request.record.n;
			cJSON_Delete(result);
		}
	}
	im->request.record.n = 0;
	forget(&im->kept);
}

static struct bytes keep_bytes(struct kept *k, struct bytes b)
{
	return bytes_of(keep_text(k, b), b.n);
}

static int take(void *arg, const struct record *r, const char **ret_why)
{
	struct import *im = arg;
	struct record_row *row = vec_push(&im->request.record);

	*row = (struct record_row){
	        .kind = keep_bytes(&im->kept, bytes_str(r->kind)),
	        .name = keep_bytes(&im->kept, r->name),
	        .endpoint = keep_bytes(&im->kept, r->endpoint),
	        .n_fields = r->n_fields,
	};
	for (size_t i = 0; i < r->n_fields; i++) {
		row->field[i].name = keep_bytes(&im->kept, bytes_str(r->field[i].name));
		row->field[i].v = (double *)keep_text(
		        &im->kept, bytes_of(r->field[i].v, r->field[i].n * sizeof(double)));
		row->field[i].n = r->field[i].n;
	}
	if (im->request.record.n == PAGE)
		send_page(im);
	*ret_why = "the daemon did not take it";
	return im->status ? -EINVAL : 0;
}

int cmd_import(int argc, char **argv)
{
	static const struct usage usage = {
	        .synopsis = "[FILE]",
	        .brief = "Hands what another daemon learned (`forecache export`), or what a "
	                 "simulation learned from a log (`forecache simulate --learned-out`), to "
	                 "this one. FILE - or none: stdin.",
	        .examples = "forecache import learned.jsonl\n"
	                    "forecache simulate --requests access.log.gz --learned-out seed.jsonl "
	                    "&& forecache import seed.jsonl\n",
	        .details = "Records replace those of the same kind and name; all others stay.",
	        .max_args = 1,
	};
	int status = options_parse(&usage, NULL, 0, &argc, &argv);
	bool from_file = argc == 1 && strcmp(argv[0], "-");
	struct import im = {.status = CLI_OK};
	struct fault err;
	FILE *f = stdin;
	size_t n = 0;
	int rc;

	if (status >= 0)
		return status;
	if (from_file && !(f = fopen(argv[0], "re")))
		return cli_error("%s: %s", argv[0], strerror(errno));
	request_init(&im.request);
	im.request.op = OP_IMPORT;
	rc = record_import(f, take, &im, &n, &err);
	if (!rc)
		send_page(&im);
	else if (!im.status)
		im.status = cli_error("%s: %s", from_file ? argv[0] : "stdin", err.text);
	if (from_file)
		fclose(f);
	forget(&im.kept);
	request_release(&im.request);
	if (im.sent > 0)
		cli_say("imported %zu records", im.sent);
	if (cli.json)
		printf("{\"count\":%zu}\n", im.sent);
	return im.status;
}
