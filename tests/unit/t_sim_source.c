/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sim/source.c"

#include "base/rng.h"
#include "base/vec.h"
#include "tests/tap.h"

static char path[] = "/tmp/t_sim_source.XXXXXX";
static struct rng rng;

static void write_file(const void *p, size_t n)
{
	FILE *f = fopen(path, "wb");

	if (!f || fwrite(p, 1, n, f) != n || fclose(f) != 0)
		abort();
}

struct blob {
	uint8_t *p;
	size_t n;
};

/* Compresses behind what is in the blob, as one member of its own. */
static void pack(struct blob *b, enum packing how, const char *text, size_t n)
{
	size_t room = n + n / 2 + 4096, made = 0;

	b->p = mem_realloc(b->p, b->n + room, 1);
	if (how == PLAIN) {
		memcpy(b->p + b->n, text, n);
		made = n;
	} else if (how == GZIP) {
		z_stream z = {0};

		deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
		z.next_in = (Bytef *)(uintptr_t)text;
		z.avail_in = (uInt)n;
		z.next_out = b->p + b->n;
		z.avail_out = (uInt)room;
		OK(deflate(&z, Z_FINISH) == Z_STREAM_END);
		made = room - z.avail_out;
		deflateEnd(&z);
	} else if (how == XZ) {
		OK(lzma_easy_buffer_encode(1, LZMA_CHECK_CRC64, NULL, (const uint8_t *)text, n,
		                           b->p + b->n, &made, room) == LZMA_OK);
	} else {
		made = ZSTD_compress(b->p + b->n, room, text, n, 3);
		OK(!ZSTD_isError(made));
	}
	b->n += made;
}

/* All lines joined by newlines; NULL with the fault after an error. */
static char *read_all(size_t *ret_n, size_t *ret_lines, struct fault *fault)
{
	struct source *s = source_open(path, fault);
	VEC(char) text = {0};
	struct bytes line;
	int r;

	*ret_lines = 0;
	if (!s)
		return NULL;
	while ((r = source_line(s, &line, fault)) > 0) {
		OK(((const char *)line.p)[line.n] == '\0');
		for (size_t i = 0; i < line.n; i++)
			*vec_push(&text) = ((const char *)line.p)[i];
		*vec_push(&text) = '\n';
		++*ret_lines;
	}
	source_close(&s);
	*ret_n = text.n;
	if (r < 0)
		vec_free(&text);
	else if (!text.v)
		text.v = mem_calloc(1, 1);
	return text.v;
}

/* Lines of random length and bytes, among them empty ones and some longer than any buffer. */
static char *random_text(size_t lines, size_t *ret_n)
{
	VEC(char) t = {0};

	for (size_t i = 0; i < lines; i++) {
		size_t n =
		        rng_below(&rng, 100) == 0 ? rng_below(&rng, 600000) : rng_below(&rng, 60);

		while (n--) {
			char c = (char)rng_below(&rng, 256);

			*vec_push(&t) = c == '\n' ? ' ' : c;
		}
		*vec_push(&t) = '\n';
	}
	*ret_n = t.n;
	return t.v;
}

TEST(every_packing_gives_the_same_lines)
{
	size_t n, got_n, lines;
	char *text = random_text(500, &n), *got;
	struct fault fault;

	for (enum packing how = PLAIN; how <= ZSTD; how++) {
		struct blob b = {0};

		pack(&b, how, text, n);
		write_file(b.p, b.n);
		got = read_all(&got_n, &lines, &fault);
		OK(got && got_n == n && memcmp(got, text, n) == 0, "packing %d: %zu of %zu bytes",
		   how, got_n, n);
		OK(lines == 500, "%zu", lines);
		free(got);
		free(b.p);
	}
	free(text);
}

TEST(members_that_follow_each_other_are_one_text)
{
	for (enum packing how = GZIP; how <= ZSTD; how++) {
		struct blob b = {0};
		struct fault fault;
		size_t n, lines;
		char *got;

		pack(&b, how, "a\nb", 3);
		pack(&b, how, "c\n", 2);
		write_file(b.p, b.n);
		got = read_all(&n, &lines, &fault);
		OK(got && n == 5 && memcmp(got, "a\nbc\n", 5) == 0, "packing %d", how);
		free(got);
		free(b.p);
	}
}

