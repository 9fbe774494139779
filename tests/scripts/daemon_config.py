#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration: what is refused and how it is said, what is shown, and reloading it."""
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fcd import PROGRAM, Daemon, main, test, until, write_ics


def check(text, *args, **more):
    """Exit code and everything that --check-config says about this text."""
    if not isinstance(text, str):
        text = json.dumps(text)
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as f:
        f.write(text)
        f.flush()
        p = subprocess.run([PROGRAM, "--config", f.name, *(args or ["--check-config"])], stdin=subprocess.DEVNULL,
                           capture_output=True, text=True, timeout=60, **more)
    return p.returncode, p.stdout + p.stderr


def refused(text, *words):
    code, said = check(text)
    assert code == 78, (text, code, said)
    for w in words:
        assert w in said, (text, w, said)


API = {"origins": {"api": {"url": "http://127.0.0.1:1"}}}


@test
def what_is_wrong_with_an_origin_but_no_field_of_it_is_told_as_it_is():
    """Which number of descriptors is just too few for it differs; with fewer the program does not even begin."""
    for n in range(3, 16):
        few = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (n, n))
        code, said = check(API, preexec_fn=few)
        if "no descriptor for" in said:
            assert ": origins.api: no descriptor for the origin: " in said, said


@test
def a_configuration_with_everything_is_right():
    code, said = check("""
    // what the operator states
    { "zone": "America/New_York", "segment_bytes": "64MiB", /* half
       of it */ "flush_s": "2s", "max_stale": 0.02,
      "policy": { "max_age": "12h", "ttl": "learn" },
      "limits": { "max_keys": 5000, "max_value_bytes": "1MiB" },
      "messages": { "max_events": 500 },
      "origins": { "api": { "url": "http://127.0.0.1:8080/", "rate": 10, "timeout": "2s", "max_body_bytes": "1MiB",
                            "headers": { "Authorization": { "env": "HOME" }, "X-Text": "// not a comment" } } },
      "endpoints": [ { "match": "/quotes/<symbol>", "origin": "api", "url": "/v1/{symbol}", "class": "live",
                       "zone": "Asia/Tokyo", "max_stale": 0.005, "vary": ["Accept-Language"], "ignore": ["/ts"] },
                     { "match": "*", "origin": "none", "ttl": "advise" } ],
      "schedules": [ { "name": "bell", "rrule": "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR;BYHOUR=9;BYMINUTE=30",
                       "tz": "America/New_York", "patterns": ["/quotes/<symbol>"], "lead": "10m" } ] }""")
    assert code == 0, said


@test
def an_unknown_key_is_named_and_the_near_one_suggested():
    refused({"segment_byte": 1}, "segment_byte:", "segment_bytes")
    refused({"policy": {"max_stail": 1}}, "policy.max_stail", "max_stale")
    refused({"origins": {"api": {"url": "http://a", "rat": 1}}}, "origins.api.rat", '"rate"')
    refused({"endpoints": [{"match": "*", "colour": 1}]}, "endpoints[0].colour")
    refused({"schedules": [{"nam": "x"}]}, "schedules[0].nam", "name")
    refused({"xyzzy": 1}, "xyzzy", "forecached.conf(5)")
    refused({"max_keys": 10}, ": max_keys:", '"limits"')
    refused({"max_events": 10}, ": max_events:", '"messages"')


