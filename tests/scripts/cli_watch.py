#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""forecache watch against a server that knows when its pages change.

Time is scaled: pages change about twice a second and are looked at every 50 ms or less often.
"""
import bisect
import http.server
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time

FORECACHE = os.path.join(os.environ.get("top_builddir", "."), "cli", "forecache")
SEED = int(sys.argv[1]) if len(sys.argv) > 1 else 1
RATE = 2.0
WATCH_S = 8.0
print(f"# seed {SEED}")

rng = random.Random(SEED)
start = time.time()
changes = []
t = start - 5
while t < start + 300:
    t += rng.expovariate(RATE)
    changes.append(t)

lock = threading.Lock()
log = []  # (time, path, conditional)
in_flight = most_in_flight = 0


class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def reply(self, status, body=b"", **headers):
        self.leave()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if status != 304:
            self.wfile.write(body)

    def do_GET(self):
        global in_flight, most_in_flight
        with lock:
            in_flight += 1
            most_in_flight = max(most_in_flight, in_flight)
            now = time.time()
            log.append((now, self.path, "If-None-Match" in self.headers, self.headers.get("X-Token")))
            asked = sum(1 for entry in log if entry[1] == self.path)
        self.answer(asked, now)

    @staticmethod
    def leave():
        """Before the answer goes out: with the answer in hand, the client may ask again at once."""
        global in_flight
        with lock:
            in_flight -= 1

    def answer(self, asked, now):
        version = bisect.bisect_right(changes, now)
        body = json.dumps({"version": version}).encode()
        if self.path == "/etag":
            tag = f'"{version}"'
            self.reply(304 if self.headers.get("If-None-Match") == tag else 200, body, ETag=tag)
        elif self.path == "/plain":
            self.reply(200, body)
        elif self.path == "/never":
            self.reply(200, b"always the same")
        elif self.path == "/noise":  # the same content, said in another way each time
            members = [("a", 1), ("b", [1, 2]), ("meta", {"at": time.time()})]
            rng.shuffle(members)
            self.reply(200, json.dumps(dict(members), indent=rng.randrange(3)).encode())
        elif self.path == "/now":  # a server that stamps each answer with the time of the answer
            self.reply(200, b"always the same", Last_Modified=self.date_time_string())
        elif self.path == "/rest":
            self.reply(200 if asked != 2 else 503, b"x", **({"Retry_After": "1"} if asked == 2 else {}))
        elif self.path == "/refused":
            self.reply(403)
        elif self.path == "/endless":
            self.leave()
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b"x" * 65536)
            except OSError:
                self.close_connection = True
        else:
            self.reply(500)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
BASE = f"http://127.0.0.1:{server.server_port}"

count = failed = 0


def check(name, ok, why=""):
    global count, failed
    count += 1
    if not ok:
        failed += 1
        print(f"# {why}")
    print(f"{'ok' if ok else 'not ok'} {count} - {name}", flush=True)


def watch(*args, **kwargs):
    return subprocess.run([FORECACHE, "watch", *args], capture_output=True, text=True, timeout=120, **kwargs)


with tempfile.TemporaryDirectory() as directory:
    c, r, token = (os.path.join(directory, name) for name in ("C.tsv", "R.tsv", "token"))
    with open(token, "w") as f:
        f.write("X-Token: secret\n")
    begun = time.time()
    run = watch("--every", "0.05", "--for", str(WATCH_S), "--changes", c, "--requests", r, "--header", "@" + token, "--json",
                "--ignore", "/meta/at", BASE + "/noise", BASE + "/etag", BASE + "/plain", BASE + "/never", BASE + "/now")
    ended = time.time()
    rows = {os.path.basename(row["url"]): row for row in json.loads(run.stdout)}
    check("it ends by itself, with a result as JSON", run.returncode == 0 and WATCH_S <= ended - begun < WATCH_S + 5 and len(rows) == 5,
          run.stderr[-500:])
    for name in ("etag", "plain"):
        row = rows[name]
        lo, hi = row["change_rate_90_per_s"]
        seen = sum(1 for x in changes if begun <= x <= ended)
        # the interval is about the process; what happened in this window is known, and must be in it with room
        check(f"/{name}: the change rate fits what happened ({seen} changes)",
              lo / 1.3 <= seen / WATCH_S <= hi * 1.3 and lo < row["change_rate_per_s"]["mean"] < hi, row)
        # F(T) = 1 - (1 - exp(-x)) / x = 0.01 at x = 0.0201, with the rate's uncertainty on top
        ttl = 0.0201 / row["change_rate_per_s"]["mean"]
        check(f"/{name}: the advised TTL follows from the rate", 0.95 * ttl < row["ttl_s"] < 1.1 * ttl, row)
    check("looks where nothing changed were answered with 304", rows["etag"]["not_modified"] > 0 and rows["plain"]["not_modified"] == 0,
          rows["etag"])
    check("what never changes gets a low rate and a TTL that grows with the watch",
          rows["never"]["changes_seen"] == 0 and rows["never"]["change_rate_90_per_s"][1] < 4 / WATCH_S and rows["never"]["ttl_s"] > 0.15,
          rows["never"])
    check("Last-Modified that is always now is not believed",
          rows["now"]["changes_seen"] == 0 and rows["now"]["change_rate_per_s"]["mean"] < 1, rows["now"])
    check("what is ignored, the order of members and spacing are no change", rows["noise"]["changes_seen"] == 0 and
          rows["noise"]["looks"] > 5, rows["noise"])
    with open(c) as f:
        head, *lines = f.read().splitlines()
    found = [(float(line.split("\t")[0]), line.split("\t")[1]) for line in lines]
    check("the changes file is a TSV with all changes seen",
          head == "time_s\tkey" and len(found) == sum(row["changes_seen"] for row in rows.values()), lines[:5])
    # a change that is seen lies between two looks; the middle of them is off by half the interval at most
    looks = {p: [x[0] for x in log if x[1] == p] for p in ("/etag", "/plain")}
    bad = []
    for when, key in found:
        times = looks[key[len(BASE):]]
        i = bisect.bisect_right(times, when)
        true = [x for x in changes if times[i - 1] - 0.05 <= x <= times[min(i, len(times) - 1)] + 0.05]
        if i == 0 or not true:
            bad.append(when - start)
    check("each row of it lies between two looks that a real change lies between", found and len(bad) <= 0.05 * len(found), bad)
    with open(r) as f:
        head, *lines = f.read().splitlines()
    stamps = [float(line.split("\t")[0]) for line in lines]
    check("the requests file is a TSV in time order with all looks",
          head == "time_s\tendpoint\tkey\tbytes\tload_ms" and stamps == sorted(stamps) and
          len(stamps) == sum(row["looks"] for row in rows.values()), lines[:5])
    asked = [float(line.split("\t")[0]) for line in lines if "/plain\t" in line]  # by the clock of who asks
    gaps = [b - a for a, b in zip(asked, asked[1:])]
    run = subprocess.run([FORECACHE, "simulate", "--requests", r, "--changes", c, "--policy", "static:0.1", "--json"], capture_output=True)
    check("simulate reads both files", run.returncode == 0, run.stderr)
    check("headers from a file are sent", all(entry[3] == "secret" for entry in log), log[:3])
check("never more than one request is on its way", most_in_flight == 1, most_in_flight)
check("no two looks at a URL are closer than --every", min(gaps) > 0.049, min(gaps))
never = [x[0] for x in log if x[1] == "/never"]
check("intervals grow where nothing changes", never[-1] - never[-2] > 3 * (never[1] - never[0]), never)

del log[:]
run = watch("--every", "0.05", "--for", "2", "--max-every", "0.1", BASE + "/rest", BASE + "/never")
times = [x[0] for x in log]
rest = next(x[0] for i, x in enumerate(log) if x[1] == "/rest" and sum(y[1] == "/rest" for y in log[:i]) == 1)
check("Retry-After keeps all URLs of the host quiet", not [x for x in times if rest + 0.05 < x < rest + 0.95] and
      [x for x in times if x > rest + 0.95], [x - rest for x in times])
check("a line per look", run.stdout.count("unchanged") > 3 and "changes/h" in run.stdout, run.stdout)

del log[:]
run = watch("--every", "0.05", "--for", "1", BASE + "/refused")
check("who refuses is asked once, and the watch ends", len(log) == 1 and run.returncode == 1 and "403" in run.stderr, run.stderr)
run = watch("--every", "0.02", "--for", "20", BASE + "/broken")
check("five errors in a row are enough", run.returncode == 1 and "500" in run.stderr, run.stderr)
run = watch("--every", "0.02", "--for", "1", BASE + "/endless")
check("an endless answer is cut off", run.returncode == 1 and "longer than" in run.stderr, run.stderr)

p = subprocess.Popen([FORECACHE, "watch", "--every", "0.05", "--for", "1h", BASE + "/plain"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                     text=True)
p.stdout.readline()
p.send_signal(signal.SIGINT)
out, err = p.communicate(timeout=10)
check("Ctrl-C ends it with its result", p.returncode == 0 and "changes/h" in out, out + err)

for args, hint in ((["ftp://127.0.0.1/x"], "http"), (["--every", "0.1", "http://192.0.2.1/"], "1s"), ([], "URL"),
                   (["--ignore", "nonsense", BASE], "--ignore"), (["--header", "nonsense", BASE], "Name: value")):
    run = watch(*args)
    check(f"usage: watch {' '.join(args[:2])}", run.returncode == 2 and hint in run.stderr, run.stderr)

print(f"1..{count}")
sys.exit(failed > 0)
