/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli/plot.h"

#include "base/mem.h"

#include <errno.h>
#include <math.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define PICTURE_MAX (16u << 20)

/* -- The child -------------------------------------------------------------------------------- */

/* Runs gnuplot between the two files. 0, an errno when it could not be run, or -1: it failed. */
static int run(FILE *script, FILE *picture, FILE *talk)
{
	static char *const argv[] = {(char *)"gnuplot", (char *)"--default-settings", (char *)"-",
	                             NULL};
	posix_spawn_file_actions_t files;
	int err, status;
	pid_t pid;

	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, fileno(script), STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&files, fileno(picture), STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&files, fileno(talk), STDERR_FILENO);
	err = posix_spawnp(&pid, argv[0], &files, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&files);
	if (err)
		return err;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

/* All of a file, to be freed; NULL when it is too long or cannot be read. */
static char *contents(FILE *f, size_t *ret_n)
{
	long n = fseek(f, 0, SEEK_END) ? -1 : ftell(f);
	char *text;

	if (n < 0 || n > (long)PICTURE_MAX)
		return NULL;
	rewind(f);
	text = mem_calloc((size_t)n + 1, 1);
	*ret_n = fread(text, 1, (size_t)n, f);
	if (*ret_n == (size_t)n)
		return text;
	free(text);
	return NULL;
}

static void explain(struct fault *e, int err, FILE *talk)
{
	size_t n;
	char *said;

	if (err == ENOENT) {
		fault_set(e, 0,
		          "there is no gnuplot to draw with; on Debian: apt-get "
		          "install " PLOT_PACKAGE);
		return;
	}
	if (err > 0) {
		fault_set(e, 0, "gnuplot cannot be run: %s", strerror(err));
		return;
	}
	said = contents(talk, &n);
	fault_set(e, 0, "gnuplot failed: %.180s", said && *said ? said : "-");
	for (char *p = e->text; *p; p++)
		if (*p == '\n')
			*p = ' ';
	free(said);
}

bool plot_possible(void)
{
	FILE *script = tmpfile(), *picture = tmpfile(), *talk = tmpfile();
	bool possible = script && picture && talk && run(script, picture, talk) == 0;

	if (script)
		fclose(script);
	if (picture)
		fclose(picture);
	if (talk)
		fclose(talk);
	return possible;
}

/* -- The script ------------------------------------------------------------------------------- */

/* Told apart without colours, too: by their points and dashes. They show on white and on black. */
static const struct {
	const char *colour;
	int point, dash;
} look[PLOT_MAX_LINES] = {{"#0a7bbd", 7, 1},  {"#d55e00", 5, 2},  {"#b35c9b", 9, 4},
                          {"#9a7d0a", 11, 5}, {"#7f7f7f", 13, 3}, {"#009e73", 1, 6}};

static void write_terminal(FILE *f, const struct plot *p, enum plot_format format)
{
	if (format == PLOT_PNG)
		fprintf(f,
		        "if (strstrt(GPVAL_TERMINALS, 'pngcairo')) "
		        "set terminal pngcairo size %d,%d font 'sans,14' linewidth 1.5;"
		        "else set terminal png size %d,%d\n",
		        p->width * 3 / 2, p->height * 3 / 2, p->width * 3 / 2, p->height * 3 / 2);
	else
		fprintf(f, "set terminal svg size %d,%d dynamic name '%s' font 'sans-serif,13'%s\n",
		        p->width, p->height, p->name,
		        format == PLOT_SVG ? " background 'white'" : "");
}

