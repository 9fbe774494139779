#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Large values, which threads put in their place: however they come, they arrive, and in the right order."""
import hashlib
import os
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from fcd import Client, Daemon, Handler, Loader, main, origin, test, until
from resp_wire import Wire, encode

MIB = 1 << 20
SEGMENT = {"segment_bytes": 48 * MIB, "redis": "127.0.0.1:0", "policy": {"ttl": "obey"}}


def value(name, n):
    """n bytes that are those of no other name."""
    block = hashlib.sha512(name.encode()).digest()
    return (block * (n // len(block) + 1))[:n]


def count(d, name):
    return d.ask("stats")["daemon"][name]


def redis(d):
    return Wire(d.dir + "/resp.sock")


@test
def a_set_of_any_size_up_to_the_limit_is_got_again():
    with Daemon({**SEGMENT, "segment_bytes": 192 * MIB}) as d:
        for n in (0, 1, 65535, 65536, 262143, 262144, 262145, 8 * MIB, 64 * MIB):
            assert d.ask("set", "/v", value("v%d" % n, n), {"ttl_s": 60}) == {"count": 1}
            assert d.ask("get", "/v")["value"] == value("v%d" % n, n), n
        assert count(d, "values_placed") == 4 and count(d, "values_unplaced") == 0, d.ask("stats")["daemon"]
        # a byte more is refused, and does no harm
        assert d.refused("set", "/v", bytes(64 * MIB + 1)).code in ("too_big", "bad_request")
        assert d.ask("get", "/v")["value"] == value("v%d" % (64 * MIB), 64 * MIB)


@test
def versions_are_those_of_small_values():
    with Daemon({**SEGMENT, "large_value_bytes": 65536}) as d:
        d.ask("set", "/x", value("x", 100000), {"ttl_s": 60})
        placed = d.ask("get", "/x")["version"]
        assert count(d, "values_placed") == 1
    with Daemon({**SEGMENT, "large_value_bytes": "1MiB"}) as d:
        d.ask("set", "/x", value("x", 100000), {"ttl_s": 60})
        assert count(d, "values_placed") == 0
        assert d.ask("get", "/x")["version"] == placed
        d.ask("set", "/x", value("y", 2 * MIB), {"ttl_s": 60, "version": 77})
        assert d.ask("get", "/x")["version"] == 77


@test
def several_in_one_message():
    with Daemon(SEGMENT) as d:
        pairs = [["/m/%d" % i, value("m%d" % i, (i % 3) * MIB + 10)] for i in range(9)]
        assert d.ask("mset", pairs, {"ttl_s": 60}) == {"count": 9}
        for key, wanted in pairs:
            assert d.ask("get", key)["value"] == wanted, key
        assert count(d, "values_placed") == 6


@test
def what_is_said_later_is_newer():
    with Daemon(SEGMENT) as d:
        c = Client(d.dir)
        last = b""
        for i in range(60):
            c.send("set", "/k", value("k%d" % i, 3 * MIB), {"ttl_s": 60})
            what = i % 4
            if what == 0:
                c.send("changed", "/k")
            elif what == 1:
                c.send("delete", "/k")
            elif what == 2:
                last = b"small %d" % i
                c.send("set", "/k", last, {"ttl_s": 60})
            else:
                last = value("l%d" % i, MIB)
                c.send("set", "/k", last, {"ttl_s": 60})
            for _ in range(2):
                reply = c.receive()
                assert reply[1] == 0, reply
            got = d.ask("get", "/k", {"mode": "peek"})["value"]
            assert got == (None if what < 2 else last), (i, got and len(got))
        c.close()


@test
def a_lease_that_a_change_has_voided_stays_void():
    with Daemon(SEGMENT) as d:
        lease = d.ask("lease", "/k")["lease"]
        d.ask("set", "/k", value("a", MIB), {"lease": lease, "ttl_s": 60})
        assert d.ask("get", "/k")["value"] == value("a", MIB)
        d.ask("delete", "/k")
        lease = d.ask("lease", "/k")["lease"]
        d.ask("changed", "/k")
        assert d.refused("set", "/k", value("b", MIB), {"lease": lease}).code == "lease_lost"


@test
def loader_workers_and_those_who_wait_for_them():
    with Daemon(SEGMENT) as d:
        w = Loader(d, ["/l/<x>"])
        clients = [Client(d.dir) for _ in range(3)]
        for c in clients:
            c.send("get", "/l/1", {"endpoint": "/l/<x>"})
        job = w.job()
        until("all wait", lambda: d.ask("stats")["waiters"] == 3)
        w.say("value", job[0], value("l", 5 * MIB), {"max_age_s": 60})
        for c in clients:
            assert c.receive()[2]["value"] == value("l", 5 * MIB)
        assert d.ask("get", "/l/1")["outcome"] == "hit" and count(d, "values_placed") == 1
        # what a change event has overtaken goes to those who asked before it, and is not kept
        clients[0].send("get", "/l/2", {"endpoint": "/l/<x>"})
        job = w.job()
        w.say("value", job[0], value("old", 5 * MIB), {"max_age_s": 60})
        d.ask("changed", "/l/2")
        reply = clients[0].receive()
        assert reply[1] == 0 and reply[2]["value"] == value("old", 5 * MIB), reply[:2]
        for c in clients:
            c.close()


@test
def many_at_once_in_a_full_store_of_small_values():
    with Daemon({**SEGMENT, "segment_bytes": 64 * MIB, "limits": {"max_value_bytes": 16 * MIB}}) as d:
        w = redis(d)
        for at in range(0, 230000, 500):
            w.send(b"".join(encode("SET", "s:%d" % i, value("s", 280)) for i in range(at, at + 500)))
            assert all(w.reply() == b"OK" for _ in range(500))
        assert d.ask("stats")["evicted"] > 0
        # more than waits for room elsewhere: but these wait in their connections' memory
        wires = [redis(d) for _ in range(6)]
        for i, x in enumerate(wires):
            x.send(encode("SET", "big:%d" % i, value("big%d" % i, 8 * MIB)))
        assert [x.reply() for x in wires] == [b"OK"] * 6
        assert count(d, "values_placed") == 6 and count(d, "values_unplaced") == 0
        # and by the ways for which no room is taken before
        for at in range(0, 230000, 500):
            w.send(b"".join(encode("SET", "t:%d" % i, value("t", 280)) for i in range(at, at + 500)))
            assert all(w.reply() == b"OK" for _ in range(500))
        assert w.ask("MSET", "m:1", value("m1", 6 * MIB), "m:2", value("m2", 6 * MIB)) == b"OK"
        w.ask("MULTI")
        w.ask("SET", "m:3", value("m3", 12 * MIB))
        assert w.ask("EXEC") == [b"OK"]
        assert d.ask("mset", [["/q/%d" % i, value("q%d" % i, MIB)] for i in range(20)], {"ttl_s": 60}) == {"count": 20}
        assert w.ask("GET", "m:2") == value("m2", 6 * MIB) and w.ask("GET", "m:3") == value("m3", 12 * MIB)
        assert d.ask("get", "/q/19")["value"] == value("q19", MIB)


class Origin(Handler):

    def do_GET(self):
        tag = '"%s"' % self.path
        known = self.headers.get("If-None-Match") == tag
        body = b"" if known else value(self.path, 4 * MIB)
        self.send_response(304 if known else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("ETag", tag)
        if self.path.startswith("/never"):
            self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)


@test
def an_http_origin():
    with origin(Origin) as url, Daemon({**SEGMENT, "origins": {"web": {"url": url}}, "origin": "web"}) as d:
        for key in ("/o/1", "/o/2"):
            got = d.ask("get", key)
            assert got["value"] == value(key, 4 * MIB) and got["outcome"] == "miss", got["outcome"]
            assert d.ask("get", key)["outcome"] == "hit"
        assert count(d, "values_placed") == 2
        # what is not to be kept takes no room
        assert d.ask("get", "/never/1")["value"] == value("/never/1", 4 * MIB)
        assert count(d, "values_placed") == 2 and d.ask("get", "/never/1", {"mode": "peek"})["value"] is None


@test
def a_redis_client_sees_its_commands_in_order():
    with Daemon(SEGMENT) as d:
        w = redis(d)
        a, b = value("a", 6 * MIB), value("b", 2 * MIB)
        words = (encode("SET", "k", a) + encode("STRLEN", "k") + encode("SETEX", "k", 60, b) + encode("GET", "k")
                 + encode("SET", "k", a, "NX") + encode("GETSET", "k", "small") + encode("SETNX", "n", a)
                 + encode("PSETEX", "n", 60000, b) + encode("GET", "n") + encode("PING"))
        # who does not read is not read from
        sender = threading.Thread(target=w.send, args=(words,))
        sender.start()
        got = [w.reply() for _ in range(10)]
        sender.join()
        assert got == [b"OK", 6 * MIB, b"OK", b, None, b, 1, b"OK", b, b"PONG"], [
            g if not isinstance(g, bytes) or len(g) < 99 else len(g) for g in got]
        assert count(d, "values_placed") == 5, count(d, "values_placed")
        # in a transaction, and where the value is made here
        w.send(encode("MULTI") + encode("SET", "t", a) + encode("APPEND", "t", "!") + encode("EXEC"))
        assert [w.reply() for _ in range(4)][3] == [b"OK", 6 * MIB + 1]
        assert w.ask("GET", "t") == a + b"!"
        # one that hangs up while its value is on its way harms nobody
        for i in range(10):
            gone = redis(d)
            gone.send(encode("SET", "gone", a))
            gone.close()
        assert w.ask("GET", "k") == b"small" and d.alive()


@test
def room_is_made_among_small_values():
    with Daemon({**SEGMENT, "segment_bytes": 24 * MIB}) as d:
        for i in range(40):
            d.ask("mset", [["/s/%d/%d" % (i, k), value("s", 700)] for k in range(1000)], {"ttl_s": 600})
        stats = d.ask("stats")
        for i in range(4):
            big = value("big%d" % i, (3 + 2 * i) * MIB)
            d.ask("set", "/big/%d" % i, big, {"ttl_s": 600})
            assert d.ask("get", "/big/%d" % i)["value"] == big
        assert count(d, "values_placed") == 4, count(d, "values_unplaced")
        # more than a half of the segment: put in one go, or refused
        d.ask("set", "/big/x", value("x", 13 * MIB), {"ttl_s": 600})
        assert count(d, "values_unplaced") == 1
        assert d.ask("get", "/big/x")["value"] == value("x", 13 * MIB), stats["store"]
        assert d.refused("set", "/big/y", value("y", 30 * MIB)).code == "too_big"


@test
def many_at_once_on_little_room():
    with Daemon({**SEGMENT, "segment_bytes": 24 * MIB, "workers": 4}) as d:
        clients = [Client(d.dir) for _ in range(12)]
        for round in range(3):
            for i, c in enumerate(clients):
                c.send("set", "/c/%d" % i, value("%d,%d" % (round, i), (1 + i % 5) * MIB), {"ttl_s": 600})
            for c in clients:
                reply = c.receive()
                assert reply[1] == 0, reply
            for i, c in enumerate(clients):
                got = d.ask("get", "/c/%d" % i, {"mode": "peek"})["value"]
                assert got in (None, value("%d,%d" % (round, i), (1 + i % 5) * MIB)), (round, i)
        for c in clients:
            c.close()


@test
def more_at_once_than_there_are_rooms_put_nothing_out():
    with Daemon({**SEGMENT, "segment_bytes": 192 * MIB}) as d:
        d.ask("mset", [["/s/%d" % i, value("s", 700)] for i in range(1000)], {"ttl_s": 600})
        pairs = [["/m/%d" % i, value("m%d" % i, 262144)] for i in range(100)]
        assert d.ask("mset", pairs, {"ttl_s": 600}) == {"count": 100}
        client = Client(d.dir)
        for i in range(100):
            client.send("set", "/n/%d" % i, value("n%d" % i, 300000), {"ttl_s": 600})
        for i in range(100):
            assert client.receive()[1] == 0
        client.close()
        for i in range(100):
            assert d.ask("get", "/m/%d" % i)["value"] == value("m%d" % i, 262144)
            assert d.ask("get", "/n/%d" % i)["value"] == value("n%d" % i, 300000)
        assert d.ask("stats")["store"]["entries"] == 1200, d.ask("stats")["store"]


@test
def a_value_that_is_asked_for_many_times_at_once_does_not_fill_the_memory():
    with Daemon({**SEGMENT, "segment_bytes": 192 * MIB}) as d:
        d.ask("set", "/v", value("v", 8 * MIB), {"ttl_s": 600})
        assert len(d.ask("mget", ["/v"] * 9)) == 9
        assert d.refused("mget", ["/v"] * 1000).code == "too_big"
        w = redis(d)
        w.send(encode("MGET", *["/v"] * 1000))
        assert w.closed()
        with open("/proc/%d/status" % d.process.pid) as f:
            peak_kib = int(next(line for line in f if line.startswith("VmHWM")).split()[1])
        assert peak_kib < 2 << 20, peak_kib


@test
def who_gets_no_room_for_a_reply_is_told():
    with Daemon({**SEGMENT, "segment_bytes": 192 * MIB, "reply_queue_bytes": 81 * MIB}) as d:
        d.ask("set", "/v", value("v", 32 * MIB), {"ttl_s": 600})
        clients = [Client(d.dir) for _ in range(6)]
        for c in clients:
            c.send("get", "/v")
        for c in clients:
            reply = c.receive()
            assert reply[1] == 0 and reply[2]["value"] == value("v", 32 * MIB) or reply[2][0] == "busy", reply[:2]
            c.close()


@test
def a_stop_and_a_kill_while_values_are_on_their_way():
    d = Daemon(SEGMENT)
    with d:
        d.ask("set", "/kept", b"kept", {"ttl_s": 600})
        for i in range(6):
            c = Client(d.dir)
            w = redis(d)
            for k in range(3):
                c.send("set", "/k/%d" % k, value("k%d" % k, 4 * MIB), {"ttl_s": 600})
            w.send(encode("SET", "r", value("r", 4 * MIB)))
            if i % 2:
                d.kill9()
            else:
                assert d.stop() == 0
            c.close()
            d.start()
            assert d.ask("get", "/kept")["value"] == b"kept"
            for k in range(3):
                got = d.ask("get", "/k/%d" % k, {"mode": "peek"})["value"]
                assert got in (None, value("k%d" % k, 4 * MIB)), (i, k)
        assert "ERROR" not in d.log() and "runtime error" not in d.log(), d.log()


if __name__ == "__main__":
    main()
