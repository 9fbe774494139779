#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The listener for Redis clients: handshakes, exact times to live, rules, and whatever a peer may send."""
import os
import random
import re
import resource
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fcd import BUILD, Daemon, Loader, Refused, main, test, until
from resp_wire import Closed, Error, Wire, connect, encode, port_of

ON = {"redis": "127.0.0.1:0"}
SHARED = None

# a daemon that is built with it would keep what it has freed: memory is looked at here
os.environ["ASAN_OPTIONS"] = "quarantine_size_mb=1:" + os.environ.get("ASAN_OPTIONS", "")


def shared():
    """One daemon for the tests that leave no traces: it has to survive all of them."""
    global SHARED
    if SHARED is None:
        SHARED = Daemon({**ON, "segment_bytes": "64MiB"})
    assert SHARED.alive(), "the daemon has died"
    return SHARED


def cpu_s(daemon):
    with open("/proc/%d/stat" % daemon.process.pid) as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_bytes(daemon):
    with open("/proc/%d/statm" % daemon.process.pid) as f:
        words = f.read().split()
    return (int(words[1]) - int(words[2])) * os.sysconf("SC_PAGE_SIZE")  # without the segment


def data_bytes(daemon):
    with open("/proc/%d/statm" % daemon.process.pid) as f:
        return int(f.read().split()[5]) * os.sysconf("SC_PAGE_SIZE")  # touched or not


def least_buffered(w, ids, before):
    """What the daemon has at least of a request of each of these clients; 0 while one has no more than before."""
    got = [int(n) for n in re.findall(rb" qbuf=(\d+)", w.ask("CLIENT", "LIST", "ID", *ids))]
    return min(got) if len(got) == len(ids) and min(got) > before else 0


def patiently(daemon, *request):
    """A busy daemon may ask to come again."""
    def ask():
        try:
            return [daemon.ask(*request)]
        except Refused as e:
            if e.status != 5:
                raise
            return None
    return until("an answer", ask)[0]


@test
def one_cache_for_all_kinds_of_clients():
    d = shared()
    w = connect(d)
    assert w.ask("SET", "/one/a", b"by redis", "EX", 100) == b"OK"
    got = patiently(d, "get", "/one/a")
    assert got["value"] == b"by redis" and 90 < got["ttl_s"] <= 100, got
    patiently(d, "set", "/one/b", b"by zeromq", {"ttl_s": 50})
    assert w.ask("GET", "/one/b") == b"by zeromq"
    assert 0 < w.ask("TTL", "/one/b") <= 50
    unix = Wire(os.path.join(d.dir, "resp.sock"))
    assert unix.ask("GET", "/one/a") == b"by redis"
    assert patiently(d, "delete", "/one/a") == {"count": 1}
    assert w.ask("GET", "/one/a") is None
    w.ask("SET", "/one/never", "x")
    assert w.ask("TTL", "/one/never") == -1


@test
def the_handshakes_of_clients_work():
    w = connect(shared())
    hello = w.ask("HELLO", "3", "SETNAME", "me")
    assert hello[b"server"] == b"redis" and hello[b"proto"] == 3 and hello[b"role"] == b"master", hello
    assert w.ask("CLIENT", "GETNAME") == b"me"
    assert w.ask("client", "SETINFO", "LIB-NAME", "test") == b"OK"
    assert isinstance(w.ask("CLIENT", "MAINT_NOTIFICATIONS", "ON"), Error)
    info = w.ask("info").decode()
    for field in ("redis_version:7.", "redis_mode:standalone", "arch_bits:", "connected_clients:", "used_memory:", "maxmemory:",
                  "keyspace_hits:", "expired_keys:", "evicted_keys:", "role:master", "loading:0", "uptime_in_seconds:",
                  "total_commands_processed:", "cluster_enabled:0", "instantaneous_ops_per_sec:"):
        assert field in info, field
    docs = w.ask("COMMAND", "DOCS", "get")
    assert b"summary" in docs[b"get"], docs
    assert w.ask("COMMAND", "INFO", "get")[0][:2] == [b"get", 2]
    assert w.ask("CONFIG", "GET", "save") == {b"save": b""}
    assert w.ask("SELECT", "1") == b"OK"
    assert w.ask("HELLO", "9").startswith("NOPROTO")
    assert w.ask("GET", "nothing") is None


@test
def databases_are_apart():
    w = connect(shared())
    w.ask("SET", "apart", "zero")
    w.ask("SELECT", "1")
    assert w.ask("GET", "apart") is None and w.ask("DBSIZE") == 0
    w.ask("SET", "apart", "one")
    assert w.ask("KEYS", "*") == [b"apart"] and w.ask("DBSIZE") == 1
    w.ask("SELECT", "0")
    assert w.ask("GET", "apart") == b"zero"
    # what looks like a key of database 1 is not one
    w.ask("SET", "@db1:apart", "imposter")
    w.ask("SELECT", "1")
    assert w.ask("GET", "apart") == b"one"
    assert w.ask("FLUSHDB") == b"OK" and w.ask("DBSIZE") == 0
    w.ask("SELECT", "0")
    assert w.ask("GET", "apart") == b"zero" and w.ask("GET", "@db1:apart") == b"imposter"


@test
def a_value_ends_when_its_client_says():
    w = connect(shared())
    sent = time.monotonic()
    w.ask("SET", "ends", "x", "PX", 300)
    set_by = time.monotonic()
    seen = []
    while time.monotonic() < sent + 30:
        asked = time.monotonic()
        got, heard = w.ask("GET", "ends"), time.monotonic()
        if heard < sent + 0.3:
            assert got == b"x", "a miss %.3f s early" % (sent + 0.3 - heard)
        if asked > set_by + 0.3 + 0.001:
            assert got is None, "served %.3f s after its end" % (asked - set_by - 0.3)
            break
        seen.append(got)
    assert w.ask("TTL", "ends") == -2 and w.ask("EXISTS", "ends") == 0
    # no end is later than itself, the last that can be kept included
    w.ask("SET", "ends", "x")
    for end in (4 * 10 ** 12, 2 ** 63 - 1):
        assert [w.ask("PEXPIREAT", "ends", end, *only) for only in ((), ("GT",), ("LT",))] == [1, 0, 0], end
    w.ask("DEL", "ends")
    until("the value is dropped", lambda: w.ask("DBSIZE") == len(w.ask("KEYS", "*")))


