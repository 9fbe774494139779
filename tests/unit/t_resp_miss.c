/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/resp_miss.c"

#include "base/rng.h"
#include "tests/tap.h"

/* The same, as slow as can be: in an array, oldest first. */
struct model {
	struct miss v[64];
	size_t n;
};

static size_t model_find(const struct model *m, uint64_t key)
{
	size_t i;

	for (i = 0; i < m->n && m->v[i].key != key; i++)
		;
	return i;
}

static struct miss model_take(struct model *m, size_t i)
{
	struct miss x = m->v[i];

	memmove(&m->v[i], &m->v[i + 1], (--m->n - i) * sizeof(x));
	return x;
}

static void model_note(struct model *m, struct miss x)
{
	size_t i = model_find(m, x.key);

	if (i < m->n) {
		struct miss old = model_take(m, i);

		x.lease = x.lease ? x.lease : old.lease;
	}
	m->v[m->n++] = x;
}

static bool same(const struct miss *a, const struct miss *b)
{
	return a->key == b->key && a->at_us == b->at_us && a->lease == b->lease;
}

TEST(it_is_what_a_slow_model_is)
{
	struct misses m = {0};
	struct model slow = {0};
	size_t leases = 0, wrong = 0, trimmed = 0, most = 40;
	int64_t now = 0;
	struct rng g;

	rng_init(&g, tap_seed);
	for (int i = 0; i < 200000 && !wrong; i++) {
		uint64_t key = rng_below(&g, 60), what = rng_below(&g, 10);
		size_t at = model_find(&slow, key);
		const struct miss *found = misses_find(&m, key);
		struct miss got;

		now += (int64_t)rng_below(&g, MISSES_MAX_US / 40);
		if (rng_below(&g, 1000) == 0)
			most = 1 + rng_below(&g, 50);
		wrong += found ? at == slow.n || !same(found, &slow.v[at]) : at < slow.n;
		if (what < 6) {
			struct miss x = {key, now, rng_below(&g, 2) ? (uint64_t)i + 1 : 0};

			misses_note(&m, x);
			model_note(&slow, x);
			for (; misses_trim(&m, now, most, &got); trimmed++) {
				struct miss old = model_take(&slow, 0);

				wrong += !same(&got, &old) ||
				         (slow.n < most && now - old.at_us < MISSES_MAX_US);
			}
			wrong += slow.n > most ||
			         (slow.n && now - slow.v[0].at_us >= MISSES_MAX_US);
		} else if (what < 9) {
			bool took = misses_take(&m, key, &got);
			struct miss old = at < slow.n ? model_take(&slow, at) : got;

			wrong += took ? !same(&got, &old) : at < slow.n;
		} else if (misses_take_oldest(&m, &got)) {
			struct miss old = model_take(&slow, 0);

			wrong += !same(&got, &old);
		}
		leases = 0;
		for (size_t j = 0; j < slow.n; j++)
			leases += slow.v[j].lease != 0;
		wrong += m.n != slow.n || m.n_leases != leases || m.n_nodes > 128;
	}
	OK(!wrong && trimmed > 1000, "wrong %zu, trimmed %zu", wrong, trimmed);
	misses_release(&m);
}

TEST(a_table_that_has_been_emptied_keeps_few_nodes)
{
	struct misses m = {0};
	struct miss got;
	size_t n = 0;

	for (uint64_t key = 0; key < 10000; key++)
		misses_note(&m, (struct miss){key, (int64_t)key, key});
	OK(m.n == 10000 && m.n_nodes == 16384 && m.n_leases == 9999, "it has grown: %u nodes",
	   m.n_nodes);
	while (misses_take_oldest(&m, &got))
		n += got.key == n;
	OK(n == 10000 && m.n_nodes <= FEW, "%zu in their order, %u nodes left", n, m.n_nodes);
	OK(!misses_find(&m, 1) && !misses_take(&m, 1, &got) && !misses_trim(&m, 1, 1, &got),
	   "there is nothing in it");
	misses_release(&m);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	RUN(it_is_what_a_slow_model_is);
	RUN(a_table_that_has_been_emptied_keeps_few_nodes);
	return tap_done();
}
