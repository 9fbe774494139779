/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/rundir.h"

#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

char *rundir_default(const char **ret_from)
{
	const char *own = getenv("FORECACHED_DIR"), *xdg = getenv("XDG_RUNTIME_DIR");
	char path[4096];

	*ret_from = "$FORECACHED_DIR";
	if (own && *own)
		return text_copy(own);
	*ret_from = xdg && *xdg ? "$XDG_RUNTIME_DIR" : "default";
	snprintf(path, sizeof(path), "%s/forecached", xdg && *xdg ? xdg : "/run");
	return text_copy(path);
}

int rundir_make(const char *dir, bool group, struct fault *reterr)
{
	struct stat st;

	if (mkdir(dir, group ? 0750 : 0700) && errno != EEXIST)
		return fault_set(reterr, -errno, "%s: cannot be made: %s", dir, strerror(errno));
	if (stat(dir, &st))
		return fault_set(reterr, -errno, "%s: %s", dir, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return fault_set(reterr, -ENOTDIR, "%s: is not a directory", dir);
	if (access(dir, R_OK | W_OK | X_OK))
		return fault_set(reterr, -errno, "%s: no permission to write there as user %u: %s",
		                 dir, (unsigned)geteuid(), strerror(errno));
	return 0;
}

/* Who holds the lock, as far as its file says. */
static long holder(int fd)
{
	char text[32] = "";

	if (pread(fd, text, sizeof(text) - 1, 0) <= 0)
		return 0;
	return strtol(text, NULL, 10);
}

int rundir_lock(const char *dir, bool group, struct fault *reterr)
{
	char path[4200], pid[32];
	struct stat st;
	int fd, n, rc = rundir_make(dir, group, reterr);

	if (rc)
		return rc;
	if (stat(dir, &st))
		return fault_set(reterr, -errno, "%s: %s", dir, strerror(errno));
	if (st.st_mode & 0027)
		return fault_set(
		        reterr, -EPERM,
		        "%s: is open to other users (mode %04o), who could read and write the "
		        "cache: chmod 0700 it",
		        dir, (unsigned)(st.st_mode & 07777));
	snprintf(path, sizeof(path), "%s/lock", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fault_set(reterr, -errno, "%s: %s", path, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		rc = errno == EWOULDBLOCK ? -EBUSY : -errno;
		if (rc == -EBUSY)
			fault_set(reterr, rc,
			          "%s: forecached with pid %ld serves this directory: stop it, or "
			          "give "
			          "--dir",
			          dir, holder(fd));
		else
			fault_set(reterr, rc, "%s: %s", path, strerror(errno));
		close(fd);
		return rc;
	}
	n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
	if (ftruncate(fd, 0) || pwrite(fd, pid, (size_t)n, 0) != n) {
		rc = fault_set(reterr, -errno, "%s: cannot be written: %s", path, strerror(errno));
		close(fd);
		return rc;
	}
	return fd;
}