@test
def a_password_is_asked_for():
    with Daemon({"segment_bytes": 1 << 20}, start=False) as d:
        secret = os.path.join(d.base, "secret")
        with open(secret, "w") as f:
            f.write("pass word\n")
        d.config.update(ON, redis_password_file=secret)
        d.write_config(d.config)
        d.start()
        w = connect(d)
        assert w.ask("GET", "x").startswith("NOAUTH")
        assert w.ask("HELLO", "3").startswith("NOAUTH")
        for wrong in ("pass", "pass word ", "x" * 500, ""):
            assert w.ask("AUTH", wrong).startswith("WRONGPASS"), wrong
        assert w.ask("AUTH", "nobody", "pass word").startswith("WRONGPASS")
        assert w.ask("AUTH", "pass word") == b"OK" and w.ask("GET", "x") is None
        assert connect(d).ask("HELLO", "3", "AUTH", "default", "pass word")[b"proto"] == 3
        # a stranger gets room for a password, not for more
        s = connect(d)
        s.send(b"*11\r\n")
        assert "unauthenticated multibulk" in s.reply() and s.closed()
        s = connect(d)
        s.send(b"*2\r\n$4\r\nAUTH\r\n$16385\r\n")
        assert "unauthenticated bulk" in s.reply() and s.closed()
        assert "pass word" not in d.log()
    with Daemon({"redis": "0.0.0.0:0", "segment_bytes": 1 << 20}, start=False) as d:
        code, log = d.run()
        assert code == 78 and "redis_password_file" in log, (code, log)


@test
def a_port_in_use_is_a_clear_error():
    d = shared()
    with Daemon({"redis": "127.0.0.1:%d" % port_of(d), "segment_bytes": 1 << 20}, start=False) as other:
        code, log = other.run()
        assert code == 75 and "in use" in log and '\\"off\\"' in log.replace('"off"', '\\"off\\"'), (code, log)


BAD = [
    (b"*1\r\n+GET\r\n", "expected '$'"),
    (b"*x\r\n", "invalid multibulk length"),
    (b"*2147483648\r\n", "invalid multibulk length"),
    (b"*99999999\r\n", "invalid multibulk length"),
    (b"*1\r\n$-5\r\n", "invalid bulk length"),
    (b"*1\r\n$99999999999\r\n", "invalid bulk length"),
    (b"*1\r\n$99999999999999999999999\r\n", "invalid bulk length"),
    (b"*1\r\n$" + b"1" * 70000, "too big bulk count"),
    (b"*" + b"1" * 70000, "too big mbulk count"),
    (b"a" * 70000, "too big inline"),
    (b'GET "abc\r\n', "unbalanced quotes"),
    (b"SET k 'v'x\r\n", "unbalanced quotes"),
]


@test
def bad_input_ends_its_connection_and_no_other():
    d = shared()
    other = connect(d)
    for data, why in BAD:
        w = connect(d)
        try:
            w.send(data)
            got = w.reply()
            assert isinstance(got, Error) and why in got, (data[:40], got)
            assert w.closed(), data[:40]
        except (ConnectionResetError, BrokenPipeError):
            pass  # it hung up while we were still sending
        w.close()
        assert other.ask("PING") == b"PONG"
    # what is odd, but no error
    w = connect(d)
    w.send(b"*0\r\n*-1\r\n\r\n\r\nPING\r\n*1\r\n$4\r\nPING\r\n")
    assert w.reply() == b"PONG" and w.reply() == b"PONG"
    w.send(b'SET "a\\x00b" "x\\ny"\r\nGET "a\\x00b"\r\n')
    assert w.reply() == b"OK" and w.reply() == b"x\ny"
    # half a request is no request, however long it takes
    for i in encode("SET", "half", "value"):
        w.send(bytes([i]))
    assert w.reply() == b"OK" and other.ask("GET", "half") == b"value"


@test
def http_is_hung_up_on():
    d = shared()
    for data in (b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\nSET stolen 1\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\nSET stolen 1\r\n",
                 b"GET / HTTP/1.0\r\n\r\nSET stolen 1\r\n", b"HEAD / HTTP/1.1\r\n\r\nSET stolen 1\r\n"):
        w = connect(d)
        w.send(data)
        assert w.closed(), data
    assert connect(d).ask("GET", "stolen") is None
    d.wait_log("event=redis_http")


@test
def unknown_subcommands_are_errors():
    w = connect(shared())
    for parent in ("CLIENT", "CONFIG", "OBJECT", "MEMORY", "SLOWLOG", "SCRIPT", "ACL", "LATENCY", "COMMAND", "FUNCTION"):
        got = w.ask(parent, "NOSUCH", "a")
        assert isinstance(got, Error) and "NOSUCH" in got, (parent, got)
    assert "unknown command 'lpush'" in w.ask("lpush", "a", "b")


@test
def random_bytes_hurt_nobody():
    seed = random.SystemRandom().randrange(1 << 32)
    print("# seed %d" % seed)
    r = random.Random(seed)
    d = shared()
    words = [b"*3\r\n", b"$3\r\n", b"SET", b"GET", b"\r\n", b"*", b"$", b"-1", b"1000000", b"\x00", b'"', b"MULTI\r\n", b"EXEC\r\n",
             b"\n", b"k", b" ", b"*1\r\n$4\r\nPING\r\n", b"EVAL", b"KEYS *\r\n", b"HELLO 3\r\n", b"CLIENT LIST\r\n"]
    for _ in range(300):
        w = connect(d)
        data = b"".join(r.choice(words) if r.random() < 0.9 else bytes([r.randrange(256)]) for _ in range(r.randrange(1, 60)))
        try:
            w.send(data)
        except OSError:
            pass
        w.close()
    assert connect(d).ask("PING") == b"PONG"


@test
def a_hundred_thousand_commands_in_one_go():
    d = shared()
    w = connect(d)
    n = 100000
    data = encode("INCR", "pipe") * n
    sender = threading.Thread(target=w.send, args=(data,))
    sender.start()
    for i in range(n):
        assert w.reply() == i + 1
    sender.join()


