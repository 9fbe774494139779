/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Values as zstd frames: they come out as they went in, and of a frame that was cut, or of which bits
 * flipped, comes an error or the same value. AddressSanitizer sees the rest: frames and values stand in
 * memory of just their size.
 */
#include "store/packed.h"

#include "base/rng.h"
#include "tests/tap.h"

#include <string.h>

static struct packer packer;
static struct unpacker unpacker;

/* Of the kinds of values that caches hold: text that repeats itself; zeros; and what nothing saves. */
enum kind { TEXT, ZEROS, NOISE, KINDS };

static void make(struct rng *g, enum kind kind, char *buf, size_t n)
{
	char row[80];
	int len;

	memset(buf, 0, n);
	for (size_t i = 0; kind == TEXT && i < n; i += (size_t)len) {
		len = snprintf(row, sizeof(row), "{\"symbol\":\"S%u\",\"bid\":%u.%02u},",
		               (unsigned)rng_below(g, 500), (unsigned)rng_below(g, 1000),
		               (unsigned)rng_below(g, 100));
		memcpy(buf + i, row, n - i < (size_t)len ? n - i : (size_t)len);
	}
	for (size_t i = 0; kind == NOISE && i < n; i++)
		buf[i] = (char)rng_below(g, 256);
}

/* The frame of a value, in memory of just its size; NULL: it is not packed. */
static char *pack(const char *value, size_t n, int level, size_t *ret_n)
{
	char *buf = malloc(packer_room(n) + 1), *frame;

	*ret_n = packer_pack(&packer, level, bytes_of(value, n), buf);
	frame = *ret_n ? malloc(*ret_n) : NULL;
	if (frame)
		memcpy(frame, buf, *ret_n);
	free(buf);
	return frame;
}

/* 1: it is the value; 0: an error; -1: another one. */
static int unpack(const char *frame, size_t frame_n, const char *value, size_t n)
{
	uint64_t made;
	char *buf;
	int is = 0;

	/* as much as the value, or a little more than a flip may make of it */
	if (!packed_bytes(bytes_of(frame, frame_n), n + 1000000, &made))
		return 0;
	buf = malloc(made ? made : 1);
	if (unpacker_unpack(&unpacker, bytes_of(frame, frame_n), buf, made))
		is = made == n && memcmp(buf, value, n) == 0 ? 1 : -1;
	free(buf);
	return is;
}

TEST(a_value_comes_out_as_it_went_in)
{
	static const size_t size[] = {64, 100, 1000, 1024, 5000, 131072, 131073, 1 << 20};
	struct rng g;

	rng_init(&g, tap_seed);
	for (size_t i = 0; i < sizeof(size) / sizeof(*size); i++)
		for (enum kind kind = TEXT; kind < KINDS; kind++) {
			char *value = malloc(size[i]), *frame;
			int level = 1 + (int)rng_below(&g, size[i] < 10000 ? 19 : 5);
			uint64_t n = 0;
			size_t frame_n;

			make(&g, kind, value, size[i]);
			frame = pack(value, size[i], level, &frame_n);
			OK(kind == NOISE ? !frame : frame || size[i] < 200, "%zu bytes of kind %d",
			   size[i], kind);
			if (frame) {
				OK(frame_n <= size[i] - size[i] / PACKED_SAVES);
				OK(packed_bytes(bytes_of(frame, frame_n), size[i], &n) &&
				   n == size[i]);
				OK(!packed_bytes(bytes_of(frame, frame_n), size[i] - 1, &n),
				   "the limit is kept");
				OK(unpack(frame, frame_n, value, size[i]) == 1);
			}
			free(frame);
			free(value);
		}
}