@test
def a_value_out_of_range_is_told_its_limits_and_unit():
    refused({"max_stale": 0.6}, ": max_stale:", "0.6", "0.5", "share of requests")
    refused({"policy": {"max_stale": 0.6}}, ": policy.max_stale:")
    refused({"holdout": 2}, ": holdout: 2 is out of range")
    refused({"policy": {"max_age": "2h", "min_ttl": "3h"}}, ": policy.min_ttl:", "max_age")
    refused({"policy": {"max_age": "2h"}, "min_ttl": "3h"}, ": min_ttl:", "max_age")
    refused({"max_age": "2h", "min_ttl": "3h"}, ": min_ttl:", "max_age")
    refused({"holdout": 0.1, "policy": {"holdout": 0.1}}, ": policy.holdout: is given at the top as well")
    refused({"segment_bytes": 1000}, "segment_bytes", "256KiB", "64GiB", "bytes")
    refused({"workers": 0}, "workers", "threads")
    refused('{"workers": 1e999}', "workers")
    refused({"limits": {"max_keys": 1}}, "limits.max_keys", "16")
    refused({"flush_s": "11s"}, "flush_s", "10")
    refused({"flush_s": "soon"}, "flush_s", "30s")
    refused({"flush_s": "nan"}, "flush_s")
    refused({"segment_bytes": "lots"}, "segment_bytes", "MiB")
    refused({"workers": "2"}, "workers", "number")
    refused({"segment_mode": "0777"}, "segment_mode", "0600 0640")
    refused({"log_level": "loud"}, "log_level", "debug")
    refused({"policy": {"ttl": "guess"}}, "policy.ttl", "advise")
    refused({"limits": {"max_value_bytes": "80MiB"}}, "max_frame_bytes", "max_value_bytes")
    refused({"messages": {"max_frame_bytes": "16MiB"}}, "max_frame_bytes", "max_value_bytes")
    refused({"input_queue_bytes": "80MiB"}, "input_queue_bytes", "max_frame_bytes")
    refused({"reply_queue_bytes": "80MiB"}, "reply_queue_bytes", "max_frame_bytes")
    refused({"large_value_bytes": 1000}, "large_value_bytes", "64KiB")
    refused({"messages": {"max_value_bytes": 100}}, "limits")


@test
def what_is_not_a_configuration_is_refused():
    refused("{ \"workers\": 2,\n \"flush_s\" 3 }", "line 2")
    refused("{} trailing", "line 1")
    refused("{ /* for ever", "comment")
    refused("[1]", "object")
    refused("{\"workers\": 2, \"workers\": 3}", "workers", "twice")
    refused("{\"workers\": 2}\0", "NUL")
    refused("[" * 100 + "]" * 100, "deep")
    refused("{\"x\": \"" + "y" * (1 << 20) + "\"}", "longer")
    code, said = check("{}", "--check-config", "--config", "/does/not/exist")
    assert code == 78 and "No such file" in said, said


@test
def a_file_that_says_nothing_is_right():
    for text in ("", "\n \t\r\n", "// nothing yet\n/* and nothing here */\n", "{}"):
        assert check(text)[0] == 0, (text, check(text))
    refused("// nothing\n x", "line 2")


@test
def names_that_do_not_exist_are_refused():
    refused({"zone": "Mars/Olympus"}, "zone:", "Mars/Olympus", "IANA")
    refused({"endpoints": [{"match": "*", "zone": "../etc/passwd"}]}, "endpoints[0].zone")
    refused({"endpoints": [{"match": "*", "calendar": "XXXX"}]}, ": endpoints[0].calendar:", "no calendar 'XXXX'")
    both = {"match": "*", "zone": "Mars/Olympus", "calendar": "XNYS"}
    refused({"endpoints": [both]}, ": endpoints[0].zone:", "IANA")
    for conf, key in (({"calendar": "NOPE"}, "calendar"), ({"zone": "Asia/Tokyo", "calendar": "NOPE"}, "calendar"),
                      ({"endpoints": [dict(both, zone="Asia/Tokyo", calendar="NOPE")]}, "endpoints[0].calendar"),
                      ({"schedules": [{"name": "s", "rrule": "hourly", "patterns": ["*"], "calendar": "NOPE"}]},
                       "schedules[0].calendar")):
        refused(conf, ": " + key + ": no calendar 'NOPE'")
        assert "IANA" not in check(conf)[1], conf
    refused({"endpoints": [{"match": "*", "origin": "api"}]}, "endpoints[0].origin", "origins")
    refused({"origin": "api"}, "origin", "origins")
    refused({"origins": {"db": {}}, "endpoints": [{"match": "*", "origin": "db", "url": "/x"}]}, "endpoints[0].url")
    refused({"origins": {"api": {"url": "ftp://x"}}}, "origins.api.url", "http://")
    refused({"origins": {"api": {"url": "https://a", "ca_file": "/does/not/exist"}}},
            ": origins.api.ca_file: /does/not/exist: No such file")
    refused({"origins": {"api": {"url": "http://a", "headers": {"A": {"file": "/does/not/exist"}}}}},
            ": origins.api.headers.A: /does/not/exist: No such file")
    refused({"origins": {"api": {"url": "http://a", "headers": {"A": {"env": "FCD_TEST_UNSET"}}}}},
            ": origins.api.headers.A: $FCD_TEST_UNSET is not set")
    refused({"origins": {"api": {"url": "http://a", "headers": {"if-match": "x"}}}}, ": origins.api.headers.if-match: is set by")
    refused({"origins": {"api": {"url": "http://a", "headers": {"A b": "x"}}}}, "origins.api.headers.A b")
    refused({"origins": {"api": {"url": "http://a", "headers": {"A": "x\r\nB: y"}}}}, "origins.api.headers.A")