@test
def who_has_had_its_share_of_a_turn_leaves_the_daemon_in_peace():
    d = shared()
    w = connect(d)
    for first in range(0, 60000, 20000):
        w.send(b"".join(encode("SET", "spin:%d" % i, b"x") for i in range(first, first + 20000)))
        for _ in range(20000):
            assert w.reply() == b"OK"
    # each looks at tens of thousands of keys, which takes longer than a connection's share; nothing follows
    for command in (["SCAN", "0", "COUNT", "65536"], ["MGET"] + ["spin:%d" % i for i in range(60000)]):
        w.ask(*command)
        before = cpu_s(d)
        time.sleep(0.5)
        assert cpu_s(d) - before < 0.25, "%s: %.2f s of processor time while nobody asks" % (command[0], cpu_s(d) - before)
    w.ask("FLUSHALL")


@test
def who_does_not_read_is_not_read_from():
    d = shared()
    other = connect(d)
    other.ask("SET", "big", b"x" * 1000000)
    before = rss_bytes(d)
    w = connect(d)
    w.socket.setblocking(False)
    data, sent = encode("GET", "big") * 20000, 0  # 20 GB of replies
    idle_since = time.monotonic()
    while sent < len(data) and time.monotonic() < idle_since + 0.5:
        try:
            sent += w.socket.send(data[sent:])
            idle_since = time.monotonic()
        except BlockingIOError:
            assert other.ask("PING") == b"PONG"
    grown = rss_bytes(d) - before
    assert grown < 64 << 20, "%d MiB for a client that does not read" % (grown >> 20)
    w.socket.setblocking(True)
    w.socket.settimeout(30)
    for _ in range(50):
        assert w.reply() == b"x" * 1000000
    w.close()
    other.ask("DEL", "big")


@test
def what_one_connection_is_told_by_others_keeps_its_order():
    # a MONITOR that does not read: in one of these turns of the loop its socket takes a part of a
    # reply, and then there are lines about others
    d = shared()
    w, other = Wire(os.path.join(d.dir, "resp.sock")), connect(d)
    large = b"y" * 60000
    other.ask("SET", "large", large)
    assert w.ask("MONITOR") == b"OK"
    for turn in range(10):
        d.signal(signal.SIGSTOP)
        w.send(encode("GET", "large"))
        other.send(encode("SET", "told", turn) * 5)
        d.signal(signal.SIGCONT)
        assert [other.reply() for _ in range(5)] == [b"OK"] * 5
    got = [w.reply() for _ in range(60)]
    told = [int(g.split(b'"')[5]) for g in got if g != large]
    assert len(told) == 50 and told == sorted(told), [g[:60] for g in got]
    other.ask("DEL", "large")


@test
def a_reply_above_the_cap_ends_its_connection():
    with Daemon({**ON, "segment_bytes": "8MiB", "redis_output_bytes": 1 << 20}) as d:
        w, other = connect(d), connect(d)
        w.ask("SET", "big", b"x" * 100000)
        w.send(encode("MGET", *["big"] * 100))
        assert w.closed()
        assert other.ask("PING") == b"PONG"
        d.wait_log("event=redis_output")


@test
def a_client_that_dies_in_a_large_set_leaves_nothing():
    d = shared()
    before = rss_bytes(d)
    for _ in range(20):
        w = connect(d)
        w.send(b"*3\r\n$3\r\nSET\r\n$5\r\ntorso\r\n$60000000\r\n" + b"x" * 3000000)
        w.close()
    # who comes last is accepted last, but may be answered first: what the others sent is in the kernel
    # until a busy daemon reads it, and takes memory only then
    w = connect(d)
    assert w.ask("GET", "torso") is None
    me = w.ask("CLIENT", "ID")
    until("they are read and gone", lambda: not w.ask("CLIENT", "LIST", "ID", *range(me - 20, me)))
    until("its memory is given back", lambda: rss_bytes(d) - before < 32 << 20)
    # a declared length alone reserves nothing, nor does the byte of it after which there is a buffer
    many, reserved, least = [connect(d) for _ in range(100)], data_bytes(d), 0
    for part in (b"*3\r\n$3\r\nSET\r\n$5\r\ntorso\r\n$67108864\r\nx", b"x"):
        for one in many:
            one.send(part)
        least = until("each of them is read", lambda: least_buffered(w, range(me + 1, me + 101), least))
    assert w.ask("PING") == b"PONG" and rss_bytes(d) - before < 48 << 20
    assert data_bytes(d) - reserved < 256 << 20, "%d MiB are reserved" % ((data_bytes(d) - reserved) >> 20)
    # more than there is room for: refused, and the connection goes on
    assert "max_value_bytes" in w.ask("SET", "large", b"x" * (64 << 20))
    assert "max_key_bytes" in w.ask("SET", "k" * 2000, "x") and w.ask("PING") == b"PONG"


@test
def more_clients_than_allowed_are_told_so():
    with Daemon({**ON, "segment_bytes": 1 << 20, "redis_max_clients": 3}) as d:
        kept = [connect(d) for _ in range(3)]
        assert all(w.ask("PING") == b"PONG" for w in kept)
        w = connect(d)
        assert "max number of clients" in w.reply() and w.closed()
        kept.pop().close()
        until("one may come again", lambda: connect(d).ask("PING") == b"PONG" if not kept else again(d))


def again(d):
    w = connect(d)
    try:
        return w.ask("PING") == b"PONG"
    except (Closed, OSError):
        return False
    finally:
        w.close()


