/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/record_json.h"

#include "base/mem.h"

#include <cjson/cJSON.h>

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT         "learned state"
#define FORMAT_VERSION 1

/* -- Writing ---------------------------------------------------------------------------------- */

struct text {
	char *p;
	size_t n, space;
};

static void put(struct text *t, const char *s, size_t n)
{
	if (t->n + n + 1 > t->space) {
		t->space = (t->n + n + 1) * 2;
		t->p = mem_realloc(t->p, t->space, 1);
	}
	memcpy(t->p + t->n, s, n);
	t->n += n;
	t->p[t->n] = '\0';
}

static void put_str(struct text *t, const char *s)
{
	put(t, s, strlen(s));
}

static void put_quoted(struct text *t, struct bytes b)
{
	const unsigned char *s = b.p;
	size_t i, from = 0;
	char escape[8];

	put_str(t, "\"");
	for (i = 0; i < b.n; i++) {
		if (s[i] >= ' ' && s[i] != '"' && s[i] != '\\')
			continue;
		put(t, (const char *)s + from, i - from);
		snprintf(escape, sizeof escape, s[i] < ' ' ? "\\u%04x" : "\\%c", s[i]);
		put_str(t, escape);
		from = i + 1;
	}
	if (b.n)
		put(t, (const char *)s + from, b.n - from);
	put_str(t, "\"");
}

/* UTF-8 without NUL, surrogates, or more bytes than needed: what a JSON string can hold. */
static bool is_text(struct bytes b)
{
	const unsigned char *s = b.p;
	size_t i = 0;

	while (i < b.n) {
		unsigned char c = s[i];
		size_t n = c < 0x80                ? 1
		           : c >= 0xc2 && c < 0xe0 ? 2
		           : c >= 0xe0 && c < 0xf0 ? 3
		           : c >= 0xf0 && c < 0xf5 ? 4
		                                   : 0;
		size_t k;

		if (!c || !n || n > b.n - i)
			return false;
		for (k = 1; k < n; k++)
			if ((s[i + k] & 0xc0) != 0x80)
				return false;
		if ((c == 0xe0 && s[i + 1] < 0xa0) || (c == 0xed && s[i + 1] >= 0xa0) ||
		    (c == 0xf0 && s[i + 1] < 0x90) || (c == 0xf4 && s[i + 1] >= 0x90))
			return false;
		i += n;
	}
	return true;
}

static void put_name(struct text *t, const char *member, struct bytes b)
{
	static const char digit[] = "0123456789abcdef";
	const unsigned char *s = b.p;
	size_t i;

	put_str(t, ",\"");
	put_str(t, member);
	if (is_text(b)) {
		put_str(t, "\":");
		put_quoted(t, b);
		return;
	}
	put_str(t, "_hex\":\"");
	for (i = 0; i < b.n; i++) {
		char pair[2] = {digit[s[i] >> 4], digit[s[i] & 15]};

		put(t, pair, 2);
	}
	put_str(t, "\"");
}

/*
 * Most numbers are whole, or an instant in whole microseconds: a million times such a one is whole, and
 * that divided by a million is rounded as the text is when it is read. False: it is none.
 */
static bool put_micros(struct text *t, double v)
{
	char s[32], *end = s + sizeof s, *p = end;
	long long micros;
	unsigned long long n;
	int digits = 0;

	if (!(fabs(v) < 9e9) || (v == 0 && signbit(v)))
		return false;
	micros = llround(v * 1e6);
	if ((double)micros / 1e6 != v)
		return false;
	n = micros < 0 ? -(unsigned long long)micros : (unsigned long long)micros;
	for (; digits < 6 && n % 10 == 0; digits++)
		n /= 10;
	for (; digits < 6; digits++, n /= 10)
		*--p = (char)('0' + n % 10);
	if (p != end)
		*--p = '.';
	do {
		*--p = (char)('0' + n % 10);
	} while (n /= 10);
	if (micros < 0)
		*--p = '-';
	put(t, p, (size_t)(end - p));
	return true;
}

static void put_number(struct text *t, double v)
{
	char number[32];

	if (put_micros(t, v))
		return;
	/* the shorter form where it is exact */
	snprintf(number, sizeof number, "%.15g", v);
	if (strtod(number, NULL) != v)
		snprintf(number, sizeof number, "%.17g", v);
	put_str(t, number);
}

