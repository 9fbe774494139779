#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The same traffic on the usual API with each cache: hits, mean response, database queries, stale answers.

	load.py [--build DIR] [--hours 8] [--kind KIND]...
	load.py --trace DIR [--rate 20]...	writes the traffic for `forecache simulate` instead

Time runs `--scale` times as fast: users are asked for by Zipf's law, each changes at a rate of its own (lognormal:
half of them more often than once in `--median` seconds), and nobody tells the cache of it. All kinds get the same
requests and the same changes. A query is a SELECT of the app, also one for a refresh, and takes `--db-ms`. An
answer is stale if the database had another revision when it was asked for. forecached's objective is the share of
stale answers that the timeout of 60 s gives on this traffic (computed beforehand), unless `--max-stale` says
another. Figures are of what comes after `--score-from` of the time, when every cache is warm.
"""
import argparse
import json
import math
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from flask_caching.backends.rediscache import RedisCache
from flask_caching.backends.simplecache import SimpleCache

HERE = os.path.dirname(os.path.abspath(__file__))
KINDS = ("simple", "redis", "plain", "forecached")
WHAT = {
    "simple": "SimpleCache",
    "redis": "Redis",
    "plain": "forecached as a Redis",
    "forecached": "forecached's backend, learning",
}


def arguments():
    p = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    p.add_argument("--build", default=os.environ.get("top_builddir"), help="build tree (default: what is installed)")
    p.add_argument("--hours", type=float, default=8, help="of traffic (default 8)")
    p.add_argument("--scale", type=int, default=120, help="times as fast as the clock (default 120)")
    p.add_argument("--rate", type=float, default=2, help="requests a second (default 2)")
    p.add_argument("--users", type=int, default=200, help="(default 200)")
    p.add_argument("--zipf", type=float, default=1.0, help="exponent of the popularity (default 1)")
    p.add_argument("--median", type=float, default=86400, help="seconds between changes of a user, median (default a day)")
    p.add_argument("--sigma", type=float, default=2, help="of the logarithm of the rates of change (default 2)")
    p.add_argument("--db-ms", type=float, default=2.0, help="a query takes this long (default 2)")
    p.add_argument("--max-stale", type=float, help="forecached's objective (default: what 60 s give)")
    p.add_argument("--latency-value", type=float, default=0, help="loads that a user's wait is worth (default 0: save queries)")
    p.add_argument("--score-from", type=float, default=0.5)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--kind", choices=KINDS, action="append")
    p.add_argument("--trace", metavar="DIR", help="only write requests.tsv and changes.tsv for `forecache simulate`")
    p.add_argument("--json", action="store_true")
    p.add_argument("--one", choices=KINDS, help=argparse.SUPPRESS)
    given = p.parse_args()
    if not 1 <= given.scale <= 1000:
        p.error("--scale: from 1 to 1000")
    return given


# -- The traffic ---------------------------------------------------------------------------------


def history(a):
    """[(second, user, is it a change?)], in time order."""
    rng = random.Random(a.seed)
    end_s = a.hours * 3600
    events = []
    for user in range(1, a.users + 1):
        every_s = a.median / math.exp(rng.gauss(0, a.sigma))
        t = rng.expovariate(1 / every_s)
        while t < end_s:
            events.append((t, user, True))
            t += rng.expovariate(1 / every_s)
    weights = [1 / n**a.zipf for n in range(1, a.users + 1)]
    ids = list(range(1, a.users + 1))
    rng.shuffle(ids)
    t = rng.expovariate(a.rate)
    while t < end_s:
        events.append((t, rng.choices(ids, weights)[0], False))
        t += rng.expovariate(a.rate)
    events.sort()
    return events


def stale_by_timeout(a, timeout_s):
    """The share of stale answers that a cache with this timeout and nothing else gives."""
    made, changed = {}, {}
    n = stale = 0
    for t, user, is_change in history(a):
        if is_change:
            changed[user] = t
            continue
        if t - made.get(user, -math.inf) > timeout_s:
            made[user] = t
        if t >= a.score_from * a.hours * 3600:
            n += 1
            stale += changed.get(user, -math.inf) > made[user]
    return stale / max(n, 1)


def write_trace(a):
    """The same traffic as files, and how to replay them: for rates that this host is too slow for."""
    os.makedirs(a.trace, exist_ok=True)
    requests, changes = os.path.join(a.trace, "requests.tsv"), os.path.join(a.trace, "changes.tsv")
    with open(requests, "w") as r, open(changes, "w") as c:
        r.write("time_s\tendpoint\tkey\tbytes\tload_ms\n")
        c.write("time_s\tkey\n")
        for t, user, is_change in history(a):
            if is_change:
                c.write("%.3f\t/v1/users/%d\n" % (t, user))
            else:
                r.write("%.3f\t/v1/users/<id>\t/v1/users/%d\t200\t%g\n" % (t, user, a.db_ms))
    print("forecache simulate --requests %s --changes %s --score-from %g --latency-value %g --max-stale %.5f "
          "--policy static:60 --policy learn" % (requests, changes, a.score_from, a.latency_value,
                                                 a.max_stale or max(stale_by_timeout(a, 60), 1e-4)))


class ScaledRedis(RedisCache):
    """With TTLs below a second, which Flask-Caching's own lacks."""

    def set(self, key, value, timeout=None):
        data = self.serializer.dumps(value)
        return self._write_client.set(self._get_prefix() + key, data, px=max(1, int(timeout * 1000)))


