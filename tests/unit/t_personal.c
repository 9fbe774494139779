/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "analyzer/personal.h"

#include "tests/tap.h"

TEST(names_that_say_whose_they_are)
{
	static const char *const names[] = {
	        "/users/42/orders", "/api/v2/Users/ann",    "/me",
	        "/me/inbox",        "/feed?session=9f3c",   "/search?q=x&user_id=7",
	        "session:9f3c",     "user:42:profile",      "/carts/77",
	        "/u?e=ann%40b.org", "mail:ann@example.org", "/accounts/9/balance",
	        "/my/orders",       "/customer/12?full=1",  "/x?API-KEY=abc"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		OK(personal_name(bytes_str(names[i])), "%s", names[i]);
}

TEST(names_of_what_is_everybodys)
{
	static const char *const names[] = {"/quotes/IBM",    "/profiles/ACME",   "/users",
	                                    "/news?page=2",   "/meta/IBM",        "/myth/zeus",
	                                    "/sessions",      "/media/42",        "@db0:quotes",
	                                    "/a@b",           "/charts/<symbol>", "",
	                                    "/search?q=user", "/usersguide/3",    "/x@2x.png/"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) - 1; i++)
		OK(!personal_name(bytes_str(names[i])), "%s", names[i]);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	RUN(names_that_say_whose_they_are);
	RUN(names_of_what_is_everybodys);
	return tap_done();
}
