/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/log.h"

#include "base/hash.h"
#include "daemon/clock.h"

#include <ctype.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_BYTES 1024

/* Event names are ours and few; should there ever be more, they share the last row. */
#define MAX_EVENTS 128

#define WINDOW_S 60

struct rate {
	const char *event;
	int64_t window; /* minute number */
	unsigned written;
	uint64_t left_out;
};

static struct {
	pthread_mutex_t lock;
	enum log_level least;
	unsigned burst;
	bool keys_in_clear, priority, set_up;
	struct rate rate[MAX_EVENTS];
	size_t n;
	uint64_t suppressed;
} self = {.lock = PTHREAD_MUTEX_INITIALIZER, .least = LOG_INFO, .burst = 10};

static const char *const names[] = {"error", "warn", "notice", "info", "debug"};

void log_setup(enum log_level least, unsigned burst, bool keys_in_clear)
{
	pthread_mutex_lock(&self.lock);
	self.least = least;
	self.burst = burst;
	self.keys_in_clear = keys_in_clear;
	self.priority = getenv("JOURNAL_STREAM") != NULL;
	self.set_up = true;
	pthread_mutex_unlock(&self.lock);
}

bool log_level_parse(const char *word, enum log_level *ret)
{
	for (int i = 0; i <= LOG_DEBUG; i++)
		if (!strcmp(word, names[i])) {
			*ret = (enum log_level)i;
			return true;
		}
	return false;
}

static struct rate *rate_of(const char *event)
{
	for (size_t i = 0; i < self.n; i++)
		if (!strcmp(self.rate[i].event, event))
			return &self.rate[i];
	if (self.n < MAX_EVENTS) {
		self.rate[self.n] = (struct rate){.event = event};
		return &self.rate[self.n++];
	}
	return &self.rate[MAX_EVENTS - 1];
}

/* One write per line, so that lines of several threads do not mix. */
static void put(enum log_level level, const char *text, size_t n)
{
	static const int priority[] = {3, 4, 5, 6, 7};
	char line[LINE_BYTES + 64];
	int head = self.priority ? snprintf(line, 8, "<%d>", priority[level]) : 0;

	memcpy(line + head, text, n);
	line[head + (int)n] = '\n';
	if (write(STDERR_FILENO, line, (size_t)head + n + 1) < 0)
		return; /* nobody left to tell */
}

void log_line(enum log_level level, const char *event, const char *fmt, ...)
{
	char text[LINE_BYTES], more[128];
	int64_t window = clock_log_s() / WINDOW_S;
	struct rate *r;
	uint64_t left_out = 0;
	bool write_it;
	va_list ap;
	int n, k;

	pthread_mutex_lock(&self.lock);
	if (level > self.least) {
		pthread_mutex_unlock(&self.lock);
		return;
	}
	r = rate_of(event);
	if (r->window != window) {
		left_out = r->left_out;
		r->window = window;
		r->written = 0;
		r->left_out = 0;
	}
	write_it = r->written < self.burst;
	r->written += write_it;
	r->left_out += !write_it;
	self.suppressed += !write_it;
	pthread_mutex_unlock(&self.lock);
	if (left_out) {
		n = snprintf(more, sizeof(more), "%s event=%s left_out=%" PRIu64, names[level],
		             event, left_out);
		put(level, more, (size_t)n);
	}
	if (!write_it)
		return;
	n = snprintf(text, sizeof(text), "%s event=%s ", names[level], event);
	va_start(ap, fmt);
	k = vsnprintf(text + n, sizeof(text) - (size_t)n, fmt, ap);
	va_end(ap);
	if (k < 0)
		return;
	n = n + k < LINE_BYTES ? n + k : LINE_BYTES - 1;
	for (int i = 0; i < n; i++)
		if (text[i] == '\n')
			text[i] = ' ';
	put(level, text, (size_t)n);
}

const char *log_quote(struct bytes text, char *buf)
{
	static const char hex[] = "0123456789abcdef";
	const unsigned char *s = text.p;
	bool plain = text.n > 0 && text.n < LOG_TEXT_BYTES - 4;
	size_t n = 0;

	for (size_t i = 0; plain && i < text.n; i++)
		plain = isgraph(s[i]) && s[i] != '"' && s[i] != '=' && s[i] != '\\';
	if (plain) {
		memcpy(buf, text.p, text.n);
		buf[text.n] = '\0';
		return buf;
	}
	buf[n++] = '"';
	for (size_t i = 0; i < text.n; i++) {
		if (n > LOG_TEXT_BYTES - 10) {
			memcpy(buf + n, "...", 3);
			n += 3;
			break;
		}
		if (s[i] == '"' || s[i] == '\\') {
			buf[n++] = '\\';
			buf[n++] = (char)s[i];
		} else if (s[i] < 0x20 || s[i] >= 0x7f) {
			buf[n++] = '\\';
			buf[n++] = 'x';
			buf[n++] = hex[s[i] >> 4];
			buf[n++] = hex[s[i] & 15];
		} else {
			buf[n++] = (char)s[i];
		}
	}
	buf[n++] = '"';
	buf[n] = '\0';
	return buf;
}

const char *log_key(struct bytes key, char *buf)
{
	if (self.keys_in_clear)
		return log_quote(key, buf);
	snprintf(buf, LOG_TEXT_BYTES, "#%016" PRIx64, hash_bytes(key, 0));
	return buf;
}

uint64_t log_suppressed(void)
{
	uint64_t n;

	pthread_mutex_lock(&self.lock);
	n = self.suppressed;
	pthread_mutex_unlock(&self.lock);
	return n;
}
