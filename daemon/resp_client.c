/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a connection says of itself and asks of others: HELLO, AUTH, SELECT, CLIENT, RESET, QUIT. */
#include "daemon/resp_conn.h"

#include "base/mem.h"
#include "daemon/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -- Small ones ------------------------------------------------------------------------------- */

void resp_do_ping(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	if (n > 2)
		resp_wrong_arity(c, "ping");
	else if (n == 2)
		resp_bulk(c->w, arg[1]);
	else
		resp_raw(c->w, "+PONG\r\n", 7);
}

void resp_do_echo(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	(void)n;
	resp_bulk(c->w, arg[1]);
}

void resp_do_quit(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	(void)arg;
	(void)n;
	resp_ok(c);
	c->closing = true;
}

/* A browser, or a script that sends HTTP to this port: no command of it may be carried out. */
void resp_do_crossprotocol(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	char addr[80];

	(void)arg;
	(void)n;
	resp_conn_addr(c, false, addr, sizeof(addr));
	c->r->n_protocol_errors++;
	log_line(LOG_WARN, "redis_http",
	         "peer=%s why=\"HTTP on the port for Redis clients: closed, as it may be an attack "
	         "through a browser\"",
	         addr);
	c->closing = true;
}

void resp_do_select(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	int64_t db;

	(void)n;
	if (!resp_int(arg[1], &db) || db < INT32_MIN || db > INT32_MAX) {
		resp_error(c->w, "ERR value is not an integer or out of range");
		return;
	}
	if (db < 0 || db >= PLAIN_SPACES) {
		resp_error(c->w, "ERR DB index is out of range");
		return;
	}
	c->db = (uint8_t)db;
	resp_ok(c);
}

/* -- Passwords -------------------------------------------------------------------------------- */

bool resp_password_is(const struct resp *r, struct bytes given)
{
	size_t n = strlen(r->password);
	const unsigned char *a = (const unsigned char *)r->password, *b = given.p;
	unsigned differs = given.n != n;

	/* as long as what was given, whatever is in it */
	for (size_t i = 0; i < given.n; i++)
		differs |= (unsigned)(b[i] ^ a[n ? i % n : 0]);
	return !differs;
}

static bool login(struct resp_conn *c, struct bytes user, struct bytes password)
{
	char addr[80];

	if (bytes_equal(user, bytes_str("default")) &&
	    (!c->r->password || resp_password_is(c->r, password))) {
		c->trusted = true;
		return true;
	}
	resp_conn_addr(c, false, addr, sizeof(addr));
	log_line(LOG_NOTICE, "redis_auth", "peer=%s why=\"wrong password or user\"", addr);
	resp_error(c->w, "WRONGPASS invalid username-password pair or user is disabled.");
	return false;
}

void resp_do_auth(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	if (n > 3) {
		resp_syntax(c);
		return;
	}
	if (n == 2 && !c->r->password) {
		resp_error(c->w, "ERR AUTH <password> called without any password configured for the "
		                 "default user. Are you sure your configuration is correct?");
		return;
	}
	if (login(c, n == 3 ? arg[1] : bytes_str("default"), arg[n - 1]))
		resp_ok(c);
}

/* Names go into lists of one line each: no blanks, nothing that cannot be printed. */
static bool is_name(struct bytes b)
{
	const char *s = b.p;

	for (size_t i = 0; i < b.n; i++)
		if (s[i] < '!' || s[i] > '~')
			return false;
	return b.n <= 256;
}

static void keep_text(char **field, struct bytes b)
{
	free(*field);
	*field = b.n ? mem_dup(b.p, b.n) : NULL;
}

void resp_do_hello(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	int64_t version = c->w->version;
	struct bytes name = {0};
	bool named = false;
	size_t i = 2;

	if (n > 1 && (!resp_int(arg[1], &version) || version < 2 || version > 3)) {
		if (resp_int(arg[1], &version))
			resp_error(c->w, "NOPROTO unsupported protocol version");
		else
			resp_error(c->w, "ERR Protocol version is not an integer or out of range");
		return;
	}
	for (; i < n; i++) {
		if (resp_is(arg[i], "auth") && i + 2 < n) {
			if (!login(c, arg[i + 1], arg[i + 2]))
				return;
			i += 2;
		} else if (resp_is(arg[i], "setname") && i + 1 < n) {
			name = arg[++i];
			named = true;
			if (!is_name(name)) {
				resp_error(c->w, "ERR Client names cannot contain spaces, newlines "
				                 "or special characters.");
				return;
			}
		} else {
			resp_error(c->w, "ERR Syntax error in HELLO option '%.*s'",
			           RESP_SHOWN(arg[i]));
			return;
		}
	}
	if (!c->trusted) {
		resp_error(c->w, "NOAUTH HELLO must be called with the client already authenticated, "
		                 "otherwise the HELLO <proto> AUTH <user> <pass> option can be used "
		                 "to authenticate the client and select the RESP protocol version at "
		                 "the same time");
		return;
	}
	if (named)
		keep_text(&c->name, name);
	c->out.version = c->w->version = (uint8_t)version;
	resp_map(c->w, 7);
	resp_text(c->w, "server");
	resp_text(c->w, "redis");
	resp_text(c->w, "version");
	resp_text(c->w, RESP_REDIS_VERSION);
	resp_text(c->w, "proto");
	resp_number(c->w, version);
	resp_text(c->w, "id");
	resp_number(c->w, (int64_t)c->id);
	resp_text(c->w, "mode");
	resp_text(c->w, "standalone");
	resp_text(c->w, "role");
	resp_text(c->w, "master");
	resp_text(c->w, "modules");
	resp_array(c->w, 0);
}

