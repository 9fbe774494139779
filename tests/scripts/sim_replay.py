#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""forecache simulate from outside: its logs before a judge, its figures against the judge's count."""
import gzip
import json
import lzma
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.environ["top_srcdir"], "bench"))
import judge

FORECACHE = os.path.join(os.environ["top_builddir"], "cli", "forecache")
SEED = int(sys.argv[1]) if len(sys.argv) > 1 else 1
DAY = 86400
POLICIES = {
    "static:25": [],
    "static:0.05": [],  # shorter than a load
    "static-best": [],
    "endpoint-best": [],
    "alex-best": [],
    "learn": [],
    "learn, pooled, in grace": ["--pool", "--set", "grace=30"],
    "learn, pushed eagerly": ["--push", "*", "--push-mode", "eager"],
    "learn, pushed lazily": ["--push", "/b/<id>", "--push-mode", "lazy"],
    "learn, scheduled": ["--schedule", "daily 12:00 @ /a/<id>", "--zone", "Europe/Berlin", "--budget", "5,4"],
}
tests = 0


def check(ok, name, why=""):
    global tests
    tests += 1
    print(f"{'ok' if ok else 'not ok'} {tests} - {name}")
    if not ok:
        print(f"# {why}")


def make_trace(where, requests, days, seed):
    """Keys of two endpoints, one of them with odd names; rates follow the day, loads take 20 to 800 ms."""
    rng = random.Random(seed)
    day = lambda t: 1 - 0.9 * math.cos(t * 2 * math.pi / DAY)
    keys = [(f"/{'ab'[i % 2]}/<id>", f"/{'ab'[i % 2]}/{i}" + ("\\t\\n\\\\" if i == 3 else "")) for i in range(40)]
    weight = [rng.paretovariate(1.2) for _ in keys]
    start = 1_790_000_000
    with open(os.path.join(where, "C.tsv"), "w") as f:
        changes = []
        for endpoint, key in keys:
            rate = math.exp(rng.uniform(math.log(1 / 3e4), math.log(1 / 60)))
            t = 0.0
            while (t := t + rng.expovariate(2 * rate)) < days * DAY:
                if rng.random() * 2 < day(t):
                    changes.append((start + t, key))
        f.write("time_s\tkey\n")
        f.writelines(f"{t:.6f}\t{key}\n" for t, key in sorted(changes))
    with open(os.path.join(where, "R.tsv"), "w") as f:
        f.write("time_s\tendpoint\tkey\tbytes\tload_ms\n")
        t = 0.0
        while (t := t + rng.expovariate(2 * requests / days / DAY)) < days * DAY:
            if rng.random() * 2 < day(t):
                endpoint, key = rng.choices(keys, weight)[0]
                load = "-" if rng.random() < 0.1 else f"{rng.uniform(20, 800):.3f}"
                f.write(f"{start + t:.6f}\t{endpoint}\t{key}\t100\t{load}\n")


def simulate(where, *args, requests="R.tsv", changes="C.tsv"):
    run = subprocess.run([FORECACHE, "simulate", "--requests", requests, *(["--changes", changes] if changes else []),
                          *args], cwd=where, capture_output=True, text=True)
    return run


def near(a, b):
    return (a is None and b is None) or (a is not None and b is not None and abs(a - b) < 1e-9)


def differences(ours, judged):
    """Fields in which two counts of one run differ."""
    names = {"hits": "hit", "grace": "grace", "misses": "miss", "joined": "joined"}
    bad = [n for n, theirs in names.items() if ours[n] != judged["outcomes"][theirs]]
    bad += [r for r, n in ours["loads"].items() if n != judged["loads"].get(r, 0)]
    bad += [n for n in ("requests", "loads_per_request", "stale_per_request", "hit_ratio")
            if not near(ours[n], judged[n])]
    return bad + [n for n, v in judged["response_ms"].items() if abs(ours["response_ms"][n] - v) > 1e-6]


