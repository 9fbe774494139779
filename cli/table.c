/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli/table.h"

#include "base/bug.h"
#include "cli/term.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define CELL_MAX 2048 /* characters beyond it are cut: keys are at most 1 KiB by default */

/* Narrower than this, cutting a name tells nothing any more. */
#define NARROWEST 12

/* Where nothing is cut, longer names do not push the columns of all others aside. */
#define ALIGNED_MAX 72

int table_text_width(const char *s)
{
	int n = 0;

	for (; *s; s++) {
		const unsigned char *u = (const unsigned char *)s;
		/* U+0300 .. U+036F, the combining marks that names really have */
		bool mark = (u[0] == 0xcc && u[1] >= 0x80) || (u[0] == 0xcd && u[1] < 0xb0);

		n += (u[0] & 0xc0) != 0x80 && !mark;
	}
	return n;
}

void table_column(struct table *t, const char *head, enum table_align align)
{
	BUG_ON(t->n_columns == TABLE_COLUMNS_MAX || t->cell.n);
	t->column[t->n_columns].head = head;
	t->column[t->n_columns].align = align;
	t->column[t->n_columns++].width = table_text_width(head);
}

void table_cell(struct table *t, const char *fmt, ...)
{
	size_t col = t->cell.n % t->n_columns;
	char text[CELL_MAX], *cell;
	va_list ap;
	int width;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	cell = text_printable(bytes_str(text)); /* a key must not steer the terminal */
	width = table_text_width(cell);
	if (width > t->column[col].width)
		t->column[col].width = width;
	*vec_push(&t->cell) = cell;
}

/* Cuts the widest left-aligned columns until the table fits into `width` characters, or cannot. */
static void fit(struct table *t, int width)
{
	int total = 0;

	for (size_t c = 0; c < t->n_columns; c++)
		total += t->column[c].width + (c > 0 ? 2 : 0);
	while (total > width) {
		size_t widest = t->n_columns;

		for (size_t c = 0; c < t->n_columns; c++)
			if (t->column[c].align == TABLE_LEFT && t->column[c].width > NARROWEST &&
			    (widest == t->n_columns ||
			     t->column[c].width > t->column[widest].width))
				widest = c;
		if (widest == t->n_columns)
			return;
		t->column[widest].width--;
		total--;
	}
}

static void print_cell(const struct table *t, size_t c, const char *text, FILE *f)
{
	int width = t->column[c].width, have = table_text_width(text), pad = width - have;
	bool last = c + 1 == t->n_columns;

	if (t->column[c].align == TABLE_RIGHT)
		fprintf(f, "%*s", pad > 0 ? pad : 0, "");
	if (have > width && t->cut) {
		const char *end = text;

		/* all but the last place, which the ellipsis takes */
		for (int n = 0; *end; end++)
			if ((*end & 0xc0) != 0x80 && n++ == width - 1)
				break;
		fprintf(f, "%.*s%s", (int)(end - text), text, term_has_utf8() ? "\u2026" : "~");
	} else {
		fputs(text, f);
	}
	if (t->column[c].align == TABLE_LEFT && !last)
		fprintf(f, "%*s", pad > 0 ? pad : 0, "");
	fputs(last ? "\n" : "  ", f);
}

void table_print(struct table *t, FILE *f)
{
	t->cut = f == stdout && term_has_width();
	if (t->cut)
		fit(t, term_width());
	for (size_t c = 0; !t->cut && c < t->n_columns; c++)
		if (t->column[c].width > ALIGNED_MAX)
			t->column[c].width = ALIGNED_MAX;
	fputs(term_on(TERM_BOLD), f);
	for (size_t c = 0; c < t->n_columns; c++)
		print_cell(t, c, t->column[c].head, f);
	fputs(term_off(TERM_BOLD), f);
	for (size_t i = 0; i < t->cell.n; i++)
		print_cell(t, i % t->n_columns, t->cell.v[i], f);
}

void table_release(struct table *t)
{
	for (size_t i = 0; i < t->cell.n; i++)
		free(t->cell.v[i]);
	vec_free(&t->cell);
	*t = (struct table){0};
}