class ScaledSimple(SimpleCache):
    """The same: its own counts from the last whole second."""

    def _normalize_timeout(self, timeout):
        return time.time() + timeout if timeout else 0


def run(a):
    """One kind, in this process; prints its figures as JSON."""
    sys.path[:0] = [HERE]
    from sqlalchemy import event

    import app as module

    scaled = a.one in ("plain", "forecached")  # the daemon's clock runs as fast as the traffic
    module.USERS = a.users
    options = {
        "simple": {"CACHE_TYPE": "load.ScaledSimple"},
        "redis": {"CACHE_TYPE": "load.ScaledRedis"},
        "forecached": {"CACHE_OPTIONS": {"refresh": "thread", "concurrency": 4}},
    }
    timeout = module.TIMEOUT_S if scaled else module.TIMEOUT_S / a.scale
    app = module.create_app("users.db", timeout, options.get(a.one, {}))
    engine = app.extensions["engine"]
    counted, lock = {"queries": 0}, threading.Lock()

    @event.listens_for(engine, "before_cursor_execute")
    def _(conn, cursor, statement, parameters, context, many):
        if statement.startswith("SELECT"):
            with lock:
                counted["queries"] += 1
            time.sleep(a.db_ms / 1e3)

    client = app.test_client()
    raw = engine.raw_connection()
    raw.execute("PRAGMA journal_mode=WAL")
    raw.execute("PRAGMA synchronous=OFF")
    revisions = dict.fromkeys(range(1, a.users + 1), 0)
    n = hits = stale = 0
    spent_s = 0.0
    first_s = a.score_from * a.hours * 3600
    queries_before = 0
    late_s = 0.0
    thread = threading.get_ident()
    mine = [0]

    @event.listens_for(engine, "before_cursor_execute")
    def _(conn, cursor, statement, parameters, context, many):
        if threading.get_ident() == thread and statement.startswith("SELECT"):
            mine[0] += 1

    begin = time.monotonic()
    scoring = False
    for t, user, is_change in history(a):
        wait = begin + t / a.scale - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        else:
            late_s = max(late_s, -wait)
        if t >= first_s and not scoring:
            scoring, queries_before = True, counted["queries"]
        if is_change:
            raw.execute("UPDATE users SET revision = revision + 1 WHERE id = ?", (user,))
            raw.commit()
            revisions[user] += 1
            continue
        before, start = mine[0], time.monotonic()
        got = client.get("/v1/users/%d" % user)
        took = time.monotonic() - start
        if got.status_code != 200:
            raise SystemExit("%s: %d" % (a.one, got.status_code))
        if scoring:
            n += 1
            spent_s += took
            hits += mine[0] == before
            stale += got.json["revision"] != revisions[user]
    print(json.dumps({
        "kind": a.one, "requests": n, "hits": hits, "hit_ratio": hits / max(n, 1),
        "mean_ms": 1e3 * spent_s / max(n, 1), "queries": counted["queries"] - queries_before, "stale": stale,
        "stale_share": stale / max(n, 1), "late_s": late_s,
    }))


