/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/clock.h"

#include <errno.h>
#include <limits.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

/* Less is the difference of two readings, not a step. */
#define STEP_MIN_US 1000

static int64_t read_us(clockid_t id)
{
	struct timespec ts;

	if (clock_gettime(id, &ts))
		return -1;
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* A timer far in the future that is cancelled when the wall clock is set: then its file is
 * readable. */
static void watch_steps(int fd)
{
	struct itimerspec far = {.it_value.tv_sec = (time_t)INT32_MAX * 64};

	timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &far, NULL);
}

int clock_setup(struct clock *c, double scale, struct instant start)
{
	int64_t wall_us = read_us(CLOCK_REALTIME);

	*c = (struct clock){.scale = scale, .step_fd = -1};
	c->boot_start_us = c->boot_us = read_us(CLOCK_BOOTTIME);
	if (c->boot_start_us < 0 || wall_us < 0)
		return -errno;
	c->made_up = scale != 1 || instant_is_set(start);
	c->start = instant_is_set(start) ? start : (struct instant){wall_us};
	c->now = c->start;
	if (!c->made_up) {
		c->step_fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
		if (c->step_fd >= 0)
			watch_steps(c->step_fd);
	}
	return 0;
}

void clock_teardown(struct clock *c)
{
	if (c->step_fd >= 0)
		close(c->step_fd);
	c->step_fd = -1;
}

static struct instant at_boot(const struct clock *c, int64_t boot_us)
{
	int64_t passed = boot_us - c->boot_start_us;

	if (c->scale == 1)
		return (struct instant){c->start.us + passed};
	return (struct instant){c->start.us + (int64_t)((double)passed * c->scale)};
}

void clock_turn(struct clock *c)
{
	int64_t boot_us = read_us(CLOCK_BOOTTIME);

	if (boot_us > c->boot_us)
		c->boot_us = boot_us;
	c->now = instant_max(c->now, at_boot(c, c->boot_us));
}

struct span clock_to_real(const struct clock *c, struct span d)
{
	return c->scale == 1 ? d : span_from_s(span_s(d) / c->scale);
}

struct span clock_real_until(const struct clock *c, struct instant t)
{
	if (t.us == INSTANT_NEVER.us)
		return SPAN_MAX;
	if (t.us <= c->now.us)
		return SPAN_ZERO;
	if (t.us - c->now.us > SPAN_MAX.us)
		return SPAN_MAX;
	return clock_to_real(c, instant_diff(t, c->now));
}

struct store_clock clock_for_store(const struct clock *c)
{
	return (struct store_clock){c->boot_start_us, c->start, c->scale, 0};
}

void clock_carry_on(struct clock *c, struct instant now)
{
	if (now.us <= c->now.us)
		return;
	/* the wall clock was set back since: it differs from ours from the start */
	if (!c->made_up)
		c->offset.us += c->now.us - now.us;
	c->start.us += now.us - c->now.us;
	c->now = now;
}

bool clock_stepped(struct clock *c, struct span *ret_offset)
{
	int64_t expirations, offset_us, was = c->offset.us;

	if (c->step_fd < 0)
		return false;
	/* ECANCELED says that the clock was set; the timer is gone then and is set again */
	if (read(c->step_fd, &expirations, sizeof(expirations)) < 0 && errno == EAGAIN)
		return false;
	watch_steps(c->step_fd);
	offset_us = read_us(CLOCK_REALTIME) - at_boot(c, read_us(CLOCK_BOOTTIME)).us;
	if (offset_us - was < STEP_MIN_US && was - offset_us < STEP_MIN_US)
		return false;
	c->offset.us = offset_us;
	*ret_offset = c->offset;
	return true;
}

int64_t clock_log_s(void)
{
	return read_us(CLOCK_BOOTTIME) / 1000000;
}

int64_t clock_monotonic_us(void)
{
	return read_us(CLOCK_MONOTONIC);
}
