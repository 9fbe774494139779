/* SPDX-License-Identifier: MIT */
/* A record of learned state, as the engine makes it and messages carry it: its bounds. */
#ifndef FORECACHED_BASE_RECORD_H
#define FORECACHED_BASE_RECORD_H

#define RECORD_MAX_FIELDS 24

#endif