static bool put_fields(struct text *t, const struct record *r)
{
	size_t i, k, values = 0;

	if (r->n_fields > RECORD_MAX_FIELDS)
		return false;
	put_str(t, "{");
	for (i = 0; i < r->n_fields; i++) {
		const struct record_field *f = &r->field[i];

		values += f->n;
		if (values > RECORD_MAX_VALUES)
			return false;
		if (i)
			put_str(t, ",");
		put_quoted(t, bytes_str(f->name));
		put_str(t, ":[");
		for (k = 0; k < f->n; k++) {
			if (!isfinite(f->v[k]))
				return false;
			if (k)
				put_str(t, ",");
			put_number(t, f->v[k]);
		}
		put_str(t, "]");
	}
	put_str(t, "}");
	return t->n <= RECORD_MAX_BYTES;
}

char *record_fields_text(const struct record *r)
{
	struct text t = {0};

	if (!put_fields(&t, r)) {
		free(t.p);
		return NULL;
	}
	return t.p;
}

int record_export_begin(FILE *f)
{
	errno = 0;
	if (fprintf(f, "{\"forecached\":\"" FORMAT "\",\"version\":%d}\n", FORMAT_VERSION) < 0)
		return errno ? -errno : -EIO;
	return 0;
}

int record_export(FILE *f, const struct record *r)
{
	struct text t = {0};
	int err = 0;

	put_str(&t, "{\"kind\":");
	put_quoted(&t, bytes_str(r->kind));
	if (r->endpoint.n)
		put_name(&t, "endpoint", r->endpoint);
	put_name(&t, "name", r->name);
	put_str(&t, ",\"fields\":");
	if (!is_text(bytes_str(r->kind)) || !put_fields(&t, r) || t.n + 2 > RECORD_MAX_BYTES)
		err = -EINVAL;
	errno = 0;
	if (!err) {
		put_str(&t, "}\n");
		if (fwrite(t.p, 1, t.n, f) != t.n)
			err = errno ? -errno : -EIO;
	}
	free(t.p);
	return err;
}

/* -- Reading ---------------------------------------------------------------------------------- */

/* Memory of one record: its numbers first (they need alignment), then its texts. */
static int fields_take(const cJSON *object, struct record *ret, void **ret_memory,
                       const char **ret_why)
{
	const cJSON *f, *v;
	size_t values = 0, chars = 1, fields = 0;
	double *number;
	char *text;

	if (!cJSON_IsObject(object)) {
		*ret_why = "fields: is not an object";
		return -EINVAL;
	}
	cJSON_ArrayForEach(f, object)
	{
		if (++fields > RECORD_MAX_FIELDS) {
			*ret_why = "fields: more than 24";
			return -EINVAL;
		}
		if (!cJSON_IsArray(f)) {
			*ret_why = "fields: one is not a list of numbers";
			return -EINVAL;
		}
		cJSON_ArrayForEach(v, f)
		{
			if (!cJSON_IsNumber(v) || !isfinite(v->valuedouble)) {
				*ret_why = "fields: one holds what is not a finite number";
				return -EINVAL;
			}
			if (++values > RECORD_MAX_VALUES) {
				*ret_why = "fields: more than 8192 numbers";
				return -EINVAL;
			}
		}
		chars += strlen(f->string) + 1;
	}
	number = mem_calloc(1, values * sizeof *number + chars);
	*ret_memory = number;
	text = (char *)(number + values);
	ret->n_fields = 0;
	cJSON_ArrayForEach(f, object)
	{
		struct record_field *to = &ret->field[ret->n_fields++];
		size_t n = strlen(f->string) + 1;

		memcpy(text, f->string, n);
		*to = (struct record_field){.name = text, .v = number};
		text += n;
		cJSON_ArrayForEach(v, f)
		{
			*number++ = v->valuedouble;
			to->n++;
		}
	}
	return 0;
}

/* cJSON takes text behind the end; we do not. */
static cJSON *parse(const char *text, size_t n)
{
	const char *end = NULL;
	cJSON *j = cJSON_ParseWithLengthOpts(text, n, &end, 0);

	while (j && end < text + n && (*end == ' ' || *end == '\n' || *end == '\r' || *end == '\t'))
		end++;
	if (j && end != text + n) {
		cJSON_Delete(j);
		j = NULL;
	}
	return j;
}

int record_fields_parse(const char *text, size_t n, struct record *ret, void **ret_memory,
                        const char **ret_why)
{
	cJSON *j;
	int err;

	if (n > RECORD_MAX_BYTES) {
		*ret_why = "fields: too long";
		return -EINVAL;
	}
	j = parse(text, n);
	if (!j) {
		*ret_why = "fields: is not JSON";
		return -EINVAL;
	}
	err = fields_take(j, ret, ret_memory, ret_why);
	cJSON_Delete(j);
	return err;
}

