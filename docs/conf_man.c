/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Prints forecached.conf(5): the tables of options come from the rows that the daemon itself reads,
 * so the manual cannot say anything else than the program does. mdoc on stdout.
 */
#include "daemon/config.h"
#include "daemon/option.h"

#include <stdio.h>

/*
 * mdoc takes a line that begins with a dot or a quote for a request, and a backslash for an escape.
 */
static void text(const char *s)
{
	if (*s == '.' || *s == '\'')
		fputs("\\&", stdout);
	for (; *s; s++) {
		if (*s == '\\')
			fputs("\\e", stdout);
		else if (*s == '-')
			fputs("\\-", stdout);
		else
			putchar(*s);
	}
}

static void rows(const struct option_table *t)
{
	puts(".Bl -tag -width Ds");
	for (size_t i = 0; i < t->n; i++) {
		const struct option *o = &t->row[i];
		char def[64], lo[64], hi[64];

		option_format(o, o->def, def, sizeof(def));
		option_format(o, o->lo, lo, sizeof(lo));
		option_format(o, o->hi, hi, sizeof(hi));
		printf(".It Cm %s\n", o->name);
		text(o->help);
		printf(".\n");
		text("Default ");
		text(def);
		text(", from ");
		text(lo);
		text(" to ");
		text(hi);
		text("; ");
		text(o->unit);
		puts(o->reload ? "." : ".\nTakes a restart to change.");
	}
	puts(".El");
}

static void texts(void)
{
	puts(".Bl -tag -width Ds");
	for (size_t i = 0; i < option_n_text; i++) {
		const struct option_text *o = &option_text[i];

		printf(".It Cm %s\n", o->name);
		text(o->help);
		puts(".");
		if (*o->def) {
			text("Default ");
			printf("\\(dq");
			text(o->def);
			puts("\\(dq.");
		}
		if (*o->values) {
			text("One of: ");
			text(o->values);
			puts(".");
		}
		if (!o->reload)
			puts("Takes a restart to change.");
	}
	puts(".El");
}

static void head(void)
{
	puts(".\\\" Made by docs/conf_man.c from the tables of options.\n"
	     ".Dd November 23, 2026\n"
	     ".Dt FORECACHED.CONF 5\n"
	     ".Os\n"
	     ".Sh NAME\n"
	     ".Nm forecached.conf\n"
	     ".Nd configuration of forecached\n"
	     ".Sh DESCRIPTION\n"
	     "JSON with comments, one object.\n"
	     "Every key may be left out; with an empty file, or none, everything has its default.\n"
	     "An unknown key, a key given twice and a value outside of its limits are errors: the "
	     "daemon then does\n"
	     "not start, or keeps the configuration it has.\n"
	     ".Ic forecached --check-config\n"
	     "checks a file,\n"
	     ".Ic forecached --show-config\n"
	     "prints what is in force and where each value came from.\n"
	     "A\n"
	     ".Dv SIGHUP\n"
	     "reads the file again.\n"
	     ".Pp\n"
	     "Where the unit is s, a number of seconds or a text such as\n"
	     ".Qq 250ms , 30s , 5m , 24h , 7d\n"
	     "may stand; where it is bytes, a number or\n"
	     ".Qq 64KiB , 256MiB , 1GiB .");
}

static void by_hand_origins(void)
{
	puts(".Ss origins\n"
	     "An object: each name stands for an HTTP API that forecached may ask by itself, or "
	     "for loader workers.\n"
	     ".Bl -tag -width Ds\n"
	     ".It Cm url\n"
	     "Its address, http or https; the key is put behind it.\n"
	     "Without one the origin is read by loader workers, whose budget and timeout this is.\n"
	     ".It Cm headers\n"
	     "An object of headers that are sent with every request.\n"
	     "A value is a text, or\n"
	     ".Li {\\(dqfile\\(dq: PATH}\n"
	     "or\n"
	     ".Li {\\(dqenv\\(dq: NAME} ,\n"
	     "which keep secrets out of the file.\n"
	     ".It Cm proxy , ca_file\n"
	     "A proxy, and the certificates to trust.\n"
	     ".El\n"
	     ".Pp\n"
	     "What background loads may cost it:");
}

