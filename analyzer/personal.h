/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Does the name of a key say whose it is? `/users/42/orders`, `/me`, `/feed?session=9f3c`,
 * `cart:ann@example.org`: loading such a value before its user asks for it looks into what is theirs,
 * mostly for nothing. `/quotes/IBM` is everybody's.
 *
 * HOW IT WORKS names are cut into words at everything but letters and digits. A path segment, or the
 * first part of a name with colons, that is such a word marks what follows it; a query parameter that
 * is one marks its value; and so does an e-mail address anywhere. A guess by name, since who asks
 * cannot be seen: endpoints can say that it is wrong (policy.h, prewarm).
 */
#ifndef FORECACHED_ANALYZER_PERSONAL_H
#define FORECACHED_ANALYZER_PERSONAL_H

#include "base/bytes.h"

#include <stdbool.h>

bool personal_name(struct bytes key);

#endif
