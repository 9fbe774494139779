#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP: metrics, health and questions of a running daemon, asked well and badly."""
import http.client
import json
import math
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fcd import BUILD, DEADLINE_S, Client, Daemon, Loader, main, test, until

SRC = os.environ.get("top_srcdir", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
WEB = {"http": "127.0.0.1:0"}


def port(d):
    return int(d.wait_log(r"event=http .*port=(\d+)").group(1))


def fetch(d, path, method="GET", body=None, headers=None):
    """Status, headers and body."""
    c = http.client.HTTPConnection("127.0.0.1", port(d), timeout=DEADLINE_S)
    try:
        c.request(method, path, body, headers or {})
        r = c.getresponse()
        return r.status, dict(r.getheaders()), r.read()
    finally:
        c.close()


def ask(d, path, status=200):
    got, headers, body = fetch(d, path)
    assert got == status and headers["Content-Type"] == "application/json", (path, got, body)
    return json.loads(body)


def query(**params):
    return "?" + urllib.parse.urlencode(params, quote_via=urllib.parse.quote)


# -- The text format, read as strictly as Prometheus does ------------------------------------------

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"')


def parse_sample(line):
    name = NAME.match(line).group()
    at, labels = len(name), {}
    if line[at] == "{":
        at += 1
        while line[at] != "}":
            m = LABEL.match(line, at)
            assert m, line
            assert m.group(1) not in labels, line
            labels[m.group(1)] = re.sub(r"\\(.)", lambda e: {"n": "\n"}.get(e.group(1), e.group(1)), m.group(2))
            at = m.end()
            at += line[at] == ","
        at += 1
    assert line[at] == " " and " " not in line[at + 1:], line
    return name, labels, float(line[at + 1:])


def scrape(d):
    """{family: (type, help, {labels as a sorted tuple: value})}; histograms keep their suffixes as `__name__`."""
    status, headers, body = fetch(d, "/metrics")
    assert status == 200 and headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8", headers
    text = body.decode("utf-8")
    assert text.endswith("\n")
    families, current, helped = {}, None, None
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            helped, words = line.split(" ", 3)[2:]
            assert helped not in families and words and NAME.fullmatch(helped), line
        elif line.startswith("# TYPE "):
            current, kind = line.split(" ")[2:]
            assert current == helped and kind in ("counter", "gauge", "histogram"), line
            families[current] = (kind, words, {})
        else:
            name, labels, value = parse_sample(line)
            kind, _, samples = families[current]
            if kind == "histogram":
                assert name in (current + "_bucket", current + "_sum", current + "_count"), line
                labels["__name__"] = name[len(current):]
            else:
                assert name == current, "%s stands among %s" % (name, current)
            series = tuple(sorted(labels.items()))
            assert series not in samples, "twice: " + line
            samples[series] = value
    for name, (kind, _, samples) in families.items():
        check_family(name, kind, samples)
    return families


UNITS = ("_seconds", "_bytes", "_ratio", "_info", "_total")


def check_family(name, kind, samples):
    assert (kind == "counter") == name.endswith("_total"), name
    assert not re.search(r"_(ms|us|millis|percent|kib|mib|count|sum|bucket)($|_)", name), name
    if kind == "counter":
        assert all(v >= 0 and math.isfinite(v) for v in samples.values()), (name, samples)
    if name.endswith("_ratio"):
        assert all(math.isnan(v) or v >= 0 for v in samples.values()), (name, samples)
    if kind == "histogram":
        check_histogram(name, samples)


def check_histogram(name, samples):
    rest = {}
    for series, value in samples.items():
        labels = dict(series)
        kind, le = labels.pop("__name__"), labels.pop("le", None)
        rest.setdefault(tuple(sorted(labels.items())), {}).setdefault(kind, []).append((le, value))
    for labels, got in rest.items():
        bounds = sorted((float(le), v) for le, v in got["_bucket"])
        assert bounds[-1][0] == math.inf, (name, labels)
        assert all(a[1] <= b[1] for a, b in zip(bounds, bounds[1:])), (name, bounds)
        assert got["_count"][0][1] == bounds[-1][1] and len(got["_sum"]) == 1, (name, got)


def value(families, name, **labels):
    return families[name][2].get(tuple(sorted(labels.items())))


def total(families, name, **labels):
    want = set(labels.items())
    return sum(v for series, v in families[name][2].items() if want <= set(series))


# -- Metrics ---------------------------------------------------------------------------------------

@test
def outcomes_are_counted_by_endpoint_and_what_was_lacking():
    rules = [{"match": "/l/<x>", "static_ttl": 1000, "ttl": "obey", "negative_ttl": 5}]
    with Daemon({**WEB, "endpoints": rules}) as d:
        w = Loader(d, ["/l/<x>"])
        c, late = Client(d.dir), Client(d.dir)
        c.send("get", "/l/1")
        job = w.job()
        late.send("get", "/l/1")
        until("both wait", lambda: d.ask("stats")["waiters"] == 2)
        w.say("value", job[0], b"v")
        c.receive(), late.receive()
        assert d.ask("get", "/l/1")["outcome"] == "hit"
        d.ask("delete", "/l/1")  # before its time was over
        c.send("get", "/l/1")
        w.say("error", w.job()[0], "down")
        c.receive()
        d.ask("set", "/l/2", b"v", {"ttl_s": 0.001})
        until("its time is over", lambda: d.ask("get", "/l/2", {"mode": "peek"})["value"] is None)
        c.close(), late.close()
        m = scrape(d)
        at = {"endpoint": "/l/<x>"}
        assert value(m, "forecached_requests_total", outcome="fresh", **at) >= 1
        assert value(m, "forecached_requests_total", outcome="joined", **at) == 1
        assert value(m, "forecached_misses_total", reason="cold", **at) == 1
        assert value(m, "forecached_misses_total", reason="dropped", **at) == 1
        assert value(m, "forecached_misses_total", reason="expired", **at) == 1
        assert value(m, "forecached_loads_total", reason="demand", **at) == 2
        assert value(m, "forecached_load_errors_total", **at) == 1
        assert value(m, "forecached_origin_load_duration_seconds", origin="loader", __name__="_count") == 2
        assert value(m, "forecached_origin_load_failures_total", origin="loader") == 1
        s = d.ask("stats")
        assert total(m, "forecached_requests_total") == s["requests"], (s, m["forecached_requests_total"])
        assert total(m, "forecached_misses_total") == s["misses"]


@test
def few_endpoints_have_series_of_their_own_and_no_counter_goes_back():
    with Daemon({**WEB, "http_endpoint_rows": 5, "endpoints": [{"match": "/ruled/<x>"}]}) as d:
        def visit(names):
            for n in names:
                d.ask("get", "k:" + n, {"endpoint": n, "mode": "peek"})
        visit("e%d" % i for i in range(40))
        before = scrape(d)
        visit(["e%d" % i for i in range(80)] + ["/ruled/<x>", "<other>"])
        after = scrape(d)
        name = "forecached_requests_total"
        shown = {dict(s)["endpoint"] for s in after[name][2]}
        assert shown == {"e0", "e1", "e2", "e3", "e4", "/ruled/<x>", "<other>"}, shown
        assert total(after, name) == 40 + 82 and total(after, "forecached_endpoint_keys") == 82
        for series, v in before[name][2].items():
            assert after[name][2][series] >= v, series


@test
def names_are_escaped_and_never_the_same_twice():
    names = ['a"b', "a\\b", "a\nb", "a\\nb", "\\xff", b"\xff", b"\xff\xfe", "ü<sym>", "{x=\"y\"} 1", b"\x00", "\\x00"]
    with Daemon(WEB) as d:
        for n in names:
            d.ask("get", "k", {"endpoint": n, "mode": "peek"}) if n != "k" else None
            d.ask("get", b"k:" + (n if isinstance(n, bytes) else n.encode()), {"endpoint": n, "mode": "peek"})
        m = scrape(d)
        shown = {dict(s)["endpoint"] for s in m["forecached_endpoint_keys"][2]}
        assert len(shown) == len(names), shown
        assert {'a"b', "a\\\\b", "a\nb", "a\\\\nb", "\\xff", "\\\\xff", "ü<sym>"} <= shown, shown


@test
def the_guide_names_every_metric_with_type_and_labels():
    # what is not asked for cannot be seen: an endpoint of each kind, an origin, a schedule that was due, a calendar
    config = {**WEB, "redis": "127.0.0.1:0", "calendar": "XNYS", "zone": "America/New_York",
              "origins": {"api": {"url": "http://127.0.0.1:9"}}, "endpoints": [{"match": "/a/<x>", "origin": "api"}],
              "schedules": [{"name": "bell", "rrule": "hourly", "patterns": ["/l/<x>"]}]}
    with Daemon(config, args=["--time-scale", "20000"]) as d:
        d.refused("get", "/a/1")
        until("a bell", lambda: ask(d, "/api/v1/schedules/report"), 60)

        def forecast_scored():
            d.ask("set", "/l/1", b"v")
            d.ask("get", "/l/1", {"mode": "peek"})
            return "forecached_endpoint_forecast_scaled_error_ratio" in scrape(d)
        until("metrics", forecast_scored)
        m = scrape(d)
    guide = {}
    with open(os.path.join(SRC, "docs", "metrics.md")) as f:
        for line in f:
            row = re.match(r"\| `(forecached_\w+)` \| (\w+) \| ([\w, ]*)\| (.+) \|$", line)
            if row:
                guide[row.group(1)] = (row.group(2), set(re.findall(r"\w+", row.group(3))))
    live = {n: f for n, f in m.items() if n.startswith("forecached_")}
    assert set(guide) == set(live), set(guide) ^ set(live)
    for n, (kind, _, samples) in live.items():
        labels = {k for s in samples for k, _ in s} - {"__name__"}
        assert guide[n][0] == kind, n
        assert labels == guide[n][1] or (not samples and guide[n][1]), (n, labels, guide[n][1])
    for n in ("cpu_seconds_total", "resident_memory_bytes", "open_fds", "max_fds", "start_time_seconds", "threads"):
        assert total(m, "process_" + n) > 0, n


@test
def the_rules_speak_of_metrics_that_there_are():
    with open(os.path.join(SRC, "packaging", "forecached.rules.yml")) as f:
        used = set(re.findall(r"\bforecached_\w+", " ".join(x for x in f if "expr:" in x)))
    with open(os.path.join(SRC, "docs", "metrics.md")) as f:
        text = f.read()
    known = set(re.findall(r"^\| `(forecached_\w+)`", text, re.M))
    asked = {re.sub(r"_bucket$", "", x) for x in re.findall(r"\bforecached_\w+", text)}
    assert used and used <= known, used - known
    assert asked <= known, asked - known


# -- Questions -------------------------------------------------------------------------------------

def forecache(d, *args):
    run = subprocess.run([os.path.join(BUILD, "cli", "forecache"), *args, "--json"], capture_output=True,
                         env={**os.environ, "FORECACHED_DIR": d.dir}, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def alike(a, b, path=""):
    """The same, but for numbers that move with time."""
    if isinstance(a, dict) and isinstance(b, dict):
        assert list(a) == list(b), (path, list(a), list(b))
        for k in a:
            alike(a[k], b[k], path + "." + k)
    elif isinstance(a, list) and isinstance(b, list):
        assert len(a) == len(b), path
        for i, (x, y) in enumerate(zip(a, b)):
            alike(x, y, "%s[%d]" % (path, i))
    elif path.endswith("input_bytes"):
        pass
    elif isinstance(a, (int, float)) and not isinstance(a, bool) and isinstance(b, (int, float)):
        assert abs(a - b) <= 0.2 * max(abs(a), abs(b)) + 20, (path, a, b)
    else:
        assert a == b, (path, a, b)


@test
def http_says_what_the_command_says():
    config = {**WEB, "schedules": [{"name": "open", "rrule": "weekdays 09:30", "patterns": ["/q/<s>"]}]}
    with Daemon(config) as d:
        for i in range(30):
            key = "/q/%d" % i
            for _ in range(i % 5 + 1):
                d.ask("get", key, {"endpoint": "/q/<s>", "mode": "peek"})
            d.ask("set", key, b"x" * i, {"endpoint": "/q/<s>", "ttl_s": 600})
        d.ask("set", b"\xff\n\"", b"v", {"endpoint": "/other"})
        until("expanded", lambda: d.ask("schedule.next", {"name": "open"}))
        e = query(endpoint="/q/<s>")
        for path, args in (("endpoints", ["endpoints"]), ("stats", ["stats"]), ("ttls", ["ttls"]),
                           ("ttls" + e, ["ttls", "/q/<s>"]), ("ttls" + e + "&max=7", ["ttls", "/q/<s>", "--limit", "7"]),
                           ("why" + query(name="/q/7"), ["why", "/q/7"]), ("why" + query(name="/q/<s>"), ["why", "/q/<s>"]),
                           ("forecast" + e + "&step_s=600&steps=144", ["forecast", "/q/<s>", "--for", "24h", "--step", "10m"]), ("schedules", ["schedule", "list"]),
                           ("schedules/next?name=open", ["schedule", "next", "open"]),
                           ("schedules/report", ["schedule", "report"])):
            alike(ask(d, "/api/v1/" + path), forecache(d, *args), path)
        rows = ask(d, "/api/v1/ttls?max=10")
        assert len(rows) == 10 and [r["key"] for r in rows] == [r["key"] for r in d.ask("ttls", {"max": 10})]
        assert ask(d, "/api/v1/ttls?max=0") == []
        assert ask(d, "/api/v1/why?name=%ff%0a%22")["endpoint"] == "/other"
        assert ask(d, "/api/v1/health")["status"] == "ready"


@test
def bad_questions_are_told_what_is_wrong():
    with Daemon({**WEB, "http_rows": 50}) as d:
        for path, status, words in (
                ("/nothing", 404, "there is nothing here"), ("/api/v2/ttls", 404, ""), ("/metrics/x", 404, ""),
                ("/api/v1/ttls?max=51", 400, "max: must be a number from 0 to 50"),
                ("/api/v1/ttls?max=1.5", 400, "whole"), ("/api/v1/ttls?max=", 400, "max"),
                ("/api/v1/ttls?max=0x10", 400, "max"), ("/api/v1/ttls?max=inf", 400, "max"),
                ("/api/v1/ttls?max=1&max=2", 400, "twice"), ("/api/v1/ttls?mx=1", 400, "endpoint max"),
                ("/metrics?x=" + "y" * 2000, 400, "x: unknown"),
                ("/api/v1/why", 400, "name: must be given"), ("/api/v1/why?name=none", 404, "there is no key or endpoint 'none'"),
                ("/api/v1/ttls?endpoint=none", 404, "there is no endpoint 'none'"), ("/api/v1/schedules/next?name=none", 404, "schedule"),
                ("/api/v1/schedules/report?name=none", 404, "schedule"),
                ("/api/v1/forecast?endpoint=none", 404, ""), ("/api/v1/forecast?endpoint=a&steps=100000", 400, "steps"),
                ("/api/v1/forecast?endpoint=a&step_s=0", 400, "step_s"), ("/readyz?warm=1.1", 400, "warm"),
                ("/readyz?warm=nan", 400, "warm"), ("/readyz?schedule=x", 400, "needs warm"),
                ("/readyz?warm=1&schedule=none", 404, "schedule"),
                ("/livez?" + "&".join("a%d=1" % i for i in range(30)), 400, "more than")):
            error = ask(d, path, status)["error"]
            assert words in error["text"], (path, error)
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "XYZZY"):
            status, headers, _ = fetch(d, "/api/v1/stats", method, b"x" * 100000 if method == "POST" else None)
            assert status == 405 and headers["Allow"] == "GET, HEAD", (method, status)
        status, headers, body = fetch(d, "/metrics", "HEAD")
        assert status == 200 and body == b"" and int(headers["Content-Length"]) > 1000
        assert fetch(d, "/readyz/")[0] == 200 and b"/api/v1/why" in fetch(d, "/")[2]


# -- Warmth ----------------------------------------------------------------------------------------

def load(d, w, key):
    c = Client(d.dir)
    c.send("get", key)
    job = w.job()
    assert job[2] == key, job
    w.say("value", job[0], b"v")
    assert c.receive()[1] == 0
    c.close()


@test
def a_deployment_can_wait_for_warmth():
    config = {**WEB, "flush_s": 0.1, "loader_beat_s": 100, "limits": {"audit_share": 0}, "endpoints": [{"match": "/w/<x>", "min_ttl": 3600}]}
    with Daemon(config) as d:
        assert ask(d, "/readyz?warm=0.9")["warm"] is None  # nothing is known: nothing to wait for
        w = Loader(d, ["/w/<x>"])
        for i in range(20):
            load(d, w, "/w/%d" % i)
            for _ in range(20):
                d.ask("get", "/w/%d" % i)
        until("warm", lambda: fetch(d, "/readyz?warm=0.9")[0] == 200)
        d.stop()
        os.unlink(os.readlink(os.path.join(d.dir, "segment")))  # as after a reboot: learned, but cold
        d.start()
        w = Loader(d, ["/w/<x>"])
        cold = until("seen as cold", lambda: fetch(d, "/readyz?warm=0.9")[0] == 503 and ask(d, "/readyz?warm=0.9", 503))
        assert cold["status"] == "warming" and cold["warm"] == 0 and cold["keys"] == 20 and cold["warm_keys"] == 0, cold
        row, = cold["missing"]
        assert row["endpoint"] == "/w/<x>" and row["cold_keys"] == 20 and row["missing_hits_per_s"] > 0, cold
        assert fetch(d, "/readyz")[0] == 200
        for i in range(10):
            load(d, w, "/w/%d" % i)

        def half_warm():
            got = json.loads(fetch(d, "/readyz?warm=0.95")[2])
            return got["warm_keys"] == 10 and got
        half = until("half warm", half_warm)
        assert half["status"] == "warming" and 0.2 < half["warm"] < 0.8, half
        for i in range(10, 20):
            load(d, w, "/w/%d" % i)
        until("warm again", lambda: fetch(d, "/readyz?warm=0.95")[0] == 200)


@test
def warmth_of_a_schedule_is_about_what_it_wants():
    config = {**WEB, "schedules": [{"name": "a", "rrule": "hourly", "patterns": ["/a/<x>", "/c/<x>"]}]}
    with Daemon(config) as d:
        Loader(d, ["/a/<x>", "/b/<x>", "/c/<x>"])
        for e in ("a", "b", "c"):
            for i in range(10):
                d.ask("event", [[None, "/%s/<x>" % e, "/%s/%d" % (e, i), "miss"]])
        until("expanded", lambda: d.ask("schedule.next", {"name": "a"}))
        got = ask(d, "/readyz?warm=0.5&schedule=a", 503)
        assert got["keys"] == 20 and got["schedule"] == "a" and got["at_s"] % 3600 == 0, got
        assert {r["endpoint"] for r in got["missing"]} == {"/a/<x>", "/c/<x>"}, got
        assert ask(d, "/readyz?warm=0.5", 503)["keys"] == 30


@test
def who_drains_is_alive_but_not_ready():
    with Daemon({**WEB, "drain_s": 30, "loader_beat_s": 100}) as d:
        w = Loader(d, ["/l/<x>"])
        c = Client(d.dir)
        c.send("get", "/l/1", {"endpoint": "/l/<x>"})
        job = w.job()
        keep = http.client.HTTPConnection("127.0.0.1", port(d), timeout=DEADLINE_S)
        d.signal(signal.SIGTERM)
        d.wait_log("event=stop")
        keep.request("GET", "/readyz")
        r = keep.getresponse()
        assert r.status == 503 and json.loads(r.read())["status"] == "draining"
        assert fetch(d, "/livez")[0] == 200 and value(scrape(d), "forecached_draining") == 1
        w.say("value", job[0], b"v")
        assert c.receive()[2]["value"] == b"v"
        c.close()
        assert d.process.wait(30) == 0
        keep.close()
        d.forget()


# -- What is sent badly ----------------------------------------------------------------------------

def raw(d, data=b""):
    s = socket.create_connection(("127.0.0.1", port(d)), 30)
    s.sendall(data)
    return s


def drain(s):
    got = b""
    try:
        while True:
            more = s.recv(65536)
            if not more:
                return got
            got += more
    except OSError:
        return got
    finally:
        s.close()


@test
def garbage_hurts_its_sender_only():
    with Daemon({**WEB, "http_request_bytes": 4096, "http_idle_s": 1, "http_max_connections": 10}) as d:
        for data in (b"\x00" * 5000, b"*3\r\n$3\r\nSET\r\n", b"GET", b"GET / HTTP/9.9\r\n\r\n", b"GET /metrics\r\n\r\n",
                     b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
                     b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20000 + b"\r\n",
                     b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                     b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b"a" * 1000,
                     b"GET /%00%ff%zz?%00=%&&&=&a HTTP/1.1\r\nHost: x\r\n\r\n"):
            try:
                s = raw(d, data)
                s.shutdown(socket.SHUT_WR)
                drain(s)
            except OSError:
                pass
            assert d.ask("health")["status"] == "ready", data[:40]
        until("served again", lambda: fetch(d, "/livez")[0] == 200)
        for status, data in ((b"414", b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"),
                             (b"431", b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 1000 + b"\r\n")):
            assert drain(raw(d, data)).startswith(b"HTTP/1.1 " + status), status


@test
def many_requests_in_one_go_are_answered_one_by_one():
    with Daemon(WEB) as d:
        s = raw(d, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" * 200 + b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert drain(s).count(b'{"status":"alive"') == 201


@test
def who_is_slow_or_silent_is_sent_away():
    with Daemon({**WEB, "http_idle_s": 1, "http_max_connections": 4}) as d:
        silent = [raw(d) for _ in range(3)]
        slow = raw(d, b"GET /livez HTTP/1.1\r\n")

        def closed(s):
            s.setblocking(False)
            try:
                return s.recv(1000) == b""
            except BlockingIOError:
                return False
            except OSError:
                return True
        until("the silent are closed", lambda: all(closed(s) for s in silent))

        def drip():
            try:
                slow.send(b"X: y\r\n")
            except OSError:
                pass
            return closed(slow)
        until("the slow one is closed", drip)
        assert fetch(d, "/livez")[0] == 200


@test
def more_than_may_be_wait_and_are_served_when_others_go():
    with Daemon({**WEB, "http_idle_s": 60, "http_max_connections": 4}) as d:
        crowd = [raw(d) for _ in range(10)]
        for s in crowd:
            s.send(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        for s in crowd:
            assert s.recv(65536).startswith(b"HTTP/1.1 200"), "the first of them, and the next when one has gone"
            s.close()
        assert fetch(d, "/livez")[0] == 200


def cpu_s(d):
    with open("/proc/%d/stat" % d.process.pid) as f:
        fields = f.read().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@test
def without_descriptors_neither_listener_spins_and_both_recover():
    """No connection is open, and none can be made: the case in which libmicrohttpd by itself would spin."""
    with Daemon({**WEB, "redis": "127.0.0.1:0", "segment_bytes": 1 << 20}) as d:
        assert d.ask("health")["status"] == "ready"
        redis = int(d.wait_log(r"event=redis .*port=(\d+)").group(1))
        used = sorted(map(int, os.listdir("/proc/%d/fd" % d.process.pid)))
        hard = resource.prlimit(d.process.pid, resource.RLIMIT_NOFILE)[1]
        # the lowest number that is free is beyond the limit
        lowest = next(i for i in range(len(used) + 1) if i not in used)
        resource.prlimit(d.process.pid, resource.RLIMIT_NOFILE, (lowest, hard))
        said = b""
        for _ in range(3):
            s = raw(d, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            try:
                said += drain(s)
            except OSError:
                pass  # closed with what it has not read
        d.wait_log("warn event=http_accept .*no descriptor")
        with socket.create_connection(("127.0.0.1", redis)) as s:
            s.settimeout(60)
            assert s.recv(100) == b"-ERR max number of clients reached\r\n"
        d.wait_log("warn event=redis_accept .*no descriptor")
        assert not said or said.startswith(b"HTTP/1.1 503 "), said
        waiting = [raw(d) for _ in range(5)] + [socket.create_connection(("127.0.0.1", redis)) for _ in range(5)]
        begun, before = time.monotonic(), cpu_s(d)
        until("a second", lambda: time.monotonic() > begun + 1)
        share = (cpu_s(d) - before) / (time.monotonic() - begun)
        assert share < 0.5, "spins: %.2f of a CPU" % share
        assert d.ask("health")["status"] == "ready"
        for s in waiting:
            s.close()
        resource.prlimit(d.process.pid, resource.RLIMIT_NOFILE, (lowest + 500, hard))

        def served():
            try:
                return fetch(d, "/livez")[0] == 200
            except (OSError, http.client.HTTPException):
                return False
        until("HTTP is served again", served)

        def pong():
            try:
                with socket.create_connection(("127.0.0.1", redis)) as s:
                    s.settimeout(60)
                    s.send(b"PING\r\n")
                    return s.recv(100) == b"+PONG\r\n"
            except OSError:
                return False
        until("Redis clients are, too", pong)


@test
def who_does_not_read_holds_nobody_up():
    with Daemon({**WEB, "http_rows": 5000, "http_max_connections": 20, "segment_bytes": 16 << 20}) as d:
        for i in range(5000):
            d.client.send("set", "/big/%05d/" % i + "k" * 300, b"v")
        for i in range(5000):
            assert d.client.receive()[1] == 0
        stuck = [raw(d, b"GET /api/v1/ttls?max=5000 HTTP/1.1\r\nHost: x\r\n\r\n" * 3) for _ in range(15)]
        until("they are all being answered", lambda: value(scrape(d), "forecached_http_connections") >= 15)
        for i in range(200):
            assert d.ask("get", "/big/%05d/" % i + "k" * 300)["outcome"] == "hit"
        assert len(ask(d, "/api/v1/ttls?max=5000")) == 5000
        for s in stuck:
            s.close()
        until("they are gone", lambda: value(scrape(d), "forecached_http_connections") <= 2)


@test
def who_takes_an_answer_a_byte_now_and_then_is_sent_away():
    with Daemon({**WEB, "http_rows": 5000, "http_idle_s": 1, "segment_bytes": 16 << 20}) as d:
        for i in range(5000):
            d.client.send("set", "/big/%05d/" % i + "k" * 300, b"v")
        for i in range(5000):
            assert d.client.receive()[1] == 0
        s = raw(d, b"GET /api/v1/ttls?max=5000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        whole, got = len(fetch(d, "/api/v1/ttls?max=5000")[2]), [0]
        s.setblocking(False)

        def gone():
            try:
                more = s.recv(2048)
            except BlockingIOError:
                return False
            except OSError:
                return True
            got[0] += len(more)
            return not more
        until("it is closed", gone)
        s.close()
        assert got[0] < whole, "all of it was taken"


# -- Where it listens ------------------------------------------------------------------------------

@test
def it_listens_beyond_this_host_only_when_told_so():
    with Daemon({"http": "0.0.0.0:0"}, start=False) as d:
        code, log = d.run()
        assert code == 78 and "http_open" in log, (code, log)
        d.write_config({**d.config, "http_open": "on"})
        d.start()
        assert fetch(d, "/livez")[0] == 200
    for wrong in ("localhost:1", "127.0.0.1", "127.0.0.1:99999", ":1", "x"):
        with Daemon({"http": wrong}, start=False) as d:
            code, log = d.run()
            assert code == 78 and "http" in log and "127.0.0.1:6391" in log, (wrong, code, log)


@test
def a_port_that_was_asked_for_must_be_free():
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen(1)
    with Daemon({"http": "127.0.0.1:%d" % taken.getsockname()[1]}, start=False) as d:
        code, log = d.run()
        assert code == 75 and "in use" in log and "--http" in log, (code, log)
    taken.close()
    with Daemon({"http": "off"}) as d:
        assert "event=http" not in d.log()


if __name__ == "__main__":
    main()
