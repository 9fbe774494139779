#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Loads: loader workers that behave and that do not, and an HTTP origin."""
import os
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import zmq

from fcd import Client, Daemon, Handler, Loader, Refused, main, origin, test, until

FAST = {"loader_beat_s": 0.1}


def counts(d):
    return d.ask("stats")["daemon"]


def asked(d, key, **options):
    """A client that waits for this key."""
    c = Client(d.dir)
    c.send("get", key, {"endpoint": "/l/<x>", **options})
    return c


@test
def a_loader_loads_once_for_all_who_wait():
    with Daemon() as d:
        w = Loader(d, ["/l/<x>"])
        waiting = [asked(d, "/l/1") for _ in range(50)]
        job = w.job()
        assert job[1:3] == ["/l/<x>", "/l/1"] and job[3] == "demand" and 0 < job[4] <= 10 and job[5] is None, job
        until("all wait", lambda: d.ask("stats")["waiters"] == 50)
        w.say("value", job[0], b"loaded", {"max_age_s": 60})
        for c in waiting:
            reply = c.receive()
            assert reply[1] == 0 and reply[2]["value"] == b"loaded", reply
            c.close()
        assert w.job(0.2) is None
        assert d.ask("get", "/l/1")["outcome"] == "hit"


@test
def absent_error_and_uncacheable_are_told():
    with Daemon() as d:
        w = Loader(d, ["/l/<x>"])
        c = asked(d, "/l/gone")
        w.say("absent", w.job()[0])
        assert c.receive()[2]["value"] is None
        c = asked(d, "/l/broken")
        w.say("error", w.job()[0], "the database is down")
        reply = c.receive()
        assert reply[1] == 6 and "database" in reply[2][1], reply
        c = asked(d, "/l/mine")
        w.say("uncacheable", w.job()[0], b"only for you")
        assert c.receive()[2]["value"] == b"only for you"
        assert d.ask("get", "/l/mine", {"mode": "peek"})["value"] is None


@test
def a_job_is_answered_once_and_by_who_has_it():
    with Daemon() as d:
        a = Loader(d, ["/l/<x>"])
        b = Loader(d, ["/other/<x>"])
        c = asked(d, "/l/1")
        job = a.job()
        before = counts(d)["loader_faults"]
        b.say("value", job[0], b"stolen", {})
        assert b.word("refused")[1] == "denied"
        b.say("value", job[0] + 17, b"made up", {})
        assert b.word("refused")[1] == "bad_request"
        a.say("value", job[0], b"right", {"max_age_s": 60})
        assert c.receive()[2]["value"] == b"right"
        a.say("value", job[0], b"again", {"max_age_s": 60})
        assert "not open" in a.word("refused")[2]
        assert d.ask("get", "/l/1")["value"] == b"right"
        stranger = d.socket(zmq.DEALER, "loaders")
        import msgpack

        stranger.send(msgpack.packb(["value", job[0], b"x", {}]))
        assert stranger.poll(10000) and b"not registered" in stranger.recv()
        assert counts(d)["loader_faults"] == before + 4
        d.wait_log("event=loader_fault")


@test
def a_loader_that_dies_hands_its_jobs_on():
    with Daemon(FAST) as d:
        dead = Loader(d, ["/l/<x>"])
        c = asked(d, "/l/1")
        job = dead.job()
        alive = Loader(d, ["/l/<x>"])
        dead.socket.close()
        got = None
        end = time.monotonic() + 10
        while not got and time.monotonic() < end:
            alive.say("beat")
            got = alive.job(0.05)
        assert got and got[0] == job[0] and got[2] == "/l/1", got
        alive.say("value", got[0], b"by the other", {"max_age_s": 60})
        assert c.receive()[2]["value"] == b"by the other"
        assert counts(d)["jobs_retried"] == 1 and counts(d)["loaders_lost"] == 1
        d.wait_log("event=loader_gone")


@test
def a_loader_that_dies_alone_fails_its_jobs():
    with Daemon(FAST) as d:
        dead = Loader(d, ["/l/<x>"])
        c = asked(d, "/l/1")
        assert dead.job()
        reply = c.receive()
        assert reply[1] == 6 and "silent" in reply[2][1], reply
        # and then nobody loads: a miss, not a wait
        assert d.ask("get", "/l/2", {"endpoint": "/l/<x>"}, timeout_s=5)["value"] is None


@test
def a_loader_that_hangs_loses_the_job_at_its_deadline():
    conf = {"origins": {"db": {"timeout": "0.3s"}}, "endpoints": [{"match": "/l/<x>", "origin": "db"}],
            "loader_beat_s": 0.2}
    with Daemon(conf) as d:
        w = Loader(d, ["/l/<x>"])
        c = asked(d, "/l/1")
        job = w.job()
        assert 0 < job[4] <= 0.3, job
        reply = None
        end = time.monotonic() + 10
        while reply is None and time.monotonic() < end:
            w.say("beat")  # alive, but it never answers
            reply = c.receive(0.05)
        assert reply and reply[1] == 6 and "deadline" in reply[2][1], reply
        w.say("value", job[0], b"late", {"max_age_s": 60})
        assert "not open" in w.word("refused")[2]
        assert d.ask("get", "/l/1", {"mode": "peek"})["value"] is None


