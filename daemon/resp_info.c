/* SPDX-License-Identifier: GPL-3.0-or-later */
/* INFO: with the fields that clients branch on and redis_exporter reads. */
#include <config.h>

#include "daemon/resp_conn.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

__attribute__((format(printf, 2, 3))) static void line(struct resp_out *o, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n > 0)
		resp_raw(o, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
	resp_raw(o, "\r\n", 2);
}

static int64_t uptime_s(const struct resp *r)
{
	return (clock_boot_us(&r->d->clock) - r->started_us) / 1000000;
}

static void server(struct resp_conn *c, struct resp_out *o)
{
	struct resp *r = c->r;
	struct utsname u;

	if (uname(&u))
		memset(&u, 0, sizeof(u));
	line(o, "redis_version:%s", RESP_REDIS_VERSION);
	line(o, "redis_git_sha1:00000000");
	line(o, "redis_git_dirty:0");
	line(o, "redis_build_id:0");
	line(o, "redis_mode:standalone");
	line(o, "forecached_version:%s", PACKAGE_VERSION);
	line(o, "os:%s %s %s", u.sysname, u.release, u.machine);
	line(o, "arch_bits:%d", (int)(8 * sizeof(void *)));
	line(o, "monotonic_clock:POSIX clock_gettime");
	line(o, "multiplexing_api:epoll");
	line(o, "process_id:%ld", (long)getpid());
	line(o, "process_supervised:no");
	line(o, "run_id:%s", r->run_id);
	line(o, "tcp_port:%d", r->port);
	line(o, "server_time_usec:%" PRId64, resp_now(c).us + r->d->clock.offset.us);
	line(o, "uptime_in_seconds:%" PRId64, uptime_s(r));
	line(o, "uptime_in_days:%" PRId64, uptime_s(r) / 86400);
	line(o, "hz:10");
	line(o, "configured_hz:10");
	line(o, "executable:forecached");
	line(o, "config_file:%.400s", r->d->config_file ? r->d->config_file : "");
}

static void clients(struct resp_conn *c, struct resp_out *o)
{
	struct resp *r = c->r;
	size_t waiting = 0, most_in = 0, most_out = 0;

	for (struct resp_conn *x = r->first; x; x = x->next) {
		waiting += x->waits;
		most_in = x->in_cap > most_in ? x->in_cap : most_in;
		most_out = x->out.n > most_out ? x->out.n : most_out;
	}
	line(o, "connected_clients:%zu", r->n_conns);
	line(o, "cluster_connections:0");
	line(o, "maxclients:%" PRId64, r->set.max_clients);
	line(o, "client_recent_max_input_buffer:%zu", most_in);
	line(o, "client_recent_max_output_buffer:%zu", most_out);
	line(o, "blocked_clients:%zu", waiting);
	line(o, "tracking_clients:0");
	line(o, "clients_in_timeout_table:0");
}

static void memory(struct resp_conn *c, struct resp_out *o)
{
	struct store_stats s;
	struct rusage use;

	store_stats(c->r->d->store, &s);
	if (getrusage(RUSAGE_SELF, &use))
		memset(&use, 0, sizeof(use));
	line(o, "used_memory:%" PRIu64, s.bytes_used);
	line(o, "used_memory_human:%.2fM", (double)s.bytes_used / 1048576);
	line(o, "used_memory_rss:%" PRId64, (int64_t)use.ru_maxrss * 1024);
	line(o, "used_memory_peak:%" PRIu64, s.bytes_used);
	line(o, "used_memory_overhead:0");
	line(o, "used_memory_startup:0");
	line(o, "used_memory_dataset:%" PRIu64, s.bytes_used);
	line(o, "used_memory_lua:0");
	line(o, "used_memory_scripts:0");
	line(o, "number_of_cached_scripts:%d", __builtin_popcount(c->r->scripts));
	line(o, "maxmemory:%" PRIu64, s.bytes_total);
	line(o, "maxmemory_human:%.2fM", (double)s.bytes_total / 1048576);
	line(o, "maxmemory_policy:allkeys-lfu");
	line(o, "mem_fragmentation_ratio:1.00");
	line(o, "mem_clients_normal:0");
	line(o, "mem_allocator:libc");
	line(o, "active_defrag_running:0");
	line(o, "lazyfree_pending_objects:0");
}

static void persistence(struct resp_conn *c, struct resp_out *o)
{
	(void)c;
	line(o, "loading:0");
	line(o, "async_loading:0");
	line(o, "current_cow_size:0");
	line(o, "rdb_changes_since_last_save:0");
	line(o, "rdb_bgsave_in_progress:0");
	line(o, "rdb_last_save_time:%" PRId64, resp_wall_ms(c, resp_now(c)) / 1000);
	line(o, "rdb_last_bgsave_status:ok");
	line(o, "rdb_last_bgsave_time_sec:-1");
	line(o, "rdb_current_bgsave_time_sec:-1");
	line(o, "aof_enabled:0");
	line(o, "aof_rewrite_in_progress:0");
	line(o, "aof_rewrite_scheduled:0");
	line(o, "aof_last_bgrewrite_status:ok");
	line(o, "aof_last_write_status:ok");
}

