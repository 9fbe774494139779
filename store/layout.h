/* SPDX-License-Identifier: MIT */
/*
 * What writer and readers of the segment agree on. See store.h for what the store is for.
 * (The owner of store/ completes this file: header, index, entries, limits.)
 */
#ifndef FORECACHED_STORE_LAYOUT_H
#define FORECACHED_STORE_LAYOUT_H

#include "base/instant.h"

#include <stdint.h>

#endif
