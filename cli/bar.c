/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli/bar.h"

#include "cli/cli.h"
#include "cli/human.h"

#include <math.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define QUIET_S   2.0  /* shorter runs show nothing */
#define LINE_S    15.0 /* between lines where there is no terminal */
#define BAR_CHARS 24

static double monotonic_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

void bar_begin(struct bar *b, const char *what)
{
	*b = (struct bar){.what = what, .on_terminal = isatty(STDERR_FILENO)};
	b->began_s = monotonic_s();
	b->next_s = b->began_s + LINE_S;
}

/* ", 412 k requests/s", or "" when none are counted. */
static const char *speed(char buf[static HUMAN_MAX], double requests, double past_s)
{
	char n[HUMAN_MAX];

	buf[0] = '\0';
	if (requests > 0)
		snprintf(buf, HUMAN_MAX, ", %.24s requests/s", human_count(n, requests / past_s));
	return buf;
}

void bar_draw(struct bar *b, double share, double requests)
{
	double now = monotonic_s(), past_s = now - b->began_s;
	char rate[HUMAN_MAX], span[HUMAN_MAX], left[HUMAN_MAX + 8] = "";
	int full;

	if (past_s < QUIET_S || (!b->on_terminal && now < b->next_s))
		return;
	share = fmin(fmax(share, 0), 1);
	full = (int)(share * BAR_CHARS);
	if (share > 0.02)
		snprintf(left, sizeof(left), ", %s left",
		         human_span(span, round(past_s * (1 - share) / share)));
	speed(rate, requests, past_s);
	if (b->on_terminal) {
		fprintf(stderr, "\r%s [%.*s%*s] %3.0f %%%s%s\033[K", b->what, full,
		        "########################", BAR_CHARS - full, "", share * 100, rate, left);
		b->drawn = true;
	} else {
		cli_say("%s: %.0f %%%s%s", b->what, share * 100, rate, left);
		b->next_s = now + LINE_S;
	}
}

void bar_end(struct bar *b)
{
	if (b->drawn)
		fputs("\r\033[K", stderr);
	b->drawn = false;
}
