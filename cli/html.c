/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli/html.h"

#include "base/text.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Characters that cannot be seen and change how others look: of UTF-8, three bytes long. */
static bool is_invisible(const unsigned char *s)
{
	return (s[0] == 0xe2 && s[1] == 0x80 &&
	        ((s[2] >= 0x8b && s[2] <= 0x8f) || (s[2] >= 0xa8 && s[2] <= 0xae))) ||
	       (s[0] == 0xe2 && s[1] == 0x81 && s[2] >= 0xa0 && s[2] <= 0xaf) ||
	       (s[0] == 0xef && s[1] == 0xbb && s[2] == 0xbf);
}

static void put(FILE *f, const char *text)
{
	for (const unsigned char *s = (const unsigned char *)text; *s; s++) {
		switch (*s) {
		case '&':
			fputs("&amp;", f);
			break;
		case '<':
			fputs("&lt;", f);
			break;
		case '>':
			fputs("&gt;", f);
			break;
		case '"':
			fputs("&quot;", f);
			break;
		case '\'':
			fputs("&#39;", f);
			break;
		default:
			if (is_invisible(s)) { /* && stops at the NUL */
				fprintf(f, "\\u%04x",
				        (s[0] & 15u) << 12 | (s[1] & 63u) << 6 | (s[2] & 63u));
				s += 2;
			} else {
				fputc(*s, f);
			}
		}
	}
}

void html_text(FILE *f, struct bytes b, size_t max)
{
	size_t n = b.n < max ? b.n : max;
	char *text;

	/* not in the middle of a character */
	while (n < b.n && n && (((const unsigned char *)b.p)[n] & 0xc0) == 0x80)
		n--;
	text = text_printable(bytes_of(b.p, n));
	put(f, text);
	free(text);
	if (n < b.n)
		fputs("\u2026", f);
}

static void put_v(FILE *f, const char *fmt, va_list ap)
{
	char text[1024];

	vsnprintf(text, sizeof(text), fmt, ap);
	html_text(f, bytes_str(text), sizeof(text));
}

void html_printf(FILE *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	put_v(f, fmt, ap);
	va_end(ap);
}

void html_paragraph(FILE *f, const char *class_name, const char *fmt, ...)
{
	va_list ap;

	fprintf(f, "<p class=\"%s\">", class_name);
	va_start(ap, fmt);
	put_v(f, fmt, ap);
	va_end(ap);
	fputs("</p>\n", f);
}

static void put_between(FILE *f, const char *open, const char *close, const char *fmt, va_list ap)
{
	fputs(open, f);
	put_v(f, fmt, ap);
	fputs(close, f);
}

void html_item(FILE *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	put_between(f, "<li>", "</li>\n", fmt, ap);
	va_end(ap);
}

void html_name(FILE *f, struct bytes name)
{
	if (!name.n)
		name = bytes_str("-");
	fputs("<bdi><code>", f);
	html_text(f, name, HTML_NAME_MAX);
	fputs("</code></bdi>", f);
}

void html_name_head(FILE *f, struct bytes name)
{
	fputs("<th scope=\"row\">", f);
	html_name(f, name);
	fputs("</th>", f);
}

void html_number_cell(FILE *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	put_between(f, "<td class=\"n\">", "</td>", fmt, ap);
	va_end(ap);
}

void html_cell(FILE *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	put_between(f, "<td>", "</td>", fmt, ap);
	va_end(ap);
}

void html_table(FILE *f, const char *caption, const char *columns)
{
	fputs("<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"", f);
	html_printf(f, "%s", caption);
	fputs("\"><table><caption>", f);
	html_printf(f, "%s", caption);
	fputs("</caption>\n<thead><tr>", f);
	for (const char *c = columns; *c;) {
		int n = (int)strcspn(c, "|");
		bool number = *c == '#';

		fputs(number ? "<th scope=\"col\" class=\"n\">" : "<th scope=\"col\">", f);
		html_printf(f, "%.*s", n - number, c + number);
		fputs("</th>", f);
		c += n + (c[n] == '|');
	}
	fputs("</tr></thead>\n<tbody>\n", f);
}

void html_table_end(FILE *f)
{
	fputs("</tbody></table></div>\n", f);
}
