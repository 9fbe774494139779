#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A get from Python: forecached over each transport against redis-py, on this host, in one run.

	bench/python_get.py [--build DIR] [--bar 8]

Starts a daemon and a redis-server of its own. Rounds of all contenders take turns, and the best round of each
counts: what else the machine does only makes rounds longer. With --bar it fails if the get from shared
memory is not that many times as fast as redis-py's over its faster socket."""
import argparse
import asyncio
import os
import shutil
import sys
import tempfile
import time

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
p.add_argument("--build", default=os.environ.get("top_builddir", TOP), help="the build tree (default .)")
p.add_argument("--bar", type=float, default=0, help="fail below this ratio")
p.add_argument("--rounds", type=int, default=15)
given = p.parse_args()
os.environ["top_builddir"] = os.path.abspath(given.build)
os.environ.setdefault("top_srcdir", TOP)
sys.path.insert(0, os.path.join(TOP, "tests", "scripts"))

import pyfc  # noqa: E402
from fcd import Daemon  # noqa: E402

import forecached  # noqa: E402

try:
    import redis
except ImportError:
    redis = None


def rate(fn, n):
    """Seconds that a call takes."""
    start = time.perf_counter()
    for _ in range(n):
        fn()
    return (time.perf_counter() - start) / n


def rate_async(client, key, n):
    async def go():
        start = time.perf_counter()
        for _ in range(n):
            await client.get(key)
        return (time.perf_counter() - start) / n

    return asyncio.run(go())


def main():
    base = tempfile.mkdtemp(prefix="bench-")
    table = []
    with Daemon({"segment_bytes": "64MiB"}) as d, pyfc.Redis() as r:
        fc = {t: forecached.Client(d.dir, transport=t) for t in ("library", "zeromq")}
        fc["resp"] = forecached.Client(base, transport="resp", resp=r.url)
        co = forecached.AsyncClient(client=fc["library"])
        one = fc["library"]

        @forecached.cached("/cached/{n}", client=one, ttl=3600)
        def cached(n: int) -> bytes:
            return b"x" * size

        rows = [
            ("forecached, shared memory", lambda key: rate(lambda: one.get(key), 20000)),
            ("forecached, shared memory, await", lambda key: rate_async(co, key, 10000)),
            ("forecached, @cached function", lambda key: rate(lambda: cached(size), 10000)),
            ("forecached, ZeroMQ", lambda key: rate(lambda: fc["zeromq"].get(key), 500)),
            ("forecached's RESP client, redis-server", lambda key: rate(lambda: fc["resp"].get(key), 1000)),
        ]
        if redis is not None:
            tcp, unix = redis.Redis(port=r.port), redis.Redis(unix_socket_path=r.path)
            rows += [
                ("redis-py %s, tcp, redis-server" % redis.__version__, lambda key: rate(lambda: tcp.get(key), 1000)),
                ("redis-py %s, unix socket" % redis.__version__, lambda key: rate(lambda: unix.get(key), 1000)),
            ]
        for size in (100, 1024, 10240, 102400):
            value = b"x" * size
            key = "/bench/%d" % size
            for c in fc.values():
                c.set(key, value, ttl=3600)
                assert c.get(key) == value
            if redis is not None:
                assert tcp.get(key) == unix.get(key) == value
            cached(size)
            before = one.stats()["segment_reads"]
            rounds = [[run(key) for _, run in rows] for _ in range(given.rounds)]
            assert one.stats()["segment_reads"] - before > 1000, "gets did not come from shared memory"
            table.append((size, [min(x) for x in zip(*rounds)]))
        for c in fc.values():
            c.close()
    shutil.rmtree(base)
    print("microseconds a get, best of %d rounds" % given.rounds)
    print("%-42s" % "value" + "".join("%10d B" % size for size, _ in table))
    for i, (name, _) in enumerate(rows):
        print("%-42s" % name + "".join("%12.2f" % (times[i] * 1e6) for _, times in table))
    if redis is None:
        print("no python3-redis: nothing to compare with")
        return 1
    worst = []
    for name, a in (("shared memory", 0), ("await", 1), ("@cached", 2)):
        ratios = [min(times[-1], times[-2]) / times[a] for _, times in table]
        print("%-42s" % ("%s against redis-py" % name) + "".join("%10.1f x" % x for x in ratios))
        worst.append(ratios)
    small = min(worst[0][:2])
    if given.bar and small < given.bar:
        print("below the bar: %.1f x, not %g x" % (small, given.bar))
        return 1
    return 0


sys.exit(main())
