/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Traces: requests, and behind a line "%%" changes; either may be compressed. An access log may
 * stand in the place of the requests.
 */
#include "tests/fuzz/fuzz.h"

#include "base/bug.h"
#include "sim/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *const words[] = {"time_s\tendpoint\tkey\tbytes\tload_ms\n",
                                    "time_s\tkey\n",
                                    "\n%%\n",
                                    "\t-\t",
                                    "\\t",
                                    "\\n",
                                    "\\\\",
                                    "\\x",
                                    "\r\n",
                                    "#",
                                    "1770000000.000001\t",
                                    "\x1f\x8b\x08",
                                    "\x28\xb5\x2f\xfd",
                                    "\xfd"
                                    "7zXZ",
                                    NULL};

const struct fuzz_target fuzz_target = {"trace", words, 8192};

/* A file in memory that can be opened by its path. */
struct file {
	int fd;
	char path[32];
};

static void file_set(struct file *f, const void *p, size_t n)
{
	if (!f->path[0]) {
		f->fd = memfd_create("fuzz", MFD_CLOEXEC);
		BUG_ON(f->fd < 0);
		snprintf(f->path, sizeof(f->path), "/proc/self/fd/%d", f->fd);
	}
	BUG_ON(ftruncate(f->fd, 0) || (n && pwrite(f->fd, p, n, 0) != (ssize_t)n));
}

/* What trace.h promises of whatever could be read. */
static void check(const struct trace *t)
{
	BUG_ON(t->key.n != t->at.n || t->load_us.n != t->at.n || t->bytes.n != t->at.n);
	for (size_t i = 0; i < t->at.n; i++) {
		uint32_t k = t->key.v[i];

		BUG_ON(i && t->at.v[i].us < t->at.v[i - 1].us);
		BUG_ON(!instant_is_set(t->at.v[i]) || !intern_is_live(&t->keys, k));
		BUG_ON(!intern_is_live(&t->endpoints, t->endpoint.v[k]));
		BUG_ON(intern_name(&t->keys, k).n > TRACE_MAX_KEY_BYTES);
		BUG_ON(t->load_us.v[i] > TRACE_MAX_LOAD_MS * 1000);
	}
}

static void check_versions(const struct trace *t)
{
	for (size_t i = 0; i < t->at.n; i++) {
		uint32_t k = t->key.v[i], v = t->version[i], seen = 0;

		for (size_t c = 0; c < t->change.n; c++)
			seen += t->change.v[c].key == k && t->change.v[c].at.us <= t->at.v[i].us;
		BUG_ON(v != seen || v != trace_version(t, k, t->at.v[i]));
		BUG_ON(v && trace_version_began(t, k, v).us > t->at.v[i].us);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct file requests, changes;
	struct trace_options options = {.keep_query = size % 2};
	const uint8_t *cut = size ? memmem(data, size, "\n%%\n", 4) : NULL;
	size_t n = cut ? (size_t)(cut - data) + 1 : size;
	struct fault fault = {{0}};
	struct trace t = {0};
	int rc;

	file_set(&requests, data, n);
	if (cut)
		file_set(&changes, cut + 4, size - n - 3);
	rc = trace_read(&t, requests.path, &options, &fault);
	BUG_ON(rc > 0 || (rc < 0 && !fault.text[0]));
	if (!rc) {
		check(&t);
		rc = trace_read_changes(&t, cut ? changes.path : NULL, &fault);
		BUG_ON(rc > 0 || (rc < 0 && !fault.text[0]));
		if (!rc)
			check_versions(&t);
	}
	trace_release(&t);
	return 0;
}