@test
def patterns_that_cannot_match_are_refused():
    for bad in ("", "/a/*/b", "/a/<b", "/a/b>", "/a/x<b>", "/a/<>"):
        refused({"endpoints": [{"match": bad}]}, "endpoints[0].match")
    refused({"endpoints": [{"match": "/a"}, {"match": "/a"}]}, "endpoints[1]", "endpoints[0]")
    refused({"endpoints": [{"ttl": "learn"}]}, "endpoints[0].match", "missing")
    refused({**API, "endpoints": [{"match": "/a/<b>", "origin": "api", "url": "/x/{c}"}]}, ": endpoints[0].url:", "/x/{c}")
    for origin in ({"origin": "api"}, {}):
        rule = {"match": "/a", **origin}
        refused({**API, "endpoints": [dict(rule, ignore=["/ok", "meta"])]}, ": endpoints[0].ignore[1]: \"meta\":", "'/'")
        refused({**API, "endpoints": [dict(rule, ignore=["/%d" % i for i in range(33)])]}, ": endpoints[0].ignore:", "32")
    refused({"endpoints": [{"match": "/a", "url": "/x"}]}, "endpoints[0].url", "origin")


@test
def rules_that_are_no_rules_are_refused():
    def rule(**k):
        return {"schedules": [{"name": "s", "rrule": "FREQ=DAILY", "patterns": ["*"], **k}]}

    assert check(rule())[0] == 0
    assert check(rule(rrule="FREQ=WEEKLY;BYDAY=MO"))[0] == 0  # no UNTIL, no COUNT: for ever
    refused(rule(rrule="BYDAY=MO"), "schedules[0].rrule", "FREQ")
    refused(rule(rrule="hourly", patterns=["/ok", "/a/*/b"]), "schedules[0].patterns[1]", "")
    refused(rule(rrule="hourly", patterns=[""]), "schedules[0].patterns[0]", "")
    refused({"x" * 150: 1}, "x" * 150, "lists all keys")
    refused(rule(rrule="FREQ=SECONDLY"), "schedules[0].rrule", "SECONDLY")
    refused(rule(rrule="FREQ=MINUTELY"), "schedules[0].rrule", "MINUTELY")
    refused(rule(rrule="FREQ=DAILY;COUNT=3"), "COUNT", "start")
    refused(rule(rrule=""), "schedules[0]", "rrule")
    refused(rule(tz="Nowhere"), "schedules[0].tz", "Nowhere")
    refused(rule(start="yesterday"), ": schedules[0].start:", "2026-11-23T09:30")
    refused(rule(lead="23h", rrule="hourly"), ": schedules[0].lead: 82800 s is longer")
    # a start only warns of these: single times are over some day
    for never in ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "at 2020-01-01T00:00"):
        refused(rule(rrule=never), ": schedules[0].rrule: gives no instant", "remove")
        assert check(rule(rrule=never), "--show-config")[0] == 0
    refused(rule(patterns=[]), "patterns")
    refused(rule(lead="2d"), "schedules[0].lead", "1d")
    refused({"schedules": [{"name": "s", "rrule": "FREQ=DAILY", "patterns": ["/%d" % i for i in range(65)]}]}, "64")


