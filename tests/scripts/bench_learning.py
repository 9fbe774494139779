#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the published figures rest on, on small traces: the generator, the judge, the optimum, the predictions."""
import itertools
import json
import math
import os
import random
import subprocess
import sys
import tempfile

BENCH = os.path.join(os.environ["top_srcdir"], "bench")
sys.dont_write_bytecode = True
sys.path.insert(0, BENCH)
import generate
import judge
import oracle

FORECACHE = os.path.join(os.environ["top_builddir"], "cli", "forecache")
SEED = int(sys.argv[1]) if len(sys.argv) > 1 else 1
TINY = ["synthetic", "--requests", "6000", "--days", "2", "--keys", "60", "--endpoints", "6", "--static-stale", "0"]
tests = 0


def check(ok, name, why=""):
    global tests
    tests += 1
    print(f"{'ok' if ok else 'not ok'} {tests} - {name}")
    if not ok:
        print(f"# {why}")


def near(a, b, share):
    return abs(a - b) <= share * abs(b)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def make(where, seed, argv=TINY):
    sys.stderr = open(os.devnull, "w")
    try:
        return generate.generate(generate.arguments([*argv, "--out", where, "--seed", str(seed)]))
    finally:
        sys.stderr = sys.__stderr__


# -- The generator --------------------------------------------------------------------------------

def test_generator(tmp):
    a, b, c = (os.path.join(tmp, x) for x in "abc")
    requests, changes = make(a, SEED)
    make(b, SEED)
    make(c, SEED + 1)
    files = ("requests.tsv", "changes.tsv", "truth.json")
    check(all(read(os.path.join(a, f)) == read(os.path.join(b, f)) for f in files), "the same seed, the same bytes")
    check(all(read(os.path.join(a, f)) != read(os.path.join(c, f)) for f in files), "another seed, another trace")
    w = oracle.World(a, 0.5)
    check(abs(requests - 6000) < 5 * math.sqrt(6000), "as many requests as asked for", requests)
    mean = sum(k.change * oracle_mass(w, k) for k in w.keys)
    seen = sum(len(k.changes) for k in w.keys)
    check(abs(seen - mean) < 5 * math.sqrt(mean), "as many changes as the true rates say", f"{seen}, not {mean}")
    loads = [x for k in w.keys for x in k.load_s]
    check(0.5 <= min(loads) and max(loads) <= 1 and near(sum(loads) / len(loads), 0.75, 0.02), "loads take 750 ms")
    times = [float(r[0]) for r in oracle.rows(os.path.join(a, "requests.tsv"))]
    check(times == sorted(times), "requests in time order")
    day = [f for f in generate.WEEK["market"][:generate.DAY_BINS]]
    check(near(sum(day) / len(day), 1, 1e-9) and day[38] > 20 * day[12], "a market is open by day")
    for name in generate.SCENARIOS:
        if name != "synthetic":
            n, _ = make(c, SEED, [name, "--requests", "500", "--days", "1"])
            check(abs(n - 500) < 5 * math.sqrt(500), f"scenario {name}", n)
    return a


def oracle_mass(w, k):
    return generate.BIN_S * sum(itertools.islice(itertools.cycle(k.volatility), 2 * generate.DAY_BINS))


# -- The judge ------------------------------------------------------------------------------------

REQUESTS = """time_s	endpoint	key	bytes	load_ms
100.000000	/e	/e/a	1	1000
100.500000	/e	/e/a	1	1000
105.000000	/e	/e/a	1	1000
110.000000	/e	/e/a	1	500
112.000000	/e	/e/b	1	-
115.000000	/e	/e/a	1	500
"""
CHANGES = "time_s	key\n50.000000	/e/a\n104.000000	/e/a\n109.000000	/e/a\n"
LOG = """# by hand
F	100.000000	/e/a	demand	1
R	100.000000	/e/a	miss	1
R	100.500000	/e/a	joined	1
R	105.000000	/e/a	hit	1
F	110.000000	/e/a	demand	3
R	110.000000	/e/a	miss	3
F	112.000000	/e/b	demand	0
R	112.000000	/e/b	miss	0
F	114.000000	/e/a	refresh	3
R	115.000000	/e/a	hit	3
"""

