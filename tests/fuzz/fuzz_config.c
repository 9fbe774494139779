/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The configuration: JSON with comments. A refusal says what is wrong; what is accepted can be
 * shown. */
#include "tests/fuzz/fuzz.h"

#include "base/bug.h"
#include "daemon/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const words[] = {"\"endpoints\":",
                                    "\"origins\":",
                                    "\"match\":",
                                    "\"class\":",
                                    "\"zone\":",
                                    "\"url\":",
                                    "\"origin\":",
                                    "\"ttl\":",
                                    "\"vary\":",
                                    "\"headers\":",
                                    "\"schedules\":",
                                    "\"rrule\":",
                                    "\"{key}\"",
                                    "{<id>}",
                                    "\"/a/<id>\"",
                                    "\"5m\"",
                                    "\"64KiB\"",
                                    "\"inherit\"",
                                    "/*",
                                    "*/",
                                    "//",
                                    "\\u0000",
                                    "\\ud800",
                                    "null",
                                    "true",
                                    "[[[[[[[[",
                                    "{\"a\":{\"a\":{\"a\":",
                                    NULL};

const struct fuzz_target fuzz_target = {"config", words, 4096};

static void show(const struct config *c)
{
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);

	BUG_ON(!out);
	config_show(c, out);
	fclose(out);
	BUG_ON(n == 0);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config *c = NULL;
	struct config_error err = {{0}, {0}};
	int rc = config_parse("fuzz.conf", (const char *)data, size, &c, &err);

	BUG_ON(rc > 0 || (rc < 0 && (c || !err.why[0])));
	BUG_ON(!memchr(err.why, 0, sizeof(err.why)) || !memchr(err.path, 0, sizeof(err.path)));
	if (!rc) {
		struct config *old = config_default();
		char names[1024];

		BUG_ON(!c);
		config_keep_fixed(c, old, "fuzz", names, sizeof(names));
		show(c);
		BUG_ON(config_keep_fixed(c, old, "fuzz", names, sizeof(names)) != 0);
		config_free(&old);
	}
	config_free(&c);
	BUG_ON(c);
	return 0;
}
