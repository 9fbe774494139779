/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/segment.h"

#include "base/hash.h"
#include "store/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static int too_small(const char *dir, uint64_t bytes, struct fault *reterr)
{
	struct statvfs fs = {0};
	double mib = 1048576.0;

	if (statvfs(dir, &fs))
		return fault_set(reterr, -ENOSPC, "%s: no room for a segment of %.1f MiB", dir,
		                 (double)bytes / mib);
	return fault_set(reterr, -ENOSPC,
	                 "%s: has %.1f MiB free of %.1f MiB, the segment takes %.1f MiB: lower "
	                 "segment_bytes, or "
	                 "enlarge it (mount -o remount,size=...)",
	                 dir, (double)fs.f_bavail * (double)fs.f_frsize / mib,
	                 (double)fs.f_blocks * (double)fs.f_frsize / mib, (double)bytes / mib);
}

/* Asked first, so that a segment that cannot fit does not fill the memory on its way to failing. */
static bool may_fit(const char *dir, uint64_t bytes)
{
	struct statvfs fs;

	return statvfs(dir, &fs) || (double)bytes <= (double)fs.f_bavail * (double)fs.f_frsize;
}

/* The symlink is renamed into place: a reader finds the old one or the new one. */
static int link_to(const char *path, const char *run_dir, struct fault *reterr)
{
	char link[4200], tmp[4200];

	snprintf(link, sizeof(link), "%s/segment", run_dir);
	snprintf(tmp, sizeof(tmp), "%s/segment.new", run_dir);
	unlink(tmp);
	if (symlink(path, tmp) || rename(tmp, link))
		return fault_set(reterr, -errno, "%s: cannot be made: %s", link, strerror(errno));
	return 0;
}

/* What was made for a start that goes no further. */
static int drop(const struct segment *s, int rc)
{
	if (s->mem && s->mem != MAP_FAILED)
		munmap(s->mem, s->bytes);
	if (!s->used_before)
		unlink(s->path);
	return rc;
}

/* An earlier file, if it can be used again; -1 otherwise, and it is gone. */
static int reopen(const char *path, uint64_t bytes, mode_t mode)
{
	struct stat st;
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	if (fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
	    (uint64_t)st.st_size == bytes && (uint64_t)st.st_blocks * 512 >= bytes &&
	    !fchmod(fd, mode))
		return fd;
	if (fd >= 0)
		close(fd);
	unlink(path);
	return -1;
}

int segment_open(const char *segment_dir, const char *run_dir, uint64_t bytes, mode_t mode,
                 struct segment *ret, struct fault *reterr)
{
	long page = sysconf(_SC_PAGESIZE);
	struct segment s = {0};
	char *real = realpath(run_dir, NULL);
	int fd, rc;

	bytes = (bytes + (uint64_t)page - 1) / (uint64_t)page * (uint64_t)page;
	s.bytes = bytes;
	snprintf(s.path, sizeof(s.path), "%.4000s/forecached-%016" PRIx64, segment_dir,
	         hash_bytes(bytes_str(real ? real : run_dir), 0));
	free(real);
	fd = reopen(s.path, bytes, mode);
	s.used_before = fd >= 0;
	if (fd < 0 && !may_fit(segment_dir, bytes))
		return too_small(segment_dir, bytes, reterr);
	if (fd < 0) {
		fd = open(s.path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
		if (fd < 0)
			return fault_set(reterr, -errno, "%.300s: cannot be made: %s", s.path,
			                 strerror(errno));
		rc = fchmod(fd, mode) ? errno : posix_fallocate(fd, 0, (off_t)bytes);
		if (rc) {
			close(fd);
			unlink(s.path);
			return rc == ENOSPC || rc == EFBIG
			               ? too_small(segment_dir, bytes, reterr)
			               : fault_set(reterr, -rc, "%.300s: %s", s.path, strerror(rc));
		}
	}
	s.mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	rc = -errno;
	close(fd);
	if (s.mem == MAP_FAILED)
		return drop(&s, fault_set(reterr, rc, "%.300s: cannot be mapped: %s", s.path,
		                          strerror(-rc)));
	/* all pages at once, at a tenth of what it takes one by one; where the kernel cannot: one by one */
	(void)madvise(s.mem, bytes, MADV_POPULATE_WRITE);
	rc = link_to(s.path, run_dir, reterr);
	if (rc)
		return drop(&s, rc);
	*ret = s;
	return 0;
}

void segment_close(struct segment *s)
{
	if (s->mem)
		munmap(s->mem, s->bytes);
	s->mem = NULL;
}

void segment_undo(const struct segment *s, const char *run_dir)
{
	char link[4200];

	if (!s->mem || s->used_before)
		return;
	snprintf(link, sizeof(link), "%s/segment", run_dir);
	unlink(link);
	unlink(s->path);
}

uint64_t segment_host(void)
{
	char id[64];
	ssize_t n = -1;
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		n = read(fd, id, sizeof(id));
		close(fd);
	}
	return n > 0 ? hash_bytes(bytes_of(id, (size_t)n), 0) | 1 : 0;
}

struct instant segment_clock(const struct segment *s, uint64_t host, int64_t boot_us)
{
	struct store_reader r;

	if (!s->used_before || store_reader_init(&r, s->mem, s->bytes))
		return INSTANT_NONE;
	r.host = host;
	return store_reader_now(&r, boot_us);
}