@test
def without_descriptors_it_does_not_spin():
    with Daemon({**ON, "segment_bytes": 1 << 20}) as d:
        w = connect(d)
        assert w.ask("PING") == b"PONG" and patiently(d, "health")
        most = max(map(int, os.listdir("/proc/%d/fd" % d.process.pid))) + 1
        hard = resource.prlimit(d.process.pid, resource.RLIMIT_NOFILE)[1]
        # some are kept for libzmq, which cannot do without
        resource.prlimit(d.process.pid, resource.RLIMIT_NOFILE, (most + 20, hard))
        crowd = [connect(d) for _ in range(40)]
        d.wait_log("event=redis_refused")
        assert patiently(d, "health")
        # and none at all
        most = max(map(int, os.listdir("/proc/%d/fd" % d.process.pid))) + 1
        taken = len(os.listdir("/proc/%d/fd" % d.process.pid))
        resource.prlimit(d.process.pid, resource.RLIMIT_NOFILE, (min(most, taken), hard))
        crowd += [connect(d) for _ in range(10)]
        d.wait_log("event=redis_accept")
        begun, used = time.monotonic(), cpu_s(d)
        while time.monotonic() < begun + 1:
            assert w.ask("PING") == b"PONG"
            time.sleep(0.05)
        share = (cpu_s(d) - used) / (time.monotonic() - begun)
        assert share < 0.5, "spins: %.2f of a CPU" % share
        for c in crowd:
            c.close()
        resource.prlimit(d.process.pid, resource.RLIMIT_NOFILE, (most + 500, hard))
        until("new ones are accepted again", lambda: again(d))


@test
def thousands_of_idle_connections_cost_little():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    n = min(10000, hard - 200)
    with Daemon({**ON, "segment_bytes": 1 << 20, "redis_max_clients": 20000}) as d:
        before = rss_bytes(d)
        path = os.path.join(d.dir, "resp.sock")
        idle = []
        for i in range(n):
            s = socket.socket(socket.AF_UNIX if i % 2 else socket.AF_INET)
            s.connect(path if i % 2 else ("127.0.0.1", PORT(d)))
            idle.append(s)
        w = connect(d)
        until("all are there", lambda: ("connected_clients:%d\r" % (n + 1)).encode() in w.ask("INFO", "clients"))
        per = (rss_bytes(d) - before) / n
        begun, used = time.monotonic(), cpu_s(d)
        until("a second", lambda: time.monotonic() > begun + 1)
        share = (cpu_s(d) - used) / (time.monotonic() - begun)
        print("# %d idle connections: %.0f bytes each, %.3f of a CPU" % (n, per, share))
        assert per < 8192 and share < 0.3, (per, share)
        for s in idle:
            s.close()
        until("all are gone", lambda: b"connected_clients:1\r" in w.ask("INFO", "clients"))


def PORT(d, known={}):
    if d not in known:
        known[d] = port_of(d)
    return known[d]


@test
def who_says_nothing_for_long_is_let_go():
    with Daemon({**ON, "segment_bytes": 1 << 20, "redis_idle_s": 1}) as d:
        w = connect(d)
        assert w.ask("PING") == b"PONG" and w.closed()


@test
def keys_holds_nobody_up():
    with Daemon({**ON, "segment_bytes": "64MiB"}) as d:
        w, other = connect(d), connect(d)
        n = 100000
        for i in range(0, n, 1000):
            w.ask_many([("SET", "key:%d" % k, "v") for k in range(i, i + 1000)])
        w.send(encode("KEYS", "*") + encode("PING"))
        turns = 0
        while not select_ready(w):
            assert other.ask("PING") == b"PONG"
            turns += 1
        got = w.reply()
        assert len(got) == n and len(set(got)) == n and w.reply() == b"PONG"
        print("# %d answers to others while KEYS went through %d keys" % (turns, n))
        assert turns > 0
        seen, cursor = [], b"0"
        while True:
            cursor, page = w.ask("SCAN", cursor, "COUNT", 5000)
            seen += page
            if cursor == b"0":
                break
        assert len(seen) == n and len(set(seen)) == n
        assert w.ask("DBSIZE") == n and w.ask("FLUSHALL") == b"OK" and w.ask("DBSIZE") == 0


@test
def a_flush_holds_nobody_up_and_is_seen_at_once():
    with Daemon({**ON, "segment_bytes": "64MiB"}) as d:
        w, other, watcher = connect(d), connect(d), connect(d)
        n = 100000

        def fill():
            for at in range(0, n, 5000):
                w.ask_many([("SET", "f:%d" % i, "old") for i in range(at, at + 5000)])
        fill()
        other.ask_many([("SELECT", "1"), ("SET", "one", "kept"), ("SELECT", "0")])
        watcher.ask("WATCH", "f:%d" % (n - 1))
        exec_ = [("MULTI",), ("FLUSHDB",), ("ECHO", "x"), ("EXEC",)]
        for commands, replies in 2 * [([("FLUSHDB",)], [b"OK"]),
                                      (exec_, [b"OK", b"QUEUED", b"QUEUED", [b"OK", b"x"]])]:
            fill()
            w.send(b"".join(encode(*c) for c in commands))
            answers = 0
            # the last keys are looked at last: for who asks they are gone as soon as any is
            until("the flush has begun", lambda: other.ask("DBSIZE") == 0)
            while not select_ready(w):
                got = other.ask_many([("GET", "f:%d" % (n - 1)), ("EXISTS", "f:%d" % (n - 2)), ("DBSIZE",), ("RANDOMKEY",),
                                      ("STRLEN", "f:%d" % (n - 3)), ("TTL", "f:%d" % (n - 4))])
                assert got == [None, 0, 0, None, 0, -2], got
                answers += 1
                if answers == 2:
                    break
            # what is set while it goes on stays
            other.ask("SET", "f:%d" % (n - 5), "new")
            other.ask("SET", "brand new", "new")
            assert [w.reply() for _ in replies] == replies
            # it is out of the store, too, for those who read that without asking
            used = int(other.ask("INFO", "memory").split(b"used_memory:")[1].split()[0])
            assert used < 10000, used
            assert other.ask("GET", "f:%d" % (n - 5)) == b"new" and other.ask("GET", "brand new") == b"new"
            assert other.ask("DBSIZE") == 2 and sorted(other.ask("KEYS", "*")) == [b"brand new", b"f:%d" % (n - 5)]
        assert patiently(d, "get", b"f:7", {"mode": "peek"})["outcome"] == "miss"
        watcher.ask("MULTI")
        watcher.ask("PING")
        assert watcher.ask("EXEC") is None, "a watched key was flushed"
        other.ask("SELECT", "1")
        assert other.ask("GET", "one") == b"kept"
        # two at once, and one whose client goes away
        gone = connect(d)
        gone.send(encode("FLUSHALL", "ASYNC"))
        gone.close()
        w.send(encode("FLUSHALL") + encode("SET", "after", "x") + encode("DBSIZE"))
        assert [w.reply(), w.reply(), w.reply()] == [b"OK", b"OK", 1]
        assert other.ask("GET", "one") is None


