#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests and events over ZeroMQ: what they do, and that nothing a client sends hurts anybody."""
import os
import random
import struct
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import msgpack
import zmq

from fcd import Client, Daemon, main, test, until

SHARED = None


def shared():
    """One daemon for the tests that leave no traces: it has to survive all of them."""
    global SHARED
    if SHARED is None:
        SHARED = Daemon()
    assert SHARED.alive(), "the daemon has died"
    return SHARED


def stat(d, group, name):
    s = d.ask("stats")
    return s[group][name] if group else s[name]


@test
def a_value_that_was_set_is_got():
    d = shared()
    assert d.ask("set", "/r/a", b"one", {"ttl_s": 60}) == {"count": 1}
    got = d.ask("get", "/r/a")
    assert got["value"] == b"one" and got["outcome"] == "hit", got
    assert 0 <= got["age_s"] < 60 and 0 < got["ttl_s"] <= 60, got


@test
def keys_are_bytes():
    d = shared()
    for key in (b"\x00", b"a\x00b", b"\xff\xfe", b"\x01\x1f\x7f", "ключ".encode(), b"%s\n'\""):
        assert d.ask("set", key, b"v:" + key, {"ttl_s": 60}) == {"count": 1}
        assert d.ask("get", key)["value"] == b"v:" + key


@test
def many_keys_at_once():
    d = shared()
    assert d.ask("mset", [["/r/m%d" % i, b"%d" % i] for i in range(100)], {"ttl_s": 60}) == {"count": 100}
    got = d.ask("mget", ["/r/m%d" % i for i in range(99, -1, -1)] + ["/r/none"], {"mode": "peek"})
    assert [g["value"] for g in got] == [b"%d" % i for i in range(99, -1, -1)] + [None]
    assert d.ask("delete", "/r/m1") == {"count": 1}
    assert d.ask("delete", "/r/m1") == {"count": 0}
    assert d.ask("get", "/r/m1", {"mode": "peek"})["value"] is None


@test
def one_caller_gets_the_lease_and_the_others_wait():
    d = shared()
    first = d.ask("lease", "/r/lease")
    assert first["lease"] and first["value"] is None
    waiting = [Client(d.dir) for _ in range(20)]
    for c in waiting:
        c.send("lease", "/r/lease")
    until("20 waiters", lambda: stat(d, None, "waiters") == 20)
    d.ask("set", "/r/lease", b"loaded", {"lease": first["lease"], "ttl_s": 60})
    for c in waiting:
        reply = c.receive()
        assert reply[1] == 0 and reply[2]["value"] == b"loaded", reply
        c.close()
    assert d.refused("set", "/r/lease", b"late", {"lease": first["lease"]}).code == "lease_lost"
    assert d.ask("get", "/r/lease")["value"] == b"loaded"


@test
def a_req_socket_is_answered():
    d = shared()
    s = d.socket(zmq.REQ, "requests")
    s.send(msgpack.packb([5, "health"]))
    assert s.poll(10000)
    assert msgpack.unpackb(s.recv())[0:2] == [5, 0]


@test
def questions_are_answered():
    d = shared()
    d.ask("set", "/quest/1", b"x", {"endpoint": "/quest/<id>", "ttl_s": 60})
    d.ask("get", "/quest/1")
    why = d.ask("why", "/quest/1")
    assert why["endpoint"] == "/quest/<id>" and why["resident"] and not why["is_endpoint"], why
    assert why["ttl_s"] > 0 and why["reason"], why
    assert d.ask("why", "/quest/<id>")["is_endpoint"]
    assert d.refused("why", "/never/heard").code == "not_found"
    assert any(r["endpoint"] == "/quest/<id>" for r in d.ask("endpoints"))
    assert [r["key"] for r in d.ask("ttls", {"endpoint": "/quest/<id>"})] == ["/quest/1"]
    assert len(d.ask("forecast", "/quest/<id>", {"steps": 7, "step_s": 60})) == 7
    assert d.ask("history", "/quest/<id>") == []
    assert d.ask("ttl", "/quest/1")["ttl_s"] > 0
    for args in (("/quest/1",), ("/quest/1", {"endpoint": "/quest/<id>"}), ("/quest/1", {"endpoint": "/another"})):
        assert d.ask("ttl", *args)["endpoint"] == "/quest/<id>", args
    assert d.ask("ttl", "/mined/7")["endpoint"] == "/mined/<id>"
    for args in (("ttls", {"endpoint": "/never"}), ("forecast", "/never"), ("history", "/never"), ("schedule.next", {"name": "never"}),
                 ("schedule.report", {"name": "never"}), ("schedule.remove", "never")):
        assert d.refused(*args).code == "not_found", args
    hello = d.ask("hello", {"client": "test"})
    assert hello["pid"] == d.process.pid and os.path.exists(hello["segment"])
    assert d.ask("health")["status"] == "ready"
    x = d.ask("export", {"max": 1000})
    assert x["total"] == len(x["records"]) > 0
    assert d.ask("import", x["records"]) == {"count": x["total"]}
    assert d.ask("purge", "/quest/<id>", {"what": "endpoint"}) == {"count": 1}


