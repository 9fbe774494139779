/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Writing HTML. What comes from a log is hostile: every function here escapes what it is given, and
 * only literals of this program are written as they are (with fputs).
 */
#ifndef FORECACHED_CLI_HTML_H
#define FORECACHED_CLI_HTML_H

#include "base/bytes.h"

#include <stdio.h>

#define HTML_NAME_MAX 160 /* bytes of a name that are shown */

/*
 * Bytes as text: markup is escaped, control characters, what is not UTF-8, and invisible characters
 * that reorder or hide text are shown as \x.. or \u....; at most `max` bytes, then an ellipsis.
 */
void html_text(FILE *f, struct bytes b, size_t max);
__attribute__((format(printf, 2, 3))) void html_printf(FILE *f, const char *fmt, ...);

/* A paragraph of that class, and an item of a list. */
__attribute__((format(printf, 3, 4))) void html_paragraph(FILE *f, const char *class_name,
                                                          const char *fmt, ...);
__attribute__((format(printf, 2, 3))) void html_item(FILE *f, const char *fmt, ...);

/* A name from a log, as code, kept apart from the direction of the text around it. */
void html_name(FILE *f, struct bytes name);

/* Cells of a table: a name, a number (right-aligned), words. */
void html_name_head(FILE *f, struct bytes name);
__attribute__((format(printf, 2, 3))) void html_number_cell(FILE *f, const char *fmt, ...);
__attribute__((format(printf, 2, 3))) void html_cell(FILE *f, const char *fmt, ...);

/*
 * Begins a table that scrolls when it is wider than the page. `columns`: heads with | between them;
 * one that begins with # is of numbers. html_table_end ends it.
 */
void html_table(FILE *f, const char *caption, const char *columns);
void html_table_end(FILE *f);

#endif