@test
def a_loader_gets_no_more_jobs_than_it_takes():
    with Daemon() as d:
        w = Loader(d, ["/l/<x>"], concurrency=2)
        waiting = [asked(d, "/l/%d" % i) for i in range(5)]
        jobs = [w.job(), w.job()]
        assert w.job(0.2) is None
        for n in range(5):
            w.say("value", jobs[n][0], b"v", {"max_age_s": 60})
            if n < 3:
                jobs.append(w.job())
        for c in waiting:
            assert c.receive()[2]["value"] == b"v"
            c.close()
        assert w.job(0.1) is None


@test
def bye_takes_leave_at_once():
    with Daemon() as d:
        w = Loader(d, ["/l/<x>"])
        c = asked(d, "/l/1")
        w.job()
        w.say("bye")
        assert "bye" in c.receive()[2][1]
        assert d.ask("stats")["loaders"]["workers"] == 0


@test
def words_that_are_wrong_and_values_that_are_too_long():
    with Daemon({"limits": {"max_value_bytes": 1000}, "max_loaders": 1}) as d:
        w = Loader(d, ["/l/<x>"])
        for words in (["hello"], [], ["register"], ["register", [], 1], ["register", ["/a"], 0], ["value", "x", b""],
                      ["value", 1, b"v", {"max_age_s": -1}], ["register", ["/%d" % i for i in range(65)], 1]):
            w.say(*words)
            assert w.word("refused")[2], words
        c = asked(d, "/l/1")
        w.say("value", w.job()[0], b"x" * 1001, {})
        assert "1000" in w.word("refused")[2]
        try:
            Loader(d, ["/m/<x>"])
        except AssertionError as e:
            assert "max_loaders" in str(e), e
        else:
            raise AssertionError("one loader too many")
        assert d.alive()
        c.close()


@test
def sigterm_lets_what_is_being_loaded_come_in():
    with Daemon({"drain_s": 20}) as d:
        w = Loader(d, ["/l/<x>"])
        c = asked(d, "/l/1")
        job = w.job()
        d.signal(signal.SIGTERM)
        d.wait_log("event=stop waiting=1")
        late = Client(d.dir)
        late.send("health")
        w.say("value", job[0], b"in time", {"max_age_s": 60})
        assert c.receive()[2]["value"] == b"in time"
        assert d.process.wait(timeout=30) == 0
        assert "unanswered=0" in d.log()
        late.close()


class Api(Handler):
    calls = []
    gate = threading.Event()

    def do_GET(self):
        Api.calls.append((self.path, self.headers.get("X-Token"), self.headers.get("If-None-Match")))
        Api.gate.wait(20)
        if self.path.endswith("/missing"):
            self.send_response(404)
            body = b"no"
        elif self.path.endswith("/broken"):
            self.send_response(500)
            body = b"oops"
        else:
            self.send_response(200)
            self.send_header("ETag", '"1"')
            body = b"body of " + self.path.encode()
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def with_api(url):
    return {"origins": {"api": {"url": url, "headers": {"X-Token": {"env": "FCD_TOKEN"}}},
                        "down": {"url": "http://127.0.0.1:1"}, "db": {}},
            "endpoints": [{"match": "/v1/<x>", "origin": "api"},
                          {"match": "/down/<x>", "origin": "down"}, {"match": "/db/<x>", "origin": "db"},
                          {"match": "quote:*", "origin": "api", "url": "/q/{1}"}]}


@test
def an_http_origin_is_read_once_for_a_hundred_who_wait():
    os.environ["FCD_TOKEN"] = "t0k"
    with origin(Api) as url, Daemon(with_api(url)) as d:
        clients = [Client(d.dir) for _ in range(10)]
        for c in clients:
            for _ in range(10):
                c.send("get", "/v1/IBM")
        until("all wait", lambda: d.ask("stats")["waiters"] == 100)
        Api.gate.set()
        for c in clients:
            for _ in range(10):
                reply = c.receive()
                assert reply[1] == 0 and reply[2]["value"] == b"body of /v1/IBM", reply
            c.close()
        assert [c for c in Api.calls if c[0] == "/v1/IBM"] == [("/v1/IBM", "t0k", None)], Api.calls
        assert d.ask("get", "quote:A B")["value"] == b"body of /q/A%20B"
        assert d.ask("get", "/v1/missing")["value"] is None
        e = d.refused("get", "/v1/broken")
        assert e.code == "load_failed" and "500" in e.text, e
        assert "t0k" not in d.log()
        e = d.refused("get", "/down/1")
        assert e.code == "load_failed", e
        e = d.refused("get", "/down/1")
        assert not e.text.startswith('"') and not e.text.endswith('"'), e
        e = d.refused("get", "/db/1")
        assert e.code == "load_failed" and "loader" in e.text, e


if __name__ == "__main__":
    main()