@test
def a_password_that_is_none_is_refused():
    with tempfile.NamedTemporaryFile("w") as f:
        refused({"redis_password_file": f.name}, ": redis_password_file:", "first line is empty")
        refused({"redis_password_file": f.name + ".gone"}, ": redis_password_file:", "No such file")
        refused({"redis_password_file": os.path.dirname(f.name)}, ": redis_password_file:", "is a directory")
        assert check({"redis_password_file": f.name, "redis": "off", "redis_socket": "off"})[0] == 0
        f.write("\r\nsecond")
        f.flush()
        refused({"redis_password_file": f.name}, "first line is empty")
        f.seek(0)
        f.write("secret")
        f.flush()
        assert check({"redis_password_file": f.name})[0] == 0


@test
def tcp_is_refused():
    for name in ("events", "requests", "loaders", "notices"):
        refused({name: "tcp://127.0.0.1:5555"}, name + ":", "tcp://", "CURVE")
    refused({"events": "inproc://x"}, "events", "ipc://")


@test
def usage_errors_exit_with_2():
    for args in (["--frobnicate"], ["--time-scale", "0"], ["--time-scale", "x"], ["--time-start", "noon"],
                 ["--log-level", "loud"], ["--seed", "-1"], ["word"]):
        p = subprocess.run([PROGRAM, *args], capture_output=True, text=True, timeout=60)
        assert p.returncode == 2, (args, p)
    p = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, timeout=60)
    assert p.returncode == 0 and p.stdout.startswith("forecached "), p


@test
def what_is_shown_has_units_and_origins_and_no_secrets():
    conf = {**API, "max_stale": 0.02, "segment_bytes": "8MiB", "endpoints": [{"match": "/a", "min_ttl": 5}]}
    conf["origins"] = {"api": {"url": "http://h", "headers": {"Authorization": "s3cret", "B": {"env": "HOME"}}}}
    code, said = check(conf, "--show-config", "--dir", "/tmp/x")
    assert code == 0, said
    assert "s3cret" not in said and os.environ["HOME"] + "\n" not in said
    assert re.search(r"^segment_bytes = 8388608 \(8MiB\) bytes  # .*\.conf$", said, re.M), said
    assert re.search(r"^workers = 2 threads  # default$", said, re.M), said
    assert re.search(r'^dir = "/tmp/x"  # --dir$', said, re.M), said
    for env, shown in (({"FORECACHED_DIR": "/a"}, '"/a"  # $FORECACHED_DIR'),
                       ({"XDG_RUNTIME_DIR": "/b"}, '"/b/forecached"  # $XDG_RUNTIME_DIR'), ({}, '"/run/forecached"  # default')):
        p = subprocess.run([PROGRAM, "--show-config"], env=env, capture_output=True, text=True, timeout=60)
        assert "\ndir = " + shown + "\n" in "\n" + p.stdout, (env, p)
    assert re.search(r"^endpoints\[0\]\.min_ttl = 5 s  # .*\.conf$", said, re.M), said
    assert re.search(r"^endpoints\[0\]\.max_stale = 0\.02 .*  # policy$", said, re.M), said
    assert re.search(r"^origins\.api\.headers\.Authorization = \(text\)", said, re.M), said
    assert re.search(r"^origins\.api\.headers\.B = \(env HOME\)", said, re.M), said


