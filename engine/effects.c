/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/state.h"

#include <stdlib.h>

void effects_clear(struct effects *fx)
{
	for (size_t i = 0; i < fx->text.n; i++)
		free(fx->text.v[i]);
	fx->text.n = 0;
	fx->list.n = 0;
}

void effects_release(struct effects *fx)
{
	effects_clear(fx);
	vec_free(&fx->text);
	vec_free(&fx->list);
}

struct effect *effect_add(struct effects *fx, enum effect_kind kind)
{
	struct effect *f = vec_push(&fx->list);

	*f = (struct effect){.kind = kind};
	return f;
}

struct bytes effect_copy(struct effects *fx, struct bytes b)
{
	char *p = mem_dup(b.p, b.n);

	*vec_push(&fx->text) = p;
	return bytes_of(p, b.n);
}
