/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "calendar/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LONGEST_NAME 64

bool file_name_ok(const char *name)
{
	size_t i, n = strlen(name);

	if (n == 0 || n > LONGEST_NAME || *name == '/' || name[n - 1] == '/')
		return false;
	for (i = 0; i < n; i++) {
		char c = name[i];

		if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		      strchr("_+-/", c)))
			return false;
	}
	return true;
}

int file_read(const char *path, size_t max, char **ret, size_t *ret_n)
{
	struct stat st;
	char *text = NULL;
	size_t n = 0;
	ssize_t got = 1;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), err = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		err = -errno;
	else if (!S_ISREG(st.st_mode))
		err = S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	else if ((uintmax_t)st.st_size > max)
		err = -EFBIG;
	if (err)
		goto out;
	text = malloc((size_t)st.st_size + 1);
	if (!text) {
		err = -ENOMEM;
		goto out;
	}
	while (n < (size_t)st.st_size && got > 0) {
		got = read(fd, text + n, (size_t)st.st_size - n);
		if (got < 0 && errno == EINTR)
			got = 1;
		else if (got < 0)
			err = -errno;
		else
			n += (size_t)got;
	}
	text[n] = '\0';
out:
	close(fd);
	if (err) {
		free(text);
		return err;
	}
	*ret = text;
	*ret_n = n;
	return 0;
}
