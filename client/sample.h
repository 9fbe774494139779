/* SPDX-License-Identifier: MIT */
/*
 * Which of a thread's hits are told to the daemon, when there are too many to tell all.
 *
 * HOW IT WORKS up to SAMPLE_EXACT hits between two flushes each is told. Of more, one is told for a
 * while that gets longer as they go on, and stands for all since the last one that was told: so the
 * sum is exact, and each key gets its share on average, as the whiles are of random length and know
 * nothing of keys. The mean while doubles as often as the number told of doubles; a quieter time
 * between two flushes halves it.
 */
#ifndef FORECACHED_CLIENT_SAMPLE_H
#define FORECACHED_CLIENT_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>

#define SAMPLE_EXACT 2048u
#define SAMPLE_MOST  1024u /* the longest mean while, in hits */

struct sample {
	uint32_t left;  /* so many are not told yet before the next one is */
	uint32_t since; /* not told since the last one */
	uint32_t every; /* mean length of a while; 0 counts as 1 */
	uint32_t told;  /* in this time between flushes */
	uint32_t flush; /* which that is */
	uint32_t rng;
};

/*
 * A hit: 0, or, when this one is to be told, how many it stands for. flush: a number that is another
 * one after each flush.
 */
static inline uint32_t sample_hit(struct sample *s, uint32_t flush)
{
	uint32_t weight, mean;

	if (s->left) {
		s->left--;
		s->since++;
		return 0;
	}
	weight = s->since + 1;
	s->since = 0;
	if (!s->every)
		s->every = 1;
	if (s->flush != flush) {
		s->flush = flush;
		if (s->told < SAMPLE_EXACT / 4 && s->every > 1)
			s->every /= 2;
		s->told = 0;
	}
	if (++s->told >= SAMPLE_EXACT && s->every < SAMPLE_MOST) {
		s->every *= 2;
		s->told = SAMPLE_EXACT / 2;
	}
	mean = s->every;
	if (mean > 1) {
		/* xorshift; 0 to 2 (mean - 1), each as likely */
		s->rng = s->rng ? s->rng : 2463534242u;
		s->rng ^= s->rng << 13;
		s->rng ^= s->rng >> 17;
		s->rng ^= s->rng << 5;
		s->left = (uint32_t)(((uint64_t)s->rng * (2 * mean - 1)) >> 32);
	}
	return weight;
}

#endif