@test
def requests_that_are_wrong_are_told_what_is_wrong():
    d = shared()
    for code, words, args in (
        ("unknown_op", "there is no 'frobnicate'", ("frobnicate",)),
        ("unknown_op", "there is no 'schedule.delete': did you mean schedule.remove?|there is no 'schedule.delete'",
         ("schedule.delete", "x")),
        ("bad_request", "argument", ("get",)),
        ("bad_request", "key", ("get", 5)),
        ("bad_request", "mode", ("get", "k", {"mode": "sideways"})),
        ("bad_request", "get: options: 'colour' is not one that it takes", ("get", "k", {"colour": "red"})),
        ("bad_request", "set: options: 'ttl' is not one that it takes: did you mean ttl_s?", ("set", "k", b"v", {"ttl": 5})),
        ("bad_request", "events: 'colour' is not one", ("event", {"key": [], "outcome": [], "colour": []})),
        ("not_found", "there is no key or endpoint '/never/\\x22heard\\x22'", ("why", '/never/"heard"')),
        ("not_found", "there is no endpoint '/never'", ("forecast", "/never")),
        ("not_found", "there is no endpoint '/never'", ("ttls", {"endpoint": "/never"})),
        ("not_found", "there is no endpoint '/quest/<di>': did you mean '/quest/<id>'?", ("history", "/quest/<di>")),
        ("bad_request", "max", ("history", "/quest/<id>", {"max": 0})),
        ("not_found", "there is no schedule 'none'", ("schedule.next", {"name": "none"})),
        ("not_found", "there is no schedule 'none'", ("schedule.report", {"name": "none"})),
        ("not_found", "there is no schedule '" + 40 * "x" + "...'", ("schedule.remove", 41 * "x")),
        ("bad_request", "value", ("set", "k", 5)),
        ("bad_request", "ttl_s", ("set", "k", b"v", {"ttl_s": -1})),
        ("bad_request", "ttl_s", ("set", "k", b"v", {"ttl_s": float("nan")})),
        ("bad_request", "ttl_s", ("set", "k", b"v", {"ttl_s": float("inf")})),
        ("bad_request", "what", ("purge", "k", {"what": "world"})),
        ("bad_request", "steps", ("forecast", "e", {"steps": 10**9})),
    ):
        e = d.refused(*args)
        assert e.code == code, (args, e)
        assert any(w in e.text for w in words.split("|")), (args, e)
    big = b"k" * 1025
    e = d.refused("get", big)
    assert e.code == "too_big" and "1024" in e.text, e
    assert stat(d, "daemon", "requests_refused") >= 12
    d.wait_log(r"event=bad_request .*why=")


@test
def a_value_above_the_limit_is_refused_with_the_limit():
    with Daemon({"limits": {"max_value_bytes": 1000}, "messages": {"max_frame_bytes": "1MiB"}}) as d:
        assert d.ask("set", "k", b"x" * 1000) == {"count": 1}
        e = d.refused("set", "k", b"x" * 1001)
        assert e.code == "too_big" and "1000" in e.text, e
        assert d.ask("mset", [["a", b"y" * 1000], ["b", b"z" * 1000]]) == {"count": 2}


@test
def a_value_that_the_segment_cannot_hold_names_it():
    with Daemon({"segment_bytes": 262144}) as d:
        e = d.refused("set", "/big", b"x" * 300000)
        assert e.code == "too_big" and "set: value:" in e.text and "segment_bytes (262144)" in e.text, e
        e = d.refused("mset", [["/small", b"x"], ["/big", b"x" * 300000]])
        assert e.code == "too_big" and "mset: pairs[1].value:" in e.text, e


@test
def a_value_that_is_too_old_to_be_served_does_not_count():
    with Daemon({"max_age": "1h", "endpoints": [{"match": "/obey/<x>", "ttl": "obey", "grace": "10s"}]}) as d:
        now = time.time()
        for key, options, kept in (("/obey/0", {"ttl_s": 7200, "read_s": now - 3500}, 1),
                                   ("/obey/0", {"ttl_s": 7200, "read_s": now - 3601}, 0),
                                   ("/obey/1", {"ttl_s": 60, "read_s": now - 65}, 1),
                                   ("/obey/2", {"ttl_s": 60, "read_s": now - 75}, 0),
                                   ("/obey/3", {"ttl_s": 60, "load_ms": 75000}, 0),
                                   # 0 states no TTL
                                   ("/obey/4", {"ttl_s": 0}, 1)):
            d.ask("purge", "", {"what": "all"})
            assert d.ask("set", key, b"v", options) == {"count": kept}, (key, options)
            assert d.ask("get", key, {"mode": "peek"})["value"] == (b"v" if kept else None), (key, options)
        assert d.ask("mset", [["/obey/5", b"v"], ["/obey/6", b"w"]], {"ttl_s": 1, "read_s": now - 60}) == {"count": 0}


