/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/intern.c"

#include "base/rng.h"
#include "tests/tap.h"

#define NAMES 3000

/* Name number i; among them the empty one, one with a NUL inside, and prefixes of each other. */
static struct bytes name_of(uint32_t i, char *buf, size_t n)
{
	if (i == 0)
		return bytes_of(NULL, 0);
	if (i == 1)
		return bytes_of("a\0b", 3);
	if (i == 2)
		return bytes_of("a\0c", 3);
	return bytes_of(buf, (size_t)snprintf(buf, n, "/quotes/%u", i));
}

TEST(does_what_a_plain_array_does)
{
	static uint32_t id_of[NAMES];
	struct intern t;
	struct rng g;
	char buf[64];
	uint32_t live = 0;

	intern_init(&t, tap_seed);
	rng_init(&g, tap_seed);
	for (int i = 0; i < NAMES; i++)
		id_of[i] = INTERN_NONE;
	for (int step = 0; step < 200000; step++) {
		uint32_t i = (uint32_t)rng_below(&g, NAMES), id;
		struct bytes name = name_of(i, buf, sizeof(buf));
		bool fresh = false;

		OK(intern_find(&t, name) == id_of[i]);
		if (rng_uniform(&g) < 0.4 && id_of[i] != INTERN_NONE) {
			intern_remove(&t, id_of[i]);
			OK(!intern_is_live(&t, id_of[i]));
			id_of[i] = INTERN_NONE;
			live--;
		} else {
			id = intern_add(&t, name, &fresh);
			OK(fresh == (id_of[i] == INTERN_NONE));
			OK(fresh || id == id_of[i]);
			live += fresh;
			id_of[i] = id;
			OK(intern_is_live(&t, id) && bytes_equal(intern_name(&t, id), name));
			OK(((const char *)intern_name(&t, id).p)[name.n] == 0);
		}
		OK(t.live == live);
		if (tap_bad_here)
			break;
	}
	/* ids are used again, and the table does not grow with the number of removals */
	OK(t.n_ids <= NAMES, "%u ids", t.n_ids);
	OK(t.n_slots <= 16384, "%u slots", t.n_slots);
	for (uint32_t i = 0; i < NAMES; i++)
		OK(intern_find(&t, name_of(i, buf, sizeof(buf))) == id_of[i]);
	intern_release(&t);
}

TEST(ids_follow_first_sight_whatever_the_seed)
{
	struct intern a, b;
	char buf[64];

	intern_init(&a, 1);
	intern_init(&b, UINT64_MAX);
	for (uint32_t round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < NAMES; i++) {
			struct bytes name = name_of(i, buf, sizeof(buf));
			uint32_t id = intern_add(&a, name, NULL);

			OK(id == intern_add(&b, name, NULL));
			OK(round || id == i);
		}
		for (uint32_t i = round; i < NAMES; i += 7) {
			struct bytes name = name_of(i, buf, sizeof(buf));

			intern_remove(&a, intern_find(&a, name));
			intern_remove(&b, intern_find(&b, name));
		}
	}
	intern_release(&a);
	intern_release(&b);
}

TEST(the_name_forgotten_last_gives_its_id_first)
{
	struct intern t;

	intern_init(&t, 0);
	for (uint32_t i = 0; i < 3; i++)
		intern_add(&t, bytes_of(&"xyz"[i], 1), NULL);
	intern_remove(&t, 0);
	intern_remove(&t, 2);
	OK(intern_find(&t, bytes_str("x")) == INTERN_NONE);
	OK(intern_find(&t, bytes_str("y")) == 1);
	OK(intern_add(&t, bytes_str("p"), NULL) == 2);
	OK(intern_add(&t, bytes_str("q"), NULL) == 0);
	OK(intern_add(&t, bytes_str("r"), NULL) == 3);
	OK(!intern_is_live(&t, 4) && !intern_is_live(&t, INTERN_NONE));
	intern_release(&t);
}

TEST(one_name_added_and_removed_for_ever_stays_small)
{
	struct intern t;

	intern_init(&t, tap_seed);
	for (int i = 0; i < 100000; i++) {
		char buf[32];
		int n = snprintf(buf, sizeof(buf), "%d", i);

		intern_remove(&t, intern_add(&t, bytes_of(buf, (size_t)n), NULL));
	}
	OK(t.n_ids == 1 && t.n_slots == 64, "%u ids, %u slots", t.n_ids, t.n_slots);
	intern_release(&t);
	OK(intern_find(&t, bytes_str("1")) == INTERN_NONE);
}

/* The table grows many times; all along, old names are found, new ones are not, and some go. */
TEST(names_are_found_while_the_table_grows)
{
	struct intern t;
	char buf[64];

	intern_init(&t, tap_seed);
	intern_reserve(&t, 1000);
	intern_reserve(&t, 10);
	for (uint32_t i = 3; i < 100000; i++) {
		uint32_t id = intern_add(&t, name_of(i, buf, sizeof(buf)), NULL), other = 3 + i / 2;

		if (i % 64 == 0)
			intern_remove(&t, id);
		OK((intern_find(&t, name_of(other, buf, sizeof(buf))) == INTERN_NONE) ==
		           (other % 64 == 0 || other > i),
		   "%u at %u", other, i);
		OK(intern_find(&t, name_of(i + 1, buf, sizeof(buf))) == INTERN_NONE, "%u", i + 1);
		if (tap_bad_here)
			break;
	}
	intern_release(&t);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	RUN(does_what_a_plain_array_does);
	RUN(ids_follow_first_sight_whatever_the_seed);
	RUN(the_name_forgotten_last_gives_its_id_first);
	RUN(one_name_added_and_removed_for_ever_stays_small);
	RUN(names_are_found_while_the_table_grows);
	return tap_done();
}
