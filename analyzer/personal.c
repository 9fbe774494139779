/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "analyzer/personal.h"

#include <stddef.h>
#include <string.h>

/* Whose something is: alone, or with what comes behind it. */
static const char *const by_itself[] = {"me", "my", "mine", "self", "whoami", "inbox", "mailbox"};
static const char *const owners[] = {
        "user",    "users",      "userid",     "account",  "accounts", "customer", "customers",
        "member",  "members",    "person",     "persons",  "people",   "patient",  "patients",
        "student", "students",   "session",    "sessions", "sess",     "cart",     "carts",
        "basket",  "baskets",    "wallet",     "wallets",  "visitor",  "visitors", "device",
        "devices", "subscriber", "subscribers"};
static const char *const parameters[] = {
        "user",       "userid", "uid",      "account", "accountid", "customer",
        "customerid", "member", "memberid", "session", "sessionid", "sid",
        "token",      "auth",   "apikey",   "email",   "jwt"};

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is_word(char c)
{
	return (lower(c) >= 'a' && lower(c) <= 'z') || (c >= '0' && c <= '9');
}

/* The word in lower case, without - and _, equals one of the list. */
static bool among(const char *s, size_t n, const char *const *list, size_t n_list)
{
	for (size_t i = 0; i < n_list; i++) {
		const char *w = list[i];
		size_t j = 0;

		for (; j < n && *w; j++) {
			if (s[j] == '-' || s[j] == '_')
				continue;
			if (lower(s[j]) != *w)
				break;
			w++;
		}
		if (j == n && !*w)
			return true;
	}
	return false;
}

#define AMONG(s, n, list) among(s, n, list, sizeof(list) / sizeof(list[0]))

/* name@host.tld, with a dot behind the @. */
static bool has_address(const char *s, size_t n)
{
	for (size_t i = 1; i + 3 < n; i++) {
		size_t j = i + 1;

		/* %40 is how an URL spells it */
		if (s[i] == '%' && s[i + 1] == '4' && s[i + 2] == '0')
			j = i + 3;
		else if (s[i] != '@')
			continue;
		if (!is_word(s[i - 1]))
			continue;
		while (j < n && (is_word(s[j]) || s[j] == '-'))
			j++;
		if (j + 1 < n && s[j] == '.' && is_word(s[j + 1]))
			return true;
	}
	return false;
}

static bool query_is_personal(const char *s, size_t n)
{
	for (size_t i = 0; i < n;) {
		size_t end = i, name;

		while (end < n && s[end] != '&' && s[end] != ';')
			end++;
		for (name = i; name < end && s[name] != '=';)
			name++;
		/* a parameter without a value is a template's: of all its values */
		if (AMONG(s + i, name - i, parameters))
			return true;
		i = end + 1;
	}
	return false;
}

bool personal_name(struct bytes key)
{
	const char *s = key.p;
	size_t n = key.n, i = 0;
	const char *query = n ? memchr(s, '?', n) : NULL;

	if (!n || has_address(s, n))
		return n != 0;
	if (query && query_is_personal(query + 1, n - (size_t)(query + 1 - s)))
		return true;
	n = query ? (size_t)(query - s) : n;
	while (i < n) {
		size_t end = i;

		while (end < n && s[end] != '/' && s[end] != ':')
			end++;
		if (AMONG(s + i, end - i, by_itself))
			return true;
		/* the list of all users is nobody's; one of them is */
		if (end + 1 < n && AMONG(s + i, end - i, owners))
			return true;
		i = end + 1;
	}
	return false;
}
