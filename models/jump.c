/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/jump.h"

#include <math.h>

static const int64_t QUIET_S = 600; /* after an alarm, and at the start */
static const double RECENT_S = 600;

/* Blocks whose scatter is looked at. */
static const int64_t BLOCK_S[JUMP_SCALES] = {1, 10, 60};

/*
 * The spread is that of the last two hours or so, and taken to be 2 to begin with. What a single
 * block adds is bounded: a jump is not a wide scatter.
 */
static const double SPREAD_S = 7200, SPREAD_START = 2, SPREAD_BLOCK = 400;

/*
 * An endpoint of a request a minute that gets ten in a second has not jumped, it has been asked for
 * ten things at once; and nobody needs to be warm for less than this.
 */
static const double LEAST_PER_S = 0.5, LEAST_S = 2;
static const double LEAST_EXPECTED = 0.02;

/*
 * A false alarm raises the threshold by this at least, and above what its burst has come to by this
 * factor. A week lowers it by as much, or by this share of what it has been raised.
 */
static const double RAISE = 10, ABOVE = 1.5, MAX_THRESHOLD = 2000;
static const double WEEK_S = 7 * 86400.0, FORGOTTEN = 0.1;

/* An alarm is judged after so long; a jump is at least so much more than was expected. */
static const int64_t JUDGE_S = 300;
static const double LASTING = 2;

void jump_init(struct jump *j)
{
	*j = (struct jump){.second = INT64_MIN, .threshold = (float)JUMP_THRESHOLD};
	for (int i = 0; i < JUMP_SCALES; i++)
		j->scale[i].spread = (float)SPREAD_START;
}

void jump_expect(struct jump *j, double per_s)
{
	j->forecast = (float)per_s;
}

static double expected(const struct jump *j)
{
	return fmax(fmax((double)j->forecast, (double)j->recent), LEAST_EXPECTED);
}

/* log P(n | JUMP_RATIO m) / P(n | m), negative-binomial of variance spread * m. */
static double evidence(double n, double m, double spread)
{
	double size; /* the more, the nearer to Poisson */

	if (spread < 1.001)
		return n * log(JUMP_RATIO) - (JUMP_RATIO - 1) * m;
	size = m / (spread - 1);
	return n * log(JUMP_RATIO) - (n + size) * log((size + JUMP_RATIO * m) / (size + m));
}

static double spread(const struct jump *j)
{
	double most = 1;

	for (int i = 0; i < JUMP_SCALES; i++)
		most = fmax(most, (double)j->scale[i].spread);
	return most;
}

/* `blocks` blocks have ended whose counts were this far from what was due. */
static float learn_spread(float spread, double blocks, double count, double due, double block_s)
{
	double keep = exp(-blocks * block_s / SPREAD_S),
	       x = fmin((count - due) * (count - due) / due, SPREAD_BLOCK);

	return (float)fmax(1, keep * (double)spread + (1 - keep) * x);
}

/* From `from` on the next `seconds` brought n requests in the first of them; m each were due. */
static void scatter(struct jump *j, int64_t from, int64_t seconds, double n, double m)
{
	for (int i = 0; i < JUMP_SCALES; i++) {
		int64_t block = BLOCK_S[i], left = block - ((from % block) + block) % block, blocks;
		double all = m * (double)block;

		j->scale[i].count += (float)n;
		if (seconds < left) {
			j->scale[i].due += (float)(m * (double)seconds);
			continue;
		}
		j->scale[i].due += (float)(m * (double)left);
		j->scale[i].spread = learn_spread(j->scale[i].spread, 1, (double)j->scale[i].count,
		                                  (double)j->scale[i].due, (double)block);
		blocks = (seconds - left) / block;
		if (blocks > 0)
			j->scale[i].spread = learn_spread(j->scale[i].spread, (double)blocks, 0,
			                                  all, (double)block);
		j->scale[i].count = 0;
		j->scale[i].due = (float)(m * (double)((seconds - left) % block));
	}
}

