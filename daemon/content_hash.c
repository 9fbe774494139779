/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/content_hash.h"

#include "base/hash.h"
#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * Seeds that keep kinds of values apart: "1" is not 1, [] is not {}. Part of the format: never to
 * change.
 */
enum {
	SEED_BYTES = 1,
	SEED_STRING,
	SEED_NUMBER,
	SEED_WORD,
	SEED_ARRAY,
	SEED_OBJECT,
	SEED_MEMBER,
	SEED_IGNORED
};

/* -- Ignored pointers ------------------------------------------------------------------------- */

struct pointer {
	size_t n;
	char *token[CONTENT_MAX_DEPTH];
};

struct content_ignore {
	size_t n;
	struct pointer pointer[];
};

/* Undoes ~1 and ~0 in place. */
static bool unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (*s == '~' && s[1] != '0' && s[1] != '1')
			return false;
		*to++ = *s != '~' ? *s : *++s == '1' ? '/' : '~';
	}
	*to = '\0';
	return true;
}

int content_ignore_new(const char *const *pointer, size_t n, struct content_ignore **ret,
                       const char **ret_why)
{
	struct content_ignore *ig;
	size_t i;

	*ret_why = NULL;
	if (n == 0) {
		*ret = NULL;
		return 0;
	}
	if (n > CONTENT_MAX_IGNORE) {
		*ret_why = "more than 32 pointers";
		return -EINVAL;
	}
	ig = mem_calloc(1, sizeof *ig + n * sizeof *ig->pointer);
	ig->n = n;
	for (i = 0; i < n && !*ret_why; i++) {
		struct pointer *p = &ig->pointer[i];
		const char *s = pointer[i];

		if (*s != '/')
			*ret_why = "a JSON pointer begins with '/'";
		while (*s == '/' && !*ret_why) {
			size_t len = strcspn(s + 1, "/");

			if (p->n == CONTENT_MAX_DEPTH) {
				*ret_why = "a JSON pointer with more than 64 tokens";
				break;
			}
			p->token[p->n] = mem_dup(s + 1, len);
			if (!unescape(p->token[p->n++]))
				*ret_why =
				        "in a JSON pointer, '~' is written ~0 and '/' in a name ~1";
			s += 1 + len;
		}
	}
	if (*ret_why) {
		content_ignore_free(&ig);
		return -EINVAL;
	}
	*ret = ig;
	return 0;
}

void content_ignore_free(struct content_ignore **i)
{
	size_t k, t;

	if (!*i)
		return;
	for (k = 0; k < (*i)->n; k++)
		for (t = 0; t < (*i)->pointer[k].n; t++)
			free((*i)->pointer[k].token[t]);
	free(*i);
	*i = NULL;
}

/* -- Reading JSON ----------------------------------------------------------------------------- */

struct json {
	const char *p, *end;
	const struct content_ignore *ignore;
	char *scratch; /* of an escaped string; as long as the body, made when first needed */
	size_t n_body;
	struct content_parts *parts; /* to be filled; NULL: nobody asks for them */
	char place[CONTENT_PLACE_MAX];
};

static uint64_t hash_pair(uint64_t a, uint64_t b, uint64_t seed)
{
	uint64_t v[2] = {a, b};

	return hash_bytes(bytes_of(v, sizeof v), seed);
}

static void skip_space(struct json *j)
{
	while (j->p < j->end && (*j->p == ' ' || *j->p == '\n' || *j->p == '\r' || *j->p == '\t'))
		j->p++;
}

static bool eat(struct json *j, char c)
{
	if (j->p == j->end || *j->p != c)
		return false;
	j->p++;
	return true;
}