@test
def a_reply_above_the_limit_is_an_error_not_a_silence():
    with Daemon({"limits": {"max_value_bytes": "60KiB"}, "messages": {"max_frame_bytes": "70KiB"}}) as d:
        for i in range(3):
            d.ask("set", "k%d" % i, b"x" * 60000, {"ttl_s": 60})
        assert d.refused("mget", ["k0", "k1", "k2"], {"mode": "peek"}).code == "too_big"
        assert d.ask("get", "k2")["value"] == b"x" * 60000


@test
def bad_events_are_refused_one_by_one_and_the_good_ones_kept():
    d = shared()
    now = d.ask("hello")["time_s"]
    good = [now, "/ev/<id>", "/ev/1", "hit", 10, 1.5, 1, 1]
    bad = [
        [],                                                  # fields missing
        [None, None],
        [None, None, "/ev/1"],
        good + [1] * 9,                                        # and too many
        ["noon", "/ev/<id>", "/ev/1", "hit"],                # wrong types
        [now, 5, "/ev/1", "hit"],
        [now, None, {"a": 1}, "hit"],
        [now, None, "/ev/1", "sometimes"],
        [now, None, "/ev/1", "hit", -1],
        [now, None, "/ev/1", "hit", 2.5],
        [now, None, "/ev/1", "hit", 1, float("inf")],        # not finite
        [float("nan"), None, "/ev/1", "hit"],
        [float("-inf"), None, "/ev/1", "hit"],
        [now, None, "/ev/1", "hit", 1, 1e12],                # huge
        [1e300, None, "/ev/1", "hit"],
        [now, None, b"k" * 5000, "hit"],
        [now, None, "", "hit"],
        [now + 3600, None, "/ev/1", "hit"],                  # in the future
        [now - 90000, None, "/ev/1", "hit"],                 # long past
        [0, None, "/ev/1", "hit"],
    ]
    before = d.ask("stats")
    got = d.ask("event", [good] + bad + [good])
    assert got["accepted"] == 2 and got["refused"] == len(bad), got
    assert len(got["errors"]) == 8 and all(text for _, text in got["errors"]), got
    for i in (17, 18):
        e = d.ask("event", [bad[i]])
        assert "event_" in e["errors"][0][1], e
    after = d.ask("stats")
    assert after["events"] - before["events"] == 2, (before, after)
    assert after["daemon"]["events_refused"] - before["daemon"]["events_refused"] == len(bad) + 2


@test
def bad_events_are_reported_on_notices():
    d = shared()
    sub = d.socket(zmq.SUB, "notices")
    push = d.socket(zmq.PUSH, "events")

    def noticed():
        push.send(msgpack.packb([[None, None, "/ev/2", "never"]]))
        while sub.poll(50):
            topic, body = sub.recv_multipart()
            n = msgpack.unpackb(body)
            if n["what"] == "refused":
                return n
        return None

    n = until("a notice", noticed)
    assert "outcome" in n["text"] and n["count"] == 1 and n["seq"] > 0, n
    d.wait_log("event=bad_event")


@test
def events_in_columns_count():
    d = shared()
    push = d.socket(zmq.PUSH, "events")
    before = stat(d, None, "events")
    push.send(msgpack.packb({"endpoints": ["/col/<id>"], "endpoint": [0, 0], "key": ["/col/1", "/col/2"],
                             "outcome": [0, 2], "count": [5, 1]}))
    until("events", lambda: stat(d, None, "events") > before)
    assert any(r["endpoint"] == "/col/<id>" for r in d.ask("endpoints"))


BOMBS = [
    b"",
    b"\xc1",
    b"\xdd\xff\xff\xff\xff",                    # an array of 4 G items that are not there
    b"\xdf\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xffabc",
    b"\xdb\x7f\xff\xff\xff",
    b"\xdd\x01\x00\x00\x00" * 31,               # nested
    b"\x91" * 2000 + b"\xc0",
    b"\xdc\xff\xff" * 31,
    b"\xc9\xff\xff\xff\xff\x01",
    b"\x93\x01\xa3get",                         # cut off
    msgpack.packb([1, "get", "k"]) + b"trailing",
    msgpack.packb({1: 2}),
    msgpack.packb([[[[[[[[]]]]]]]]),
    msgpack.packb([2**64 - 1, "health"]),
    msgpack.packb([-1, "health"]),
    msgpack.packb([None, "health"]),
    msgpack.packb([1] * 70000),
    b"GET / HTTP/1.1\r\n\r\n",
]