static int nibble(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
	                              : -1;
}

/* A name, as text or as hex, which is undone in place. False when it is there and wrong. */
static bool name_take(cJSON *object, const char *member, const char *member_hex, struct bytes *ret)
{
	cJSON *v = cJSON_GetObjectItemCaseSensitive(object, member);
	size_t i, n;

	if (v) {
		*ret = bytes_str(v->valuestring);
		return cJSON_IsString(v);
	}
	*ret = bytes_of(NULL, 0);
	v = cJSON_GetObjectItemCaseSensitive(object, member_hex);
	if (!v)
		return true;
	if (!cJSON_IsString(v) || (n = strlen(v->valuestring)) % 2)
		return false;
	for (i = 0; i < n; i += 2) {
		int high = nibble(v->valuestring[i]), low = nibble(v->valuestring[i + 1]);

		if (high < 0 || low < 0)
			return false;
		v->valuestring[i / 2] = (char)(high << 4 | low);
	}
	*ret = bytes_of(v->valuestring, n / 2);
	return true;
}

static int first_line(const cJSON *j, struct fault *e)
{
	const cJSON *format = cJSON_GetObjectItemCaseSensitive(j, "forecached");
	const cJSON *version = cJSON_GetObjectItemCaseSensitive(j, "version");

	if (!cJSON_IsString(format) || strcmp(format->valuestring, FORMAT) != 0 ||
	    !cJSON_IsNumber(version))
		return fault_set(e, -EINVAL, "line 1: it is not an export of forecached");
	if (version->valuedouble != FORMAT_VERSION)
		return fault_set(e, -EINVAL,
		                 "line 1: version: %g, and this program reads version %d",
		                 version->valuedouble, FORMAT_VERSION);
	return 0;
}

static int record_line(cJSON *j, size_t line, record_take_fn *fn, void *arg, struct fault *e)
{
	const cJSON *kind = cJSON_GetObjectItemCaseSensitive(j, "kind");
	struct record r = {0};
	void *memory = NULL;
	const char *why = "refused";
	int err;

	if (!cJSON_IsString(kind) || !*kind->valuestring)
		return fault_set(e, -EINVAL, "line %zu: kind: missing or not a text", line);
	r.kind = kind->valuestring;
	if (!name_take(j, "endpoint", "endpoint_hex", &r.endpoint))
		return fault_set(e, -EINVAL,
		                 "line %zu: endpoint: not a text, or endpoint_hex not hexadecimal",
		                 line);
	if (!name_take(j, "name", "name_hex", &r.name))
		return fault_set(e, -EINVAL,
		                 "line %zu: name: not a text, or name_hex not hexadecimal", line);
	err = fields_take(cJSON_GetObjectItemCaseSensitive(j, "fields"), &r, &memory, &why);
	if (!err)
		err = fn(arg, &r, &why);
	free(memory);
	return err ? fault_set(e, -EINVAL, "line %zu: %s", line, why) : 0;
}

int record_import(FILE *f, record_take_fn *fn, void *arg, size_t *ret_n, struct fault *reterr)
{
	char *line = mem_calloc(1, RECORD_MAX_BYTES + 2);
	size_t number = 0;
	int err = 0;

	*ret_n = 0;
	while (!err && fgets(line, RECORD_MAX_BYTES + 2, f)) {
		size_t n = strlen(line); /* a NUL ends the line early, and so does not parse */
		cJSON *j;

		number++;
		if (n > RECORD_MAX_BYTES) {
			err = fault_set(reterr, -EINVAL, "line %zu: longer than %u bytes", number,
			                RECORD_MAX_BYTES);
			break;
		}
		if (number > 1 && strspn(line, " \t\r\n") == n)
			continue;
		j = parse(line, n);
		if (!cJSON_IsObject(j))
			err = fault_set(reterr, -EINVAL, "line %zu: %s", number,
			                number == 1 ? "it is not an export of forecached"
			                            : "not a JSON object, or cut short");
		else if (number == 1)
			err = first_line(j, reterr);
		else
			err = record_line(j, number, fn, arg, reterr);
		cJSON_Delete(j);
		if (!err && number > 1)
			(*ret_n)++;
	}
	if (!err && ferror(f)) {
		fault_set(reterr, -EINVAL, "line %zu: %s", number + 1, strerror(errno));
		err = errno ? -errno : -EIO;
	} else if (!err && number == 0) {
		err = fault_set(reterr, -EINVAL, "line 1: it is empty");
	}
	free(line);
	return err;
}
