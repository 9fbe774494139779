#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same random commands to forecached and to redis-server: every reply must be the same.

RESP_RANDOM_COMMANDS: how many, for RESP2 and RESP3 each (default 10000; `make resp-random` runs a
million). RESP_RANDOM_SEED: which. What may differ is in `allowed` below and nowhere else.
"""
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import fcd
from resp_wire import Wire, encode, port_of

COMMANDS = int(os.environ.get("RESP_RANDOM_COMMANDS", "10000"))
SEED = int(os.environ.get("RESP_RANDOM_SEED", str(random.SystemRandom().randrange(1 << 32))))
BATCH = 50

KEYS = [b"k%d" % i for i in range(12)] + [b"user:1", b"user:2", b"a b", b"\x00bin\xff", b"@db1:x", b"@db", b"K" * 200]
LONG = 10 ** 6  # seconds: nothing that is not meant to ends while the test runs


def integer(r):
    return r.choice([0, 1, -1, 2, 5, 10, 100, -7, 9223372036854775807, -9223372036854775808, 9223372036854775806,
                     r.randrange(-1000, 1000), r.randrange(1 << 40)])


def number_like(r):
    return r.choice([integer(r), integer(r), b"abc", b"", b" 1", b"1 ", b"+1", b"01", b"1.5", b"9223372036854775808",
                     b"-0", b"1e3"])


def float_like(r):
    return r.choice([b"1.5", b"-2.25", b"0.1", b"3", b"1e10", b"abc", b"", b" 1", b"inf", b"nan", b"5.0e3", b"-0",
                     r.randrange(-100, 100)])


def value(r):
    return r.choice([b"", b"v", b"hello world", b"x" * r.randrange(0, 200), bytes(r.randrange(256) for _ in range(8)),
                     str(integer(r)).encode(), b"10", b"3.5", b"y" * 5000])


def key(r):
    return r.choice(KEYS)


def case(r, word):
    return r.choice([word, word.upper(), word.capitalize()])


def long(r):
    """A time to live that nothing else has: EXPIRE ... GT of equal ones would hang on a millisecond."""
    r.ends = getattr(r, "ends", 0) + 1
    return LONG + r.ends * 7919 % 1000003 * 5


def end(r):
    """EX and the like, mostly right, mostly long."""
    return r.choice([["EX", long(r)], ["PX", long(r) * 1000], ["EXAT", 4102444800], ["PXAT", 4102444800000], ["KEEPTTL"],
                     ["EX", 0], ["EX", -5], ["PX", "x"], ["EX"], ["EXAT", 1], ["PXAT", 5], ["EX", 9223372036854775807],
                     ["PX", 9223372036854775807], ["BOGUS"]])


def options(r, *choices):
    got = []
    for c in choices:
        if r.random() < 0.3:
            got += c(r) if callable(c) else [c]
    r.shuffle(got) if r.random() < 0.1 else None
    return got


def expire_time(r, at, ms):
    t = r.choice([long(r), long(r), long(r), -1, 0, 9223372036854775807, -9223372036854775808, "abc", ""])
    if isinstance(t, int) and 0 < t < 1 << 40:
        t += 1900000000 if at else 0
        t *= 1000 if ms else 1
    return t


def pairs(r):
    got = []
    for _ in range(r.randrange(1, 4)):
        got += [key(r), value(r)]
    return got if r.random() < 0.95 else got[:-1]


MAKERS = {
    "get": lambda r: [key(r)],
    "set": lambda r: [key(r), value(r)] + options(r, "NX", "XX", "GET", end),
    "setex": lambda r: [key(r), r.choice([long(r), 0, -1, "x"]), value(r)],
    "psetex": lambda r: [key(r), r.choice([long(r) * 1000, 0, -1, "x"]), value(r)],
    "setnx": lambda r: [key(r), value(r)],
    "getset": lambda r: [key(r), value(r)],
    "getex": lambda r: [key(r)] + r.choice([[], ["PERSIST"], end(r)]),
    "getdel": lambda r: [key(r)],
    "mget": lambda r: [key(r) for _ in range(r.randrange(1, 5))],
    "mset": pairs,
    "msetnx": pairs,
    "incr": lambda r: [key(r)],
    "decr": lambda r: [key(r)],
    "incrby": lambda r: [key(r), number_like(r)],
    "decrby": lambda r: [key(r), number_like(r)],
    "incrbyfloat": lambda r: [key(r), float_like(r)],
    "append": lambda r: [key(r), value(r)],
    "strlen": lambda r: [key(r)],
    "getrange": lambda r: [key(r), number_like(r), number_like(r)],
    "substr": lambda r: [key(r), integer(r), integer(r)],
    "setrange": lambda r: [key(r), r.choice([0, 1, 5, 100, 3000, -1, "x"]), value(r)],
    "getbit": lambda r: [key(r), r.choice([0, 1, 7, 100, 100000, -1, "x"])],
    "setbit": lambda r: [key(r), r.choice([0, 1, 7, 100, -1, "x"]), r.choice([0, 1, 2, "x"])],
    "del": lambda r: [key(r) for _ in range(r.randrange(1, 4))],
    "unlink": lambda r: [key(r) for _ in range(r.randrange(1, 3))],
    "exists": lambda r: [key(r) for _ in range(r.randrange(1, 4))],
    "touch": lambda r: [key(r) for _ in range(r.randrange(1, 4))],
    "type": lambda r: [key(r)],
    "expire": lambda r: [key(r), expire_time(r, False, False)] + options(r, "NX", "XX", "GT", "LT", "BOGUS"),
    "pexpire": lambda r: [key(r), expire_time(r, False, True)] + options(r, "NX", "XX", "GT", "LT"),
    "expireat": lambda r: [key(r), expire_time(r, True, False)] + options(r, "NX", "XX", "GT", "LT"),
    "pexpireat": lambda r: [key(r), expire_time(r, True, True)] + options(r, "NX", "XX", "GT", "LT"),
    "ttl": lambda r: [key(r)],
    "pttl": lambda r: [key(r)],
    "expiretime": lambda r: [key(r)],
    "pexpiretime": lambda r: [key(r)],
    "persist": lambda r: [key(r)],
    "rename": lambda r: [key(r), key(r)],
    "renamenx": lambda r: [key(r), key(r)],
    "copy": lambda r: [key(r), key(r)] + options(r, "REPLACE", lambda r: ["DB", r.choice([0, 1, 2, 16, -1, "x"])]),
    "move": lambda r: [key(r), r.choice([0, 1, 2, 16, -1, "x"])],
    "scan": lambda r: r.choice([[0, "COUNT", 1000], [0, "MATCH", "k*", "COUNT", 1000], ["x"], [0, "COUNT", 0], [0, "BAD"],
                                [0, "COUNT", 1000, "TYPE", "string"], [0, "COUNT", 1000, "TYPE", "list"]]),
    "keys": lambda r: [r.choice(["*", "k*", "k?", "k[1-3]", "k[^1]", "user:*", "nothing", "\\k1", "*:*", "k1*[0-9]"])],
    "dbsize": lambda r: [],
    "select": lambda r: [r.choice([0, 0, 0, 1, 1, 2, 15, 16, -1, "x"])],
    "multi": lambda r: [],
    "exec": lambda r: [],
    "discard": lambda r: [],
    "watch": lambda r: [key(r)],
    "unwatch": lambda r: [],
    "ping": lambda r: r.choice([[], ["hello"], ["a", "b"]]),
    "echo": lambda r: [value(r)],
    "object": lambda r: r.choice([["ENCODING", key(r)], ["REFCOUNT", key(r)], ["BOGUS", key(r)], ["ENCODING"]]),
    "flushdb": lambda r: r.choice([["BOGUS"], ["ASYNC", "x"], []]) if r.random() < 0.3 else ["BOGUS"],
    "nosuch": lambda r: [value(r)[:40].replace(b"\r", b"").replace(b"\n", b"") for _ in range(r.randrange(3))],
    "client": lambda r: r.choice([["SETNAME", "abc"], ["SETNAME", "a b"], ["GETNAME"], ["BOGUS"], ["SETNAME"], ["GETREDIR"]]),
    "hello": lambda r: r.choice([["x"], ["4"], ["2", "BAD"]]),
    "auth": lambda r: [["x"], ["default", "x"]][0],
    "config": lambda r: r.choice([["GET", "databases"], ["GET"], ["BOGUS"], ["GET", "nosuch"]]),
    "slowlog": lambda r: r.choice([["BOGUS"], ["GET", "-2"]]),
    "script": lambda r: [["EXISTS", "c3f8721cbb97f72bc19e972846bd7aaf91901658"], ["BOGUS"]][r.random() < 0.5],
    "evalsha": lambda r: ["0" * 40, 0],
}
# what is asked for most stands in here more often
NAMES = list(MAKERS) + ["get", "set", "set", "incr", "expire", "ttl", "append", "mset", "mget", "del", "getex"] * 3


def make(r):
    name = r.choice(NAMES)
    args = MAKERS[name](r)
    if r.random() < 0.02:  # the wrong number of arguments
        args = args[:-1] if r.random() < 0.5 else args + [b"more"]
    return [case(r, name)] + args


def near(a, b, by):
    return abs(int(a) - int(b)) <= by


def allowed(command, ours, theirs):
    """The listed set of differences. docs/redis.md names them, too."""
    name = command[0].lower()
    # times pass between the one and the other
    if name in ("ttl", "pttl", "expiretime", "pexpiretime") and ours[0] == theirs[0] == b":" and \
            int(ours[1]) > 0 and int(theirs[1]) > 0:
        if near(ours[1], theirs[1], 30000 if name.startswith("p") else 30):
            return True
    # the order of keys is nobody's promise
    if name == "keys" and ours[0] == theirs[0] == b"*":
        return sorted(ours[1]) == sorted(theirs[1])
    if name == "scan" and ours[0] == theirs[0] == b"*":
        if ours[1][0] != (b"$", b"0") or theirs[1][0] != (b"$", b"0"):
            return ours[1][0][0] == theirs[1][0][0] == b"$"  # how far it got differs, too
        return ours[1][0] == theirs[1][0] and sorted(ours[1][1][1]) == sorted(theirs[1][1][1])
    # Redis counts what has ended until it comes across it
    if name == "dbsize":
        return ours[0] == theirs[0] == b":" and int(theirs[1]) - len(KEYS) <= int(ours[1]) <= int(theirs[1])
    # connections are numbered
    if name == "hello" and ours[0] == theirs[0] and ours[0] in (b"*", b"%"):
        return ours[1][:7] == theirs[1][:7] and ours[1][8:] == theirs[1][8:]
    # shared small integers count as referenced by many
    if name == "object" and str(command[1]).upper() == "REFCOUNT":
        return ours[0] == theirs[0]
    # what grew by APPEND stays "raw" in Redis though it is short
    if name == "object" and str(command[1]).upper() == "ENCODING":
        return ours[1] in (b"int", b"embstr", b"raw") and theirs[1] in (b"int", b"embstr", b"raw")
    # ends beyond the year 294000 are cut there: microseconds are counted here
    if name in ("ttl", "pttl", "expiretime", "pexpiretime") and ours[0] == theirs[0] == b":":
        return int(ours[1]) > 9e12 and int(theirs[1]) > 9e12
    if name in ("expire", "pexpire", "expireat", "pexpireat") and ours[0] == theirs[0] == b":":
        ms = int(command[2]) * (1 if name.startswith("p") else 1000)
        return ms > 9e15 and any(str(o).upper() in ("GT", "LT") for o in command[3:])
    return False


class Pair:
    """Both servers, asked the same."""

    def __init__(self, ours, theirs, version):
        self.wires = [Wire(ours), Wire(theirs)]
        self.queued = None  # commands since MULTI
        # what is slow depends on the machine
        for w in self.wires:
            assert w.ask("CONFIG", "SET", "slowlog-log-slower-than", 10 ** 10) == b"OK"
        if version == 3:
            for w in self.wires:
                w.ask("HELLO", "3")
        for w in self.wires:
            w.ask("FLUSHALL")

    def run(self, commands):
        for w in self.wires:
            w.send(b"".join(encode(*c) for c in commands))
        for c in commands:
            ours, theirs = self.wires[0].typed(), self.wires[1].typed()
            if not self.same(c, ours, theirs):
                return c, ours, theirs
        return None

    def same(self, c, ours, theirs):
        name = c[0].lower()
        fine = ours == theirs or allowed(c, ours, theirs)
        if name == "exec" and not fine and ours[0] == theirs[0] == b"*" and ours[1] and theirs[1]:
            fine = len(ours[1]) == len(theirs[1]) == len(self.queued) and all(
                o == t or allowed(q, o, t) for q, o, t in zip(self.queued, ours[1], theirs[1]))
        if name == "multi" and theirs == (b"+", b"OK"):
            self.queued = []
        elif theirs == (b"+", b"QUEUED"):
            self.queued.append(c)
        elif name in ("exec", "discard") and theirs[0] != b"-":
            self.queued = None
        return fine


def start_redis(base):
    path = os.path.join(base, "redis.sock")
    p = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--appendonly", "no",
                          "--dir", base, "--daemonize", "no"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    fcd.until("redis-server listens", lambda: os.path.exists(path))
    return p, path


def campaign(ours, theirs, version, r, n):
    pair = Pair(ours, theirs, version)
    done, begun = 0, time.monotonic()
    while done < n:
        batch = [make(r) for _ in range(BATCH)]
        wrong = pair.run(batch)
        if wrong:
            print("# command %d..: %.300r\n#   ours   %.900r\n#   theirs %.900r" % (done, *wrong))
            return False
        done += BATCH
        if n > 100000 and done % 100000 == 0:
            print("# RESP%d: %d commands, %.0f s" % (version, done, time.monotonic() - begun), flush=True)
    return True


def main():
    if not shutil.which("redis-server"):
        print("1..0 # SKIP no redis-server is installed")
        return 0
    print("# seed %d, %d commands each" % (SEED, COMMANDS))
    base = tempfile.mkdtemp(prefix="fcd-redis-")
    redis, theirs = start_redis(base)
    bad = 0
    try:
        with fcd.Daemon({"redis": "127.0.0.1:0", "limits": {"max_value_bytes": "64MiB"},
                         "messages": {"max_frame_bytes": "80MiB"}, "segment_bytes": "64MiB"}) as d:
            for i, version in enumerate((2, 3)):
                r = random.Random(SEED + version)
                fine = campaign(("127.0.0.1", port_of(d)), theirs, version, r, COMMANDS)
                bad += not fine
                print("%s %d - RESP%d: %d random commands have the replies of redis-server" %
                      ("ok" if fine else "not ok", i + 1, version, COMMANDS))
        print("1..2")
    finally:
        redis.terminate()
        redis.wait()
        shutil.rmtree(base, ignore_errors=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