def test_judged(where, trace):
    for name, args in POLICIES.items():
        policy = name.partition(",")[0]
        run = simulate(where, "--policy", policy, *args, "--log", "L.tsv", "--json")
        if run.returncode:
            check(False, f"{name}: runs", run.stderr)
            continue
        ours = json.loads(run.stdout)["policies"][0]
        overlap = policy.endswith("best") or "push" in name
        judged, faults = judge.judge(trace, os.path.join(where, "L.tsv"), 0.5, overlap)
        check(not faults, f"{name}: every line of the log is explained", faults[:3])
        bad = differences(ours, judged) if "push" not in name else []
        for endpoint, theirs in judged["endpoints"].items():
            bad += [f"{endpoint} {x}" for x in differences(ours["endpoints"][endpoint], theirs)
                    if "push" not in name]
        check(not bad, f"{name}: the figures are those of the log", bad)
        check(policy != "learn" or ours["stale_per_request"] < 0.05, f"{name}: is fresh",
              ours["stale_per_request"])
        if "*" in args:  # an event ends the old value: only who joins a load that began before it gets that
            check((ours["stale_age_s"]["max"] or 0) <= 0.8, f"{name}: nothing is staler than a load takes",
                  ours["stale_age_s"])


def read(where, name):
    with open(os.path.join(where, name), "rb") as f:
        return f.read()


def cut(where, name, to, end):
    with open(os.path.join(where, name)) as f, open(os.path.join(where, to), "w") as out:
        for i, line in enumerate(f):
            if i == 0 or float(line.split("\t")[0]) < end:
                out.write(line)


def test_exact(where, trace):
    everything = ["--zone", "Europe/Berlin", "--schedule", "weekdays 09:30", "--push", "/b/<id>"]
    end = trace.requests[0][0] / 1e6 + 0.6 * (trace.requests[-1][0] - trace.requests[0][0]) / 1e6
    cut(where, "R.tsv", "R6.tsv", end)
    cut(where, "C.tsv", "C6.tsv", end)
    for policy in ("learn", "static:25"):
        simulate(where, "--policy", policy, *everything, "--log", "A.tsv")
        simulate(where, "--policy", policy, *everything, "--log", "B.tsv", "--score-from", "0.1")
        check(read(where, "A.tsv") == read(where, "B.tsv"), f"{policy}: the same run gives the same bytes")
        simulate(where, "--policy", policy, *everything, "--log", "B.tsv", requests="R6.tsv", changes="C6.tsv")
        part = read(where, "B.tsv")
        check(len(part) > 1000 and read(where, "A.tsv").startswith(part),
              f"{policy}: what comes later changes nothing that was")
    simulate(where, "--policy", "learn", "--log", "A.tsv")
    simulate(where, "--policy", "learn", "--log", "B.tsv", "--seed", "2")
    check(read(where, "A.tsv").split(b"\n", 1)[1] != read(where, "B.tsv").split(b"\n", 1)[1],
          "learn: another seed gives other audits")


