/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/near.h"
#include "tests/tap.h"

/* The one of the names that is near; "": none. */
static const char *nearest(const char *wrong)
{
	static const char *const name[] = {"max_stale", "max_age", "ttl_s",
	                                   "get",       "set",     "schedule.remove"};
	struct near near = near_to(bytes_str(wrong));

	for (size_t i = 0; i < sizeof(name) / sizeof(name[0]); i++)
		near_offer(&near, name[i]);
	return near.name ? near.name : "";
}

TEST(one_slip_for_three_letters)
{
	static const struct {
		const char *wrong, *meant;
	} rows[] = {
	        {"got", "get"},
	        {"gte", "get"}, /* swapped */
	        {"gets", "get"},
	        {"et", "get"}, /* as near as "set", and offered first */
	        {"gog", ""},
	        {"max_stail", "max_stale"},
	        {"mxa_stlea", "max_stale"},
	        {"max_s", "max_stale"}, /* the end is left out, however long; it is the only one */
	        {"max_", ""},           /* there are two */
	        {"sche", "schedule.remove"},
	        {"mbx_sbxlb", ""},
	        {"schedule.delete", "schedule.remove"},
	        {"m", ""},
	        {"", ""},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		OK(!strcmp(nearest(rows[i].wrong), rows[i].meant), "%s: %s", rows[i].wrong,
		   nearest(rows[i].wrong));
}

TEST(long_ones_are_near_to_nothing)
{
	char name[200];
	struct near near;

	for (size_t n = 60; n < 70; n++) {
		memset(name, 'x', n);
		name[n] = 0;
		near = near_to(bytes_of(name, n));
		name[n - 1] = 'y'; /* a view: both have it */
		near_offer(&near, name);
		OK((n < 64) == (near.name != NULL), "%zu", n);
		near = near_to(bytes_of(name, 5)); /* a beginning is no shorter way */
		near_offer(&near, name);
		OK((n < 64) == (near.name != NULL), "%zu", n);
	}
}

TEST(a_name_that_is_offered_twice_is_one)
{
	struct near near = near_to(bytes_str("max"));

	near_offer(&near, "max_stale");
	near_offer(&near, "max_stale");
	OK(near.name && !strcmp(near.name, "max_stale"));
	near_offer(&near, "max_age");
	OK(!near.name);
}

TEST(any_bytes_will_do)
{
	struct near near = near_to(bytes_of("g\0t", 3));

	near_offer(&near, "get");
	OK(near.name && !strcmp(near.name, "get"));
	near = near_to(bytes_of(NULL, 0));
	near_offer(&near, "get");
	OK(!near.name);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	RUN(one_slip_for_three_letters);
	RUN(long_ones_are_near_to_nothing);
	RUN(a_name_that_is_offered_twice_is_one);
	RUN(any_bytes_will_do);
	return tap_done();
}