@test
def many_flushes_hold_nobody_up():
    with Daemon({**ON, "segment_bytes": "64MiB"}) as d:
        w, n = connect(d), 60000
        for at in range(0, n, 5000):
            w.ask_many([("SET", "f:%d" % i, "old") for i in range(at, at + 5000)])
        w.ask("MULTI")
        assert w.ask_many([("FLUSHDB",)] * 100) == [b"QUEUED"] * 100
        assert w.ask("FLUSHALL") == "ERR more than 100 flushes in a transaction"
        assert w.ask("EXEC").startswith("EXECABORT") and w.ask("DBSIZE") == n
        # 300 at once, in transactions and without; the later ones wait until the first are through
        wires = [connect(d) for _ in range(103)]
        for i, c in enumerate(wires[:3]):
            c.ask("MULTI")
            c.ask_many([("SET", "t%d" % i, "x"), ("FLUSHDB",)] * 70)
        for c in wires:
            c.send(encode("EXEC") if c in wires[:3] else encode("FLUSHALL"))
        other = connect(d)
        until("they have begun", lambda: other.ask("GET", "f:1") is None)
        assert not any(select_ready(c) for c in wires), "all keys in one turn"
        for c in wires:
            assert c.reply() == ([b"OK"] * 140 if c in wires[:3] else b"OK")
        assert w.ask("DBSIZE") == 0


@test
def what_takes_long_is_done_in_turns():
    with Daemon({**ON, "segment_bytes": "64MiB"}) as d:
        w, other, n = connect(d), connect(d), 70000
        for at in range(0, n, 5000):
            w.ask_many([("SET", "f:%d" % i, "old") for i in range(at, at + 5000)])
        # each looks at 65,536 keys, of which none is the one
        w.send(encode("SCAN", 0, "COUNT", 65536, "MATCH", "none") * 300)
        assert w.reply()[1] == []
        assert other.ask("PING") == b"PONG"
        calls = other.ask("INFO", "commandstats").split(b"cmdstat_scan:calls=")[1]
        assert int(calls.split(b",")[0]) < 300
        for _ in range(299):
            w.reply()
        # all keys, while nobody else is served
        w.ask("MULTI")
        w.ask("KEYS", "none")
        got = w.ask("EXEC")[0]
        assert isinstance(got, Error) and "65536 keys in a transaction" in got, got
        assert w.ask("KEYS", "none") == [] and d.alive()


@test
def late_replies_are_not_heard_when_none_are_wanted():
    with Daemon({**ON, "segment_bytes": "64MiB"}) as d:
        w, n = connect(d), 20000
        fill = [("SET", "f:%d" % i, "x") for i in range(n)]
        for late in (("FLUSHALL",), ("KEYS", "f:1*"), ("FC.PREWARM", "f:*")):
            w.ask_many(fill)
            w.send(encode("CLIENT", "REPLY", "SKIP") + encode(*late) + encode("ECHO", "heard"))
            assert w.reply() == b"heard", late
            w.send(encode("CLIENT", "REPLY", "OFF") + encode(*late) + encode("CLIENT", "REPLY", "ON") + encode("ECHO", "again"))
            assert [w.reply(), w.reply()] == [b"OK", b"again"], late
            w.send(encode(*late) + encode("ECHO", "last"))
            w.reply()
            assert w.reply() == b"last", late


def select_ready(w):
    s = selectors.DefaultSelector()
    s.register(w.socket, selectors.EVENT_READ)
    got = bool(s.select(0)) or w.at < len(w.buffer)
    s.close()
    return got


# -- Learning, and rules -----------------------------------------------------------------------

def why(w, name):
    got = w.ask("FC.WHY", name)
    return dict(zip(got[::2], got[1::2])) if isinstance(got, list) else got


@test
def plain_traffic_teaches():
    # the daemon's clock runs: a miss of 200 ms and sets a minute apart take no time to wait for
    with Daemon({**ON, "segment_bytes": 4 << 20}, args=["--time-scale", "60"]) as d:
        w = connect(d)
        value = b"same"
        for i in range(12):
            assert w.ask("GET", "/teach/1") is None
            asked = time.monotonic()
            until("the load takes its time", lambda: time.monotonic() > asked + 0.02)
            w.ask("SETEX", "/teach/1", 1, value)
            until("it ends", lambda: w.ask("EXISTS", "/teach/1") == 0)
        got = why(w, "/teach/1")
        assert float(got[b"load_ms"]) >= 1000, got  # 20 ms of ours are 1.2 s of its
        # sets within a tenth of a second count as one look
        assert float(got[b"change_looks"]) >= 2, got
        never = float(got[b"change_rate_per_s"])
        for i in range(12):
            w.ask("GET", "/teach/2")
            w.ask("SETEX", "/teach/2", 1, b"other %d" % i)
            until("it ends", lambda: w.ask("EXISTS", "/teach/2") == 0)
        always = float(why(w, "/teach/2")[b"change_rate_per_s"])
        assert always > 2 * never, (never, always)
        # what never changed may live longer, what always did has a TTL that is right at best
        got, other = why(w, "/teach/1"), why(w, "/teach/2")
        assert got[b"reason"] == b"client_too_short" and float(got[b"advised_ttl_s"]) > 1.5, got
        assert float(other[b"advised_ttl_s"]) < float(got[b"advised_ttl_s"]), other
        rows = {row["key"]: row for row in patiently(d, "ttls", {"endpoint": got[b"endpoint"].decode()})}
        assert rows["/teach/1"]["reason"] == "client_too_short" and rows["/teach/1"]["ttl_s"] == 1, rows
        assert w.ask("FC.TTLS")[0], "endpoints"


def pairs(rows):
    return [dict(zip(r[::2], r[1::2])) for r in rows]