def test_learned_before(where, trace):
    """A restart in the middle costs what was held, not what was learned."""
    half = trace.requests[0][0] / 1e6 + 0.55 * (trace.requests[-1][0] - trace.requests[0][0]) / 1e6
    cut(where, "R.tsv", "R1.tsv", half)
    cut(where, "C.tsv", "C1.tsv", half)
    with open(os.path.join(where, "R.tsv")) as f, open(os.path.join(where, "R2.tsv"), "w") as out:
        out.writelines(line for i, line in enumerate(f) if i == 0 or float(line.split("\t")[0]) >= half)
    runs = {}
    for name, args, requests in (("before", ["--learned-out", "seed.jsonl"], "R1.tsv"),
                                 ("uncut", ["--score-from", str(half)], "R.tsv"),
                                 ("after", ["--learned-in", "seed.jsonl", "--score-from", "0"], "R2.tsv"),
                                 ("anew", ["--score-from", "0"], "R2.tsv")):
        run = simulate(where, "--policy", "learn", "--max-stale", "0.03", "--json", *args, requests=requests)
        if run.returncode:
            return check(False, f"learned before: {name} runs", run.stderr)
        p = json.loads(run.stdout)["policies"][0]
        runs[name] = [p[n] for n in ("requests", "loads_per_request", "stale_per_request")]
    (n, loads, stale), (_, our_loads, our_stale), (_, new_loads, new_stale) = (runs[x] for x in ("uncut", "after", "anew"))
    print(f"# {n} requests, loads and stale answers per request: {runs}")
    check(abs(our_loads / loads - 1) < 0.04 and abs(our_stale / stale - 1) < 0.25,
          "learned before: as if nothing had been cut", runs)
    before = read(where, "seed.jsonl")
    run = simulate(where, "--policy", "learn", "--learned-in", "seed.jsonl", "--learned-out", "seed.jsonl",
                   requests="R2.tsv")
    after = read(where, "seed.jsonl")
    check(run.returncode == 0 and after != before and after.count(b"\n") >= before.count(b"\n"),
          "learned before: what is begun with may be written over", f"{len(before)} {len(after)} {run.stderr}")
    run = simulate(where, "--policy", "learn", "--learned-in", "R.tsv", "--learned-out", "seed.jsonl")
    check(run.returncode == 1 and read(where, "seed.jsonl") == after and not os.path.exists(where + "/seed.jsonl.part"),
          "learned before: a run that fails leaves what was there", run.stderr)
    run = simulate(where, "--policy", "learn", "--learned-in", "R.tsv")
    check(run.returncode == 1 and "R.tsv: line 1" in run.stderr, "learned before: another file is refused", run.stderr)
    run = simulate(where, "--policy", "static:5", "--learned-in", "seed.jsonl")
    check(run.returncode == 2 and "--learned-in" in run.stderr, "learned before: nobody to tell is said", run.stderr)


def test_files(where):
    plain = simulate(where, "--json", "--policy", "static-best").stdout
    with gzip.open(os.path.join(where, "R.gz"), "wb") as f:
        f.write(read(where, "R.tsv"))
    with lzma.open(os.path.join(where, "C.xz"), "wb") as f:
        f.write(read(where, "C.tsv"))
    packed = simulate(where, "--json", "--policy", "static-best", requests="R.gz", changes="C.xz")
    check(packed.stdout == plain and plain, "compressed files give the same", packed.stderr)
    with open(os.path.join(where, "access.log"), "w") as f:
        for i in range(300):
            f.write(f'10.0.0.1 - - [23/Nov/2026:09:{30 + i // 60}:{i % 60:02d} +0100] '
                    f'"GET /quotes/{i % 7}?t={i} HTTP/1.1" 200 318 "-" "x"\n')
    run = simulate(where, "--json", "--policy", "static:30", requests="access.log", changes=None)
    policy = json.loads(run.stdout)["policies"][0]
    check(run.returncode == 0 and list(policy["endpoints"]) == ["/quotes/<id>"] and policy["stale_per_request"] == 0,
          "an access log is replayed, its endpoints mined", run.stdout + run.stderr)
    check("without --changes nothing ever changes" in run.stderr, "and that it shows no change is said", run.stderr)