static bool hex4(struct json *j, uint32_t *ret)
{
	int i;

	*ret = 0;
	if (j->end - j->p < 4)
		return false;
	for (i = 0; i < 4; i++) {
		char c = *j->p++;

		*ret <<= 4;
		if (c >= '0' && c <= '9')
			*ret |= (uint32_t)(c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			*ret |= (uint32_t)((c | 0x20) - 'a' + 10);
		else
			return false;
	}
	return true;
}

static size_t put_utf8(char *to, uint32_t c)
{
	if (c < 0x80) {
		to[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		to[0] = (char)(0xc0 | c >> 6);
		to[1] = (char)(0x80 | (c & 63));
		return 2;
	}
	if (c < 0x10000) {
		to[0] = (char)(0xe0 | c >> 12);
		to[1] = (char)(0x80 | (c >> 6 & 63));
		to[2] = (char)(0x80 | (c & 63));
		return 3;
	}
	to[0] = (char)(0xf0 | c >> 18);
	to[1] = (char)(0x80 | (c >> 12 & 63));
	to[2] = (char)(0x80 | (c >> 6 & 63));
	to[3] = (char)(0x80 | (c & 63));
	return 4;
}

/*
 * j stands behind a backslash; the character goes to `to`. What it becomes is never longer than its
 * escape.
 */
static bool read_escape(struct json *j, char *to, size_t *n)
{
	static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
	const char *at;
	uint32_t c, low;

	if (j->p == j->end)
		return false;
	if (*j->p != 'u') {
		at = *j->p ? strchr(from, *j->p) : NULL;
		if (!at)
			return false;
		j->p++;
		to[(*n)++] = into[at - from];
		return true;
	}
	j->p++;
	if (!hex4(j, &c))
		return false;
	if (c >= 0xd800 && c < 0xdc00 && j->end - j->p >= 6 && j->p[0] == '\\' && j->p[1] == 'u') {
		const char *back = j->p;

		j->p += 2;
		if (!hex4(j, &low))
			return false;
		if (low >= 0xdc00 && low < 0xe000)
			c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
		else
			j->p = back; /* half a pair: stands for itself */
	}
	*n += put_utf8(to + *n, c);
	return true;
}

/* A string; the view is of the body, or of scratch until the next string. */
static bool read_string(struct json *j, struct bytes *ret)
{
	const char *begin;
	size_t n = 0;

	if (!eat(j, '"'))
		return false;
	begin = j->p;
	while (j->p < j->end && *j->p != '"' && *j->p != '\\' && (unsigned char)*j->p >= ' ')
		j->p++;
	if (j->p < j->end && *j->p == '"') {
		*ret = bytes_of(begin, (size_t)(j->p++ - begin));
		return true;
	}
	if (j->p == j->end || *j->p != '\\')
		return false;
	if (!j->scratch) {
		j->scratch = malloc(j->n_body);
		if (!j->scratch)
			return false;
	}
	n = (size_t)(j->p - begin);
	memcpy(j->scratch, begin, n);
	while (j->p < j->end) {
		char c = *j->p++;

		if (c == '"') {
			*ret = bytes_of(j->scratch, n);
			return true;
		}
		if ((unsigned char)c < ' ')
			return false;
		if (c != '\\')
			j->scratch[n++] = c;
		else if (!read_escape(j, j->scratch, &n))
			return false;
	}
	return false;
}

static bool digits(struct json *j)
{
	const char *begin = j->p;

	while (j->p < j->end && *j->p >= '0' && *j->p <= '9')
		j->p++;
	return j->p > begin;
}

static bool read_number(struct json *j, uint64_t *ret)
{
	const char *begin = j->p;

	eat(j, '-');
	if (!eat(j, '0') && !digits(j))
		return false;
	if (eat(j, '.') && !digits(j))
		return false;
	if (eat(j, 'e') || eat(j, 'E')) {
		if (!eat(j, '+'))
			eat(j, '-');
		if (!digits(j))
			return false;
	}
	*ret = hash_bytes(bytes_of(begin, (size_t)(j->p - begin)), SEED_NUMBER);
	return true;
}

static bool read_word(struct json *j, const char *word, uint64_t *ret)
{
	size_t n = strlen(word);

	if ((size_t)(j->end - j->p) < n || memcmp(j->p, word, n) != 0)
		return false;
	j->p += n;
	*ret = hash_bytes(bytes_of(word, n), SEED_WORD);
	return true;
}

/*
 * `live` has a bit for each pointer whose first `depth` tokens led here. Returns those that also
 * have this token; *ret_end when one of them ends with it, which means: leave it out.
 */
static uint32_t follow(const struct json *j, uint32_t live, int depth, struct bytes token,
                       bool *ret_end)
{
	uint32_t next = 0, bits;

	*ret_end = false;
	for (bits = live; bits; bits &= bits - 1) {
		int i = __builtin_ctz(bits);
		const struct pointer *p = &j->ignore->pointer[i];
		const char *t;

		if ((size_t)depth >= p->n)
			continue;
		t = p->token[depth];
		if (strcmp(t, "*") != 0 && !bytes_equal(bytes_str(t), token))
			continue;
		next |= 1u << i;
		if (p->n == (size_t)depth + 1)
			*ret_end = true;
	}
	return next;
}

static bool read_value(struct json *j, int depth, uint32_t live, uint64_t *ret);

/* Members of objects so deep are parts of their own. */
static const int PARTS_DEPTH = 2;

/*
 * Adds the member's name to the pointer so far, which is n bytes long. Returns the new length; 0
 * when it does not fit.
 */
static size_t enter(struct json *j, size_t n, struct bytes name)
{
	const char *p = name.p;

	if (n + 1 + 2 * name.n >= sizeof(j->place) || memchr(p, '\0', name.n))
		return 0;
	j->place[n++] = '/';
	for (size_t i = 0; i < name.n; i++) {
		if (p[i] == '~' || p[i] == '/') {
			j->place[n++] = '~';
			j->place[n++] = p[i] == '~' ? '0' : '1';
		} else {
			j->place[n++] = p[i];
		}
	}
	j->place[n] = '\0';
	return n;
}

static void note_part(struct content_parts *c, const char *place, size_t n, uint64_t member)
{
	if (!n || c->n == CONTENT_MAX_PARTS) {
		c->rest += hash_u64(member); /* in any order */
		return;
	}
	memcpy(c->name[c->n], place, n + 1);
	c->part[c->n++] = (struct content_part){hash_bytes(bytes_of(place, n), 0), member};
}

static bool read_object(struct json *j, int depth, uint32_t live, uint64_t *ret)
{
	/* a sum and an xor of well-mixed members do not hang on their order */
	uint64_t v[3] = {0, 0, 0}, value, member, name_hash;
	struct content_parts *parts = j->parts;
	size_t outer = parts ? strlen(j->place) : 0, inner = 0;
	struct bytes name;
	bool ignored;

	j->p++;
	skip_space(j);
	if (eat(j, '}'))
		goto done;
	do {
		uint32_t next;
		bool split;

		skip_space(j);
		if (!read_string(j, &name))
			return false;
		name_hash = hash_bytes(name, SEED_STRING);
		next = live ? follow(j, live, depth, name, &ignored) : (ignored = false, 0);
		if (parts)
			inner = enter(j, outer, name); /* before its view may go */
		skip_space(j);
		if (!eat(j, ':'))
			return false;
		skip_space(j);
		split = parts && !ignored && inner && depth + 1 < PARTS_DEPTH && j->p < j->end &&
		        *j->p == '{';
		j->parts = split ? parts : NULL;
		if (!read_value(j, depth + 1, next, &value))
			return false;
		j->parts = parts;
		if (!ignored) {
			member = hash_pair(name_hash, value, SEED_MEMBER);
			v[0] += member;
			v[1] ^= hash_u64(member);
			v[2]++;
			if (parts && !split)
				note_part(parts, j->place, inner, member);
		}
		if (parts)
			j->place[outer] = '\0';
		skip_space(j);
	} while (eat(j, ','));
	if (!eat(j, '}'))
		return false;
done:
	*ret = hash_bytes(bytes_of(v, sizeof v), SEED_OBJECT);
	return true;
}

static bool read_array(struct json *j, int depth, uint32_t live, uint64_t *ret)
{
	uint64_t sum = 0, value;
	size_t index = 0;
	bool ignored = false;

	j->p++;
	skip_space(j);
	if (eat(j, ']'))
		goto done;
	do {
		uint32_t next = 0;

		if (live) {
			char text[24];
			size_t n = sizeof text, i = index;

			do
				text[--n] = (char)('0' + i % 10);
			while (i /= 10);
			next = follow(j, live, depth, bytes_of(text + n, sizeof text - n),
			              &ignored);
		}
		if (!read_value(j, depth + 1, next, &value))
			return false;
		/* its place is kept: what follows does not move up */
		sum = hash_pair(sum, ignored ? SEED_IGNORED : value, SEED_ARRAY);
		index++;
		skip_space(j);
	} while (eat(j, ','));
	if (!eat(j, ']'))
		return false;
done:
	*ret = hash_pair(sum, index, SEED_ARRAY);
	return true;
}

static bool read_value(struct json *j, int depth, uint32_t live, uint64_t *ret)
{
	struct bytes s;

	skip_space(j);
	if (j->p == j->end || depth > CONTENT_MAX_DEPTH)
		return false;
	switch (*j->p) {
	case '{':
		return read_object(j, depth, live, ret);
	case '[':
		return read_array(j, depth, live, ret);
	case '"':
		if (!read_string(j, &s))
			return false;
		*ret = hash_bytes(s, SEED_STRING);
		return true;
	case 't':
		return read_word(j, "true", ret);
	case 'f':
		return read_word(j, "false", ret);
	case 'n':
		return read_word(j, "null", ret);
	default:
		return read_number(j, ret);
	}
}

/* -- Versions --------------------------------------------------------------------------------- */

uint64_t content_hash_bytes(struct bytes body)
{
	uint64_t h = hash_bytes(body, SEED_BYTES);

	return h ? h : 1; /* 0 means "unknown" */
}

static uint64_t hash_json(struct bytes body, const struct content_ignore *ignore,
                          struct content_parts *parts)
{
	struct json j = {.p = body.p, .ignore = ignore, .n_body = body.n};
	uint32_t all = !ignore ? 0 : ignore->n == 32 ? UINT32_MAX : (1u << ignore->n) - 1;
	uint64_t h;
	bool ok;

	if (body.n == 0)
		return content_hash_bytes(body);
	j.end = j.p + body.n;
	skip_space(&j);
	if (j.p < j.end && *j.p == '{')
		j.parts = parts;
	ok = read_value(&j, 0, all, &h);
	skip_space(&j);
	ok = ok && j.p == j.end;
	free(j.scratch);
	if (!ok && parts)
		parts->n = parts->rest = 0;
	if (!ok)
		return content_hash_bytes(body);
	return h ? h : 1;
}

uint64_t content_hash_json(struct bytes body, const struct content_ignore *ignore)
{
	return hash_json(body, ignore, NULL);
}

uint64_t content_hash_parts(struct bytes body, const struct content_ignore *ignore,
                            struct content_parts *ret)
{
	ret->n = 0;
	ret->rest = 0;
	return hash_json(body, ignore, ret);
}