void resp_do_reset(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	(void)arg;
	(void)n;
	resp_multi_forget(c);
	if (c->monitor)
		c->r->n_monitors--;
	c->monitor = false;
	c->db = 0;
	c->reply = RESP_REPLY_ON;
	c->out.version = c->w->version = 2;
	c->trusted = !c->r->password;
	keep_text(&c->name, bytes_of(NULL, 0));
	resp_simple(c->w, "RESET");
}

/* -- CLIENT ----------------------------------------------------------------------------------- */

void resp_client_line(const struct resp_conn *c, struct resp_out *to)
{
	int64_t now = clock_boot_us(&c->r->d->clock);
	char text[1024], addr[80], laddr[80], flags[8];
	size_t waiting = c->out.n - c->out_at, f = 0;
	int n;

	resp_conn_addr(c, false, addr, sizeof(addr));
	resp_conn_addr(c, true, laddr, sizeof(laddr));
	if (c->monitor)
		flags[f++] = 'O';
	if (c->multi != RESP_PLAIN)
		flags[f++] = 'x';
	if (c->waits)
		flags[f++] = 'b';
	if (c->dirty)
		flags[f++] = 'd';
	if (c->closing)
		flags[f++] = 'c';
	if (c->is_unix)
		flags[f++] = 'U';
	if (c->no_evict)
		flags[f++] = 'e';
	if (!f)
		flags[f++] = 'N';
	flags[f] = '\0';
	n = snprintf(text, sizeof(text),
	             "id=%" PRIu64 " addr=%s laddr=%s fd=%d name=%.256s age=%lld idle=%lld flags=%s "
	             "db=%u sub=0 psub=0 ssub=0 multi=%d qbuf=%zu qbuf-free=%zu argv-mem=%zu "
	             "multi-mem=%zu rbs=%d rbp=0 obl=%d oll=%d omem=%zu tot-mem=%zu events=%s "
	             "cmd=%s%s%s user=default redir=-1 resp=%d",
	             c->id, addr, laddr, c->fd, c->name ? c->name : "",
	             (long long)((now - c->born_us) / 1000000),
	             (long long)((now - c->last_us) / 1000000), flags, c->db,
	             c->multi == RESP_PLAIN ? -1 : (int)c->queue.n,
	             c->in_n - c->in_at + c->parser.pos, c->in_cap - c->in_n,
	             c->parser.n * sizeof(struct bytes), c->queued_bytes, 1024, 0, waiting > 0, waiting,
	             sizeof(*c) + c->in_cap + c->out.cap, c->events & EPOLLOUT ? "rw" : "r",
	             c->last ? c->last->name : "NULL", c->sub ? "|" : "", c->sub ? c->sub : "",
	             c->out.version == 3 ? 3 : 2);
	if (n < 0)
		return;
	resp_raw(to, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

static struct resp_conn *by_id(struct resp *r, int64_t id)
{
	for (struct resp_conn *o = r->first; o; o = o->next)
		if ((int64_t)o->id == id)
			return o;
	return NULL;
}

static void client_list(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	struct resp_out *text = &c->r->text;
	int64_t id;

	text->n = 0;
	resp_room(text, 1);
	if (n == 4 && resp_is(arg[2], "type")) {
		if (!resp_is(arg[3], "normal") && !resp_is(arg[3], "master") &&
		    !resp_is(arg[3], "replica") && !resp_is(arg[3], "slave") &&
		    !resp_is(arg[3], "pubsub")) {
			resp_error(c->w, "ERR Unknown client type '%.*s'", (int)arg[3].n,
			           (const char *)arg[3].p);
			return;
		}
		if (!resp_is(arg[3], "normal")) {
			resp_verbatim(c->w, bytes_of(NULL, 0));
			return;
		}
	} else if (n > 3 && resp_is(arg[2], "id")) {
		for (size_t i = 3; i < n; i++) {
			struct resp_conn *o;

			if (!resp_int(arg[i], &id) || id < 1) {
				resp_error(c->w, "ERR Invalid client ID");
				return;
			}
			o = by_id(c->r, id);
			if (!o)
				continue;
			resp_client_line(o, text);
			resp_raw(text, "\n", 1);
		}
		resp_verbatim(c->w, bytes_of(text->p, text->n));
		return;
	} else if (n != 2) {
		resp_syntax(c);
		return;
	}
	for (struct resp_conn *o = c->r->first; o; o = o->next) {
		resp_client_line(o, text);
		resp_raw(text, "\n", 1);
	}
	resp_verbatim(c->w, bytes_of(text->p, text->n));
}

/* Ends a connection: this one when its reply is written, another at once. */
static void end_other(struct resp_conn *c, struct resp_conn *o)
{
	if (o == c)
		c->closing = true;
	else
		resp_conn_close(o);
}

struct kill {
	struct bytes addr, laddr, user, type;
	int64_t id;
	bool skip_me;
};

static bool kill_options(struct resp_conn *c, const struct bytes *arg, size_t n, struct kill *k)
{
	for (size_t i = 2; i < n; i += 2) {
		if (i + 1 >= n) {
			resp_syntax(c);
			return false;
		}
		if (resp_is(arg[i], "id")) {
			if (!resp_int(arg[i + 1], &k->id) || k->id < 1) {
				resp_error(c->w, "ERR client-id should be greater than 0");
				return false;
			}
		} else if (resp_is(arg[i], "type")) {
			k->type = arg[i + 1];
			if (!resp_is(k->type, "normal") && !resp_is(k->type, "master") &&
			    !resp_is(k->type, "replica") && !resp_is(k->type, "slave") &&
			    !resp_is(k->type, "pubsub")) {
				resp_error(c->w, "ERR Unknown client type '%.*s'", (int)k->type.n,
				           (const char *)k->type.p);
				return false;
			}
		} else if (resp_is(arg[i], "addr")) {
			k->addr = arg[i + 1];
		} else if (resp_is(arg[i], "laddr")) {
			k->laddr = arg[i + 1];
		} else if (resp_is(arg[i], "user")) {
			k->user = arg[i + 1];
			if (!bytes_equal(k->user, bytes_str("default"))) {
				resp_error(c->w, "ERR No such user '%.*s'", (int)k->user.n,
				           (const char *)k->user.p);
				return false;
			}
		} else if (resp_is(arg[i], "skipme") &&
		           (resp_is(arg[i + 1], "yes") || resp_is(arg[i + 1], "no"))) {
			k->skip_me = resp_is(arg[i + 1], "yes");
		} else {
			resp_syntax(c);
			return false;
		}
	}
	return true;
}

static void client_kill(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	struct kill k = {.skip_me = true};
	struct resp_conn *next;
	int64_t killed = 0;
	char addr[80];

	if (n == 3) {
		k.addr = arg[2];
		k.skip_me = false;
	} else if (!kill_options(c, arg, n, &k)) {
		return;
	}
	for (struct resp_conn *o = c->r->first; o; o = next) {
		next = o->next;
		resp_conn_addr(o, false, addr, sizeof(addr));
		if (k.addr.n && !bytes_equal(k.addr, bytes_str(addr)))
			continue;
		resp_conn_addr(o, true, addr, sizeof(addr));
		if (k.laddr.n && !bytes_equal(k.laddr, bytes_str(addr)))
			continue;
		if ((k.id && (int64_t)o->id != k.id) || (k.type.n && !resp_is(k.type, "normal")) ||
		    (k.skip_me && o == c))
			continue;
		killed++;
		end_other(c, o);
	}
	if (n != 3)
		resp_number(c->w, killed);
	else if (killed)
		resp_ok(c);
	else
		resp_error(c->w, "ERR No such client");
}

static void client_pause(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	bool all = true;
	int64_t ms;

	if (n == 4 && resp_is(arg[3], "write")) {
		all = false;
	} else if (n > 4 || (n == 4 && !resp_is(arg[3], "all"))) {
		resp_error(c->w, "ERR CLIENT PAUSE mode must be WRITE or ALL");
		return;
	}
	if (!resp_int(arg[2], &ms)) {
		resp_error(c->w, "ERR timeout is not an integer or out of range");
		return;
	}
	if (ms < 0 || ms > INT64_C(1000) * 86400 * 365) {
		resp_error(c->w, ms < 0 ? "ERR timeout is negative" : "ERR timeout is out of range");
		return;
	}
	c->r->pause_all = all;
	c->r->paused_until_us = clock_boot_us(&c->r->d->clock) + ms * 1000;
	loop_timer_set(c->r->d->loop, &c->r->pause, (struct span){ms * 1000 + 500});
	resp_ok(c);
}

static void client_set_name(struct resp_conn *c, struct bytes name)
{
	if (!is_name(name)) {
		resp_error(c->w, "ERR Client names cannot contain spaces, newlines or special "
		                 "characters.");
		return;
	}
	keep_text(&c->name, name);
	resp_ok(c);
}

static void client_set_info(struct resp_conn *c, struct bytes what, struct bytes text)
{
	char **field = resp_is(what, "lib-name")  ? &c->lib_name
	               : resp_is(what, "lib-ver") ? &c->lib_version
	                                          : NULL;

	if (!field) {
		resp_error(c->w, "ERR Unrecognized option '%.*s'", (int)(what.n < 64 ? what.n : 64),
		           (const char *)what.p);
	} else if (!is_name(text)) {
		resp_error(c->w, "ERR %s cannot contain spaces, newlines or special characters.",
		           field == &c->lib_name ? "lib-name" : "lib-ver");
	} else {
		keep_text(field, text);
		resp_ok(c);
	}
}

static void client_reply(struct resp_conn *c, struct bytes how)
{
	if (resp_is(how, "on")) {
		c->reply = RESP_REPLY_ON;
		resp_ok(c);
	} else if (resp_is(how, "off")) {
		c->reply = RESP_REPLY_OFF;
	} else if (resp_is(how, "skip")) {
		if (c->reply != RESP_REPLY_OFF)
			c->reply = RESP_REPLY_SKIP_NEXT;
	} else {
		resp_syntax(c);
	}
}

static void on_or_off(struct resp_conn *c, struct bytes how, bool *field)
{
	if (resp_is(how, "on") || resp_is(how, "off")) {
		*field = resp_is(how, "on");
		resp_ok(c);
	} else {
		resp_syntax(c);
	}
}

static const char *const client_help[] = {
        "GETNAME",
        "    Return the name of the current connection.",
        "ID",
        "    Return the ID of the current connection.",
        "INFO",
        "    Return information about the current client connection.",
        "KILL <ip:port>",
        "    Kill connection made from <ip:port>.",
        "KILL <option> <value> [<option> <value> [...]]",
        "    Kill connections. Options are: ADDR, LADDR, TYPE, USER, SKIPME, ID.",
        "LIST [options ...]",
        "    Return information about client connections. Options: TYPE <type>, ID <id> [<id> ...].",
        "NO-EVICT (ON|OFF)",
        "    Remembered, without effect: output is capped by redis_output_bytes.",
        "NO-TOUCH (ON|OFF)",
        "    Remembered, without effect.",
        "PAUSE <timeout> [WRITE|ALL]",
        "    Suspend all, or just write, clients for <timeout> milliseconds.",
        "REPLY (ON|OFF|SKIP)",
        "    Control the replies sent to the current connection.",
        "SETINFO <option> <value>",
        "    Options are: LIB-NAME, LIB-VER.",
        "SETNAME <name>",
        "    Assign the name <name> to the current connection.",
        "UNPAUSE",
        "    Stop the current client pause, resuming traffic.",
        NULL};

void resp_do_client(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	const char *sub = c->sub;

	if (!strcmp(sub, "id")) {
		resp_number(c->w, (int64_t)c->id);
	} else if (!strcmp(sub, "info")) {
		c->r->text.n = 0;
		resp_client_line(c, &c->r->text);
		resp_raw(&c->r->text, "\n", 1);
		resp_verbatim(c->w, bytes_of(c->r->text.p, c->r->text.n));
	} else if (!strcmp(sub, "list")) {
		client_list(c, arg, n);
	} else if (!strcmp(sub, "getname")) {
		if (c->name)
			resp_text(c->w, c->name);
		else
			resp_null(c->w);
	} else if (!strcmp(sub, "setname")) {
		client_set_name(c, arg[2]);
	} else if (!strcmp(sub, "setinfo")) {
		client_set_info(c, arg[2], arg[3]);
	} else if (!strcmp(sub, "kill")) {
		client_kill(c, arg, n);
	} else if (!strcmp(sub, "reply")) {
		client_reply(c, arg[2]);
	} else if (!strcmp(sub, "pause")) {
		client_pause(c, arg, n);
	} else if (!strcmp(sub, "unpause")) {
		c->r->paused_until_us = 0;
		resp_conn_ready_all(c->r);
		resp_ok(c);
	} else if (!strcmp(sub, "no-evict")) {
		on_or_off(c, arg[2], &c->no_evict);
	} else if (!strcmp(sub, "no-touch")) {
		on_or_off(c, arg[2], &c->no_touch);
	} else if (!strcmp(sub, "getredir")) {
		resp_number(c->w, -1);
	} else if (!strcmp(sub, "unblock")) {
		int64_t id;

		if (resp_want_int(c, arg[2], &id))
			resp_number(c->w, 0); /* no command here blocks in a way that can be ended */
	} else {
		resp_help(c, "CLIENT", client_help);
	}
}
