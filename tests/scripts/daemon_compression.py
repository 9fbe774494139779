#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values that are kept compressed: however they come and are asked for, they are what was set."""
import hashlib
import os
import signal
import socket
import subprocess
import sys
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from fcd import BUILD, Client, Daemon, Handler, Loader, main, origin, test, until
from resp_wire import Error, Wire, encode

KIB = 1 << 10
MIB = 1 << 20
ENDPOINT = {"match": "/z/*", "compression": "zstd"}
CONFIG = {"segment_bytes": 32 * MIB, "redis": "127.0.0.1:0", "policy": {"ttl": "obey"}, "endpoints": [ENDPOINT]}


def text(name, n):
    """n bytes of JSON that are those of no other name; about a third of them is left by zstd."""
    rows = b"".join(b'{"name":"%s","row":%d,"id":"%s"},' % (name.encode(), i, hashlib.sha1(b"%d" % i).hexdigest().encode())
                    for i in range(n // 50 + 1))
    return rows[:n]


def config(**more):
    return {**CONFIG, "endpoints": [{**ENDPOINT, **more}]}


def compression(d):
    return d.ask("stats")["compression"]


def count(d, name):
    return d.ask("stats")["daemon"][name]


def redis(d):
    return Wire(d.dir + "/resp.sock")


@test
def what_is_set_is_got_again_and_counted():
    with Daemon(CONFIG) as d:
        for n in (0, 1, 1023, 1024, 5000, 100 * KIB, MIB, MIB + 1, 3 * MIB):
            assert d.ask("set", "/z/v", text("v%d" % n, n), {"ttl_s": 60}) == {"count": 1}
            assert d.ask("get", "/z/v")["value"] == text("v%d" % n, n), n
        got = compression(d)
        # from compression_min_bytes to compression_max_bytes, and each was asked for once
        assert got["values"] == 4 and got["value_bytes"] == 1024 + 5000 + 100 * KIB + MIB, got
        assert got["decoded_values"] == 4 and got["decoded_bytes"] == got["value_bytes"], got
        assert 0 < got["kept_bytes"] < got["value_bytes"] / 2, got
        assert abs(got["ratio"] - got["kept_bytes"] / got["value_bytes"]) < 1e-9, got
        assert got["decode_s"] > 0 and abs(got["decode_mean_s"] - got["decode_s"] / 4) < 1e-9, got
        assert got["decode_failures"] == 0 and count(d, "values_not_compressed") == 0, got
        # what nothing saves, and other endpoints
        d.ask("set", "/z/r", os.urandom(4096), {"ttl_s": 60})
        d.ask("set", "/other", text("o", 4096), {"ttl_s": 60})
        assert d.ask("get", "/other")["value"] == text("o", 4096)
        assert compression(d)["values"] == 4 and count(d, "values_not_compressed") == 1


@test
def the_store_holds_what_is_kept():
    with Daemon(CONFIG) as d:
        pairs = [["/%s/%d" % ("z" if i % 2 else "other", i), text("m%d" % i, 20000)] for i in range(80)]
        assert d.ask("mset", pairs, {"ttl_s": 60}) == {"count": 80}
        got = d.ask("mget", [k for k, _ in pairs])
        assert [g["value"] for g in got] == [v for _, v in pairs]
        assert compression(d)["values"] == 40
        used = d.ask("stats")["store"]["bytes_used"]
        assert 40 * 20000 < used < 40 * 20000 + compression(d)["kept_bytes"] + 80 * 100, used
    # a full store keeps more of them
    held = []
    for more in ({}, {"compression": "off"}):
        with Daemon({**config(**more), "segment_bytes": 2 * MIB}) as d:
            for i in range(100):
                d.ask("mset", [["/z/%d/%d" % (i, k), text("%d,%d" % (i, k), 20000)] for k in range(10)], {"ttl_s": 600})
            held.append(d.ask("stats")["store"]["entries"])
            assert d.ask("stats")["evicted"] > 0
    assert held[0] > 2 * held[1], held


@test
def versions_are_those_of_the_values():
    versions = []
    for more in ({}, {"compression_level": 19}, {"compression": "off"}):
        with Daemon(config(**more)) as d:
            d.ask("set", "/z/v", text("v", 3000), {"ttl_s": 60})
            assert compression(d)["values"] == (more.get("compression") != "off")
            versions.append(d.ask("get", "/z/v")["version"])
            d.ask("set", "/z/v", text("v", 3000), {"ttl_s": 60, "version": 77})
            assert d.ask("get", "/z/v")["version"] == 77
    assert len(set(versions)) == 1, versions


@test
def what_is_said_later_is_newer():
    with Daemon(CONFIG) as d:
        c = Client(d.dir)
        for i in range(80):
            c.send("set", "/z/k", text("k%d" % i, 100 * KIB), {"ttl_s": 60})
            what = i % 4
            if what == 0:
                c.send("changed", "/z/k")
            elif what == 1:
                c.send("delete", "/z/k")
            else:
                last = text("l%d" % i, 30) if what == 2 else text("l%d" % i, 2000)
                c.send("set", "/z/k", last, {"ttl_s": 60})
            for _ in range(2):
                reply = c.receive()
                assert reply[1] == 0, reply
            got = d.ask("get", "/z/k", {"mode": "peek"})["value"]
            assert got == (None if what < 2 else last), (i, got and len(got))
        lease = d.ask("lease", "/z/n")["lease"]
        d.ask("changed", "/z/n")
        assert d.refused("set", "/z/n", text("b", 5000), {"lease": lease}).code == "lease_lost"
        c.close()


@test
def large_values():
    with Daemon({**config(compression_max_bytes="8MiB"), "large_value_bytes": 65536}) as d:
        for n in (500 * KIB, 2 * MIB, 8 * MIB):
            assert d.ask("set", "/z/%d" % n, text("big", n), {"ttl_s": 60}) == {"count": 1}
            assert d.ask("get", "/z/%d" % n)["value"] == text("big", n)
        # where what is kept is large, it was put in its place, too
        assert compression(d)["values"] == 3 and count(d, "values_placed") >= 2, d.ask("stats")["daemon"]
        assert count(d, "values_unplaced") == 0
        # more in one message than there are rooms, some of which nothing saves
        pairs = [["/z/m/%d" % i, text("m%d" % i, 700000) if i % 2 else os.urandom(100000)] for i in range(40)]
        assert d.ask("mset", pairs, {"ttl_s": 60}) == {"count": 40}
        for key, wanted in pairs:
            assert d.ask("get", key)["value"] == wanted, key
        w = redis(d)
        big = text("r", 4 * MIB)
        w.send(encode("SET", "/z/r", big) + encode("STRLEN", "/z/r") + encode("GET", "/z/r") + encode("PING"))
        assert [w.reply() for _ in range(4)] == [b"OK", 4 * MIB, big, b"PONG"]


@test
def a_redis_client_sees_the_values():
    with Daemon(CONFIG) as d:
        w = redis(d)
        a, b = text("a", 3000), text("b", 50000)
        # all in one piece, that they come in the buffer which connections share
        words = [("SET", "/z/k", a), ("GET", "/z/k"), ("STRLEN", "/z/k"), ("GETRANGE", "/z/k", 100, 199),
                 ("SETEX", "/z/k", 60, b), ("GET", "/z/k"), ("GETSET", "/z/k", a), ("SET", "/z/k", b, "GET"),
                 ("MGET", "/z/k", "/z/none", "/z/k"), ("OBJECT", "ENCODING", "/z/k"), ("EXISTS", "/z/k"),
                 ("GETBIT", "/z/k", 1), ("COPY", "/z/k", "/z/c"), ("GET", "/z/c"), ("RENAME", "/z/k", "/z/n"),
                 ("GET", "/z/n"), ("PSETEX", "/z/k", 60000, a), ("APPEND", "/z/k", "tail"), ("GET", "/z/k"),
                 ("SETNX", "/z/x", a), ("SETRANGE", "/z/x", 10, "!!"), ("GET", "/z/x"), ("SET", "/z/i", a),
                 ("INCR", "/z/i"), ("GETEX", "/z/i", "EX", 60), ("GETDEL", "/z/i"), ("GET", "/z/i")]
        wanted = [b"OK", a, 3000, a[100:200], b"OK", b, b, a, [b, None, b], b"raw", 1, b[0] >> 6 & 1, 1, b, b"OK", b,
                  b"OK", 3004, a + b"tail", 1, 3000, a[:10] + b"!!" + a[12:], b"OK", Error, a, a, None]
        w.send(b"".join(encode(*x) for x in words))
        for x, want in zip(words, wanted):
            got = w.reply()
            assert isinstance(got, Error) if want is Error else got == want, (x[0], got if not got or len(str(got)) < 99
                                                                           else len(got))
        assert compression(d)["values"] == 7, compression(d)
        assert compression(d)["decode_failures"] == 0
        # what an entry takes is what is kept, and its size the value's
        w.ask("SET", "/z/k", b)
        assert w.ask("MEMORY", "USAGE", "/z/k") < 25000 and w.ask("STRLEN", "/z/k") == 50000
        # in a transaction it is kept as it is
        w.send(encode("MULTI") + encode("SET", "/z/t", a) + encode("GET", "/z/t") + encode("EXEC"))
        assert [w.reply() for _ in range(4)][3] == [b"OK", a]
        assert compression(d)["values"] == 8
        # the same value again, and another database
        for _ in range(3):
            assert w.ask("SET", "/z/k", b) == b"OK" and w.ask("GET", "/z/k") == b
        w.ask("SELECT", 3)
        assert w.ask("GET", "/z/k") is None
        # one that hangs up while its value is compressed harms nobody
        for i in range(20):
            gone = redis(d)
            gone.send(encode("SET", "/z/gone", text("g", 200000)))
            gone.close()
        assert w.ask("PING") == b"PONG" and d.alive()


@test
def what_other_commands_set_is_kept_as_it_is():
    with Daemon(CONFIG) as d:
        w = redis(d)
        a, b = text("a", 3000), text("b", 3000)
        ways = [[("MSET", "/z/k", b)], [("DEL", "/z/k"), ("MSETNX", "/z/k", b)], [("APPEND", "/z/k", "tail")],
                [("SETRANGE", "/z/k", 1, "!")], [("SETBIT", "/z/k", 9, 1)], [("COPY", "/z/from", "/z/k", "REPLACE")],
                [("RENAME", "/z/from", "/z/k")], [("DEL", "/z/k"), ("RENAMENX", "/z/from", "/z/k")],
                [("DEL", "/z/k"), ("MULTI",), ("SET", "/z/k", b), ("EXEC",)]]
        for way in ways:
            for key in ("/z/k", "/z/from"):
                w.ask("SET", key, a)
                w.ask("SET", key, b)
            assert w.ask("MEMORY", "USAGE", "/z/k") < 2000
            before = compression(d)["values"]
            for command in way:
                assert not isinstance(w.ask(*command), Error), command
            assert w.ask("MEMORY", "USAGE", "/z/k") > 3000, way
            assert compression(d)["values"] == before, way
        for command in (("SET", "/z/k", a), ("SETEX", "/z/k", 60, b), ("PSETEX", "/z/k", 60000, a), ("GETSET", "/z/k", b),
                        ("SETNX", "/z/new", a)):
            before = compression(d)["values"]
            assert not isinstance(w.ask(*command), Error), command
            assert compression(d)["values"] == before + 1, command
        # the value that is held
        assert w.ask("SET", "/z/k", b) == b"OK" and w.ask("TTL", "/z/k") == -1
        assert compression(d)["values"] == before + 1 and count(d, "values_not_compressed") == 0


@test
def who_has_much_unpacked_takes_turns():
    with Daemon(CONFIG) as d:
        a, b, n = redis(d), redis(d), 2000
        assert a.ask("SET", "/z/big", text("big", MIB)) == b"OK"
        assert b.ask("PING") == b"PONG"
        # each is 30 bytes, and has a megabyte unpacked
        a.send(encode("GETBIT", "/z/big", 0) * n)
        assert a.reply() == 0
        assert b.ask("PING") == b"PONG"
        assert d.ask("stats")["compression"]["decoded_values"] < n, "all of them in one turn"
        assert [a.reply() for _ in range(n - 1)] == [0] * (n - 1)


@test
def a_reply_of_many_values_takes_turns_and_is_of_one_instant():
    with Daemon(CONFIG) as d:
        a, b, n = redis(d), redis(d), 200
        old, small = text("old", MIB), text("small", 2000)
        exec_ = [("GET", "/z/big"), ("MGET", "/z/small", "/z/none", "/z/big")] * (n // 2) + [("GETDEL", "/z/small")]
        of_exec = [old, [small, None, old]] * (n // 2) + [small]
        for commands, reply, before in (([("MULTI",)] + exec_ + [("EXEC",)], of_exec, len(exec_) + 1),
                                        ([("MGET", *["/z/small", "/z/big"] * n)], [small, old] * n, 0)):
            a.send(encode("SET", "/z/big", old) + encode("SET", "/z/small", small))
            assert a.reply() == a.reply() == b"OK"
            a.send(b"".join(encode(*x) for x in commands[:-1]))
            assert all(a.reply() in (b"OK", b"QUEUED") for _ in range(before))
            began = compression(d)["decoded_values"]
            a.send(encode(*commands[-1]) + encode("PING"))
            until("it has begun", lambda: compression(d)["decoded_values"] > began)
            assert compression(d)["decoded_values"] < began + n, "all of them in one turn"
            b.send(encode("SET", "/z/big", "new") + encode("DEL", "/z/small"))
            assert b.reply() == b"OK" and b.reply() is not None
            assert compression(d)["decoded_values"] < began + n, "nobody else was served"
            got = a.reply()
            assert got == reply and a.reply() == b"PONG" and a.ask("GET", "/z/big") == b"new"
        assert compression(d)["decode_failures"] == 0


@test
def a_reply_that_waits_for_values():
    with Daemon({**CONFIG, "segment_bytes": 64 * MIB}) as d:
        a, b = redis(d), redis(d)
        big, many = text("big", MIB), ["/z/big"] * 30
        a.ask("SET", "/z/big", big)
        # is not written where none is wanted
        a.send(encode("CLIENT", "REPLY", "SKIP") + encode("MGET", *many) + encode("ECHO", "heard"))
        assert a.reply() == b"heard"
        a.send(encode("CLIENT", "REPLY", "OFF") + encode("MGET", *many) + encode("CLIENT", "REPLY", "ON"))
        assert a.reply() == b"OK"
        # and waits for a flush besides
        for order in ((("MGET", *many), ("FLUSHALL",)), (("FLUSHALL",), ("SET", "/z/big", "x"))):
            for at in range(0, 20000, 5000):
                b.ask_many([("SET", "f:%d" % i, "x") for i in range(at, at + 5000)])
            b.ask("SET", "/z/big", big)
            a.send(b"".join(encode(*x) for x in (("MULTI",), ("MGET", *many), *order, ("EXEC",), ("DBSIZE",))))
            assert [a.reply() for _ in range(4)] == [b"OK"] + 3 * [b"QUEUED"]
            got = a.reply()
            assert got[0] == [big] * 30 and got[-1] == b"OK"
            assert a.reply() == (0 if order[1] == ("FLUSHALL",) else 1)
        # its client goes away
        b.ask("SET", "/z/big", big)
        for _ in range(5):
            gone = redis(d)
            gone.send(encode("MGET", *["/z/big"] * 200))
            gone.close()
        assert b.ask("PING") == b"PONG"
        # behind what the client has not read yet, in the other version
        a.ask("HELLO", 3)
        a.send((encode("GET", "/z/big") + encode("MGET", "/z/none", *many)) * 10 + encode("PING"))
        for _ in range(10):
            assert a.reply() == big
            assert a.reply() == [None] + [big] * 30
        assert a.reply() == b"PONG"


@test
def what_a_transaction_replies_is_bounded():
    for compression_ in ("zstd", "off"):
        with Daemon({**config(compression=compression_), "redis_output_bytes": 3 * MIB}) as d:
            a, b = redis(d), redis(d)
            a.ask("SET", "/z/big", text("big", MIB))
            most = d.ask("stats")["compression"]["decoded_values"] + 5
            a.send(encode("MULTI") + encode("GET", "/z/big") * 5000 + encode("SET", "/z/set", "behind") + encode("EXEC"))
            assert a.closed()
            d.wait_log("event=redis_output")
            assert b.ask("GET", "/z/set") == b"behind", "its effects are whole"
            assert compression(d)["decoded_values"] <= most


@test
def a_value_counts_though_its_sender_hangs_up():
    with Daemon(CONFIG) as d:
        for i in range(20):
            a = redis(d)
            a.send(encode("SET", "/z/gone/%d" % i, text("gone", 200 * KIB)))
            a.socket.shutdown(socket.SHUT_WR)
            assert a.reply() == b"OK", i
            a.close()


@test
def more_than_may_wait_is_kept_as_it_is():
    with Daemon(config(compression_level=19)) as d:
        values = {"/z/many/%d" % i: text("many %d" % i, MIB) for i in range(24)}
        for k, v in values.items():
            d.client.send("set", k, v, {"ttl_s": 60})
        for _ in values:
            assert d.client.receive()[1] == 0
        # 8 MiB may wait to be compressed
        assert count(d, "values_not_compressed") > 0 and compression(d)["values"] > 0
        assert all(d.ask("get", k)["value"] == v for k, v in values.items())


@test
def many_connections_at_once():
    with Daemon(CONFIG) as d:
        wires = [redis(d) for _ in range(8)]
        for round in range(10):
            for i, w in enumerate(wires):
                w.send(b"".join(encode("SET", "/z/%d/%d" % (i, k), text("%d,%d,%d" % (round, i, k), 1500 + 100 * k))
                                + encode("GET", "/z/%d/%d" % (i, k)) for k in range(10)))
            for i, w in enumerate(wires):
                for k in range(10):
                    assert w.reply() == b"OK"
                    assert w.reply() == text("%d,%d,%d" % (round, i, k), 1500 + 100 * k), (round, i, k)
        assert compression(d)["values"] == 800


@test
def loader_workers_and_those_who_wait_for_them():
    with Daemon(CONFIG) as d:
        w = Loader(d, ["/z/*"])
        clients = [Client(d.dir) for _ in range(3)]
        for c in clients:
            c.send("get", "/z/1", {"endpoint": "/z/*"})
        job = w.job()
        until("all wait", lambda: d.ask("stats")["waiters"] == 3)
        w.say("value", job[0], text("l", 9000), {"max_age_s": 60})
        for c in clients:
            assert c.receive()[2]["value"] == text("l", 9000)
        assert d.ask("get", "/z/1")["outcome"] == "hit" and compression(d)["values"] == 1
        for c in clients:
            c.close()


class Origin(Handler):

    def do_GET(self):
        body = text(self.path, 30 if self.path.endswith("small") else 30000)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "text/plain")
        if self.path.startswith("/z/never"):
            self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)


@test
def an_http_origin():
    with origin(Origin) as url, Daemon({**CONFIG, "origins": {"web": {"url": url}}, "origin": "web",
                                        "endpoints": [{**ENDPOINT, "origin": "web"}]}) as d:
        for key in ("/z/1", "/z/small", "/z/never", "/other"):
            got = d.ask("get", key)
            assert got["value"] == text(key, 30 if key.endswith("small") else 30000) and got["outcome"] == "miss", got
        for key in ("/z/1", "/z/small", "/other"):
            got = d.ask("get", key)
            assert got["value"] == text(key, 30 if key.endswith("small") else 30000) and got["outcome"] == "hit"
        assert compression(d)["values"] == 1
        assert redis(d).ask("GET", "/z/1") == text("/z/1", 30000)


@test
def a_restart_and_a_reload_take_them_up_again():
    d = Daemon({**CONFIG, "http": "127.0.0.1:0"})
    with d:
        d.ask("mset", [["/z/%d" % i, text("z%d" % i, 3000)] for i in range(50)], {"ttl_s": 600})
        w = redis(d)
        w.ask("SETEX", "/z/r", 600, text("r", 3000))
        version = d.ask("get", "/z/0")["version"]
        d.kill9()
        d.start()
        assert d.ask("health")["restored_entries"] == 51
        for i in range(50):
            assert d.ask("get", "/z/%d" % i)["value"] == text("z%d" % i, 3000), i
        assert d.ask("get", "/z/0")["version"] == version
        w = redis(d)
        assert w.ask("GET", "/z/r") == text("r", 3000) and w.ask("STRLEN", "/z/r") == 3000
        # what was kept so is read whatever holds for new values
        d.write_config({**d.config, "endpoints": [{**ENDPOINT, "compression": "off"}]})
        d.signal(signal.SIGHUP)
        d.wait_log("event=reload")
        until("the new configuration holds", lambda: d.ask("stats")["daemon"]["reloads"] == 1)
        d.ask("set", "/z/new", text("n", 3000), {"ttl_s": 600})
        assert d.ask("get", "/z/1")["value"] == text("z1", 3000) and d.ask("get", "/z/new")["value"] == text("n", 3000)
        got = compression(d)
        assert got["values"] == 0 and got["decoded_values"] == 53 and got["ratio"] is None, got
        port = d.wait_log(r"event=http [^\n]*port=(\d+)").group(1)
        with urllib.request.urlopen("http://127.0.0.1:%s/metrics" % port, timeout=30) as f:
            metrics = f.read().decode()
        assert "\nforecached_decoded_values_total 53\n" in metrics, metrics
        assert "\nforecached_compressed_values_total 0\n" in metrics


@test
def the_command_line_and_the_library():
    cli = os.path.join(BUILD, "cli", "forecache")
    if not os.path.exists(cli):
        return "no forecache"
    with Daemon(CONFIG) as d:
        env = {**os.environ, "FORECACHED_DIR": d.dir}
        value = text("c", 40000)

        def forecache(*args, stdin=None):
            return subprocess.run([cli, *args], capture_output=True, input=stdin, env=env, timeout=60, check=True).stdout

        forecache("set", "/z/c", "-", stdin=value)
        assert forecache("get", "/z/c") == value and forecache("get", "/z/c", "--peek") == value
        shown = forecache("stats").decode()
        row = dict(line.split(None, 1) for line in shown.splitlines() if line.startswith("compression."))
        assert row["compression.values"].strip() == "1" and "%" in row["compression.ratio"], row
        assert "KiB" in row["compression.value_bytes"] and "s" in row["compression.decode_s"], row


@test
def what_is_no_setting_is_refused():
    for endpoint, field, limit in (({"compression": "gzip"}, "compression", '"off" or "zstd"'),
                                   ({"compression_level": 20}, "compression_level", "from 1 to 19"),
                                   ({"compression_level": 0}, "compression_level", "from 1 to 19"),
                                   ({"compression_min_bytes": 1}, "compression_min_bytes", "64"),
                                   ({"compression_max_bytes": "1GiB"}, "compression_max_bytes", "512"),
                                   ({"compression_min_bytes": "2MiB"}, "compression_min_bytes",
                                    "compression_max_bytes")):
        d = Daemon({"endpoints": [{"match": "/z/*", **endpoint}]}, start=False)
        with d:
            code, log = d.run()
            assert code != 0 and "endpoints[0]." + field in log and limit in log, (endpoint, code, log)


if __name__ == "__main__":
    main()