static void stats(struct resp_conn *c, struct resp_out *o)
{
	struct resp *r = c->r;
	struct engine_stats s;

	engine_stats(r->d->engine, &s);
	line(o, "total_connections_received:%" PRIu64, r->n_connections);
	line(o, "total_commands_processed:%" PRIu64, r->n_commands);
	line(o, "instantaneous_ops_per_sec:%" PRIu64, r->ops_per_s);
	line(o, "total_net_input_bytes:%" PRIu64, r->bytes_in);
	line(o, "total_net_output_bytes:%" PRIu64, r->bytes_out);
	line(o, "instantaneous_input_kbps:0.00");
	line(o, "instantaneous_output_kbps:0.00");
	line(o, "rejected_connections:%" PRIu64, r->n_rejected);
	line(o, "sync_full:0");
	line(o, "sync_partial_ok:0");
	line(o, "sync_partial_err:0");
	line(o, "expired_keys:%" PRIu64, plain_expired(r->d->engine));
	line(o, "evicted_keys:%" PRIu64, s.evicted);
	line(o, "evicted_clients:0");
	line(o, "keyspace_hits:%" PRIu64, r->n_hits);
	line(o, "keyspace_misses:%" PRIu64, r->n_misses);
	line(o, "pubsub_channels:0");
	line(o, "pubsub_patterns:0");
	line(o, "latest_fork_usec:0");
	line(o, "total_forks:0");
	line(o, "total_error_replies:%" PRIu64, r->n_error_replies);
	line(o, "client_output_buffer_limit_disconnections:%" PRIu64, r->n_cut_output);
	line(o, "protocol_errors:%" PRIu64, r->n_protocol_errors);
}

static void replication(struct resp_conn *c, struct resp_out *o)
{
	(void)c;
	line(o, "role:master");
	line(o, "connected_slaves:0");
	line(o, "master_failover_state:no-failover");
	line(o, "master_replid:%s", c->r->run_id);
	line(o, "master_repl_offset:0");
	line(o, "second_repl_offset:-1");
	line(o, "repl_backlog_active:0");
}

static void cpu(struct resp_conn *c, struct resp_out *o)
{
	struct rusage use;

	(void)c;
	if (getrusage(RUSAGE_SELF, &use))
		memset(&use, 0, sizeof(use));
	line(o, "used_cpu_sys:%ld.%06ld", (long)use.ru_stime.tv_sec, (long)use.ru_stime.tv_usec);
	line(o, "used_cpu_user:%ld.%06ld", (long)use.ru_utime.tv_sec, (long)use.ru_utime.tv_usec);
	line(o, "used_cpu_sys_children:0.000000");
	line(o, "used_cpu_user_children:0.000000");
}

static void commandstats(struct resp_conn *c, struct resp_out *o)
{
	for (size_t i = 0; i < resp_n_commands; i++)
		if (c->r->calls[i])
			line(o,
			     "cmdstat_%s:calls=%" PRIu64 ",usec=0,usec_per_call=0.00,"
			     "rejected_calls=0,failed_calls=0",
			     resp_commands_table[i].name, c->r->calls[i]);
}

static void errorstats(struct resp_conn *c, struct resp_out *o)
{
	if (c->r->n_error_replies)
		line(o, "errorstat_ERR:count=%" PRIu64, c->r->n_error_replies);
}

static void cluster(struct resp_conn *c, struct resp_out *o)
{
	(void)c;
	line(o, "cluster_enabled:0");
}

static void modules(struct resp_conn *c, struct resp_out *o)
{
	(void)c;
	(void)o;
}

static void keyspace(struct resp_conn *c, struct resp_out *o)
{
	for (unsigned i = 0; i < PLAIN_SPACES; i++) {
		uint64_t keys = plain_count(resp_engine(c), i);

		if (keys)
			line(o, "db%u:keys=%" PRIu64 ",expires=%" PRIu64 ",avg_ttl=0", i, keys,
			     plain_ending(resp_engine(c), i));
	}
}

static void forecached(struct resp_conn *c, struct resp_out *o)
{
	struct engine_stats s;

	engine_stats(c->r->d->engine, &s);
	line(o, "endpoints:%" PRIu64, s.endpoints);
	line(o, "keys_remembered:%" PRIu64, s.keys);
	line(o, "requests:%" PRIu64, s.requests);
	line(o, "hits:%" PRIu64, s.hits);
	line(o, "grace:%" PRIu64, s.grace);
	line(o, "misses:%" PRIu64, s.misses);
	line(o, "sets:%" PRIu64, s.sets);
	line(o, "stale_per_request:%.6f", s.stale.mean);
}

static const struct section {
	const char *name, *title;
	void (*fn)(struct resp_conn *c, struct resp_out *o);
	bool usual; /* without being named */
} sections[] = {
        {"server", "Server", server, true},
        {"clients", "Clients", clients, true},
        {"memory", "Memory", memory, true},
        {"persistence", "Persistence", persistence, true},
        {"stats", "Stats", stats, true},
        {"replication", "Replication", replication, true},
        {"cpu", "CPU", cpu, true},
        {"modules", "Modules", modules, true},
        {"commandstats", "Commandstats", commandstats, false},
        {"errorstats", "Errorstats", errorstats, true},
        {"cluster", "Cluster", cluster, true},
        {"keyspace", "Keyspace", keyspace, true},
        {"forecached", "Forecached", forecached, true},
};

static bool wanted(const struct section *s, const struct bytes *arg, size_t n)
{
	if (n == 1)
		return s->usual;
	for (size_t i = 1; i < n; i++)
		if (resp_is(arg[i], s->name) || resp_is(arg[i], "all") ||
		    resp_is(arg[i], "everything") || (s->usual && resp_is(arg[i], "default")))
			return true;
	return false;
}

void resp_do_info(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	struct resp_out *o = &c->r->text;
	bool first = true;

	o->n = 0;
	resp_room(o, 1);
	for (size_t i = 0; i < sizeof(sections) / sizeof(*sections); i++) {
		if (!wanted(&sections[i], arg, n))
			continue;
		if (!first)
			resp_raw(o, "\r\n", 2);
		first = false;
		line(o, "# %s", sections[i].title);
		sections[i].fn(c, o);
	}
	resp_verbatim(c->w, bytes_of(o->p, o->n));
}