# what is wrong with a log, and how to make it so
FAULTS = [
    ("a load of a version that is not yet", "100.000000	/e/a	demand	1", "100.000000	/e/a	demand	2"),
    ("a load of an old version", "110.000000	/e/a	demand	3", "110.000000	/e/a	demand	2"),
    ("an answer and its load that agree on a version of the future", "demand	3\nR	110.000000	/e/a	miss	3",
     "demand	4\nR	110.000000	/e/a	miss	4"),
    ("a hit with a version that was never loaded", "105.000000	/e/a	hit	1", "105.000000	/e/a	hit	2"),
    ("a hit on what is still loading", "100.500000	/e/a	joined	1", "100.500000	/e/a	hit	1"),
    ("a miss without its load", "F	112.000000	/e/b	demand	0\n", ""),
    ("a miss that is no demand load's", "F	112.000000	/e/b	demand	0", "F	112.000000	/e/b	refresh	0"),
    ("one who joins when nothing loads", "105.000000	/e/a	hit	1", "105.000000	/e/a	joined	1"),
    ("an answer left out", "R	105.000000	/e/a	hit	1\n", ""),
    ("the last answer left out", "R	115.000000	/e/a	hit	3\n", ""),
    ("an answer given twice", "R	112.000000	/e/b	miss	0\n", "R	112.000000	/e/b	miss	0\n" * 2),
    ("an answer for another key", "R	105.000000	/e/a", "R	105.000000	/e/b"),
    ("a load of a key that is not in the trace", "112.000000	/e/b	demand", "112.000000	/e/c	demand"),
    ("time that runs backwards", "F	114.000000	/e/a	refresh	3", "F	111.000000	/e/a	refresh	3"),
    ("two loads of one key and version at once", "F	114.000000	/e/a	refresh	3", "F	114.000000	/e/a	refresh	3\n" * 2 + "#"),
    ("a reason that is none", "refresh	3", "whim	3"),
    ("an outcome that is none", "hit	3", "luck	3"),
]


def sentence(tmp, requests, changes, log, score_from=0.0):
    paths = [os.path.join(tmp, x) for x in ("hr.tsv", "hc.tsv", "hl.tsv")]
    for path, text in zip(paths, (requests, changes, log)):
        with open(path, "w") as f:
            f.write(text)
    return judge.judge(judge.Trace(*paths[:2]), paths[2], score_from, False)


def test_judge(tmp):
    r, faults = sentence(tmp, REQUESTS, CHANGES, LOG)
    check(not faults, "a good log by hand has no fault", faults)
    check((r["requests"], r["loads"]) == (6, {"demand": 3, "refresh": 1}), "requests and loads", r["loads"])
    check(r["outcomes"] == {"hit": 2, "grace": 0, "miss": 3, "joined": 1}, "outcomes", r["outcomes"])
    check(r["stale_per_request"] == 1 / 6, "the one stale answer", r["stale_per_request"])
    # waits: 1000, 500, 0, 500, 300 (what is not said), 0
    check(near(r["response_ms"]["mean"], 2300 / 6, 1e-12), "the mean wait", r["response_ms"])
    r, _ = sentence(tmp, REQUESTS, CHANGES, LOG, 104.0)
    check((r["requests"], sum(r["loads"].values()), r["stale_per_request"]) == (4, 3, 0.25), "scored from a time on", r)
    for what, old, new in FAULTS:
        assert LOG.count(old) == 1, what
        _, faults = sentence(tmp, REQUESTS, CHANGES, LOG.replace(old, new))
        check(faults, f"found: {what}")


# -- The optimum ----------------------------------------------------------------------------------

def cost(k, t, price, value, ahead):
    """Cost per request of one TTL, integrated in small steps: what the rule minimises."""
    n, stale = 4000, 0.0
    for i in range(n):
        stale += (1 - math.exp(-k.change * (i + 0.5) / n * t)) * k.request * t / n
    m = k.request * t
    return (1 + price * stale) / m if ahead else (1 + value + price * stale) / (m + 1)


