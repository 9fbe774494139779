#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""forecache and forecached together: each command once, against a running daemon with an origin."""
import http.server
import json
import os
import select
import signal
import subprocess
import tempfile
import threading
import time

import fcd
from fcd import test, until

FORECACHE = os.path.join(fcd.BUILD, "cli", "forecache")
RULE = [{"match": "/quotes/<symbol>", "origin": "api", "min_ttl": 0.2}]


class Origin(http.server.BaseHTTPRequestHandler):
    """Each /quotes/X changes once a second; there is no /quotes/GONE."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        body = json.dumps({"key": self.path, "version": int(time.time())}).encode()
        if "NOISE" in self.path:
            body = json.dumps({"generated_at": time.time_ns(), "price": 5}).encode()
        self.send_response(404 if "GONE" in self.path else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Origin)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()


def daemon():
    return fcd.Daemon({"origins": {"api": {"url": f"http://127.0.0.1:{server.server_port}"}}, "endpoints": RULE})


def forecache(d, *args, stdin=None, status=0):
    env = dict(os.environ, FORECACHED_DIR=d.dir, TZ="UTC")
    run = subprocess.run([FORECACHE, *args], capture_output=True, input=stdin, timeout=fcd.DEADLINE_S, env=env)
    assert run.returncode == status, (args, run)
    return run


def as_json(d, *args, **kw):
    return json.loads(forecache(d, *args, "--json", **kw).stdout)


@test
def values_go_in_and_come_out():
    with daemon() as d:
        forecache(d, "set", "/app/1", "-", stdin=b"a\x00\xff")
        assert forecache(d, "get", "/app/1").stdout == b"a\x00\xff"
        forecache(d, "del", "/app/1")
        forecache(d, "del", "/app/1", status=3)
        forecache(d, "get", "/app/1", status=3)


@test
def a_miss_is_loaded_from_the_origin_unless_only_peeked_at():
    with daemon() as d:
        forecache(d, "get", "/quotes/IBM", "--peek", status=3)
        got = as_json(d, "get", "/quotes/IBM")
        assert json.loads(got["value"])["key"] == "/quotes/IBM" and got["outcome"] == "miss", got
        assert as_json(d, "get", "/quotes/IBM", "--peek")["endpoint"] == "/quotes/<symbol>"
        forecache(d, "get", "/quotes/GONE", status=3)


@test
def a_field_that_alone_changes_is_named():
    with daemon() as d:
        for i in range(25):
            assert d.ask("get", "/quotes/NOISE")["value"]
            d.ask("delete", "/quotes/NOISE")
        why = as_json(d, "why", "/quotes/<symbol>")
        assert why["seen_changed"] >= 20 and "/generated_at" in why["hint"], why
        text = forecache(d, "why", "/quotes/NOISE").stdout.decode()
        assert '"ignore": ["/generated_at"]' in text and "a change" in text, text
        assert len(text.splitlines()) <= 14, text
        print("# " + text.replace("\n", "\n# "))


@test
def what_ttls_have_been_is_shown():
    with fcd.Daemon({"flush_s": 0.1}, args=["--time-scale", "3000"]) as d:
        def noted():
            d.ask("set", "/quotes/IBM", b"170.1", {"endpoint": "/quotes/<symbol>", "ttl_s": 7200})
            d.ask("get", "/quotes/IBM", {"mode": "peek"})
            rows = as_json(d, "ttls", "--history", "/quotes/<symbol>")
            return len(rows) >= 3 and rows

        rows = until("three points", noted)
        for r in rows:
            assert set(r) == {"time_s", "ttl_s", "change_rate_per_s", "stale_share", "hit_ratio"}, r
            assert r["ttl_s"] > 0 and r["change_rate_per_s"] > 0, r
        assert 0 <= rows[-1]["hit_ratio"] <= 1, rows
        times = [r["time_s"] for r in rows]
        assert all(600 <= b - a for a, b in zip(times, times[1:])), times
        last = as_json(d, "ttls", "--history", "/quotes/<symbol>", "--limit", "2")
        assert len(last) == 2 and last[0]["time_s"] >= times[-2] and last[1]["time_s"] >= times[-1], (last, rows)
        lines = forecache(d, "ttls", "--history", "/quotes/<symbol>").stdout.decode().splitlines()
        assert lines[0].split("  ")[0] == "time" and len(lines) >= 4 and lines[1:] == sorted(lines[1:]), lines
        run = forecache(d, "ttls", "--history", "/quotes/<symbl>", status=3)
        assert b"did you mean '/quotes/<symbol>'?" in run.stderr and not run.stdout, run
        d.stop()
        d.start()
        assert as_json(d, "ttls", "--history", "/quotes/<symbol>")[:3] == rows[:3]


@test
def what_is_learned_is_shown():
    with daemon() as d:
        def enough():
            forecache(d, "get", "/quotes/IBM")
            return as_json(d, "why", "/quotes/IBM")["change_rate_mean"]["n"] >= 2

        until("two looks", enough)
        row = next(r for r in as_json(d, "ttls") if r["key"] == "/quotes/IBM")
        for name in ("endpoint", "ttl_s", "age_s", "change_rate_per_s", "request_rate_per_s", "load_ms", "stale_share", "hit_ratio",
                     "mode", "reason"):
            assert name in row, row
        assert set(row["change_rate_per_s"]) == {"mean", "sd", "n"} and row["ttl_s"] > 0, row
        assert 0 <= row["hit_ratio"] <= 1 and row["requests"] is None and row["loads"] is None, row
        assert [r["endpoint"] for r in as_json(d, "endpoints")] == ["/quotes/<symbol>"]
        text = forecache(d, "why", "/quotes/IBM").stdout.decode()
        assert "looks" in text and "a load takes" in text and "may be stale" in text and "nan" not in text.lower(), text
        assert 8 <= len(text.splitlines()) <= 13, text
        assert len(forecache(d, "why", "/quotes/IBM", "--brief").stdout.splitlines()) == 5
        assert len(forecache(d, "why", "/quotes/<symbol>", "--brief").stdout.splitlines()) == 5
        forecache(d, "why", "/absent", status=3)
        forecast = as_json(d, "forecast", "/quotes/<symbol>", "--for", "2h", "--step", "5m")
        assert len(forecast) == 24 and all(r["lo80"] <= r["per_s"] <= r["hi80"] for r in forecast), forecast
        assert forecache(d, "forecast", "/quotes/<symbol>").stdout
        forecache(d, "forecast", "/absent", status=3)
        forecache(d, "ttls", "/absent", status=3)
        forecache(d, "top", "/absent", status=3)
        assert as_json(d, "ttl", "/quotes/IBM")["endpoint"] == "/quotes/<symbol>"
        stats = as_json(d, "stats")
        assert stats["requests"] > 2 and stats["loads"]["demand"] >= 1, stats
        assert b"loads.demand" in forecache(d, "stats").stdout
        assert b"/quotes/<symbol>" in forecache(d, "top", "--count", "1").stdout
        assert float(forecache(d, "ttl", "/quotes/IBM").stdout) > 0


@test
def schedules_are_kept_and_shown_in_their_own_time():
    with daemon() as d:
        forecache(d, "schedule", "add", "open", "weekdays 09:30", "--tz", "America/New_York", "-p", "/quotes/<symbol>", "--lead", "10m",
                  "--max-keys", "50")
        run = forecache(d, "schedule", "add", "bad", "weekdys 09:30", "-p", "/x", status=1)
        assert b"weekdys" in run.stderr, run
        row, = as_json(d, "schedule", "list")
        assert row["name"] == "open" and row["lead_s"] == 600 and row["max_keys"] == 50 and row["tz"] == "America/New_York", row
        text = forecache(d, "schedule", "next", "open", "--limit", "3").stdout.decode()
        assert text.count(" 09:30 E") == 3 and text.count("Z\n") == 3, text
        assert as_json(d, "schedule", "report") == [] == as_json(d, "schedule", "report", "open")
        for command in ("next", "report"):
            assert b"no schedule" in forecache(d, "schedule", command, "nosuch", status=3).stderr
        forecache(d, "schedule", "remove", "open")
        forecache(d, "schedule", "remove", "open", status=3)


@test
def a_dry_run_loads_nothing_and_a_prewarm_does():
    with daemon() as d:
        for symbol in ("IBM", "SAP"):
            forecache(d, "get", f"/quotes/{symbol}")
        forecache(d, "purge", "/quotes/<symbol>")
        before = as_json(d, "stats")["loads"]
        listed = forecache(d, "prewarm", "/quotes/<symbol>", "--dry-run").stdout
        assert b"/quotes/IBM" in listed and b"/quotes/SAP" in listed, listed
        assert as_json(d, "stats")["loads"] == before
        forecache(d, "prewarm", "/quotes/<symbol>")
        until("two prewarms", lambda: as_json(d, "stats")["loads"]["prewarm"] == before["prewarm"] + 2)


@test
def a_pause_is_told_and_ends():
    with daemon() as d:
        forecache(d, "get", "/quotes/IBM")
        forecache(d, "pause", "prefetch", "--for", "1h")
        assert b"paused" in forecache(d, "why", "/quotes/IBM").stdout
        forecache(d, "resume")
        assert b"paused" not in forecache(d, "why", "/quotes/IBM").stdout


@test
def purge_takes_keys_endpoints_and_everything():
    with daemon() as d:
        for n in range(3):
            forecache(d, "set", f"/a/{n}", "x")
            forecache(d, "set", f"/b/{n}", "x")
        assert as_json(d, "purge", "/a/0") == {"count": 1}
        endpoint = next(r["endpoint"] for r in as_json(d, "endpoints") if r["endpoint"].startswith("/a/"))
        assert as_json(d, "purge", endpoint) == {"count": 2}
        forecache(d, "purge", "/absent", status=3)
        assert as_json(d, "purge", "--all", "--yes") == {"count": 3}


@test
def monitor_prints_a_change_as_it_comes():
    with daemon() as d:
        forecache(d, "get", "/quotes/IBM")
        p = subprocess.Popen([FORECACHE, "monitor", "changed", "--count", "1", "--json", "--dir", d.dir], stdout=subprocess.PIPE)
        try:
            # notices of a time when nobody listens are lost: so again and again
            until("a notice", lambda: forecache(d, "changed", "/quotes/IBM") and p.poll() is not None)
            assert json.loads(p.stdout.read())["key"] == "/quotes/IBM" and p.returncode == 0
        finally:
            p.kill()
            p.wait()
            p.stdout.close()


def said_by(p, words):
    """Reads lines of its standard error until one has these words."""
    for line in p.stderr:
        if words in line:
            return True
    return False


@test
def monitor_notices_when_the_daemon_is_gone_and_when_it_is_back():
    with daemon() as d:
        forecache(d, "get", "/quotes/IBM")
        p = subprocess.Popen([FORECACHE, "monitor", "changed", "--json", "--dir", d.dir], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        ready = lambda: forecache(d, "changed", "/quotes/IBM") and select.select([p.stdout], [], [], 0)[0]
        try:
            until("a notice", ready)
            d.kill9()
            assert said_by(p, b"nobody listens") and said_by(p, b"waiting for it to come back")
            d.start()
            assert said_by(p, b"is back")
            while select.select([p.stdout], [], [], 0)[0]:
                os.read(p.stdout.fileno(), 65536)
            forecache(d, "get", "/quotes/IBM")
            until("a notice of the next daemon", ready)
            assert json.loads(os.read(p.stdout.fileno(), 65536).splitlines()[0])["key"] == "/quotes/IBM"
        finally:
            p.kill()
            p.communicate()


@test
def a_stopped_daemon_is_said_to_be_stopped():
    with daemon() as d:
        monitor = subprocess.Popen([FORECACHE, "monitor", "--dir", d.dir, "--timeout", "300ms"], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE)
        d.signal(signal.SIGSTOP)
        try:
            for args in (["stats"], ["get", "/x"], ["set", "/x", "y"], ["ttls"], ["top"]):
                run = forecache(d, *args, "--timeout", "300ms", status=69)
                assert b"(process %d), but does not answer" % d.process.pid in run.stderr, run
                assert b"kill -CONT %d" % d.process.pid in run.stderr and b"no daemon" not in run.stderr, run
            assert said_by(monitor, b"kill -CONT"), "monitor"
        finally:
            d.signal(signal.SIGCONT)
        assert said_by(monitor, b"is back")
        monitor.send_signal(signal.SIGINT)
        monitor.communicate()
        assert monitor.returncode == 130


@test
def what_one_daemon_learned_another_knows():
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "learned.jsonl")
        with daemon() as d:
            def enough():
                forecache(d, "get", "/quotes/IBM")
                return as_json(d, "why", "/quotes/IBM")["change_rate_mean"]["n"] >= 2

            until("two looks", enough)
            forecache(d, "export", path)
            rate = as_json(d, "why", "/quotes/IBM")["change_rate_mean"]["mean"]
        with daemon() as d:
            forecache(d, "why", "/quotes/IBM", status=3)
            forecache(d, "import", path)
            again = as_json(d, "why", "/quotes/IBM")["change_rate_mean"]["mean"]
            assert abs(again / rate - 1) < 0.2, (rate, again)
            # and still after a restart, though nobody has asked for anything
            assert d.stop() == 0
            d.start()
            kept = as_json(d, "why", "/quotes/IBM")["change_rate_mean"]["mean"]
            assert abs(kept / again - 1) < 0.01, (again, kept)


@test
def a_record_may_have_as_many_fields_as_are_allowed():
    with tempfile.TemporaryDirectory() as directory, daemon() as d:
        path = os.path.join(directory, "learned.jsonl")
        for n, status in ((24, 0), (25, 1)):
            fields = {"prior": [1, 1000, 1], **{"f%d" % i: [i] for i in range(n - 1)}}
            with open(path, "w") as f:
                f.write('{"forecached":"learned state","version":1}\n')
                f.write(json.dumps({"kind": "endpoint", "name": "/many/<x>", "fields": fields}) + "\n")
            run = forecache(d, "import", path, status=status)
            assert (b"more than 24" if status else b"imported 1 records") in run.stderr, run


@test
def config_check_asks_the_daemons_program():
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "conf")
        env = dict(os.environ, PATH=os.path.dirname(os.path.abspath(fcd.PROGRAM)) + ":" + os.environ["PATH"])
        for text, status, said in (("{}", 0, "ok"), ('{"policy": {"max_stale": 2}}', 1, "max_stale"), ("{", 1, path)):
            with open(path, "w") as f:
                f.write(text)
            run = subprocess.run([FORECACHE, "config", "check", path], capture_output=True, text=True, env=env)
            assert run.returncode == status and said in run.stderr, run


fcd.main()