static void by_hand_rest(void)
{
	puts(".Ss origin\n"
	     "The name of the origin of endpoints that no rule matches; none by default.\n"
	     ".Ss endpoints\n"
	     "A list of rules; the first one that matches holds.\n"
	     ".Bl -tag -width Ds\n"
	     ".It Cm match\n"
	     "A template of path segments:\n"
	     ".Li <name>\n"
	     "stands for any one segment,\n"
	     ".Li *\n"
	     "for any rest.\n"
	     "Its text is the name of the endpoint.\n"
	     ".It Cm origin , url\n"
	     "Who loads it, and the address if it is not the origin's followed by the key;\n"
	     ".Li {+key}\n"
	     "and\n"
	     ".Li {name}\n"
	     "are filled in.\n"
	     ".It Cm class\n"
	     "Endpoints of one class share\n"
	     ".Cm max_stale .\n"
	     ".It Cm zone , calendar\n"
	     "In whose local time, and with whose holidays, its days repeat.\n"
	     ".It Cm cache_private , vary , ignore\n"
	     "Keep answers marked private; headers by which answers may vary; JSON pointers to "
	     "what does not count as\n"
	     "content.\n"
	     ".It Cm ttl\n"
	     ".Qq learn\n"
	     "sets the TTL,\n"
	     ".Qq obey\n"
	     "keeps the one given with the value,\n"
	     ".Qq advise\n"
	     "keeps it as well and reports what it would do.\n"
	     ".It Cm prewarm\n"
	     "Before peaks, scheduled or learned,\n"
	     ".Qq auto\n"
	     "loads what is likely to be asked for, but nothing whose name says whose it is\n"
	     ".Pq /users/42/orders , /me , ?session= ;\n"
	     ".Qq always\n"
	     "loads that, too;\n"
	     ".Qq never\n"
	     "loads nothing.\n"
	     ".It Cm compression\n"
	     "How values are kept:\n"
	     ".Qq off\n"
	     "as they are, the default, or\n"
	     ".Qq zstd\n"
	     "compressed, where that saves at least an eighth.\n"
	     ".Cm compression_level , compression_min_bytes\n"
	     "and\n"
	     ".Cm compression_max_bytes\n"
	     "say how, and which.\n"
	     ".El\n"
	     ".Pp\n"
	     "Every key of\n"
	     ".Cm policy\n"
	     "may stand in a rule, too.\n"
	     ".Ss schedules\n"
	     "A list of peaks that are known beforehand.\n"
	     ".Bl -tag -width Ds\n"
	     ".It Cm name , patterns\n"
	     "How it is called, and a list of templates of what is to be warm.\n"
	     ".It Cm rrule , tz , calendar , skip_holidays , start\n"
	     "When: a rule of RFC 5545, a shorthand such as\n"
	     ".Qq weekdays 09:30 ,\n"
	     "the five fields of cron, single times such as\n"
	     ".Qq at 2026\\-12\\-24T18:00 ,\n"
	     "or where the sessions of a market or the events of a file begin or end, such as\n"
	     ".Qq starts XTKS , ends XLON , starts /etc/forecached/own.ics ;\n"
	     "in local time of a zone; from a local time on.\n"
	     ".It Cm lead , max_keys\n"
	     "Warm this long before (default, or\n"
	     ".Qq auto :\n"
	     "computed from cost and budget), and how many keys at most.\n"
	     ".El");
}

static void tail(void)
{
	puts(".Sh EXAMPLES\n"
	     ".Bd -literal\n"
	     "{\n"
	     "\t// at most one answer in a hundred may be outdated\n"
	     "\t\"policy\": { \"max_stale\": 0.01 },\n"
	     "\t\"zone\": \"America/New_York\",\n"
	     "\t\"origins\": { \"api\": { \"url\": \"http://127.0.0.1:8080\", \"rate\": 10 } },\n"
	     "\t\"endpoints\": [\n"
	     "\t\t{ \"match\": \"/quotes/<symbol>\", \"origin\": \"api\" }\n"
	     "\t],\n"
	     "\t\"schedules\": [\n"
	     "\t\t{ \"name\": \"open\", \"rrule\": \"weekdays 09:30\", \"patterns\": "
	     "[\"/quotes/<symbol>\"] }\n"
	     "\t]\n"
	     "}\n"
	     ".Ed\n"
	     ".Sh SEE ALSO\n"
	     ".Xr forecache 1 ,\n"
	     ".Xr forecached 8");
}

int main(void)
{
	head();
	puts(".Sh KEYS\n.Ss Top level");
	texts();
	puts(".Bl -tag -width Ds\n.It Cm pool\nTrue: all endpoints share one\n.Cm max_stale "
	     ".\n.El");
	rows(&option_daemon);
	puts(".Ss policy\nWhat holds for every endpoint that no rule says otherwise about.");
	rows(&option_policy);
	by_hand_origins();
	rows(&option_origin);
	rows(&option_http);
	by_hand_rest();
	puts(".Ss limits");
	rows(&option_limits);
	puts(".Ss messages");
	rows(&option_messages);
	puts(".Ss learned");
	rows(&option_learned);
	tail();
	return ferror(stdout) || fclose(stdout) != 0;
}
