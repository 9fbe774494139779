/* SPDX-License-Identifier: MIT */
#include "base/near.h"

#include <stdbool.h>

#define MAX_NAME 64 /* longer ones are not looked at */

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Letters to change, put in or leave out, and neighbours to swap (Damerau's distance, of the simple kind). */
static size_t distance(struct bytes wrong, const char *name)
{
	size_t rows[3][MAX_NAME], n_name = strlen(name);
	const char *w = wrong.p;

	if (wrong.n >= MAX_NAME || n_name >= MAX_NAME)
		return MAX_NAME;
	for (size_t j = 0; j <= n_name; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= wrong.n; i++) {
		size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];

		row[0] = i;
		for (size_t j = 1; j <= n_name; j++) {
			row[j] = above[j - 1] + (w[i - 1] != name[j - 1]);
			row[j] = least(row[j], least(above[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && w[i - 1] == name[j - 2] && w[i - 2] == name[j - 1])
				row[j] = least(row[j], above2[j - 2] + 1);
		}
	}
	return rows[wrong.n % 3][n_name];
}

struct near near_to(struct bytes wrong)
{
	return (struct near){.wrong = wrong, .slips = (wrong.n + 2) / 3 + 1};
}

/* "ttl" for "ttl_s": an ending that is left out is one slip, however long. */
static bool is_begun(struct bytes wrong, const char *name)
{
	size_t n = strlen(name);

	return wrong.n > 1 && wrong.n < n && n < MAX_NAME && !memcmp(wrong.p, name, wrong.n);
}

void near_offer(struct near *n, const char *name)
{
	size_t slips = distance(n->wrong, name);

	if (slips < n->slips) {
		n->slips = slips;
		n->by_letters = name;
	}
	if (is_begun(n->wrong, name) && !(n->begun && !strcmp(n->begun, name))) {
		n->begun = name;
		n->beginnings++;
	}
	n->name = n->beginnings == 1 ? n->begun : n->by_letters;
}
