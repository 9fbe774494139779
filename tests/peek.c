/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What an app on this host gets for some keys, as long as anybody asks:
 *
 *	peek DIR		reads keys from stdin, a line each, and answers each with a line:
 *				"hit VALUE", "grace VALUE" or "miss"
 */
#include "client/forecache.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
	struct fc_options opt = {.size = sizeof(opt), .dir = argc == 2 ? argv[1] : NULL};
	struct fc *fc;
	char key[1024];

	if (argc != 2 || fc_open(&opt, &fc))
		return 2;
	while (fgets(key, sizeof(key), stdin)) {
		struct fc_value v;

		key[strcspn(key, "\n")] = '\0';
		if (fc_get(fc, NULL, key, strlen(key), &v) == 0)
			printf("%s %.*s\n", v.outcome == FC_HIT ? "hit" : "grace", (int)v.bytes,
			       (const char *)v.data);
		else
			puts("miss");
		fflush(stdout);
		fc_value_release(&v);
	}
	fc_close(&fc);
	return 0;
}