TEST(what_saves_less_than_an_eighth_is_not_packed)
{
	char value[4096], buf[4096];
	struct rng g;
	size_t n, packed = 0;

	rng_init(&g, tap_seed);
	OK(packer_room(0) == 0 && packer_room(1) == 0 && packer_room(8) == 7 &&
	   packer_room(800) == 700 && packer_room(801) == 700);
	/* more and more of it is noise */
	for (size_t noise = 0; noise <= sizeof(value); noise += 64) {
		make(&g, NOISE, value, noise);
		memset(value + noise, 'x', sizeof(value) - noise);
		n = packer_pack(&packer, 3, bytes_of(value, sizeof(value)), buf);
		OK(n <= packer_room(sizeof(value)));
		OK(n || noise > 3300, "%zu bytes of noise", noise);
		OK(!n || noise < 3584, "%zu bytes of noise", noise);
		packed += n > 0;
	}
	OK(packed > 50);
	OK(packer_pack(&packer, 3, bytes_of(NULL, 0), buf) == 0);
}

TEST(a_frame_that_was_cut_is_an_error)
{
	struct rng g;

	rng_init(&g, tap_seed);
	for (int i = 0; i < 30; i++) {
		size_t n = 64 + (size_t)rng_below(&g, i < 25 ? 3000 : 300000), frame_n;
		char *value = malloc(n), *frame, *cut;
		size_t step;

		make(&g, i % 3 ? TEXT : ZEROS, value, n);
		frame = pack(value, n, 1 + i % 5, &frame_n);
		step = 1 + frame_n / 2000;
		for (size_t k = 0; frame && k < frame_n;
		     k += k + 100 < frame_n && k > 100 ? step : 1) {
			cut = malloc(k ? k : 1);
			memcpy(cut, frame, k);
			OK(unpack(cut, k, value, n) == 0, "%zu of %zu bytes", k, frame_n);
			free(cut);
		}
		/* and with something behind it, be it another frame */
		if (frame) {
			cut = malloc(2 * frame_n);
			memcpy(cut, frame, frame_n);
			memcpy(cut + frame_n, frame, frame_n);
			OK(unpack(cut, frame_n + 1, value, n) == 0 &&
			   unpack(cut, 2 * frame_n, value, n) == 0);
			free(cut);
		}
		free(frame);
		free(value);
	}
}

/* Flips some bits of a frame that is the value's; back at the end. */
static int flip_some(struct rng *g, char *frame, size_t frame_n, const char *value, size_t n)
{
	uint64_t bit[8];
	unsigned flips = 1 + (unsigned)rng_below(g, rng_below(g, 4) ? 1 : 8);
	int is;

	for (unsigned i = 0; i < flips; i++) {
		/* where it says what it is, more often */
		bit[i] = rng_below(g, (rng_below(g, 4) || frame_n < 20 ? frame_n : 20) * 8);
		frame[bit[i] / 8] ^= (char)(1 << bit[i] % 8);
	}
	is = unpack(frame, frame_n, value, n);
	for (unsigned i = 0; i < flips; i++)
		frame[bit[i] / 8] ^= (char)(1 << bit[i] % 8);
	return is;
}

TEST(bits_of_a_frame_may_flip)
{
	uint64_t outcomes[3] = {0};
	struct rng g;

	rng_init(&g, tap_seed);
	for (int i = 0; i < 60; i++) {
		size_t n = 100 + (size_t)rng_below(&g, i < 50 ? 4000 : 200000), frame_n;
		char *value = malloc(n), *frame;

		make(&g, i % 5 ? TEXT : ZEROS, value, n);
		frame = pack(value, n, 1 + i % 7, &frame_n);
		for (int k = 0; frame && k < (i < 50 ? 1000 : 100); k++)
			outcomes[1 + flip_some(&g, frame, frame_n, value, n)]++;
		free(frame);
		free(value);
	}
	printf("# %" PRIu64 " errors, %" PRIu64 " came out all the same, %" PRIu64 " wrong\n",
	       outcomes[1], outcomes[2], outcomes[0]);
	OK(outcomes[0] == 0 && outcomes[1] > 10000);
}

