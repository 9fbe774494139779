#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""forecache backtest from outside: better than yesterday on a series that repeats, and blind to the future."""
import json
import math
import os
import random
import subprocess
import sys
import tempfile

FORECACHE = os.path.join(os.environ["top_builddir"], "cli", "forecache")
SEED = int(sys.argv[1]) if len(sys.argv) > 1 else 1
START = 1_790_000_100
tests = 0


def check(ok, name, why=""):
    global tests
    tests += 1
    print(f"{'ok' if ok else 'not ok'} {tests} - {name}")
    if not ok:
        print(f"# {why}")


def poisson(rng, mean):
    """Knuth's product for small means, the normal for large ones."""
    if mean > 50:
        return max(0, round(rng.gauss(mean, math.sqrt(mean))))
    limit, n, p = math.exp(-mean), 0, rng.random()
    while p > limit:
        n, p = n + 1, p * rng.random()
    return n


def make_series(path, rng, step_s, days, mean):
    with open(path, "w") as f:
        f.write("time_s\tcount\n")
        for i in range(int(days * 86400 / step_s)):
            t = i * step_s
            rate = mean * (1 + 0.8 * math.sin(2 * math.pi * t / 86400)) * (0.5 if t // 86400 % 7 > 4 else 1)
            f.write(f"{START + t}\t{poisson(rng, rate)}\n")


def backtest(*args):
    return subprocess.run([FORECACHE, "backtest", *args], capture_output=True, text=True)


def plain_score(series, forecasts, horizon):
    """MASE and coverage, counted in the plainest way."""
    count = dict(series)
    err = day = inside = n = 0
    for issued, target, median, lo, hi in forecasts[len(series) // 2:]:
        if target in count and target - 86400 in count:
            n += 1
            err += abs(median - count[target])
            day += abs(count[target - 86400] - count[target])
            inside += lo <= count[target] <= hi
    return n, err / day, inside / n


def rows(path):
    with open(path) as f:
        next(f)
        return [tuple(map(float, line.split("\t"))) for line in f]


def test_series(where, rng, step_s, days, mean, horizon):
    name = f"steps of {step_s} s, {mean} each"
    path, out = os.path.join(where, "S.tsv"), os.path.join(where, "F.tsv")
    make_series(path, rng, step_s, days, mean)
    run = backtest("--series", path, "--horizon", str(horizon), "--out", out, "--json")
    if run.returncode:
        check(False, f"{name}: runs", run.stderr)
        return
    ours, forecasts, series = json.loads(run.stdout), rows(out), rows(path)
    check([(f[0], f[1]) for f in forecasts] == [(t, t + horizon) for t, _ in series], f"{name}: one forecast a step")
    check(all(0 <= lo <= median <= hi for _, _, median, lo, hi in forecasts), f"{name}: in order, and not negative")
    n, mase, inside = plain_score(series, forecasts, horizon)
    check(ours["targets"] == n and abs(ours["mase"] - mase) < 1e-4 and abs(ours["inside_80"] - inside) < 0.01,
          f"{name}: scored as by hand", f"{ours} {n} {mase} {inside}")
    check(mase < 0.9, f"{name}: better than yesterday", mase)
    check(0.65 < inside < 0.97, f"{name}: 80 % intervals hold about that", inside)
    with open(path) as f, open(os.path.join(where, "S6.tsv"), "w") as part:
        part.writelines(f.readlines()[:int(0.6 * len(series))])
    backtest("--series", os.path.join(where, "S6.tsv"), "--horizon", str(horizon),
             "--out", os.path.join(where, "F6.tsv"))
    with open(out) as f, open(os.path.join(where, "F6.tsv")) as part:
        whole, part = f.read(), part.read()
    check(len(part) > 1000 and whole.startswith(part), f"{name}: the future changes no forecast of the past")


def test_refusals(where):
    path = os.path.join(where, "bad.tsv")
    for text, want in (("", "header"), ("time_s\tn\n1\t1\n", ":1: header"), ("time_s\tcount\n1\t1\n", "fewer than two"),
                       ("time_s\tcount\n1\t1\n2\tx\n", ":3: count"), ("time_s\tcount\n1\t1\n1\t2\n", ":3: time_s"),
                       ("time_s\tcount\n0\t1\n60\t2\n90\t2\n", ":4: time_s"), ("time_s\tcount\n0 1\n", ":2: row")):
        with open(path, "w") as f:
            f.write(text)
        run = backtest("--series", path)
        check(run.returncode == 1 and want in run.stderr, f"refused: {text!r}", run.stderr)
    check(backtest().returncode == 2, "a series is needed")


def test_horizons(where, rng):
    """Only whole steps ahead can be judged; a horizon that was not given is made so."""
    path, out = os.path.join(where, "H.tsv"), os.path.join(where, "never.tsv")
    for step_s, given, want, near in ((3600, None, 3600, "1 h"), (1200, None, 1200, "20 min"), (300, None, 1800, ""), (900, None, 1800, ""),
                                      (3600, 1800, 2, "1 h would"), (300, 450, 2, "5 min or 10 min"), (300, 600, 600, ""),
                                      (3600, 5400, 2, "1 h or 2 h")):
        make_series(path, rng, step_s, 4, 20)
        run = backtest("--series", path, *(["--horizon", str(given)] if given else []), "--out", out, "--json")
        name = f"steps of {step_s} s, horizon {given}"
        check(near in run.stderr, f"{name}: the nearest are named", run.stderr)
        if want == 2:
            check(run.returncode == 2 and not run.stdout and not os.path.exists(out), f"{name}: refused, nothing written", run)
            continue
        got = json.loads(run.stdout)
        check(run.returncode == 0 and got["horizon_s"] == want and got["targets"] > 0 and got["mae"] is not None, name, run)
        times = {t for t, _ in rows(path)}
        check(all(f[1] - f[0] == want for f in rows(out)) and sum(f[1] in times for f in rows(out)) == len(times) - want // step_s,
              f"{name}: what was written can be judged")
        os.unlink(out)


def main():
    print(f"# seed {SEED}")
    rng = random.Random(SEED)
    with tempfile.TemporaryDirectory() as where:
        test_series(where, rng, 300, 14, 20, 1800)
        test_series(where, rng, 1800, 28, 900, 3600)
        test_refusals(where)
        test_horizons(where, rng)
    print(f"1..{tests}")


main()
