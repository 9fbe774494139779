/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the programs of the example have in common on their command lines. */
#ifndef FORECACHED_EXAMPLES_MARKET_ARGS_H
#define FORECACHED_EXAMPLES_MARKET_ARGS_H

/* Defined by each program: its name, which messages begin with. */
extern const char args_program[];

/* Prints "program: what: why" on stderr and exits with 1. */
_Noreturn void args_die(const char *what, const char *why);

/* The number that text is, from low to high; else ends the program with a message that names the
 * option and its limits. */
double args_number(const char *name, const char *text, double low, double high);

#endif