@test
def what_was_learned_is_told_as_to_other_clients():
    with Daemon({**ON, "segment_bytes": 4 << 20}) as d:
        w = connect(d)
        for i in range(5):
            for key in ("/a/%d" % i, "/b/%d" % i):
                assert w.ask("GET", key) is None
                w.ask("SET", key, "x")
        rows = pairs(w.ask("FC.FORECAST", "/a/<id>", "STEP", 60, "STEPS", 5))
        beside = patiently(d, "forecast", "/a/<id>", {"step_s": 60, "steps": 5})
        assert [set(r) for r in rows] == [{k.encode() for k in r} for r in beside], (rows, beside)
        times = [float(r[b"time_s"]) for r in rows]
        # instants in milliseconds
        assert all(abs(b - a - 60) < 0.002 for a, b in zip(times, times[1:])), times
        assert abs(times[0] - beside[0]["time_s"]) < 10 and all(float(r[b"lo80"]) <= float(r[b"median"]) for r in rows), rows
        assert w.ask("FC.FORECAST", "/none") is None
        # endpoints; the keys of one; those of all
        assert {r[b"endpoint"] for r in pairs(w.ask("FC.TTLS"))} == {b"/a/<id>", b"/b/<id>"}
        assert len(w.ask("FC.TTLS", "COUNT", 1)) == 1 and len(w.ask("FC.TTLS", "count", 9)) == 2
        assert {r[b"key"] for r in pairs(w.ask("FC.TTLS", "/a/<id>"))} == {b"/a/%d" % i for i in range(5)}
        assert len(w.ask("FC.TTLS", "/a/<id>", "COUNT", 2)) == 2
        assert len(w.ask("FC.TTLS", "*")) == 10 and len(w.ask("FC.TTLS", "*", "COUNT", 7)) == 7
        assert w.ask("FC.TTLS", "/none") is None and w.ask("FC.TTLS", "/none", "COUNT", 3) is None
        for wrong in (("COUNT", 0), ("COUNT", "x"), ("*", "COUNT"), ("*", "LIMIT", 3), ("LIMIT", 3), ("*", "COUNT", 3, 4)):
            assert isinstance(w.ask("FC.TTLS", *wrong), Error), wrong


RULES = {"endpoints": [{"match": "/grace/<k>", "grace": 60}, {"match": "/exact/<k>", "ttl": "obey"},
                       {"match": "*", "grace": 30}]}


def herd(d, key, for_ms=0, every_ms=0):
    """Many clients at the same time who want the key, which takes 200 ms to load: what they say of it."""
    clients = os.environ.get("RESP_HERD", "1000")
    out = subprocess.run([os.path.join(BUILD, "tests", "resp_herd"), str(PORT(d)), key, clients, "200", str(for_ms), str(every_ms)],
                         stdout=subprocess.PIPE, text=True, timeout=120, check=True).stdout
    print("# %s clients, %s: %s" % (clients, "every %d ms" % every_ms if every_ms else "at once", out.strip()))
    words = out.split()
    got = {k: int(v) for k, v in zip(words[::2], words[1::2])}
    assert got["errors"] == 0 and got["wrong"] == 0, got
    return got


@test
def within_grace_one_loads_and_the_others_get_the_old_value():
    with Daemon({**ON, "segment_bytes": 4 << 20, **RULES}) as d:
        first = connect(d)
        # a load of 200 ms, learned from the first miss and set
        assert first.ask("GET", "/grace/1") is None
        asked = time.monotonic()
        until("a load", lambda: time.monotonic() > asked + 0.2)
        first.ask("SET", "/grace/1", "v-old", "PX", 300)
        until("it has ended", lambda: first.ask("EXISTS", "/grace/1") == 0)
        assert herd(d, "/grace/1")["loads"] == 1
        assert first.ask("GET", "/grace/1") == b"v-new"
        # its end is while they ask
        first.ask("PEXPIRE", "/grace/1", 600)
        assert herd(d, "/grace/1", 1500, 100)["loads"] == 1
        assert first.ask("TTL", "/grace/1") > 3000


@test
def without_an_old_value_one_loads_and_the_others_wait():
    with Daemon({**ON, "segment_bytes": 4 << 20, **RULES, "limits": {"redis_wait_s": 30}}) as d:
        assert herd(d, "/grace/cold")["loads"] == 1
        a, b, c = connect(d), connect(d), connect(d)
        get = encode("GET", "/grace/2")
        assert a.ask("GET", "/grace/2") is None
        # who was told to load it is told so again, and a question about many keys waits for none
        assert a.ask("GET", "/grace/2") is None and b.ask("MGET", "/grace/2", "/grace/3") == [None, None]
        assert b.ask_many([("MULTI",), ("GET", "/grace/2"), ("EXEC",)])[2] == [None]
        for w in (b, c):
            w.send(get + encode("PING"))
        until("both wait", lambda: patiently(d, "stats")["waiters"] == 2)
        assert not select_ready(b) and not select_ready(c)
        # it goes away: the next one is told to load it, the last one gets what that sets
        a.close()
        assert b.reply() is None and b.reply() == b"PONG"
        assert not select_ready(c)
        b.ask("SET", "/grace/2", "set", "PX", 100)
        assert c.reply() == b"set" and c.reply() == b"PONG"
        # one that waits goes away
        assert a_miss(d, "/grace/4")
        gone = connect(d)
        gone.send(encode("GET", "/grace/4"))
        until("it waits", lambda: patiently(d, "stats")["waiters"] == 1)
        gone.close()
        b.ask("SET", "/grace/4", "x")
        assert c.ask("GET", "/grace/4") == b"x"
        # what no rule is about
        assert c.ask("GET", "/exact/1") is None and b.ask("GET", "/exact/1") is None
        assert c.ask("GET", "lock:1") is None and b.ask("GET", "lock:1") is None


HELD = []


def a_miss(d, key):
    HELD.append(connect(d))  # it stays open: nobody is told instead
    return HELD[-1].ask("GET", key) is None


@test
def nobody_waits_twice_for_what_is_not_set():
    with Daemon({**ON, "segment_bytes": 4 << 20, **RULES, "limits": {"redis_wait_s": 0.3}}) as d:
        a, b, c = connect(d), connect(d), connect(d)
        assert a.ask("GET", "/grace/none") is None
        for w in (b, c):
            w.send(encode("GET", "/grace/none"))
        assert b.reply() is None and c.reply() is None
        joined = patiently(d, "stats")["joined"]
        assert joined == 2
        for w in (a, b, c):
            assert w.ask("GET", "/grace/none") is None
        assert patiently(d, "stats")["joined"] == joined, "they have waited again"
        # until somebody does set it
        a.ask("SET", "/grace/none", "x", "PX", 20)
        until("grace is over", lambda: a.ask("DEL", "/grace/none") == 0)


