/* SPDX-License-Identifier: MIT */
#include "client/lane.h"

#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__linux__) && __has_include(<linux/membarrier.h>)
#include <linux/membarrier.h>
#endif

/* Handles that a thread can go to and fro between without looking for its lane. */
#define NEAR 4

/*
 * Initial-exec: a get cannot afford the call by which a shared library else finds what is
 * thread-local. It takes some of the little room that is there for libraries that are loaded late.
 */
static _Thread_local struct {
	uint64_t number; /* of the thread; 0: not given yet */
	struct {
		uint64_t id;
		struct lane *lane;
	} near[NEAR];
	unsigned next;
} self __attribute__((tls_model("initial-exec")));

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t at_exit;
static bool have_key; /* an app may have used them all up */
static pthread_mutex_t sets_lock = PTHREAD_MUTEX_INITIALIZER;
static struct lanes *sets;
static _Atomic uint64_t last_number, last_id;

static int barrier(int command)
{
#ifdef MEMBARRIER_CMD_PRIVATE_EXPEDITED
	return (int)syscall(SYS_membarrier, command, 0, 0);
#else
	(void)command;
	return -1;
#endif
}

#ifndef MEMBARRIER_CMD_PRIVATE_EXPEDITED
#define MEMBARRIER_CMD_PRIVATE_EXPEDITED          0
#define MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED 0
#endif

static void free_all(struct lanes *s, uint64_t number)
{
	struct lane *l = atomic_load_explicit(&s->first, memory_order_acquire);

	for (; l; l = l->next)
		if (atomic_load_explicit(&l->taken, memory_order_relaxed) == number) {
			lane_done(l);
			atomic_store_explicit(&l->taken, 0, memory_order_release);
		}
}

/* A thread ends. */
static void give_back(void *number)
{
	struct lanes *s;

	memset(&self, 0, sizeof(self)); /* it may go on, in other destructors */
	pthread_mutex_lock(&sets_lock);
	for (s = sets; s; s = s->next_set)
		free_all(s, (uint64_t)(uintptr_t)number);
	pthread_mutex_unlock(&sets_lock);
}

static void before_fork(void)
{
	pthread_mutex_lock(&sets_lock);
}

static void after_fork(void)
{
	pthread_mutex_unlock(&sets_lock);
}

static void start(void)
{
	have_key = !pthread_key_create(&at_exit, give_back);
	pthread_atfork(before_fork, after_fork, after_fork);
}

void lanes_init(struct lanes *s)
{
	int i;

	pthread_once(&once, start);
	memset(s, 0, sizeof(*s));
	s->id = atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed) + 1;
	s->fence = barrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) != 0;
	pthread_mutex_init(&s->lock, NULL);
	for (i = 0; i + 1 < LANES_AT_HAND; i++)
		s->at_hand[i].next = &s->at_hand[i + 1];
	atomic_store_explicit(&s->first, &s->at_hand[0], memory_order_release);
	pthread_mutex_lock(&sets_lock);
	s->next_set = sets;
	if (sets)
		sets->prev_set = s;
	sets = s;
	pthread_mutex_unlock(&sets_lock);
}

void lanes_release(struct lanes *s)
{
	struct lane *l = atomic_load_explicit(&s->first, memory_order_acquire), *next;

	pthread_mutex_lock(&sets_lock);
	if (s->prev_set)
		s->prev_set->next_set = s->next_set;
	else
		sets = s->next_set;
	if (s->next_set)
		s->next_set->prev_set = s->prev_set;
	pthread_mutex_unlock(&sets_lock);
	for (; l; l = next) {
		next = l->next;
		unpacker_release(&l->unpacker);
		if (l->allocated)
			free(l);
	}
	pthread_mutex_destroy(&s->lock);
}

void lanes_forked(struct lanes *s)
{
	struct lane *l = atomic_load_explicit(&s->first, memory_order_relaxed);

	pthread_mutex_init(&s->lock, NULL);
	s->fence = barrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) != 0;
	for (; l; l = l->next)
		if (!self.number ||
		    atomic_load_explicit(&l->taken, memory_order_relaxed) != self.number) {
			lane_done(l);
			/* its thread may have been about to change it: nobody knows what it is */
			l->unpacker = (struct unpacker){0};
			atomic_store_explicit(&l->taken, 0, memory_order_relaxed);
		}
}

static struct lane *take(struct lanes *s)
{
	struct lane *first = atomic_load_explicit(&s->first, memory_order_acquire), *l;
	uint64_t none = 0;

	for (l = first; l; l = l->next)
		if (atomic_load_explicit(&l->taken, memory_order_relaxed) == self.number)
			return l;
	for (l = first; l; l = l->next, none = 0)
		if (atomic_compare_exchange_strong_explicit(&l->taken, &none, self.number,
		                                            memory_order_acquire,
		                                            memory_order_relaxed))
			return l;
	l = aligned_alloc(_Alignof(struct lane), sizeof(*l));
	if (!l)
		return NULL;
	memset(l, 0, sizeof(*l));
	l->allocated = true;
	l->next = first;
	atomic_store_explicit(&l->taken, self.number, memory_order_relaxed);
	atomic_store_explicit(&s->first, l, memory_order_release);
	return l;
}

static struct lane *look_for(struct lanes *s)
{
	struct lane *l;

	if (!self.number) {
		self.number = atomic_fetch_add_explicit(&last_number, 1, memory_order_relaxed) + 1;
		/* without it the lane stays taken when the thread ends, which does no harm */
		if (have_key)
			pthread_setspecific(at_exit, (void *)(uintptr_t)self.number);
	}
	pthread_mutex_lock(&s->lock);
	l = take(s);
	pthread_mutex_unlock(&s->lock);
	if (l) {
		self.near[self.next].id = s->id;
		self.near[self.next].lane = l;
		self.next = (self.next + 1) % NEAR;
	}
	return l;
}

struct lane *lanes_mine(struct lanes *s)
{
	int i;

	for (i = 0; i < NEAR; i++)
		if (self.near[i].id == s->id)
			return self.near[i].lane;
	return look_for(s);
}

bool lanes_reading(struct lanes *s, const struct segment_map *m)
{
	struct lane *l;

	/* whoever has not seen yet that m is to go, has said by now that it reads it */
	if (!s->fence && barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED))
		return true; /* cannot be told */
	for (l = atomic_load_explicit(&s->first, memory_order_acquire); l; l = l->next)
		if (atomic_load_explicit(&l->reading, memory_order_seq_cst) == m)
			return true;
	return false;
}