TEST(a_compressed_file_that_ends_early_is_an_error_wherever_it_ends)
{
	size_t n, text_n, lines;
	char *text = random_text(60, &text_n), *got;
	struct fault fault;

	for (enum packing how = GZIP; how <= ZSTD; how++) {
		struct blob b = {0};

		pack(&b, how, text, text_n);
		for (int i = 0; i < 40; i++) {
			size_t cut = i < 8 ? b.n - 1 - (size_t)i : 6 + rng_below(&rng, b.n - 6);

			write_file(b.p, cut);
			got = read_all(&n, &lines, &fault);
			OK(!got, "packing %d cut to %zu of %zu", how, cut, b.n);
			OK(strstr(fault.text, path) != NULL);
			free(got);
		}
		free(b.p);
	}
	free(text);
}

TEST(a_damaged_file_is_an_error_or_what_it_was)
{
	size_t n, text_n, lines;
	char *text = random_text(60, &text_n), *got;
	struct fault fault;
	int refused = 0;

	for (enum packing how = GZIP; how <= XZ; how++) { /* zstd files need not carry a checksum */
		struct blob b = {0};

		pack(&b, how, text, text_n);
		for (int i = 0; i < 100; i++) {
			size_t at = 6 + rng_below(&rng, b.n - 6);
			uint8_t was = b.p[at];

			b.p[at] ^= (uint8_t)(1u << rng_below(&rng, 8));
			write_file(b.p, b.n);
			got = read_all(&n, &lines, &fault);
			refused += !got;
			OK(!got || (n == text_n && memcmp(got, text, n) == 0),
			   "packing %d byte %zu", how, at);
			free(got);
			b.p[at] = was;
		}
		free(b.p);
	}
	OK(refused > 150, "%d", refused);
	free(text);
}

TEST(a_last_line_without_newline_counts)
{
	struct fault fault;
	size_t n, lines;
	char *got;

	write_file("a\n\nb", 4);
	got = read_all(&n, &lines, &fault);
	OK(got && lines == 3 && n == 5 && memcmp(got, "a\n\nb\n", 5) == 0, "%zu lines", lines);
	free(got);
	write_file("", 0);
	got = read_all(&n, &lines, &fault);
	OK(got && lines == 0);
	free(got);
}

TEST(a_line_that_is_too_long_is_refused_by_its_number)
{
	char *text = mem_calloc(1, SOURCE_MAX_LINE + 4);
	struct fault fault;
	size_t n, lines;

	memset(text, 'x', SOURCE_MAX_LINE + 3);
	memcpy(text, "a\n", 2);
	write_file(text, SOURCE_MAX_LINE + 3);
	OK(!read_all(&n, &lines, &fault));
	OK(lines == 1 && strstr(fault.text, ":2: line: longer than 1048576 bytes"), "%s",
	   fault.text);
	text[SOURCE_MAX_LINE + 1] = '\n';
	write_file(text, SOURCE_MAX_LINE + 2);
	free(text);
	text = read_all(&n, &lines, &fault);
	OK(text && lines == 2);
	free(text);
}

TEST(a_file_that_is_not_there_says_so)
{
	struct fault fault;

	OK(!source_open("/nonexistent/file", &fault));
	OK(strstr(fault.text, "/nonexistent/file: No such file"), "%s", fault.text);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	rng_init(&rng, tap_seed);
	close(mkstemp(path));
	RUN(every_packing_gives_the_same_lines);
	RUN(members_that_follow_each_other_are_one_text);
	RUN(a_compressed_file_that_ends_early_is_an_error_wherever_it_ends);
	RUN(a_damaged_file_is_an_error_or_what_it_was);
	RUN(a_last_line_without_newline_counts);
	RUN(a_line_that_is_too_long_is_refused_by_its_number);
	RUN(a_file_that_is_not_there_says_so);
	unlink(path);
	return tap_done();
}