@test
def a_pipeline_of_misses_is_remembered():
    # who waits longer than a test's client does has waited for nothing
    conf = {**ON, "segment_bytes": 4 << 20, **RULES, "limits": {"redis_wait_s": 60, "lease_s": 60}}
    with Daemon(conf) as d:
        a, b = connect(d), connect(d)
        gets = [("GET", "/grace/%d" % i) for i in range(500)]
        assert set(a.ask_many(gets)) == {None}
        sent = time.monotonic()
        until("a load", lambda: time.monotonic() > sent + 0.05)
        assert set(a.ask_many([("SET", k, "x") for _, k in gets])) == {b"OK"}
        loads = [float(why(b, k)[b"load_ms"]) for _, k in gets]
        assert min(loads) >= 50, "the load of a key is not known: %s" % sorted(loads)[:3]
        # the next one is told at once, whichever of them it asks for, when the first has gone
        gets = [("GET", "/grace/gone%d" % i) for i in range(500)]
        assert set(a.ask_many(gets)) == {None}
        a.close()
        assert set(b.ask_many(gets)) == {None}
    # beyond the limit the oldest is forgotten: the next one is told, instead of waiting
    with Daemon({**conf, "redis_misses": 4}) as d:
        a, b = connect(d), connect(d)
        gets = [("GET", "/grace/%d" % i) for i in range(6)]
        assert a.ask_many(gets) == 6 * [None]
        assert b.ask_many(gets[:2]) == 2 * [None]
        b.send(encode(*gets[2]) + encode("PING"))
        until("it waits", lambda: patiently(d, "stats")["waiters"] == 1)
        a.ask("SET", "/grace/2", "x")
        assert b.reply() == b"x" and b.reply() == b"PONG"


@test
def waiting_is_no_part_of_a_load():
    with Daemon({**ON, "segment_bytes": 4 << 20, **RULES, "limits": {"redis_wait_s": 0.3}}) as d:
        a, b = connect(d), connect(d)
        names = ("/grace/%d" % i for i in range(1000))

        def load_ms():
            name = next(names)
            assert a.ask("GET", name) is None and b.ask("GET", name) is None  # which has waited
            b.ask("SET", name, "x")
            return float(why(b, name)[b"load_ms"])
        until("a load without the wait for it", lambda: 0 < load_ms() < 150)


@test
def rules_leave_locks_sessions_and_counters_alone():
    with Daemon({**ON, "segment_bytes": 4 << 20, **RULES}) as d:
        w = connect(d)
        names = ["lock:a", "_lock_b", "redlock", "user_session:1", "session:2", "sess:3", "counter:x", "page_count",
                 "rate_limit:1.2.3.4", "csrf-token"]
        for k in names:
            w.ask("SET", k, "x", "PX", 50)
        w.ask("SET", "nx", "x", "NX", "PX", 50)
        w.ask("INCR", "hits")
        w.ask("PEXPIRE", "hits", 50)
        w.ask("SET", "page:1", "x", "PX", 50)
        until("all have ended", lambda: w.ask("EXISTS", "page:1", "nx", "hits", *names) == 0)
        for k in names + ["nx", "hits"]:
            assert w.ask("GET", k) is None and w.ask("GET", k) is None, k
        assert w.ask("GET", "page:1") is None, "the first gets the miss"
        assert w.ask("GET", "page:1") == b"x", "the second the old value"


@test
def without_a_rule_there_is_no_grace():
    with Daemon({**ON, "segment_bytes": 4 << 20, "grace": 60}) as d:
        w = connect(d)
        w.ask("SET", "/q/1", "x", "PX", 30)
        until("it has ended", lambda: w.ask("EXISTS", "/q/1") == 0)
        assert w.ask("GET", "/q/1") is None and w.ask("GET", "/q/1") is None


@test
def a_slow_load_starts_early_for_one():
    conf = {**ON, "segment_bytes": 4 << 20, "endpoints": [{"match": "/slow/<k>", "grace": 10}]}
    with Daemon(conf) as d:
        w = connect(d)
        assert w.ask("GET", "/slow/1") is None
        asked = time.monotonic()
        until("a slow load", lambda: time.monotonic() > asked + 0.5)
        w.ask("SET", "/slow/1", "x", "PX", 2000)
        early = until("somebody is told to load", lambda: w.ask("GET", "/slow/1") is None)
        left = w.ask("PTTL", "/slow/1")
        assert early
        if left != -2:  # this machine was not that slow
            assert 0 < left < 1000 and w.ask("GET", "/slow/1") == b"x", left


@test
def a_get_waits_for_a_loader():
    # a key without an endpoint gets that of the rule that it matches
    with Daemon({**ON, "segment_bytes": 4 << 20, "endpoints": [{"match": "/load/<k>"}]}) as d:
        loader = Loader(d, ["/load/<k>"])
        w, other = connect(d), connect(d)
        w.send(encode("GET", "/load/1") + encode("PING"))
        job = loader.job()
        assert job[2] == "/load/1", job
        assert other.ask("PING") == b"PONG" and not select_ready(w)
        loader.say("value", job[0], b"loaded")
        got = [w.reply(), w.reply()]
        assert got == [b"loaded", b"PONG"], got
        # one that hangs up while it waits
        w.send(encode("GET", "/load/2"))
        job = loader.job()
        w.close()
        loader.say("value", job[0], b"for nobody")
        until("it is kept", lambda: other.ask("GET", "/load/2") == b"for nobody")


