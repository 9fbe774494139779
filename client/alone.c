/* SPDX-License-Identifier: MIT */
#include "client/alone.h"

#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEED 6 /* of the hash of the directory, which seeds those of the slot and of its content */

/* What a slot's file holds, followed by key and value. */
struct slot {
	/* covers all that follows: a holder that died while writing leaves a wrong one */
	uint64_t check;
	int64_t read_us, finished_us, good_until_us; /* CLOCK_BOOTTIME */
	uint64_t version;
	uint32_t key_bytes, value_bytes;
};

/* A directory of ours that nobody else may write to; made if it is missing. */
static bool own_dir(const char *path)
{
	struct stat st;

	if (mkdir(path, 0700) && errno != EEXIST)
		return false;
	return !lstat(path, &st) && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
	       !(st.st_mode & (S_IWGRP | S_IWOTH));
}

/* Apps of different daemons may share the fallback directory, but no values. */
static uint64_t seed_of(const struct fc *fc)
{
	return hash_bytes(bytes_str(fc->dir), SEED);
}

static int open_slot(struct fc *fc, uint64_t seed, struct bytes key)
{
	unsigned slot = (unsigned)(hash_bytes(key, seed) % ALONE_SLOTS);
	char dir[sizeof(fc->dir) + 16], path[sizeof(dir) + 16];

	snprintf(dir, sizeof(dir), "%s/alone", fc->dir);
	if (access(fc->dir, W_OK | X_OK) || !own_dir(dir)) {
		snprintf(dir, sizeof(dir), "/dev/shm/forecache-%u", (unsigned)geteuid());
		if (!own_dir(dir))
			return -1;
	}
	snprintf(path, sizeof(path), "%s/%u", dir, slot);
	return open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
}

static uint64_t check_of(uint64_t seed, const struct slot *s)
{
	return hash_bytes(bytes_of(&s->read_us, sizeof(*s) - offsetof(struct slot, read_us) +
	                                                s->key_bytes + s->value_bytes),
	                  seed + 1);
}

/* The whole file in memory, checked; NULL: nothing there that is whole and of this key. */
static struct slot *read_slot(int fd, uint64_t seed, struct bytes key)
{
	struct slot *s;
	struct stat st;
	size_t n;

	if (fstat(fd, &st) || st.st_size < (off_t)sizeof(*s) ||
	    st.st_size > (off_t)(sizeof(*s) + ALONE_MAX_BYTES))
		return NULL;
	n = (size_t)st.st_size;
	s = malloc(n);
	if (s && pread(fd, s, n, 0) == (ssize_t)n && s->key_bytes == key.n &&
	    sizeof(*s) + (uint64_t)s->key_bytes + s->value_bytes == n &&
	    s->check == check_of(seed, s) && bytes_equal(bytes_of(s + 1, s->key_bytes), key))
		return s;
	free(s);
	return NULL;
}

static bool take_over(int fd, uint64_t seed, struct bytes key, int64_t came_us, bool until_ttl,
                      struct fc_value *ret)
{
	struct slot *s = read_slot(fd, seed, key);
	int64_t now = fc_boottime_us();
	bool good = s && s->finished_us <= now &&
	            (s->finished_us >= came_us || (until_ttl && now < s->good_until_us));

	if (good) {
		ret->data = malloc(s->value_bytes ? s->value_bytes : 1);
		good = ret->data;
	}
	if (good) {
		memcpy(ret->data, (char *)(s + 1) + s->key_bytes, s->value_bytes);
		ret->bytes = s->value_bytes;
		ret->version = s->version;
		ret->age_s = (double)(now - s->read_us) * 1e-6;
		ret->ttl_s = (double)(s->good_until_us - now) * 1e-6;
		ret->outcome = FC_HIT;
	}
	free(s);
	return good;
}

int alone_begin(struct alone *a, struct fc *fc, struct bytes key, double wait_s, int64_t came_us,
                bool until_ttl, struct fc_value *ret)
{
	int64_t until = fc_monotonic_us() + (int64_t)(wait_s * 1e6);
	int pause_ms = 1;

	a->seed = seed_of(fc);
	a->fd = open_slot(fc, a->seed, key);
	if (a->fd < 0)
		return 0;
	while (flock(a->fd, LOCK_EX | LOCK_NB)) {
		if ((errno != EWOULDBLOCK && errno != EINTR) || fc_monotonic_us() > until) {
			close(a->fd);
			a->fd = -1;
			return 0;
		}
		poll(NULL, 0, pause_ms);
		pause_ms = pause_ms < 16 ? 2 * pause_ms : 16;
	}
	if (!take_over(a->fd, a->seed, key, came_us, until_ttl, ret))
		return 0;
	close(a->fd);
	a->fd = -1;
	return 1;
}

void alone_end(struct alone *a, struct bytes key, const struct fc_value *v)
{
	struct slot *s = NULL;
	size_t n;

	if (a->fd < 0)
		return;
	if (v && key.n + v->bytes <= ALONE_MAX_BYTES) {
		n = sizeof(*s) + key.n + v->bytes;
		s = calloc(1, n);
	}
	if (s) {
		s->finished_us = fc_boottime_us();
		/* the origin may have been read when the load began */
		s->read_us = s->finished_us - span_from_s(v->age_s).us;
		s->good_until_us = s->read_us + (v->ttl_s > 0 ? span_from_s(v->ttl_s).us : 0);
		s->version = v->version;
		s->key_bytes = (uint32_t)key.n;
		s->value_bytes = (uint32_t)v->bytes;
		memcpy(s + 1, key.p, key.n);
		if (v->bytes)
			memcpy((char *)(s + 1) + key.n, v->data, v->bytes);
		s->check = check_of(a->seed, s);
		/* a file that is not whole is taken for empty */
		if (ftruncate(a->fd, 0) || pwrite(a->fd, s, n, 0) != (ssize_t)n)
			n = 0;
	} else if (ftruncate(a->fd, 0)) {
		/* what stands there is old by its own times */
	}
	free(s);
	close(a->fd); /* and with it the lock */
	a->fd = -1;
}
