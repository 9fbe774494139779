/* SPDX-License-Identifier: MIT */
#include "proto/notice.h"

#include <math.h>

#define FIELD(type, member) {#member, ROW_##type, offsetof(struct row_notice, member)},
static const struct row_field fields[] = {ROW_NOTICE_TABLE(FIELD)};
const struct row_table row_notice = {fields, sizeof(fields) / sizeof(fields[0]),
                                     sizeof(struct row_notice)};

size_t notice_topic(const struct row_notice *n, char *buf)
{
	size_t what = n->what.n < 64 ? n->what.n : 64, room = NOTICE_TOPIC_BYTES - what - 1;
	size_t endpoint = n->endpoint.n < room ? n->endpoint.n : room;

	if (what)
		memcpy(buf, n->what.p, what);
	buf[what] = ':';
	if (endpoint)
		memcpy(buf + what + 1, n->endpoint.p, endpoint);
	return what + 1 + endpoint;
}

/* Is there nothing to tell? seq, time_s and what are told always. */
static bool is_empty(size_t i, const struct row_notice *n)
{
	const char *p = (const char *)n + fields[i].offset;

	if (i < 3)
		return false;
	switch (fields[i].type) {
	case ROW_KEY:
	case ROW_TEXT:
		return ((const struct bytes *)p)->n == 0;
	case ROW_UINT:
		return *(const uint64_t *)p == 0;
	case ROW_NUM:
		return !isfinite(*(const double *)p) || *(const double *)p == 0;
	default:
		return false;
	}
}

void notice_write(struct pack *w, const struct row_notice *n)
{
	uint32_t told = 0;
	size_t i;

	for (i = 0; i < row_notice.n; i++)
		told += !is_empty(i, n);
	pack_map(w, told);
	for (i = 0; i < row_notice.n; i++)
		if (!is_empty(i, n))
			row_write_field(w, &fields[i], n);
}