TEST(garbage_is_an_error)
{
	static const unsigned char magic[4] = {0x28, 0xb5, 0x2f, 0xfd};
	struct rng g;

	rng_init(&g, tap_seed);
	for (int i = 0; i < 20000; i++) {
		size_t n = (size_t)rng_below(&g, 200);
		char *junk = malloc(n ? n : 1), value[1] = {0};

		make(&g, NOISE, junk, n);
		if (n >= 4 && i % 4)
			memcpy(junk, magic, 4);
		OK(unpack(junk, n, value, 0) <= 0);
		free(junk);
	}
}

TEST(a_frame_of_another_kind_is_an_error)
{
	/* 40 zeros, in one block that is not compressed, and room for a checksum */
	unsigned char frame[9 + 40 + 4] = {0x28, 0xb5, 0x2f, 0xfd, 0x20, 40, 0x41, 0x01};
	size_t bare = 9 + 40;
	uint64_t n;

	OK(!packed_bytes(bytes_of(frame, bare), 100, &n), "it has no checksum");
	frame[4] = 0x24;
	OK(packed_bytes(bytes_of(frame, bare + 4), 100, &n) && n == 40);
	/* a dictionary of a byte, before the size */
	frame[4] = 0x25;
	OK(!packed_bytes(bytes_of(frame, bare + 4), 100, &n));
	/* of a format before 1.0 */
	frame[4] = 0x24;
	for (unsigned char old = 0x22; old < 0x28; old++) {
		frame[0] = old;
		OK(!packed_bytes(bytes_of(frame, bare + 4), 100, &n));
	}
	for (size_t k = 0; k < 5; k++)
		OK(!packed_bytes(bytes_of(frame, k), 100, &n));
}

TEST(a_short_frame_that_says_it_is_huge_takes_no_memory)
{
	/* one segment, its size in 8 bytes: 512 MiB, and an empty last block */
	static const unsigned char frame[] = {0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0,
	                                      0x20, 0,    0,    0,    0,    1, 0, 0};
	uint64_t n;

	OK(!packed_bytes(bytes_of(frame, sizeof(frame)), UINT64_MAX, &n));
	OK(!packed_bytes(bytes_of(NULL, 0), UINT64_MAX, &n));
}

TEST(memory_beyond_what_is_kept_is_given_back)
{
	size_t n = 1 << 20, frame_n;
	char *value = malloc(n), *frame, *lent;
	struct rng g;

	rng_init(&g, tap_seed);
	make(&g, TEXT, value, n);
	for (int level = 1; level < 10; level += 8) {
		frame = pack(value, n, level, &frame_n);
		OK(frame && !packer.zstd == (level > 1), "what level 9 works in is 13 MB");
		free(frame);
	}
	free(pack(value, n, 1, &frame_n));
	OK(packer.zstd && frame_n, "and it goes on");
	lent = unpacker_lend(&unpacker, UNPACKER_KEEPS);
	unpacker_trim(&unpacker);
	OK(lent && unpacker_lend(&unpacker, 1) == lent && unpacker.cap == UNPACKER_KEEPS);
	OK(unpacker_lend(&unpacker, UNPACKER_KEEPS + 1));
	OK(unpacker.cap == UNPACKER_KEEPS + 1);
	OK(unpacker_lend(&unpacker, 5) && unpacker.cap == 5);
	OK(unpacker_lend(&unpacker, UNPACKER_KEEPS + 1));
	unpacker_trim(&unpacker);
	OK(!unpacker.cap && !unpacker.buf);
	free(value);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	RUN(a_value_comes_out_as_it_went_in);
	RUN(what_saves_less_than_an_eighth_is_not_packed);
	RUN(a_frame_that_was_cut_is_an_error);
	RUN(bits_of_a_frame_may_flip);
	RUN(garbage_is_an_error);
	RUN(a_frame_of_another_kind_is_an_error);
	RUN(a_short_frame_that_says_it_is_huge_takes_no_memory);
	RUN(memory_beyond_what_is_kept_is_given_back);
	packer_release(&packer);
	unpacker_release(&unpacker);
	return tap_done();
}