@test
def a_reload_takes_what_is_right_and_keeps_the_old_where_it_is_wrong():
    with Daemon({"endpoints": [{"match": "/q/<s>", "ttl": "obey"}]}) as d:
        d.ask("set", "/q/1", b"v", {"ttl_s": 60})
        assert d.ask("why", "/q/1")["mode"] == "obey"
        d.write_config({**d.config, "endpoints": [{"match": "/q/<s>", "ttl": "advise"}], "workers": 7,
                        "limits": {"max_key_bytes": 2048, "max_keys": 5000}})
        d.signal(signal.SIGHUP)
        d.wait_log(r"event=reload ok=1")
        d.wait_log(r'event=reload_needs_restart kept="workers,? limits.max_key_bytes"')
        assert d.ask("why", "/q/1")["mode"] == "advise" and d.ask("hello")["max_key_bytes"] == 1024
        for wrong, why in (({**d.config, "max_stale": 7}, "key=max_stale"), ("{", "line 1"),
                           ({**d.config, "zone": "Nowhere"}, "zone")):
            d.write_config(wrong)
            seen = d.log().count("ok=0")
            d.signal(signal.SIGHUP)
            until("refusal", lambda: d.log().count("ok=0") > seen)
            assert why in d.log().splitlines()[-1], d.log()
            assert d.ask("why", "/q/1")["mode"] == "advise"
        assert d.ask("get", "/q/1")["value"] == b"v"


@test
def a_storm_of_reloads_is_survived():
    with Daemon({**API, "endpoints": [{"match": "/q/<s>", "origin": "api"}]}) as d:
        for i in range(60):
            names = ["a", "b", "c"][: i % 4]
            conf = {**d.config, "origins": {n: {"url": "http://127.0.0.1:1"} for n in names},
                    "endpoints": [{"match": "/%s/<s>" % n, "origin": n} for n in names]}
            d.write_config(conf if i % 5 else "{")
            d.signal(signal.SIGHUP)
            d.ask("set", "/q/%d" % i, b"v", {"ttl_s": 60})
        until("a reload", lambda: d.ask("stats")["daemon"]["reloads"] >= 1)
        assert d.ask("get", "/q/59")["value"] == b"v"


@test
def a_pattern_that_matches_nothing_is_warned_of():
    conf = {"endpoints": [{"match": "/used/<s>"}, {"match": "/qoutes/<s>"}], "unmatched_after": 3600}
    with Daemon(conf, args=["--time-scale", "3000"]) as d:
        d.ask("set", "/used/1", b"v", {"ttl_s": 60})
        d.wait_log(r"event=pattern_unmatched key=endpoints\[1\]\.match pattern=/qoutes/<s>")
        assert "endpoints[0].match" not in d.log()


@test
def the_examples_of_the_manual_are_right():
    path = os.path.join(os.environ.get("top_srcdir", os.path.dirname(os.path.abspath(__file__)) + "/../.."),
                        "docs/configuration.md")
    with open(path) as f:
        text = f.read()
    blocks = re.findall(r"(?:^    .*\n)+", text, re.M)
    origins = {"api": {"url": "http://127.0.0.1:8080"}, "db": {}}
    tried = 0
    for b in blocks:
        if not b.lstrip().startswith("{"):
            continue
        conf = json.loads(b)
        if "origins" in conf:
            conf["origins"]["api"]["headers"].pop("Authorization")  # its file is not here
        else:
            conf["origins"] = origins
        os.environ["FORECACHED_CALENDARS"] = os.path.join(os.path.dirname(path), "../models/calendars")
        code, said = check(conf)
        assert code == 0, (b, said)
        tried += 1
    assert tried == 7, tried


@test
def a_calendar_that_ends_soon_is_warned_of():
    with tempfile.TemporaryDirectory() as t:
        ics = os.path.join(t, "own.ics")
        write_ics(ics, "20261225")
        with Daemon({"calendar": ics, "http": "127.0.0.1:0"}, start=False) as d:
            for start, words in (("2026-10-25", None), ("2026-10-28", "ends in 59 days"), ("2026-12-25", "ends in 1 days"),
                                 ("2026-12-26", "ends in 0 days"), ("2027-01-05", "ended 10 days ago")):
                d.args = ["--time-start", start + "T00:00:00Z", "--check-config"]
                code, log = d.run()
                assert code == 0 and ": ok" in log, log
                assert (words in log and ics in log) if words else "warning" not in log, (start, log)
            d.args = ["--time-start", "2026-12-20T00:00:00Z"]
            d.start()
            d.wait_log("warn event=calendar why=.*ends in 6 days")


if __name__ == "__main__":
    main()
