/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/config_value.h"

#include "base/near.h"
#include "base/text.h"
#include "daemon/config_source.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_MAX_LIST 10000 /* cJSON looks keys up in lists */

int config_fail(struct config_error *e, const char *path, const char *fmt, ...)
{
	va_list ap;

	snprintf(e->path, sizeof(e->path), "%s", path);
	va_start(ap, fmt);
	vsnprintf(e->why, sizeof(e->why), fmt, ap);
	va_end(ap);
	return -EINVAL;
}

/* -- Numbers as people write them ------------------------------------------------------------- */

struct unit {
	const char *suffix; /* NULL: no more of them */
	double factor;
};

/* "1.5h" with the unit "h". */
static bool with_unit(const char *text, const struct unit *u, double *ret)
{
	char *end;
	double v;

	/* strtod also takes "inf", "nan", exponents and hexadecimal, none of which anybody means
	 * here */
	v = strtod(text, &end);
	if (end == text || end != text + strspn(text, "0123456789.") || !isfinite(v))
		return false;
	while (*end == ' ')
		end++;
	for (; u->suffix; u++)
		if (!strcmp(end, u->suffix)) {
			*ret = v * u->factor;
			return isfinite(*ret);
		}
	return false;
}

bool config_duration(const char *text, double *ret_s)
{
	static const struct unit units[] = {{"", 1},      {"s", 1},      {"ms", 1e-3},
	                                    {"m", 60},    {"min", 60},   {"h", 3600},
	                                    {"d", 86400}, {"w", 604800}, {NULL, 0}};

	return with_unit(text, units, ret_s);
}

static bool config_size(const char *text, double *ret_bytes)
{
	static const struct unit units[] = {{"", 1},         {"B", 1},        {"KiB", 0x1p10},
	                                    {"MiB", 0x1p20}, {"GiB", 0x1p30}, {"kB", 1e3},
	                                    {"MB", 1e6},     {"GB", 1e9},     {NULL, 0}};

	return with_unit(text, units, ret_bytes);
}

/* -- Values ----------------------------------------------------------------------------------- */

const char *config_kind_of(const cJSON *v)
{
	return cJSON_IsObject(v)   ? "an object"
	       : cJSON_IsArray(v)  ? "a list"
	       : cJSON_IsString(v) ? "a text"
	       : cJSON_IsBool(v)   ? "true or false"
	       : cJSON_IsNull(v)   ? "null"
	                           : "a number";
}

void config_set_text(char **field, const char *value)
{
	free(*field);
	*field = text_copy(value);
}

int config_read_text(struct config_reader *p, const cJSON *v, const char *path, char **ret)
{
	if (!cJSON_IsString(v))
		return config_fail(p->err, path, "must be a text in quotes, is %s",
		                   config_kind_of(v));
	for (const char *s = v->valuestring; *s; s++)
		if ((unsigned char)*s < 0x20)
			return config_fail(p->err, path, "must not contain control characters");
	config_set_text(ret, v->valuestring);
	config_source_note(p->c, path, p->file);
	return 0;
}

int config_read_bool(struct config_reader *p, const cJSON *v, const char *path, bool *ret)
{
	if (!cJSON_IsBool(v))
		return config_fail(p->err, path, "must be true or false, is %s", config_kind_of(v));
	*ret = cJSON_IsTrue(v);
	config_source_note(p->c, path, p->file);
	return 0;
}

int config_read_number(struct config_reader *p, const cJSON *v, const char *path,
                       const struct option *o, void *of)
{
	char lo[64], hi[64];
	double d = NAN;
	bool text = cJSON_IsString(v);

	if (cJSON_IsNumber(v))
		d = v->valuedouble;
	else if (text && !strcmp(o->unit, "s") && !config_duration(v->valuestring, &d))
		return config_fail(p->err, path,
		                   "is not a length of time: write seconds, or \"30s\", \"5m\", "
		                   "\"24h\", \"7d\"");
	else if (text && !strcmp(o->unit, "bytes") && !config_size(v->valuestring, &d))
		return config_fail(
		        p->err, path,
		        "is not a size: write bytes, or \"64KiB\", \"256MiB\", \"1GiB\"");
	else if (!text || isnan(d))
		return config_fail(p->err, path, "must be a number (%s), is %s", o->unit,
		                   config_kind_of(v));
	if (!(d >= o->lo && d <= o->hi)) {
		option_format(o, o->lo, lo, sizeof(lo));
		option_format(o, o->hi, hi, sizeof(hi));
		return config_fail(p->err, path,
		                   "%.15g is out of range: must be from %s to %s, in %s: %s", d, lo,
		                   hi, o->unit, o->help);
	}
	option_set(o, of, d);
	config_source_note(p->c, path, p->file);
	return 0;
}

/* -- Keys ------------------------------------------------------------------------------------- */

int config_unknown_key(struct config_reader *p, const char *path, const char *key,
                       const char *const *names, const struct option_table *const *tables,
                       bool texts)
{
	struct near near = near_to(bytes_str(key));

	for (; *names; names++)
		near_offer(&near, *names);
	for (; *tables; tables++)
		for (size_t i = 0; i < (*tables)->n; i++)
			near_offer(&near, (*tables)->row[i].name);
	for (size_t i = 0; texts && i < option_n_text; i++)
		near_offer(&near, option_text[i].name);
	if (near.name)
		return config_fail(p->err, path, "unknown key: did you mean \"%s\"?", near.name);
	return config_fail(p->err, path,
	                   "unknown key: remove it; forecached.conf(5) lists all keys");
}

int config_read_object(struct config_reader *p, const cJSON *v, const char *path)
{
	char sub[256];

	if (!cJSON_IsObject(v))
		return config_fail(p->err, path, "must be an object { ... }, is %s",
		                   config_kind_of(v));
	if (cJSON_GetArraySize(v) > CONFIG_MAX_LIST)
		return config_fail(p->err, path, "has more than %d keys", CONFIG_MAX_LIST);
	for (const cJSON *a = v->child; a; a = a->next)
		for (const cJSON *b = a->next; b; b = b->next)
			if (!strcmp(a->string, b->string)) {
				config_path_join(sub, sizeof(sub), path, a->string);
				return config_fail(p->err, sub, "is given twice: keep one of them");
			}
	return 0;
}

int config_read_list(struct config_reader *p, const cJSON *v, const char *path)
{
	if (!cJSON_IsArray(v))
		return config_fail(p->err, path, "must be a list [ ... ], is %s",
		                   config_kind_of(v));
	if (cJSON_GetArraySize(v) > CONFIG_MAX_LIST)
		return config_fail(p->err, path, "has more than %d entries", CONFIG_MAX_LIST);
	return 0;
}

int config_read_texts(struct config_reader *p, const cJSON *v, const char *path,
                      struct config_texts *ret)
{
	int rc = config_read_list(p, v, path);
	size_t i = 0;

	for (const cJSON *e = rc ? NULL : v->child; e && !rc; e = e->next) {
		char sub[256];
		char **t = vec_push(ret);

		*t = NULL;
		snprintf(sub, sizeof(sub), "%.200s[%zu]", path, i++);
		rc = config_read_text(p, e, sub, t);
	}
	return rc;
}

int config_read_name(struct config_reader *p, const cJSON *v, const char *path,
                     const char *const name[], const char *wrong)
{
	for (int i = 0; cJSON_IsString(v) && name[i]; i++)
		if (!strcmp(v->valuestring, name[i])) {
			config_source_note(p->c, path, p->file);
			return i;
		}
	return config_fail(p->err, path, "%s", wrong);
}
