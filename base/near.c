/* SPDX-License-Identifier: MIT */
#include "base/near.h"

#include <stdbool.h>

#define MAX_NAME 64 /* longer ones are not looked at */

/* Letters to change, put in or leave out (Levenshtein). */
static size_t distance(struct bytes wrong, const char *name)
{
	const char *a = wrong.p;
	size_t nb = strlen(name), row[MAX_NAME];

	if (wrong.n >= MAX_NAME || nb >= MAX_NAME)
		return MAX_NAME;
	for (size_t j = 0; j <= nb; j++)
		row[j] = j;
	for (size_t i = 1; i <= wrong.n; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= nb; j++) {
			size_t above = row[j], best = diagonal + (a[i - 1] != name[j - 1]);

			best = above + 1 < best ? above + 1 : best;
			best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
			row[j] = best;
			diagonal = above;
		}
	}
	return row[nb];
}

struct near near_to(struct bytes wrong)
{
	return (struct near){.wrong = wrong, .best = wrong.n < MAX_NAME ? wrong.n / 2 + 1 : 0};
}

/* "ttl" for "ttl_s": an ending that is left out is one slip, however long. */
static bool is_begun(struct bytes wrong, const char *name)
{
	return wrong.n > 1 && wrong.n < strlen(name) && !memcmp(wrong.p, name, wrong.n);
}

void near_offer(struct near *n, const char *name)
{
	size_t d = is_begun(n->wrong, name) ? 1 : distance(n->wrong, name);

	if (d < n->best) {
		n->best = d;
		n->name = name;
	}
}
