/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli/json.h"

#include "cli/cli.h"
#include "cli/term.h"

#include <math.h>
#include <stdio.h>

int json_print(cJSON *item)
{
	char *text = term_is_tty() ? cJSON_Print(item) : cJSON_PrintUnformatted(item);

	cJSON_Delete(item);
	if (!text)
		return cli_error("not enough memory to print the answer");
	puts(text);
	cJSON_free(text);
	return CLI_OK;
}

double json_num(const cJSON *object, const char *name)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

	return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

const char *json_text(const cJSON *object, const char *name)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

	return cJSON_IsString(item) ? item->valuestring : "";
}

cJSON *json_number(double x)
{
	return isfinite(x) ? cJSON_CreateNumber(x) : cJSON_CreateNull();
}
