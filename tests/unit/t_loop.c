/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/clock.c"
#include "daemon/loop.c"
#include "tests/tap.h"

#include <string.h>

static struct clock clk;
static struct loop *loop;
static char order[64];

static void note(char c)
{
	size_t n = strlen(order);

	if (n + 1 < sizeof(order))
		order[n] = c;
}

static void setup(void)
{
	memset(order, 0, sizeof(order));
	OK(!clock_setup(&clk, 1, INSTANT_NONE));
	loop = loop_new(&clk);
}

static void teardown(void)
{
	loop_free(&loop);
	clock_teardown(&clk);
}

static void stop(void *arg)
{
	(void)arg;
	note('.');
	loop_stop(loop);
}

static void letter(void *arg)
{
	note(*(const char *)arg);
}

TEST(timers_run_in_order_of_time_and_of_being_set)
{
	struct loop_timer t[4] = {
	        {letter, "a", 0}, {letter, "b", 0}, {letter, "c", 0}, {stop, NULL, 0}};

	setup();
	loop_timer_set(loop, &t[3], SPAN_MS(3));
	loop_timer_set(loop, &t[2], SPAN_MS(2));
	loop_timer_set(loop, &t[0], SPAN_MS(1));
	loop_timer_set(loop, &t[1], SPAN_MS(1));
	loop_run(loop);
	OK(!strcmp(order, "abc."), "%s", order);
	for (int i = 0; i < 4; i++)
		OK(!t[i].id);
	teardown();
}

static struct loop_timer other;

static void cancel_other(void *arg)
{
	(void)arg;
	note('x');
	loop_timer_cancel(loop, &other);
}

TEST(a_timer_that_was_cancelled_in_its_turn_does_not_run)
{
	struct loop_timer x = {cancel_other, NULL, 0}, end = {stop, NULL, 0};

	setup();
	other = (struct loop_timer){letter, "y", 0};
	loop_timer_set(loop, &x, SPAN_ZERO);
	loop_timer_set(loop, &other, SPAN_ZERO);
	loop_timer_set(loop, &end, SPAN_MS(1));
	loop_run(loop);
	OK(!strcmp(order, "x."), "%s", order);
	teardown();
}

static struct loop_timer again;
static int rounds;

static void set_again(void *arg)
{
	(void)arg;
	note('r');
	if (++rounds < 5)
		loop_timer_set(loop, &again, SPAN_ZERO);
	else
		loop_stop(loop);
}

TEST(a_timer_may_set_itself_again)
{
	setup();
	rounds = 0;
	again = (struct loop_timer){set_again, NULL, 0};
	loop_timer_set(loop, &again, SPAN_ZERO);
	loop_run(loop);
	OK(!strcmp(order, "rrrrr"), "%s", order);
	teardown();
}

static int pair[2][2];

static void drop_the_other(void *arg, uint32_t events)
{
	int me = *(int *)arg;

	(void)events;
	note((char)('0' + me));
	/* whichever comes first takes the other one away */
	loop_del(loop, pair[!me][0]);
	loop_del(loop, pair[me][0]);
}

TEST(a_file_that_was_removed_in_the_same_turn_is_not_called)
{
	static int id[2] = {0, 1};
	struct loop_timer end = {stop, NULL, 0};

	setup();
	for (int i = 0; i < 2; i++) {
		OK(!pipe(pair[i]));
		OK(!loop_add(loop, pair[i][0], EPOLLIN, drop_the_other, &id[i]));
		OK(loop_add(loop, pair[i][0], EPOLLIN, drop_the_other, &id[i]) == -EEXIST);
		OK(write(pair[i][1], "x", 1) == 1);
	}
	loop_timer_set(loop, &end, SPAN_MS(2));
	loop_run(loop);
	OK(strlen(order) == 2, "%s", order);
	OK(loop_del(loop, pair[0][0]) == -ENOENT);
	for (int i = 0; i < 4; i++)
		close(pair[i / 2][i % 2]);
	teardown();
}

static void *post_from_a_thread(void *arg)
{
	static char text[] = "0123456789";

	(void)arg;
	for (int i = 0; i < 10; i++)
		loop_post(loop, letter, &text[i]);
	loop_post(loop, stop, NULL);
	return NULL;
}

TEST(posts_of_a_thread_run_in_their_order)
{
	pthread_t thread;

	setup();
	OK(!pthread_create(&thread, NULL, post_from_a_thread, NULL));
	loop_run(loop);
	pthread_join(thread, NULL);
	OK(!strcmp(order, "0123456789."), "%s", order);
	teardown();
}

TEST(the_clock_runs_as_fast_as_it_was_told)
{
	struct clock c;
	struct instant start = instant_from_s(1e9);

	OK(!clock_setup(&c, 60, start));
	c.boot_us = c.boot_start_us + 1000000;
	c.now = at_boot(&c, c.boot_us);
	OK(c.now.us == start.us + 60 * 1000000LL, "%" PRId64, c.now.us - start.us);
	OK(clock_to_real(&c, SPAN_S(60)).us == 1000000);
	OK(clock_real_until(&c, instant_add(c.now, SPAN_S(120))).us == 2000000);
	OK(clock_real_until(&c, start).us == 0);
	OK(clock_real_until(&c, INSTANT_NEVER).us == SPAN_MAX.us);
	clock_teardown(&c);
}

TEST(the_clock_never_goes_back)
{
	struct clock c;
	struct instant before;

	OK(!clock_setup(&c, 1, INSTANT_NONE));
	before = clock_now(&c);
	clock_carry_on(&c, (struct instant){before.us - 1000000});
	OK(clock_now(&c).us == before.us);
	clock_carry_on(&c, (struct instant){before.us + 3600 * 1000000LL});
	OK(clock_now(&c).us == before.us + 3600 * 1000000LL);
	/* our clock is ahead now: a time of the wall clock is earlier by that, as an instant of
	 * ours later */
	OK(c.offset.us == -3600 * 1000000LL);
	clock_turn(&c);
	OK(clock_now(&c).us >= before.us + 3600 * 1000000LL);
	clock_teardown(&c);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	RUN(timers_run_in_order_of_time_and_of_being_set);
	RUN(a_timer_that_was_cancelled_in_its_turn_does_not_run);
	RUN(a_timer_may_set_itself_again);
	RUN(a_file_that_was_removed_in_the_same_turn_is_not_called);
	RUN(posts_of_a_thread_run_in_their_order);
	RUN(the_clock_runs_as_fast_as_it_was_told);
	RUN(the_clock_never_goes_back);
	return tap_done();
}