static void add(struct jump *j, double seconds, double n, double x)
{
	j->sum = (float)fmax(0, (double)j->sum + x);
	j->since += (float)seconds;
	j->since_n += (float)n;
	if (j->sum == 0)
		j->since = j->since_n = 0;
}

static void lower_threshold(struct jump *j, double seconds)
{
	double weekly = fmax(RAISE, FORGOTTEN * ((double)j->threshold - JUMP_THRESHOLD));

	j->threshold =
	        (float)fmax(JUMP_THRESHOLD, (double)j->threshold - weekly * seconds / WEEK_S);
}

/* The second that ran has ended, and more without any request. */
static void close_seconds(struct jump *j, int64_t seconds)
{
	double n = (double)j->count, m = expected(j), s = spread(j), silent = (double)(seconds - 1);

	add(j, 1, n, evidence(n, m, s));
	if (silent > 0)
		add(j, silent, 0, silent * evidence(0, m, s));
	/* beside a rate that is not known yet everything is a wide scatter */
	if (j->known)
		scatter(j, j->second, seconds, n, m);
	j->known |= j->second + seconds >= j->quiet_to;
	j->recent += (float)((n - (double)j->recent) / RECENT_S);
	j->recent *= (float)exp(-silent / RECENT_S);
	lower_threshold(j, (double)seconds);
	j->after += j->count;
	if (j->before > 0) {
		double before = (double)j->before;

		j->burst = (float)fmax(0, (double)j->burst + evidence(n, before, s) +
		                                  silent * evidence(0, before, s));
		j->burst_most = fmaxf(j->burst_most, j->burst);
	}
	j->count = 0;
}

/* Was the last alarm a jump? */
static void judge(struct jump *j)
{
	double passed = (double)(j->second - (j->quiet_to - QUIET_S));

	if (j->before <= 0 || passed < (double)JUDGE_S)
		return;
	if ((double)j->after / passed < LASTING * (double)j->before)
		j->threshold = (float)fmin(
		        fmax((double)j->threshold + RAISE, ABOVE * (double)j->burst_most),
		        MAX_THRESHOLD);
	j->before = 0;
}

/* Whether what has filled the sum is one: twice the rate for hours fills it, too. */
static bool is_jump(const struct jump *j)
{
	double per_s = (double)(j->since_n / j->since);

	return (double)j->since >= LEAST_S && per_s >= LEAST_PER_S &&
	       per_s >= LASTING * expected(j);
}

/* The sum is full: the new rate is what is expected from now on. */
static bool alarm(struct jump *j)
{
	bool found = j->second >= j->quiet_to;

	j->found_per_s = j->since_n / j->since;
	if (found) {
		j->quiet_to = j->second + QUIET_S;
		j->before = (float)expected(j);
		j->after = 0;
		j->burst = j->burst_most = j->sum;
	}
	j->recent = fmaxf(j->recent, j->found_per_s);
	j->sum = j->since = j->since_n = 0;
	return found;
}

/*
 * What has filled the sum is none: what comes now is judged by itself. In the mean of a rise that has gone
 * on for half an hour a jump would not show for minutes.
 */
static void begin_anew(struct jump *j)
{
	if ((double)j->since >= LEAST_S)
		j->sum = j->since = j->since_n = 0;
}

bool jump_count(struct jump *j, struct instant t, double n)
{
	int64_t second = t.us / 1000000 - (t.us % 1000000 < 0);
	bool found = false;

	if (j->second == INT64_MIN) {
		j->second = second;
		j->quiet_to = second + QUIET_S;
	}
	if (second > j->second) {
		close_seconds(j, second - j->second);
		j->second = second;
		judge(j);
		if (j->sum > j->threshold && is_jump(j))
			found = alarm(j);
		else if (j->sum > j->threshold)
			begin_anew(j);
	}
	j->count += (float)n;
	return found;
}