def test_oracle(tmp, where):
    rng = random.Random(SEED)

    class Flat:
        bin_s = 900

    worst = 0
    for _ in range(20):
        k = oracle.Key("k", {"changes_per_s": math.exp(rng.uniform(-9, -4)), "volatility": "f", "demand": "f",
                             "requests_per_s": math.exp(rng.uniform(-8, 0))}, {"f": [1.0] * 672})
        terms = oracle.Terms(rng.choice([0, 0.2, 1]), 0, 1e6, 1)
        terms.price = math.exp(rng.uniform(0, 3))
        t, ahead = oracle.plan(Flat, k, rng.uniform(0, 1e5), 0.0, terms)
        if t < 1e5:
            here = cost(k, t, terms.price, terms.latency_value, ahead)
            worst = max(worst, *(here / cost(k, x, terms.price, terms.latency_value, a) - 1 for x in
                                 (t / 2, t * 0.9, t * 1.1, t * 2) for a in {False, terms.latency_value > 0}))
    check(worst < 1e-6, "no other TTL costs less", f"one costs {worst:.2%} less")
    log = os.path.join(tmp, "oracle.tsv")
    w, terms = oracle.World(where, 0.5), oracle.Terms(5)
    free, tight = oracle.optima(w, terms, [0.03, 0.01], 1)
    check(near(tight["stale_per_request"], 0.01, 0.15) and near(free["stale_per_request"], 0.03, 0.1),
          "the price meets the objective", (free, tight))
    check(free["cost_per_request"] < tight["cost_per_request"] and free["refreshes_per_request"] > 0,
          "freshness costs loads and misses", (free, tight))
    oracle.write_log(log, w, terms)
    r, faults = judge.judge(judge.Trace(*(os.path.join(where, x) for x in ("requests.tsv", "changes.tsv"))), log, 0.5,
                            False)
    check(not faults, "its decisions could be a cache's", faults[:3])
    check(all(near(r[x], tight[x], 1e-9) for x in ("loads_per_request", "stale_per_request", "hit_ratio")) and
          near(r["response_ms"]["mean"], tight["response_ms"]["mean"], 1e-6), "the judge counts what it counts", r)


# -- What is predicted ----------------------------------------------------------------------------

def test_predictions(tmp, where):
    log, said = (os.path.join(tmp, x) for x in ("log.tsv", "said.tsv"))
    run = subprocess.run([FORECACHE, "simulate", "--requests", "requests.tsv", "--changes", "changes.tsv", "--policy",
                          "learn", "--pool", "--max-stale", "0.03", "--log", log, "--predictions", said, "--json"],
                         cwd=where, capture_output=True, text=True)
    check(run.returncode == 0, "simulate writes predictions", run.stderr)
    loads = [tuple(x[1:3]) for x in judge.lines(log) if x[0] == b"F"]
    rows = [x for x in judge.lines(said)]
    ours = [tuple(x[1:3]) for x in rows]
    # a load that is under way at the end has brought nothing
    check(set(ours) <= set(loads) and len(loads) - len(ours) < 60, "one for each load", (len(loads), len(ours)))
    check(all(x[0] == b"P" and float(x[3]) >= 1 and 0 <= float(x[4]) <= 1 for x in rows), "within the limits")
    w = oracle.World(where, 0.5)
    changes = {k.name: k.changes for k in w.keys}
    expected = seen = 0.0
    for _, at, name, ttl, p, _ in rows:
        at, ttl = float(at) - w.start, float(ttl)
        if at >= w.score_from and at + ttl < w.end:
            expected += float(p)
            seen += any(at < c <= at + ttl for c in changes[name.decode()])
    check(expected / 3 < seen < 3 * expected, "about as many values are outdated as predicted", f"{seen} of {expected:.0f}")
    figures, faults = judge.judge(judge.Trace(*(os.path.join(where, x) for x in ("requests.tsv", "changes.tsv"))), log,
                                  0.5, False)
    best, = oracle.optima(w, oracle.Terms(0.2), [figures["stale_per_request"]], 1)
    ratio = figures["loads_per_request"] / best["loads_per_request"]
    check(not faults and ratio > 0.9, "nothing learned beats knowing", ratio)
    run = subprocess.run([FORECACHE, "simulate", "--requests", "requests.tsv", "--policy", "static:60",
                          "--predictions", said], cwd=where, capture_output=True, text=True)
    check(run.returncode == 2 and "--predictions" in run.stderr, "only a learner predicts", run.stderr)


def main():
    print(f"# seed {SEED}")
    with tempfile.TemporaryDirectory() as tmp:
        where = test_generator(tmp)
        test_judge(tmp)
        test_oracle(tmp, where)
        test_predictions(tmp, where)
    print(f"1..{tests}")


if __name__ == "__main__":
    main()