def test_refusals(where):
    for want, args, text in (
            (2, ["--policy", "lern"], "there is no such policy"),
            (2, ["--policy", "static:-1"], "SECONDS must be"),
            (2, ["--policy", "bound", "--log", "x"], "makes no decisions"),
            (2, ["--log", "x", "--policy", "learn", "--policy", "static:1"], "exactly one"),
            (2, ["--set", "max_stal=1"], "did you mean max_stale"),
            (2, ["--set", "max_stale=0.9"], "from 0 to 0.5"),
            (2, ["--budget", "fast"], "RATE"),
            (2, ["--push-mode", "sometimes"], "auto, lazy or eager"),
            (1, ["--push", "/nowhere"], "no endpoint /nowhere"),
            (1, ["--schedule", "every full moon"], "--schedule"),
            (2, ["--schedule", "weekdays 09:30 @ "], "behind the @"),
            (2, ["--schedule", "weekdays 09:30 @ \t "], "behind the @"),
            (1, ["--zone", "Mars/Olympus"], "Mars"),
            (1, ["--policy", "learn", "--log", "/nonexistent/log"], "/nonexistent/log")):
        run = simulate(where, *args)
        check(run.returncode == want and text in run.stderr and not run.stdout,
              f"{' '.join(args)}: refused with {want}", f"{run.returncode} {run.stderr}")
    run = simulate(where, requests="missing.tsv")
    check(run.returncode == 1 and "missing.tsv: No such file" in run.stderr, "a missing file is named", run.stderr)


def count_misses(where, keys, entries):
    with open(os.path.join(where, "K.txt"), "w") as f:
        f.writelines(f"k{k}\n" for k in keys)
    run = subprocess.run([FORECACHE, "simulate", "--keys", "K.txt", "--entries", str(entries), "--json"],
                         cwd=where, capture_output=True, text=True)
    out = json.loads(run.stdout or "{}")
    check(out.get("requests") == len(keys) and near(out["miss_ratio"], out["misses"] / len(keys)),
          f"eviction with {entries} entries runs", run.stdout + run.stderr)
    return out.get("misses")


def test_eviction(where):
    rng = random.Random(SEED)
    keys = [min(int(rng.paretovariate(0.7)), 300) for _ in range(5000)]
    distinct, repeats = len(set(keys)), sum(a == b for a, b in zip(keys, keys[1:]))
    misses = {n: count_misses(where, keys, n) for n in (1, 20, 60, distinct)}
    check(misses[1] == len(keys) - repeats, "one entry serves repeats and nothing else", misses)
    check(misses[distinct] == distinct, "room for all: each key is missed once", misses)
    check(misses[1] > misses[20] > misses[60] > misses[distinct], "more room, fewer misses", misses)
    circle = list(range(41)) * 50  # whatever is put out comes again within 41 requests
    check(count_misses(where, circle, 41) == 41, "a circle of keys fits")
    check(count_misses(where, circle, 40) >= 41 + 49, "and does not when one entry is missing")


def test_interrupted(where):
    log = os.path.join(where, "I.tsv")
    run = subprocess.Popen([FORECACHE, "simulate", "--requests", "big.tsv", "--policy", "learn", "--log", log],
                           cwd=where, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while run.poll() is None and time.monotonic() < deadline and not (os.path.exists(log) and os.path.getsize(log) > 1000):
        time.sleep(0.005)
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=60)
    rows = read(where, "I.tsv")
    check(run.returncode == 130 and not out, "Ctrl-C ends the run", f"{run.returncode} {out} {err}")
    check(rows.endswith(b"\n") and all(len(r.split(b"\t")) == 5 for r in rows.split(b"\n")[1:-1]),
          "and leaves a log of whole lines")


def main():
    print(f"# seed {SEED}")
    with tempfile.TemporaryDirectory() as where:
        make_trace(where, 25000, 3, SEED)
        trace = judge.Trace(os.path.join(where, "R.tsv"), os.path.join(where, "C.tsv"))
        test_judged(where, trace)
        test_exact(where, trace)
        test_learned_before(where, trace)
        test_files(where)
        test_eviction(where)
        test_refusals(where)
        with open(os.path.join(where, "big.tsv"), "w") as f:
            f.write("time_s\tendpoint\tkey\tbytes\tload_ms\n")
            f.writelines(f"{1_790_000_000 + i}\te\tk{i * 7919 % 5000}\t1\t10\n" for i in range(400_000))
        test_interrupted(where)
    print(f"1..{tests}")


main()
