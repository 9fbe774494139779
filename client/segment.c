/* SPDX-License-Identifier: MIT */
#include "client/segment.h"

#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* A segment on a disk may be of another boot, whose CLOCK_BOOTTIME says nothing in this one. */
static uint64_t boot_of_host(void)
{
	char id[64];
	ssize_t n = -1;
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	n = read(fd, id, sizeof(id));
	close(fd);
	return n > 0 ? hash_bytes(bytes_of(id, (size_t)n), 0) | 1 : 0;
}

void segment_init(struct segment *s, const char *path, struct lanes *lanes)
{
	memset(s, 0, sizeof(*s));
	s->lanes = lanes;
	s->host = boot_of_host();
	snprintf(s->path, sizeof(s->path), "%s", path);
	pthread_mutex_init(&s->lock, NULL);
}

static void unmap(struct segment_map *m)
{
	struct store_reader old = m->reader;

	m->reader = (struct store_reader){0};
	/* a fork in between may leak the mapping in the child, not unmap there what came in its place */
	atomic_signal_fence(memory_order_seq_cst);
	if (old.mem)
		munmap((void *)old.mem, old.bytes);
}

void segment_release(struct segment *s)
{
	int i;

	atomic_store(&s->current, NULL);
	for (i = 0; i < SEGMENT_MAPS; i++)
		unmap(&s->map[i]);
	pthread_mutex_destroy(&s->lock);
}

void segment_forked(struct segment *s)
{
	pthread_mutex_init(&s->lock, NULL);
}

static bool is_held(struct segment *s, struct segment_map *m)
{
	/* a pin is made while the mapping is held */
	return lanes_reading(s->lanes, m) ||
	       atomic_load_explicit(&m->pins, memory_order_acquire) != 0;
}

/* A place for a new mapping; what was replaced and is held no more is given back on the way. */
static struct segment_map *free_map(struct segment *s)
{
	struct segment_map *found = NULL, *now = atomic_load(&s->current);
	int i;

	for (i = 0; i < SEGMENT_MAPS; i++) {
		struct segment_map *m = &s->map[i];

		if (m == now || (m->reader.mem && is_held(s, m)))
			continue;
		unmap(m);
		found = m;
	}
	return found;
}

static void map_file(struct segment *s, int fd, const struct stat *st)
{
	struct segment_map *m = free_map(s);
	void *mem;

	if (!m || st->st_size <= 0)
		return;
	mem = mmap(NULL, (size_t)st->st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (mem == MAP_FAILED)
		return;
	if (store_reader_init(&m->reader, mem, (uint64_t)st->st_size)) {
		munmap(mem, (size_t)st->st_size);
		return;
	}
	m->reader.host = s->host;
	m->dev = st->st_dev;
	m->ino = st->st_ino;
	atomic_store(&s->current, m);
}

void segment_refresh(struct segment *s)
{
	struct segment_map *m;
	struct store_reader again;
	struct stat st;
	int fd;

	pthread_mutex_lock(&s->lock);
	free_map(s);
	m = atomic_load(&s->current);
	fd = open(s->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		goto out;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		goto out;
	/*
	 * The daemon never cuts its file; if somebody else has, what is missing must not be read
	 * (SIGBUS). Until the next one is there, there is none.
	 */
	if (m && st.st_dev == m->dev && st.st_ino == m->ino &&
	    (uint64_t)st.st_size < m->reader.bytes)
		atomic_store(&s->current, NULL);
	if (!m || st.st_dev != m->dev || st.st_ino != m->ino ||
	    (uint64_t)st.st_size != m->reader.bytes)
		map_file(s, fd, &st);
	else if (!store_reader_init(&again, m->reader.mem, m->reader.bytes) &&
	         again.boot_id != m->reader.boot_id)
		/* The same file in another life of the daemon: mapped once more, as a reader in use
		   must not change under those who hold it. */
		map_file(s, fd, &st);
out:
	if (fd >= 0)
		close(fd);
	pthread_mutex_unlock(&s->lock);
}

bool segment_renew(struct segment *s, const struct segment_map *m)
{
	if (atomic_load(&s->current) == m)
		segment_refresh(s);
	return atomic_load(&s->current) != m;
}

struct segment_map *segment_hold(struct segment *s, struct lane *mine)
{
	struct segment_map *m;
	int tries;

	for (tries = 0; tries < 8; tries++) {
		m = atomic_load_explicit(&s->current, memory_order_acquire);
		if (!m)
			break;
		lane_read(s->lanes, mine, m);
		/* ordered behind what was just said, where that is no business of a membarrier */
		if (atomic_load_explicit(&s->current, memory_order_seq_cst) == m)
			return m;
	}
	lane_done(mine);
	return NULL;
}
