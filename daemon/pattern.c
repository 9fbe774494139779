/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/pattern.h"

#include <string.h>

bool pattern_is_valid(const char *pattern, const char **ret_why)
{
	const char *s = pattern;

	*ret_why = NULL;
	if (!*pattern)
		*ret_why = "must not be empty: \"*\" matches everything";
	for (; *s && !*ret_why; s++) {
		if (*s == '*' && s[1])
			*ret_why = "`*` stands for any rest and must be the last character";
		else if (*s == '<' && s != pattern && s[-1] != '/')
			*ret_why = "<name> must be a whole segment, between slashes";
		else if (*s == '<') {
			size_t n = strcspn(s + 1, "<>/*");

			if (s[1 + n] != '>' || n == 0)
				*ret_why = "a `<` must be followed by a name and `>`";
			else if (s[2 + n] && s[2 + n] != '/')
				*ret_why = "<name> must be a whole segment, between slashes";
			s += 1 + n;
		} else if (*s == '>') {
			*ret_why = "a `>` without its `<`";
		}
		if (*ret_why)
			break;
	}
	return !*ret_why;
}

bool pattern_matches(const char *pattern, struct bytes key)
{
	const char *s = pattern, *k = key.p, *end = k + key.n;

	while (*s) {
		if (*s == '*' && !s[1])
			return true;
		if (*s == '<') {
			const char *from = k;

			s = strchr(s, '>');
			if (!s)
				return false;
			s++;
			while (k < end && *k != '/')
				k++;
			if (k == from)
				return false;
			continue;
		}
		if (k == end || *k != *s)
			return false;
		k++;
		s++;
	}
	return k == end;
}