@test
def a_learned_ttl_takes_the_place_of_the_clients():
    # minutes of the daemon's clock pass in seconds
    conf = {**ON, "segment_bytes": 4 << 20, "policy": {"jitter": 0, "min_ttl": "1s"},
            "endpoints": [{"match": "/learn/<k>", "ttl": "learn"}, {"match": "/loaded/<k>", "ttl": "learn"}, {"match": "/obey/<k>", "ttl": "obey"}]}
    with Daemon(conf, args=["--time-scale", "60"]) as d:
        w = connect(d)
        loader = Loader(d, ["/loaded/<k>"])
        for i in range(12):
            # a tenth of a second: 6 s of its
            begun = time.monotonic()
            for key, value in (("/learn/moves", i), ("/learn/stands", "same"), ("/obey/moves", i), ("/loaded/stands", "same"), ("/learn/lock", i)):
                w.ask("SET", key, value, "EX", 20 if key.startswith("/loaded") else 600)
            until("some seconds have passed", lambda: time.monotonic() > begun + 0.15)
        w.ask("SET", "/learn/moves", "last", "EX", 600)
        w.ask("SET", "/learn/stands", "same", "EX", 600)
        w.ask("SET", "/obey/moves", "last", "EX", 600)
        w.ask("SET", "/learn/lock", "last", "EX", 600)
        w.ask("SET", "/loaded/stands", "same", "EX", 20)
        ttl = {key: w.ask("TTL", key) for key in ("/learn/moves", "/learn/stands", "/obey/moves", "/learn/lock", "/loaded/stands")}
        print("# %r" % ttl)
        # what changed with each set lives shorter, unless it is a lock; where nobody can look again, nothing lives longer
        assert ttl["/learn/moves"] < 120 and ttl["/learn/moves"] < ttl["/learn/stands"] <= 600, ttl
        assert ttl["/obey/moves"] > 500 and ttl["/learn/lock"] > 500, ttl
        # a loader can: it stands still, so it lives longer than its client thought
        assert ttl["/loaded/stands"] > 20, ttl
        assert why(w, "/loaded/stands")[b"reason"] != b"client", why(w, "/loaded/stands")
        # and at its end a get has the loader make it, or gets what that has refreshed
        w.ask("DEL", "/loaded/stands")
        w.send(encode("GET", "/loaded/stands"))
        loader.say("value", loader.job()[0], b"made")
        assert w.reply() == b"made"


# -- Restart, transactions, locks ----------------------------------------------------------------

@test
def values_outlive_the_daemon():
    with Daemon({**ON, "segment_bytes": 4 << 20}) as d:
        w = connect(d)
        w.ask("SET", "for ever", "a")
        w.ask("SET", "long", "b", "EX", 1000)
        w.ask("SET", "short", "c", "PX", 20)
        w.ask("SELECT", "2")
        w.ask("SET", "two", "d")
        until("it has ended", lambda: connect(d).ask("GET", "short") is None)
        d.kill9()
        d.start()
        w = connect(d)
        assert w.ask("GET", "for ever") == b"a" and w.ask("TTL", "for ever") == -1
        assert w.ask("GET", "long") == b"b" and 900 < w.ask("TTL", "long") <= 1000
        assert w.ask("GET", "short") is None and w.ask("DBSIZE") == 2
        w.ask("SELECT", "2")
        assert w.ask("GET", "two") == b"d"


@test
def transactions_see_what_others_do():
    d = shared()
    a, b = connect(d), connect(d)
    a.ask("SET", "w", "1")
    a.ask("WATCH", "w")
    b.ask("SET", "w", "2")
    a.ask("MULTI")
    a.ask("SET", "w", "3")
    assert a.ask("EXEC") is None and a.ask("GET", "w") == b"2"
    a.ask("WATCH", "w")
    patiently(d, "set", "w", b"by zeromq", {"ttl_s": 10})
    a.ask("MULTI")
    a.ask("GET", "w")
    assert a.ask("EXEC") is None
    a.ask("SET", "w", "1", "PX", 30)
    a.ask("WATCH", "w")
    until("it has ended", lambda: b.ask("EXISTS", "w") == 0)
    a.ask("MULTI")
    assert a.ask("EXEC") is None
    a.ask("MULTI")
    a.ask("INCR", "w2")
    a.ask("INCR", "w2")
    assert a.ask("EXEC") == [1, 2]


@test
def paused_clients_wait_and_go_on():
    d = shared()
    a, b, c = connect(d), connect(d), connect(d)
    assert a.ask("CLIENT", "PAUSE", "100000", "WRITE") == b"OK"
    b.send(encode("SET", "paused", "1") + encode("GET", "paused"))
    assert c.ask("GET", "paused") is None and "wrong number" in c.ask("SET", "paused")
    c.ask("MULTI")
    c.ask("GET", "paused")
    assert c.ask("EXEC") == [None], "a transaction that only reads"
    until("it is seen to wait", lambda: b"blocked_clients:1" in c.ask("INFO", "clients"))
    assert not select_ready(b)
    assert a.ask("CLIENT", "UNPAUSE") == b"OK"
    assert [b.reply(), b.reply()] == [b"OK", b"1"]
    # and by itself, when its time has passed
    assert a.ask("CLIENT", "PAUSE", "50") == b"OK"
    assert b.ask("GET", "paused") == b"1"
    # no replies, one less, and all again
    c.send(encode("CLIENT", "REPLY", "OFF") + encode("PING") + encode("CLIENT", "REPLY", "ON") + encode("CLIENT", "REPLY", "SKIP") +
           encode("PING") + encode("ECHO", "heard"))
    assert [c.reply(), c.reply()] == [b"OK", b"heard"]


@test
def the_locks_of_redis_py_work():
    try:
        import redis
    except ImportError:
        print("# no python3-redis: left out")
        return
    c = redis.Redis(port=port_of(shared()))
    lock = c.lock("lock:test", timeout=10)
    assert lock.acquire(blocking=False)
    assert not c.lock("lock:test", timeout=10).acquire(blocking=False)
    lock.extend(5)
    lock.reacquire()
    lock.release()
    assert c.lock("lock:test", timeout=10).acquire(blocking=False)
    with c.pipeline() as p:
        p.set("p1", 1).incr("p1").expire("p1", 100)
        assert p.execute() == [True, 2, True]
    assert "runs no Lua" in str(connect(shared()).ask("EVAL", "return 1", 0))
    assert c.info()["redis_version"].startswith("7.") and c.config_get("databases") == {"databases": "16"}
    assert sorted(c.scan_iter("p*"))[:1] == [b"p1"]


try:
    main()
finally:
    if SHARED:
        SHARED.close()