def rss_kb(pid):
    with open("/proc/%d/status" % pid) as f:
        return int([line for line in f if line.startswith("VmHWM")][0].split()[1])


@test
def bombs_and_garbage_change_nothing():
    d = shared()
    before = rss_kb(d.process.pid)
    seed = int(os.environ.get("SEED", "1"))
    print("# seed %d" % seed)
    rng = random.Random(seed)
    sockets = [d.socket(zmq.DEALER, "requests"), d.socket(zmq.PUSH, "events"), d.socket(zmq.DEALER, "loaders")]
    for s in sockets:
        for b in BOMBS:
            s.send(b)
        for _ in range(500):
            s.send(rng.randbytes(rng.randrange(1, 60)))
        for _ in range(300):  # nearly right
            b = bytearray(msgpack.packb([rng.randrange(9), rng.choice(["get", "set", "event"]), "k", b"v"]))
            b[rng.randrange(len(b))] = rng.randrange(256)
            s.send(bytes(b))
    until("all taken", lambda: stat(d, "wire", "received") >= 3 * (len(BOMBS) + 800))
    assert d.ask("set", "/after", b"fine", {"ttl_s": 60}) == {"count": 1}
    assert d.ask("get", "/after")["value"] == b"fine"
    grown = rss_kb(d.process.pid) - before
    assert grown < 200 * 1024, "%d KiB more" % grown


@test
def envelopes_that_are_wrong_are_counted():
    d = shared()
    before = stat(d, "wire", "bad_envelope")
    s = d.socket(zmq.DEALER, "requests")
    s.send_multipart([b"a", b"b", b"c"])
    assert s.poll(10000)
    assert msgpack.unpackb(s.recv())[1] == 1
    s.send_multipart([b"x"] * 1000)
    push = d.socket(zmq.PUSH, "events")
    push.send_multipart([b"x"] * 5)
    until("three", lambda: stat(d, "wire", "bad_envelope") >= before + 3)


@test
def a_frame_above_the_limit_costs_its_connection_only():
    with Daemon({"limits": {"max_value_bytes": 1000}, "messages": {"max_frame_bytes": "64KiB"}}) as d:
        s = d.socket(zmq.DEALER, "requests")
        s.send(msgpack.packb([1, "set", "k", b"x" * 200000]))
        s.poll(200)
        assert d.ask("health")["status"] == "ready"
        assert d.ask("get", "k", {"mode": "peek"})["value"] is None


@test
def a_client_that_never_reads_hurts_nobody():
    d = shared()
    d.ask("set", "/slow", b"x" * 10000, {"ttl_s": 600})
    s = d.socket(zmq.DEALER, "requests")
    s.setsockopt(zmq.RCVHWM, 1)
    for i in range(20000):
        s.send(msgpack.packb([i, "get", "/slow"]))
    began = time.monotonic()
    assert d.ask("health")["status"] == "ready"
    assert time.monotonic() - began < 10
    s.close()


@test
def too_much_at_once_is_told_to_try_again_and_nothing_is_lost():
    with Daemon({"input_queue": 16}) as d:
        push = d.socket(zmq.PUSH, "events")
        batch = msgpack.packb([[None, "/o/<x>", "/o/%d" % i, "hit"] for i in range(1000)])
        busy = done = dropped = 0

        def patiently(*request):
            """Asks until it is answered: what is still in the queue may turn any request away."""
            nonlocal busy
            while True:
                d.client.send(*request)
                reply = d.client.receive()
                assert reply and reply[1] in (0, 5), reply
                if reply[1] == 0:
                    return reply[2]
                busy += 1

        deadline = time.monotonic() + 120
        # whether a burst finds the queue full is a race: as many as it takes
        while not (busy and done and dropped) and time.monotonic() < deadline:
            for _ in range(200):
                push.send(batch)
            for i in range(1000):
                d.client.send("set", "/o/%d" % i, b"v", {"ttl_s": 60})
            for i in range(1000):
                reply = d.client.receive()
                assert reply and reply[1] in (0, 5), reply
                done += reply[1] == 0
                busy += reply[1] == 5
            dropped = patiently("stats")["wire"]["events_dropped"]
        print("# done %d busy %d dropped %d" % (done, busy, dropped))
        assert busy > 0 and done > 0 and dropped > 0
        # a request turned away is counted by the one who turns it away: the same as those who were told
        assert patiently("set", "/o/1", b"w", {"ttl_s": 60}) == {"count": 1}
        told = patiently("stats")["wire"]["requests_busy"]
        assert told == busy, (told, busy)


if __name__ == "__main__":
    try:
        main()
    finally:
        if SHARED:
            SHARED.close()
