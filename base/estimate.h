/* SPDX-License-Identifier: MIT */
/* Nothing learned is a bare number: a mean, how sure it is, and from how much. */
#ifndef FORECACHED_BASE_ESTIMATE_H
#define FORECACHED_BASE_ESTIMATE_H

struct estimate {
	double mean;
	double sd; /* HUGE_VAL when n is 0 */
	double n;  /* observations behind it; fractional when old ones are discounted */
};

#endif