static void write_script(FILE *f, const struct plot *p, enum plot_format format)
{
	write_terminal(f, p, format);
	fprintf(f,
	        "set xlabel '%s'\nset ylabel '%s'\nset yrange [0:*]\nset tics nomirror\n"
	        "set border 3\nset grid back lc rgb '#a0a0a0'\n"
	        "set key outside top center horizontal\n",
	        p->x_label, p->y_label);
	if (p->style == PLOT_STEPS) /* charts below each other have their days below each other */
		fputs("set lmargin 9\n", f);
	if (p->log_x)
		fputs("set logscale x 10\n", f);
	if (p->x_tics)
		fprintf(f, "set xtics %s\n", p->x_tics);
	if (p->x_hi > p->x_lo)
		fprintf(f, "set xrange [%.9g:%.9g]\n", p->x_lo, p->x_hi);
	for (size_t i = 0; i < p->n_lines; i++) {
		const struct plot_line *l = &p->line[i];

		fprintf(f, "$line%zu << END\n", i);
		for (size_t j = 0; j < l->n; j++)
			if (isfinite(l->x[j]) && isfinite(l->y[j]))
				fprintf(f, "%.9g %.9g\n", l->x[j], l->y[j]);
		fputs("END\n", f);
	}
	for (size_t i = 0; i < p->n_lines; i++) {
		fprintf(f, "%s$line%zu using 1:2 ", i ? ", " : "plot ", i);
		if (p->line[i].title)
			fprintf(f, "title '%s' ", p->line[i].title);
		else
			fputs("notitle ", f);
		if (p->style == PLOT_STEPS)
			fprintf(f, "with steps lw 1.5 lc rgb '%s'", look[i].colour);
		else
			fprintf(f, "with linespoints lw 2 ps 0.8 pt %d dt %d lc rgb '%s'",
			        look[i].point, look[i].dash, look[i].colour);
	}
	fputc('\n', f);
}

/* -- An <svg> for a page ---------------------------------------------------------------------- */

/* What gnuplot writes, and what a page needs; %s is the name of the chart. */
static const struct {
	const char *was, *is;
} change[] = {
        {"id='", "id='%s-"},
        {"id=\"", "id=\"%s-"},
        {"xlink:href='#", "xlink:href='#%s-"},
        {"color=\"black\" ", ""},
        {"\"black\"", "\"currentColor\""},
        {"'black'", "'currentColor'"},
};

/*
 * Only the element; identifiers unlike those of other charts, black as the page's text colour, and
 * a role and a text for those who cannot see it.
 */
static char *inlined(const char *svg, const struct plot *p, size_t *ret_n)
{
	const char *at = strstr(svg, "<svg");
	char *text = NULL;
	FILE *f = open_memstream(&text, ret_n);

	if (!f || !at) {
		if (f)
			fclose(f);
		free(text);
		return NULL;
	}
	fprintf(f, "<svg role=\"img\" aria-label=\"%s\"", p->about);
	for (at += strlen("<svg"); *at;) {
		const char *end;
		size_t i = 0;

		if (strncmp(at, "<title>", 7) == 0 && (end = strstr(at, "</title>"))) {
			at = end + strlen("</title>"); /* would pop up under the pointer */
			continue;
		}

		for (; i < sizeof(change) / sizeof(change[0]); i++)
			if (strncmp(at, change[i].was, strlen(change[i].was)) == 0)
				break;
		if (i == sizeof(change) / sizeof(change[0])) {
			fputc(*at++, f);
			continue;
		}
		for (const char *c = change[i].is; *c; c++) {
			if (c[0] == '%' && c[1] == 's') {
				fputs(p->name, f);
				c++;
			} else {
				fputc(*c, f);
			}
		}
		at += strlen(change[i].was);
	}
	if (fclose(f) == 0)
		return text;
	free(text);
	return NULL;
}

char *plot_draw(const struct plot *p, enum plot_format format, size_t *ret_n, struct fault *reterr)
{
	FILE *script = tmpfile(), *picture = tmpfile(), *talk = tmpfile();
	char *drawn = NULL, *element;
	int err;

	if (!script || !picture || !talk) {
		fault_set(reterr, 0, "a temporary file: %s", strerror(errno));
		goto out;
	}
	write_script(script, p, format);
	if (fflush(script) || ferror(script)) {
		fault_set(reterr, 0, "a temporary file: %s", strerror(errno));
		goto out;
	}
	rewind(script); /* the child shares its place in the file */
	err = run(script, picture, talk);
	if (err == 0)
		drawn = contents(picture, ret_n);
	if (drawn && format == PLOT_INLINE) {
		element = inlined(drawn, p, ret_n);
		free(drawn);
		drawn = element;
	}
	if (drawn && *ret_n == 0) {
		free(drawn);
		drawn = NULL;
	}
	if (!drawn)
		explain(reterr, err ? err : -1, talk);
out:
	if (script)
		fclose(script);
	if (picture)
		fclose(picture);
	if (talk)
		fclose(talk);
	return drawn;
}