# -- What it runs against ------------------------------------------------------------------------


def program(a, name, folder):
    found = os.path.join(a.build, folder, name) if a.build else shutil.which(name)
    if not found or not os.path.exists(found):
        raise SystemExit("load.py: no %s: give --build, or install it" % name)
    return found


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(what, ready, process):
    end = time.monotonic() + 60
    while not ready():
        if process.poll() is not None or time.monotonic() > end:
            raise SystemExit("load.py: %s does not start" % what)
        time.sleep(0.02)


def answers(port):
    with socket.socket() as s:
        s.settimeout(1)
        return s.connect_ex(("127.0.0.1", port)) == 0


def measure(a, kind):
    """In a process of its own, with a server of its own."""
    base = tempfile.mkdtemp(prefix="flask-api-")
    max_stale = a.max_stale or max(stale_by_timeout(a, 60), 1e-4)
    env = dict(os.environ, CACHE="redis" if kind == "plain" else kind)
    for name in ("FORECACHED_TRANSPORT", "FORECACHED_RESP"):
        env.pop(name, None)
    port, server = free_port(), None
    log = open(os.path.join(base, "log"), "w")
    try:
        if kind == "redis":
            command = ["redis-server", "--port", str(port), "--save", "", "--dir", base]
        elif kind != "simple":
            conf = os.path.join(base, "conf")
            with open(conf, "w") as f:
                json.dump({
                    "segment_bytes": "16MiB",
                    "http": "off",
                    "policy": {"max_stale": max_stale, "latency_value": a.latency_value},
                    # these are waits for the app, whose clock does not run faster
                    "limits": {"lease_s": min(600, 10 * a.scale)},
                    "origins": {"app": {"timeout": min(600, 10 * a.scale)}},
                    "endpoints": [{"match": "/v1/*", "origin": "app"}],
                }, f)
            command = [program(a, "forecached", "daemon"), "--config", conf, "--dir", base + "/run",
                       "--redis", "127.0.0.1:%d" % port, "--time-scale", str(a.scale)]
            env["FORECACHED_DIR"] = base + "/run"
        if kind != "simple":
            server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            wait_for(command[0], lambda: answers(port), server)
        env["REDIS_URL"] = "redis://127.0.0.1:%d" % port
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [os.path.join(HERE, "..", "..", "python"), env.get("PYTHONPATH")]))
        env["PYTHONDONTWRITEBYTECODE"] = "1"
        if a.build:
            env.setdefault("FORECACHED_LIBRARY", os.path.join(os.path.abspath(a.build), "client/.libs/libforecache.so.0"))
        said = subprocess.run([sys.executable, os.path.abspath(__file__), *sys.argv[1:], "--one", kind],
                              env=env, cwd=base, stdout=subprocess.PIPE, text=True)
        if said.returncode:
            raise SystemExit("load.py: %s failed" % kind)
        return json.loads(said.stdout.splitlines()[-1])
    finally:
        log.close()
        if server is not None:
            server.send_signal(signal.SIGTERM)
            server.wait()
        shutil.rmtree(base, ignore_errors=True)


def main():
    a = arguments()
    if a.one:
        run(a)
        return
    if a.trace:
        write_trace(a)
        return
    kinds = a.kind or [k for k in KINDS if k != "redis" or shutil.which("redis-server")]
    rows = []
    if not a.json:
        print("%-32s %9s %8s %9s %9s %8s" % ("", "requests", "hits", "mean ms", "queries", "stale"))
    for kind in kinds:
        r = measure(a, kind)
        rows.append(r)
        if not a.json:
            print("%-32s %9d %7.1f%% %9.2f %9d %7.2f%%" % (
                WHAT[kind], r["requests"], 100 * r["hit_ratio"], r["mean_ms"], r["queries"], 100 * r["stale_share"]), flush=True)
        if r["late_s"] > 1:
            print("load.py: %s: up to %.1f s late: the host is too slow for this --rate" % (kind, r["late_s"]), file=sys.stderr)
    if a.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
