#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""forecache against a daemon of its own making: what it asks, and how it shows answers, good and bad.

The answers here are written from the protocol's description, not by the daemon's code, so that the two
sides of the protocol are tested against each other through it.
"""
import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading

import msgpack
import zmq

FORECACHE = os.path.join(os.environ.get("top_builddir", "."), "cli", "forecache")
NOW = 1764000000.0
EST = {"mean": 3 / 3600, "sd": 0.6 / 3600, "n": 120}

TTL_ROW = {
    "endpoint": "/quotes/<symbol>", "key": "/quotes/IBM", "ttl_s": 42.5, "age_s": 12.25, "change_rate_per_s": EST,
    "request_rate_per_s": 0.2, "load_ms": 180.0, "stale_share": 0.004, "hit_ratio": 0.93, "requests": 1000,
    "loads": 71, "mode": "learn", "reason": "planned",
}
WHY = dict(TTL_ROW, is_endpoint=False, resident=True, change_rate_mean={"mean": 1.25 / 3600, "sd": 0.25 / 3600, "n": 120},
           shape_now=2.4, last_changed=NOW - 843, last_load=NOW - 12.25, pool_mean=2 / 3600, pool_n=17.0,
           request_rate={"mean": 0.2, "sd": 0.05, "n": 300}, demand_shape_now=1.3, forecast_mase=0.81,
           soft=NOW + 30.25, hard=NOW + 86000, refresh_ahead=True, price=35.0, load_cost=2.25, p_stale_at_end=0.032,
           activity=0.125, ttl_at_half_price_s=60.0, ttl_at_double_price_s=29.0, objective=0.01, measured=0.0072, measured_sd=0.001,
           audits=1600, audits_stale=12, origin_rate_used=1.2, origin_rate_limit=50.0, paused="learning is paused",
           seen_same=900, seen_changed=300, told=20, announced=2, last_modified="not believed",
           hint="the field /now alone changes at each look", last_error="timeout after 10 s")
# The same of a key that nothing is known of yet: most fields are nil.
WHY_NEW = {"endpoint": "/new", "key": "/new", "ttl_s": 60.0, "mode": "learn", "reason": "static", "requests": 1,
           "is_endpoint": False, "resident": False, "change_rate_mean": {"mean": 0.0, "sd": None, "n": 0},
           "objective": 0.01, "audits": 0}
# Of a key whose app keeps its own TTL, and of an endpoint: what holds for a key in mode learn is not said.
WHY_ADVISE = dict(WHY, key="/advise", mode="advise", reason="static", ttl_s=60.0)
WHY_ENDPOINT = dict(WHY, key=None, endpoint="/q/<s>", is_endpoint=True, ttl_at_half_price_s=0.0, ttl_at_double_price_s=0.0,
                    last_changed=None)
HELLO = {"server": "forecached", "version": "0.1.0", "protocol": 1, "time_s": NOW, "time_scale": 1.0}
FORECAST = [{"time_s": NOW + 900 * i, "per_s": 5 + 4 * (i % 24) / 24, "lo80": 3 + 3 * (i % 24) / 24,
             "hi80": 9 + 6 * (i % 24) / 24, "volatility": 0.5 + (i % 24) / 24} for i in range(96)]
HISTORY = [{"time_s": NOW, "ttl_s": 42.5, "change_rate_per_s": 3 / 3600, "stale_share": None, "hit_ratio": 0.93},
           {"time_s": NOW + 600, "ttl_s": 30.25, "change_rate_per_s": 4.5 / 3600, "stale_share": 0.004, "hit_ratio": 0.9}]
SCHEDULES = [{"name": "open", "rrule": "weekdays 09:30", "tz": "America/New_York", "calendar": "XNYS", "start": None,
              "patterns": "/quotes/<symbol>", "lead_s": 600.0, "max_keys": 100, "next_s": 1764081000.0}]
RECORDS = [{"kind": "endpoint", "name": "/q/<s>", "fields": {"a": [0.1, 1e300, -3], "none": []}},
           {"kind": "key", "name": b"/q/\xff\x00", "endpoint": "/q/<s>", "fields": {"rate": [0.25, 4.0]}},
           *({"kind": "key", "name": f"/q/{i}", "endpoint": "/q/<s>", "fields": {"rate": [i / 7]}} for i in range(500))]
OK = {"count": 1}


def answers(op, args):
    """(status, result) for a request."""
    name = args[0] if args and isinstance(args[0], str) else ""
    if name == "absent":
        return 3, ["not_found", "no such key or endpoint"]
    if op == "get":
        value = {"/binary": b"\x00\xff\x01", "/empty": b""}.get(name, b'{"bid": 170.1}')
        if name == "/miss":
            return 0, {"outcome": "miss", "endpoint": "/miss", "version": 0}
        return 0, {"outcome": "hit", "value": value, "endpoint": "/q", "version": 2**63 + 1, "age_s": 1.5, "ttl_s": 8.5}
    if op == "why" and name == "/new":
        return 0, WHY_NEW
    if op == "why" and name in ("/advise", "/q/<s>"):
        return 0, WHY_ADVISE if name == "/advise" else WHY_ENDPOINT
    if op == "why" and name == "/failed":
        return 0, dict(WHY, key="/failed", reason="negative", resident=False, ttl_s=0.748, ttl_at_half_price_s=60.0, ttl_at_double_price_s=60.0)
    if op == "why" and name == "/lost":
        return 0, "why not"
    if op == "export":
        page = RECORDS[args[0].get("offset", 0):][:args[0]["max"]]
        return 0, {"total": len(RECORDS), "records": page}
    if op == "import":
        return 0, {"count": len(args[0])}
    if "nosuch" in repr(args):
        return 3, ["not_found", "no such key, endpoint or schedule"]
    if op == "set" and name == "/refused":
        return 1, ["bad_request", "set: ttl_s: must be a number"]
    if op == "ttls" and "/wide" in repr(args):
        return 0, [dict(TTL_ROW, key="/" + "x" * 1000), TTL_ROW]
    if op == "ttls" and "/unasked" in repr(args):
        return 0, []
    if op == "prewarm":
        return 0, {"count": 2, "keys": ["/quotes/IBM", "/quotes/SAP"]}
    if op == "purge":
        return 0, {"count": 3 if (args[1:] and args[1].get("what") != "key") else 0}
    if op in ("ttls", "endpoints") and args and args[0].get("endpoint") == "/hostile":
        return 0, [dict(TTL_ROW, key=b"/a\x1b[31m\xffred", reason="\x9b2J")]
    row = dict(TTL_ROW)
    if op == "endpoints":
        del row["key"], row["age_s"]
        row.update(stale_share=None)
    return {
        "hello": (0, HELLO), "ttls": (0, [row, row]), "endpoints": (0, [row]), "why": (0, WHY),
        "forecast": (0, FORECAST), "history": (0, [] if name == "/young" else HISTORY), "ttl": (0, {"endpoint": "/q", "ttl_s": 42.5, "reason": "planned"}),
        "stats": (0, {"requests": 10, "hits": 8, "loads": {"demand": 2, "refresh": 1}, "store": {"used_bytes": 1536},
                      "boot_id": 2**64 - 1, "learned": {"stale_share": 0.01}}),
        "schedule.list": (0, SCHEDULES), "schedule.next": (0, [{"name": "open", "time_s": 1764081000.0}]),
        "schedule.report": (0, [{"name": "open", "time_s": 1764081000.0, "wanted": 100, "warm": 97, "left": 2}]),
    }.get(op, (0, OK))


class Daemon:
    """Answers until told to stop, and keeps what it was asked."""

    def __init__(self, directory):
        self.asked = []
        self.context = zmq.Context()
        self.requests = self.context.socket(zmq.ROUTER)
        self.requests.bind(f"ipc://{directory}/requests")
        self.notices = self.context.socket(zmq.XPUB)
        self.notices.bind(f"ipc://{directory}/notices")
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        poller = zmq.Poller()
        poller.register(self.requests, zmq.POLLIN)
        poller.register(self.notices, zmq.POLLIN)
        while not self.stop.is_set():
            for socket, _ in poller.poll(50):
                (self.answer if socket is self.requests else self.publish)()

    def answer(self):
        *envelope, frame = self.requests.recv_multipart()
        number, op, *args = msgpack.unpackb(frame, raw=False)
        self.asked.append((op, args))
        if args and args[0] == "/silent":
            return
        if args and args[0] == "/garbage":
            reply = b"\xdd\xff\xff\xff\xff"
        elif args and args[0] == "/late":  # the answer to an older question, then the right one
            self.requests.send_multipart([*envelope, msgpack.packb([number + 1000, 0, None])])
            reply = msgpack.packb([number, *answers(op, [])])
        else:
            reply = msgpack.packb([number, *answers(op, args)])
        self.requests.send_multipart([*envelope, reply])

    def publish(self):
        """A subscriber has come: three notices, of which the second is lost."""
        if self.notices.recv()[:1] != b"\x01":
            return
        for seq, what in ((1, "changed"), (3, "peak")):
            body = {"seq": seq, "time_s": NOW, "what": what, "endpoint": "/quotes/<symbol>", "key": "/quotes/IBM"}
            if what == "peak":
                body.update(name="open", wanted=100, warm=97, left=2)
            self.notices.send_multipart([f"{what}:/quotes/<symbol>".encode(), msgpack.packb(body)])

    def close(self):
        self.stop.set()
        self.thread.join()
        self.context.destroy(linger=0)


def forecache(*args, stdin=None, env=None):
    e = dict(os.environ, TZ="UTC", **(env or {}))
    e.setdefault("FORECACHED_DIR", DIRECTORY)
    return subprocess.run([FORECACHE, *args], capture_output=True, input=stdin, timeout=30, env=e)


def on_terminal(*args):
    """What it writes to standard error when that is a terminal."""
    ours, theirs = pty.openpty()
    p = subprocess.Popen([FORECACHE, *args], stdout=subprocess.DEVNULL, stderr=theirs, env=dict(os.environ, FORECACHED_DIR=DIRECTORY))
    os.close(theirs)
    said = b""
    try:
        while True:
            got = os.read(ours, 4096)
            said += got
            if not got:
                break
    except OSError:  # the terminal has no other end any more
        pass
    os.close(ours)
    p.wait(timeout=30)
    return said


count = failed = 0


def check(name, ok, run=None, why=""):
    global count, failed
    count += 1
    if not ok:
        failed += 1
        print(f"# {why}")
        if run is not None:
            print(f"# exit {run.returncode}")
            for line in (run.stdout[:3000] + run.stderr[:1000]).decode(errors="replace").splitlines():
                print(f"#   {line}")
    print(f"{'ok' if ok else 'not ok'} {count} - {name}", flush=True)


def last_asked(op):
    return next((args for o, args in reversed(daemon.asked) if o == op), None)


def main():
    commands = forecache("help", "--words").stdout.decode().split()
    check("help --words lists the commands", {"why", "ttls", "watch", "schedule", "help"} <= set(commands), why=commands)
    bad = [c for c in commands if b"forecache " + c.encode() not in forecache(c, "--help").stdout
           or not forecache(c, "--help").stdout.startswith(b"Examples") or forecache(c, "-h").returncode]
    check("each command has a help with examples first", not bad, why=bad)

    # -- Usage
    for args, hint in ((["hwy"], b'"why"'), (["tlls"], b'"ttls"'), (["why"], b"KEY|ENDPOINT"), (["why", "a", "b"], b'"b"'),
                       (["ttls", "--limt", "3"], b"--limit"), (["ttls", "--limit", "x"], b"whole number"),
                       (["ttls", "--limit", "0"], b"1 .. "), (["ttls", "--limit"], b"needs a value"),
                       (["pause", "prefetc"], b"prefetch"), (["pause", "all", "--for", "1x"], b"1.5h"),
                       (["schedule", "ad"], b'"add"'), (["schedule", "add", "open", "daily 09:30"], b"--pattern"),
                       (["get", "/a", "--peek=1"], b"takes no value"), (["--jsn"], b"--json"), ([], b"help"),
                       (["purge"], b"--all"), (["forecast", "/q", "--for", "7d", "--step", "1m"], b"columns"),
                       (["set", "", "v"], b"argument 1 is empty"), (["get", ""], b"argument 1"), (["del", "/a", ""], b"argument 2"),
                       (["ttls", ""], b"is empty"), (["ttls", "--history"], b"one endpoint"), (["set", "/a", "v", "--ttl", "9000d"], b"0.001 .. 31536000 seconds"),
                       (["schedule", "add", "a", "daily 09:30", "-p", "/q", "--max-keys", "5000000000"], b"1 .. 4294967295"),
                       (["monitor", "bogus"], b"changed, peak, endpoint, jump, refused, reload, stop"),
                       (["monitor", "chnged:/q"], b"did you mean changed?"), (["monitor", ":/q"], b"is not one of")):
        run = forecache(*args)
        check(f"usage: {' '.join(args) or 'no command'}",
              run.returncode == 2 and hint in run.stderr and not run.stdout, run, hint)

    # -- Nobody there
    with tempfile.TemporaryDirectory() as empty:
        run = forecache("stats", env={"FORECACHED_DIR": empty})
        check("an unreachable daemon is status 69 and names the socket",
              run.returncode == 69 and f"{empty}/requests".encode() in run.stderr and b"forecached" in run.stderr, run)
        run = forecache("--dir", empty + "/nowhere", "stats")
        check("--dir goes before $FORECACHED_DIR", run.returncode == 69 and b"/nowhere/requests" in run.stderr, run)
        run = forecache("monitor", "--dir", empty)
        check("monitor, too", run.returncode == 69 and b"/notices" in run.stderr, run)
        run = forecache("stats", "--dir", empty + "/x" * 80)
        check("a path that no socket can have is said to be too long", run.returncode == 69 and b"107" in run.stderr, run)
    run = forecache("stats", env={"FORECACHED_DIR": "", "XDG_RUNTIME_DIR": DIRECTORY + "/none"})
    check("an empty $FORECACHED_DIR names no directory", b"the directory is from" not in run.stderr, run)

    # -- Somebody there who says nothing
    run = forecache("get", "/silent", "--timeout", "200ms")
    check("no answer in time is status 69", run.returncode == 69 and b"0.2 s" in run.stderr, run)
    check("and of a daemon that answers other questions it is said", b"does answer other" in run.stderr and b"no daemon" not in run.stderr, run)
    with tempfile.TemporaryDirectory() as d, socket.socket(socket.AF_UNIX) as silent:
        silent.bind(f"{d}/requests")
        silent.listen(20)
        for command in ("stats", "get"):
            run = forecache(command, *(["/q"] if command == "get" else []), "--dir", d, "--timeout", "200ms")
            check(f"a daemon that hangs is said to run, and which process it is: {command}",
                  run.returncode == 69 and b"(process %d), but does not answer" % os.getpid() in run.stderr and
                  b"no daemon" not in run.stderr and b"start a daemon" not in run.stderr, run)
        kept = []
        try:
            while True:
                s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
                kept.append(s)
                s.connect(f"{d}/requests")
        except BlockingIOError:
            pass
        run = forecache("stats", "--dir", d, "--timeout", "200ms")
        check("so it is when its queue of connections is full", run.returncode == 69 and b"does not answer" in run.stderr, run)
        for s in kept:
            s.close()
    err = on_terminal("get", "/silent", "--timeout", "3s")
    check("who looks at a terminal is told after two seconds that it waits", b"no answer yet" in err and b"another 1 s" in err, why=err)

    # -- JSON
    for args in (["ttls"], ["endpoints"], ["why", "/quotes/IBM"], ["why", "/new"], ["forecast", "/q"], ["ttls", "--history", "/q"], ["stats"], ["get", "/q/1"],
                 ["get", "/binary"], ["get", "/miss"], ["ttl", "/q/1"], ["set", "/q/1", "v"], ["del", "/q/1"], ["changed", "/q/1"],
                 ["schedule", "list"], ["schedule", "next"], ["schedule", "report"], ["prewarm", "/q", "--dry-run"],
                 ["schedule", "add", "open", "weekdays 09:30", "-p", "/q"], ["schedule", "remove", "open"],
                 ["pause", "all", "--for", "1h"], ["resume"], ["purge", "/q"], ["top", "--count", "1"], ["ttls", "/hostile"]):
        run = forecache(*args, "--json")
        try:
            json.loads(run.stdout)
            valid = True
        except ValueError:
            valid = False
        check(f"--json is JSON: {' '.join(args)}", valid and run.returncode == (3 if args[1:] == ["/miss"] else 0), run)
    rows = json.loads(forecache("ttls", "--json").stdout)
    check("ttls --json has the promised fields",
          isinstance(rows, list) and set(TTL_ROW) <= set(rows[0]) and rows[0]["change_rate_per_s"] == EST, why=rows)
    check("numbers beyond 2^53 keep their digits",
          json.loads(forecache("stats", "--json").stdout)["boot_id"] == 2**64 - 1)
    check("a binary value is base64 in JSON",
          json.loads(forecache("get", "/binary", "--json").stdout)["value_base64"] == "AP8B")

    # -- What is shown
    run = forecache("get", "/binary")
    check("get gives the value byte for byte", run.stdout == b"\x00\xff\x01" and run.returncode == 0, run)
    run = forecache("get", "/miss")
    check("a miss is status 3 and nothing on stdout", run.returncode == 3 and not run.stdout and run.stderr, run)
    run = forecache("why", "absent")
    check("what is not known is status 3", run.returncode == 3 and b"no such key" in run.stderr, run)
    run = forecache("why", "/quotes/IBM")
    lines = run.stdout.decode().splitlines()
    check("why explains in ten lines, whatever there is to say", len(lines) == 10 and not run.returncode, run)
    wanted = ["TTL 42.5 s", "1.25 (0.869 to 1.69) per h", "90 % sure", "120 looks", "once in 48 min", "14 min 3 s ago", "2.4 times", "12 per min", "180 ms",
              "at most 1 %", "0.72 %", "12 of 1600", "35 loads", "3.2 %", "priced at 2.25", "refreshed ahead", "60 s", "29 s", "timeout after 10 s", "900 looks",
              "is paused", "/now"]
    missing = [w for w in wanted if w not in run.stdout.decode()]
    check("why tells rate, interval, looks, time of day, cost, objective, price, decision", not missing, run, missing)
    run = forecache("why", "/quotes/IBM", "--brief")
    check("why --brief has five lines", len(run.stdout.splitlines()) == 5, run)
    run = forecache("why", "/new")
    text = run.stdout.decode().lower()
    check("why of an unknown key says what is not known, and no nan or inf",
          "not known yet" in text and "not measured yet" in text and "nan" not in text and "inf" not in text, run)
    run = forecache("why", "/advise")
    check("why in mode advise says which TTL would do, and nothing of a price",
          b"alone, a TTL of 58 s" in run.stdout and b"price: TTL" not in run.stdout and b"static" in run.stdout, run)
    run = forecache("why", "/failed")
    check("why of a key whose load failed says nothing of prices: they set the TTL of a value",
          b"price: TTL" not in run.stdout and b"748 ms" in run.stdout and b"timeout after 10 s" in run.stdout, run)
    run = forecache("why", "/q/<s>")
    check("why of an endpoint leaves out what only keys have",
          b"price: TTL" not in run.stdout and b"seen to change" not in run.stdout, run)
    for args in (["schedule", "next", "nosuch"], ["schedule", "report", "nosuch"], ["schedule", "remove", "nosuch"], ["ttls", "nosuch"], ["ttls", "--history", "nosuch"],
                 ["top", "nosuch"], ["forecast", "nosuch"], ["why", "nosuch"]):
        for more in ([], ["--json"]):
            run = forecache(*args, *more)
            check(f"a name that is none is status 3: {' '.join(args + more)}",
                  run.returncode == 3 and b"nosuch" in run.stderr and not run.stdout, run)
    run = forecache("ttls", "--history", "/q")
    lines = [line.split() for line in run.stdout.decode().splitlines()]
    check("the history of TTLs has units, and the latest last",
          lines == [["time", "TTL", "s", "changes/h", "stale", "%", "hits", "%"], ["2025-11-24", "16:00:00", "42.5", "3", "-", "93"],
                    ["2025-11-24", "16:10:00", "30.2", "4.5", "0.4", "90"]], run)
    check("and is asked for by rows", last_asked("history") == ["/q"] and forecache("ttls", "/q", "--history", "-n", "7").returncode == 0
          and last_asked("history") == ["/q", {"max": 7}], why=last_asked("history"))
    check("its JSON has the same", json.loads(forecache("ttls", "--history", "/q", "--json").stdout) == HISTORY)
    run = forecache("ttls", "--history", "/young")
    check("of an endpoint that is new it says when there will be some",
          run.returncode == 0 and not run.stdout and b"every 10 minutes" in run.stderr, run)
    run = forecache("ttls", "/unasked")
    check("an endpoint without keys is there", run.returncode == 0 and b"no key of /unasked is known" in run.stderr, run)
    run = forecache("set", "/refused", "v")
    check("the operation stands before a complaint once", run.returncode == 1 and
          run.stderr == b"forecache: set /refused: ttl_s: must be a number\n", run)
    run = forecache("set", "/q/1", "")
    check("a value may be empty", run.returncode == 0 and last_asked("set")[1] in (b"", ""), run)
    run = forecache("ttls", "/hostile")
    check("names of keys cannot steer the terminal",
          b"\x1b" not in run.stdout and b"\\x1b" in run.stdout and b"\\xff" in run.stdout and b"\xc2\x9b" not in run.stdout, run)
    run = forecache("ttls", "/wide")
    lines = run.stdout.decode().splitlines()
    check("one long name does not make all rows as wide, and is not cut in a pipe",
          "x" * 1000 in lines[1] and len(lines[0]) < 200 and len(lines[2]) < 200, run)
    run = forecache("ttls", "/wide", env={"COLUMNS": "100", "LC_ALL": "C.UTF-8"})
    lines = run.stdout.decode().splitlines()
    check("$COLUMNS says how wide a table may be", all(len(line) <= 100 for line in lines) and "\u2026" in lines[1], run)
    run = forecache("forecast", "/q", env={"COLUMNS": "110", "LC_ALL": "C.UTF-8"})
    lines = run.stdout.decode().splitlines()
    check("forecast draws the band, the line and the time",
          any("━" in line for line in lines) and any("▒" in line for line in lines) and any("16:00" in line for line in lines)
          and max(map(len, lines)) <= 110, run)
    check("forecast asks for 24 h in steps that fit", last_asked("forecast") == ["/q", {"step_s": 900.0, "steps": 96}],
          why=last_asked("forecast"))
    run = forecache("forecast", "/q", env={"LC_ALL": "C"})
    check("forecast without UTF-8 is ASCII", not run.returncode and run.stdout.isascii() and b":" in run.stdout, run)
    run = forecache("schedule", "next")
    check("schedule next shows the schedule's own time and UTC",
          b"09:30 EST" in run.stdout and b"14:30:00Z" in run.stdout, run)
    run = forecache("prewarm", "/quotes/<symbol>", "--dry-run")
    check("a dry run lists keys in order and says so to the daemon",
          run.stdout.index(b"IBM") < run.stdout.index(b"SAP") and last_asked("prewarm")[1] == {"dry_run": True}, run)
    run = forecache("top", "--count", "2", "--every", "100ms")
    check("top without a terminal prints one table after the other", run.stdout.count(b"requests/s") == 3, run)
    p = subprocess.Popen([FORECACHE, "top", "--every", "1h"], stdout=subprocess.PIPE, env=dict(os.environ, FORECACHED_DIR=DIRECTORY))
    p.stdout.readline()
    p.send_signal(signal.SIGINT)
    p.communicate(timeout=30)
    check("Ctrl-C is the end of top, not an error", p.returncode == 0, why=p.returncode)
    run = forecache("monitor", "--count", "2")
    check("monitor prints notices and counts the lost", run.stdout.count(b"\n") == 2 and b"1 notice was missed" in run.stderr, run)
    run = forecache("monitor", "--count", "2", "--json")
    with open(os.path.join(os.environ["top_srcdir"], "docs", "protocol.md")) as f:
        told = re.search(r"`what` is one of (.*?)Fields that", f.read(), re.S).group(1)
    kinds = set(re.findall(r"`([a-z]+)`", re.sub(r"\(.*?\)", "", told, flags=re.S)))
    helped = forecache("monitor", "--help").stdout.decode()
    refused = forecache("monitor", "bogus").stderr.decode()
    check("monitor knows the kinds of the protocol", len(kinds) == 7 and all(k in helped and k in refused for k in kinds), why=kinds)
    check("monitor --json prints an object a line",
          [json.loads(line)["seq"] for line in run.stdout.splitlines()] == [1, 3], run)
    run = forecache("ttls", env={"CLICOLOR_FORCE": "1", "TERM": "xterm"})
    check("no escape sequences without a terminal", b"\x1b" not in run.stdout, run)

    # -- What is asked
    forecache("set", "/q/1", "-", "--ttl", "5m", "--endpoint", "/q/<n>", stdin=b"a\x00b")
    asked = last_asked("set")
    check("set - sends stdin byte for byte, with its options",
          asked[0] == "/q/1" and asked[1] in (b"a\x00b", "a\x00b") and asked[2] == {"endpoint": "/q/<n>", "ttl_s": 300.0}, why=asked)
    forecache("pause", "learning", "--for", "1h30m")
    check("pause says what and how long", last_asked("pause") == [{"what": "learning", "for_s": 5400.0}], why=last_asked("pause"))
    forecache("schedule", "add", "open", "weekdays 09:30", "--tz", "America/New_York", "-p", "/a", "-p", "/b", "--lead", "10m")
    asked = last_asked("schedule.add")
    check("schedule add sends all patterns",
          asked[0].get("patterns") == ["/a", "/b"] and asked[0].get("lead_s") == 600.0 and asked[0].get("tz") == "America/New_York",
          why=asked)
    forecache("schedule", "add", "open", "weekdays 09:30", "-p", "/a", "--max-keys", "7", "--dry-run")
    check("the plan of a dry run is about so many keys",
          last_asked("schedule.add")[0].get("max_keys") == 7 and last_asked("prewarm")[1] == {"dry_run": True, "max_keys": 7, "reasons": True},
          why=last_asked("prewarm"))
    run = forecache("purge", "/quotes/<symbol>")
    check("purge of a name that is no key goes on to the endpoint",
          not run.returncode and last_asked("purge")[1] == {"what": "endpoint"}, run, last_asked("purge"))
    before = len(daemon.asked)
    run = forecache("purge", "--all", stdin=b"")
    check("purge --all does nothing unasked", run.returncode == 2 and len(daemon.asked) == before and b"--yes" in run.stderr, run)

    # -- Learned state
    path = os.path.join(DIRECTORY, "learned.jsonl")
    run = forecache("export", path)
    with open(path) as f:
        lines = [json.loads(line) for line in f]
    check("export writes a head and every record, over pages", not run.returncode and len(lines) == 1 + len(RECORDS) and
          lines[0] == {"forecached": "learned state", "version": 1} and lines[2]["name_hex"] == "2f712fff00", run, lines[:3])
    del daemon.asked[:]
    run = forecache("import", path)
    sent = [record for op, args in daemon.asked if op == "import" for record in args[0]]
    check("import sends back what was exported, number for number", not run.returncode and sent == RECORDS, run,
          next((pair for pair in zip(sent, RECORDS) if pair[0] != pair[1]), len(sent)))
    with open(path, "rb") as f:
        run = forecache("import", "--json", stdin=f.read())
    check("import reads stdin", json.loads(run.stdout) == {"count": len(RECORDS)}, run)
    run = forecache("import", stdin=b'{"forecached":"learned state","version":1}\n{"kind":"key"}\n')
    check("a bad record is named by its line", run.returncode == 1 and b"line 2" in run.stderr, run)
    run = forecache("import", stdin=b"time_s\tkey\n")
    check("what is no export is refused", run.returncode == 1 and b"line 1" in run.stderr, run)
    with open(path, "w") as f:
        f.write("old")
    run = forecache("export", path, "--dir", DIRECTORY + "/nowhere")
    with open(path) as f:
        check("an unreachable daemon leaves an old export alone", run.returncode == 69 and f.read() == "old", run)

    # -- Configuration
    program = os.path.join(DIRECTORY, "forecached")
    with open(program, "w") as f:
        f.write('#!/bin/sh\ntest "$*" = "--check-config --config good.conf" && exit 0\necho "max_stale: must be from 0 to 0.5" >&2\nexit 78\n')
    os.chmod(program, 0o755)
    env = {"PATH": DIRECTORY + ":" + os.environ["PATH"]}
    run = forecache("config", "check", "good.conf", env=env)
    check("config check asks the daemon's program", run.returncode == 0 and b"OK" in run.stderr, run)
    run = forecache("config", "check", "bad.conf", "--json", env=env)
    check("and hands on what it says", run.returncode == 1 and
          json.loads(run.stdout) == {"ok": False, "file": "bad.conf", "said": "max_stale: must be from 0 to 0.5"}, run)
    with open(os.path.join(os.environ.get("top_builddir", "."), "packaging", "forecached.service")) as f:
        installed = re.search(r"--config (\S+)", f.read()).group(1)
    with open(program, "w") as f:
        f.write('#!/bin/sh\necho "args: $*" >&2\n')
    there = os.path.exists(installed)
    run = forecache("config", "check", env=env)
    check("without FILE it says that it checks the defaults, where nothing is installed", there or
          (f"there is no {installed}: checking the defaults".encode() in run.stderr and b"args: --check-config\n" in run.stderr), run)
    # in a world of its own, with a configuration where the unit says it is
    base = os.path.dirname(os.path.dirname(installed))
    while not os.path.isdir(base):
        base = os.path.dirname(base)
    script = f'mount -t tmpfs none "{base}" && mkdir -p "{os.path.dirname(installed)}" && : >"{installed}" && exec "$@"'
    if base != "/" and subprocess.run(["unshare", "-rm", "sh", "-c", script, "sh", "true"], capture_output=True).returncode == 0:
        run = subprocess.run(["unshare", "-rm", "sh", "-c", script, "sh", FORECACHE, "config", "check"], capture_output=True,
                             env=dict(os.environ, **env))
        check("without FILE it checks what the unit's daemon reads",
              f"checking {installed}\n".encode() in run.stderr and f"args: --check-config --config {installed}\n".encode() in run.stderr, run)
    run = forecache("config", "check", env={"PATH": "/nowhere"})
    check("config check without that program says what is missing", run.returncode == 1 and b"forecached" in run.stderr, run)

    # -- Bad answers
    run = forecache("get", "/garbage")
    check("an answer that is no message is an error, not a crash", run.returncode == 1 and b"cannot be read" in run.stderr, run)
    run = forecache("why", "/lost")
    check("an answer of the wrong type is an error, not a crash", run.returncode == 1 and b"cannot be read" in run.stderr, run)
    run = forecache("get", "/late")
    check("a late answer to another question is passed by", run.returncode == 0 and run.stdout, run)
    with open("/dev/full", "wb") as full:
        run = subprocess.run([FORECACHE, "ttls"], stdout=full, stderr=subprocess.PIPE, env=dict(os.environ, FORECACHED_DIR=DIRECTORY))
    check("a full disk under stdout is status 1", run.returncode == 1 and b"writing the output" in run.stderr, why=run)


if __name__ == "__main__":
    DIRECTORY = tempfile.mkdtemp(prefix="fc.")
    daemon = Daemon(DIRECTORY)
    try:
        main()
    finally:
        daemon.close()
        shutil.rmtree(DIRECTORY)
    print(f"1..{count}")
    sys.exit(failed > 0)
