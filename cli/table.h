/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A table of text with aligned columns. On a terminal that is too narrow, and where $COLUMNS says so,
 * the widest left-aligned columns are cut with an ellipsis; else, into a pipe, nothing is ever cut, and
 * a very long name stands out of its column.
 *
 *	struct table t = { 0 };
 *
 *	table_column(&t, "endpoint", TABLE_LEFT);
 *	table_column(&t, "TTL s", TABLE_RIGHT);
 *	table_cell(&t, "%s", name);
 *	table_cell(&t, "%.1f", ttl_s);
 *	table_print(&t, stdout);
 *	table_release(&t);
 *
 * INVARIANTS cells fill rows from left to right; a cell's control characters are printed as \xHH.
 */
#ifndef FORECACHED_CLI_TABLE_H
#define FORECACHED_CLI_TABLE_H

#include "base/vec.h"

#include <stdbool.h>
#include <stdio.h>

#define TABLE_COLUMNS_MAX 24

enum table_align { TABLE_LEFT, TABLE_RIGHT };

struct table {
	struct {
		const char *head; /* must outlive the table */
		enum table_align align;
		int width; /* characters, not bytes */
	} column[TABLE_COLUMNS_MAX];
	size_t n_columns;
	bool cut; /* what is wider than its column */
	VEC(char *) cell;
};

void table_column(struct table *t, const char *head, enum table_align align);
__attribute__((format(printf, 2, 3))) void table_cell(struct table *t, const char *fmt, ...);
void table_print(struct table *t, FILE *f);
void table_release(struct table *t);

/* Characters that UTF-8 text takes on the screen: code points that are not combining marks. */
int table_text_width(const char *s);

#endif
