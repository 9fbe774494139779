#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""An app with a cache of its own takes its TTLs from a running daemon: it must load less than with the fixed
TTL that is as fresh, and be no staler.

One stream of requests for keys that change at very different rates goes to two caches in the same loop: one
with a fixed TTL, one with the advised ones. The truth is known, so staleness is counted, not estimated.
The daemon's clock runs SCALE times as fast, and the app's with it."""
import bisect, json, os, random, signal, subprocess, sys, tempfile, time

top = os.environ.get("top_srcdir", os.path.join(os.path.dirname(__file__), "..", ".."))
build = os.environ.get("top_builddir", top)
sys.path.insert(0, os.path.join(top, "examples", "redis-advice"))

SCALE = 400.0
HOURS = 1.5
KEYS = 60
RATE = 6.0           # requests per second, simulated
FIXED_S = 20.0
SCORE_FROM = 1 / 3   # of the time: before, both arms learn or fill
ENDPOINT = "/quotes/<symbol>"
SEED = int(sys.argv[1]) if len(sys.argv) > 1 else 7


def truth(rng, duration):
    """For each key the times at which it changes: mean gaps from 10 s to 3 h, evenly in the logarithm."""
    changes = []
    for i in range(KEYS):
        gap, t, times = 10.0 * (10800 / 10.0) ** (i / (KEYS - 1)), 0.0, []
        while t < duration:
            t += rng.expovariate(1 / gap)
            times.append(t)
        changes.append(times)
    rng.shuffle(changes)
    return changes


class Arm:
    def __init__(self, changes):
        self.changes, self.kept = changes, {}
        self.loads = self.stale = self.requests = 0

    def version(self, i, t):
        return bisect.bisect_right(self.changes[i], t)

    def ask(self, i, t, scored):
        """True: it was there."""
        version, until = self.kept.get(i, (None, -1.0))
        hit = t < until
        if scored:
            self.requests += 1
            self.loads += not hit
            self.stale += hit and version != self.version(i, t)
        return hit

    def load(self, i, t, ttl):
        self.kept[i] = self.version(i, t), t + ttl


def run(advice, hello, rng):
    duration = HOURS * 3600
    changes = truth(rng, duration)
    weights = [1.0 / (1 + i) ** 0.5 for i in range(KEYS)]
    fixed, advised = Arm(changes), Arm(changes)
    asked = time.monotonic()
    epoch = hello["time_s"]
    t, late, n = 0.0, 0.0, 0
    while True:
        t += rng.expovariate(RATE)
        if t >= duration:
            break
        now = (time.monotonic() - asked) * SCALE
        if now < t - 0.002 * SCALE:  # ahead by 2 ms of real time: no shorter sleeps
            time.sleep((t - now) / SCALE)
        late = max(late, now - t)
        n += 1
        i = rng.choices(range(KEYS), weights)[0]
        key, scored = "/quotes/S%d" % i, t > SCORE_FROM * duration
        if not fixed.ask(i, t, scored):
            fixed.load(i, t, FIXED_S)
        if advised.ask(i, t, scored):
            advice.hit(key, ENDPOINT, at=epoch + t)
        else:
            value = b"%d at version %d" % (i, advised.version(i, t))
            advised.load(i, t, advice.loaded(key, value, 5.0, ENDPOINT, at=epoch + t))
    print("# %d requests; at most %.1f s (simulated) late" % (n, late))
    return fixed, advised


def fixed_stale(rng):
    """What the fixed TTL costs in freshness, known beforehand: that is the objective for the daemon."""
    duration = HOURS * 3600
    arm, t = Arm(truth(rng, duration)), 0.0
    weights = [1.0 / (1 + i) ** 0.5 for i in range(KEYS)]
    while t < duration:
        t += rng.expovariate(RATE)
        i = rng.choices(range(KEYS), weights)[0]
        if not arm.ask(i, t, t > SCORE_FROM * duration):
            arm.load(i, t, FIXED_S)
    return arm.stale / arm.requests


def main():
    exe = os.path.join(build, "daemon", "forecached")
    if not os.access(exe, os.X_OK):
        print("1..0 # SKIP no daemon is built")
        return 0
    import msgpack, zmq
    from advice import Advice
    print("# seed %d" % SEED)
    objective = 0.85 * fixed_stale(random.Random(SEED + 1))
    with tempfile.TemporaryDirectory(prefix="fcadvice") as d:
        with open(os.path.join(d, "conf"), "w") as f:
            json.dump({"segment_bytes": 1048576, "max_stale": objective}, f)
        log = open(os.path.join(d, "log"), "w+")
        p = subprocess.Popen([exe, "--config", os.path.join(d, "conf"), "--dir", d, "--redis", "off", "--seed", "1",
                              "--time-scale", str(SCALE)], stdout=log, stderr=log)
        try:
            s = zmq.Context.instance().socket(zmq.REQ)
            s.setsockopt(zmq.LINGER, 0)
            s.setsockopt(zmq.RCVTIMEO, 10000)
            s.connect("ipc://%s/requests" % d)
            s.send(msgpack.packb([1, "hello"]))
            hello = msgpack.unpackb(s.recv())[2]
            fixed, advised = run(Advice(d, otherwise=FIXED_S, timeout_ms=2000), hello, random.Random(SEED))
            s.send(msgpack.packb([2, "stats"]))
            stats = msgpack.unpackb(s.recv())[2]
        finally:
            p.send_signal(signal.SIGTERM)
            p.wait(20)
        log.seek(0)
        said = log.read()
    share = [a.stale / a.requests for a in (fixed, advised)]
    print("# fixed %g s: %d loads, %.4f stale; advised: %d loads, %.4f stale (objective %.4f), of %d requests"
          % (FIXED_S, fixed.loads, share[0], advised.loads, share[1], objective, fixed.requests))
    print("# the daemon saw %d requests, refused %d events"
          % (stats.get("requests", -1), stats.get("daemon", {}).get("events_refused", -1)))
    results = [("the advised TTLs take fewer loads than the fixed one", advised.loads < fixed.loads),
               ("and are no staler", share[1] <= share[0])]
    for i, (what, good) in enumerate(results):
        print("%sok %d - %s" % ("" if good else "not ", i + 1, what))
    print("1..%d" % len(results))
    if not all(good for _, good in results):
        print("".join("# %s\n" % line for line in said.splitlines()[-20:]), end="")
        return 1
    return 0


sys.exit(main())
