#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The optimum with known rates: what a cache needs that is told the true change and request rates.

It runs on the traces of generate.py, with truth.json beside them. Each value gets the TTL of the renewal-reward
rule, for the true rates and their true shapes. With age u, S(u) = P(replaced by u), M(u) = requests expected
up to u, a load counted as 1, and prices s of a stale answer and L of a user's miss,

  on demand      least (1 + L + s int S dM) / (M(T) + 1)   where s int (M + 1) dS = 1 + L
  refresh ahead  least (1 + s int S dM) / M(R)             where s int M dS = 1

and whichever of the two costs less per request. A refresh reads the origin R after the read before it; what
it brings can be served a load time later, so there S is taken a load time on. One price holds for all keys.

Why the comparison is fair. The oracle plays by the rules of the simulator (a load takes as long, one per key
at a time, who comes meanwhile joins) and within the limits that a user states: --min-ttl, --max-age,
--max-stale-key and --latency-value, which is L, have the daemon's defaults; simulate must be run with the
same. It knows rates, not the future: its TTLs never look at the trace. Its price, though, is chosen in
hindsight so that exactly the objective is met on the scored part, and it pays for no audits. The daemon is to
be compared at the staleness that it really had (--objective takes a list): fewer loads at more staleness are
no merit. L moves the exchange of loads against misses, not of loads against staleness: so compare both at the
same L, by loads, and by loads + L x misses, which is what both of them minimise.

usage: oracle.py DIR [--objective 0.03[,0.05...]] [--latency-value 0.1] [--score-from 0.75] [--log FILE]
Prints a JSON array, one object per objective. --log writes the decisions for judge.py.
"""
import argparse
import bisect
import json
import math
import multiprocessing
import os
import sys

TOLERANCE = 0.004  # of the objective


def rows(path):
    with open(path) as f:
        next(f)
        for line in f:
            yield line.rstrip("\n").split("\t")


class Key:
    def __init__(self, name, truth, shapes):
        self.name = name
        self.change, self.request = truth["changes_per_s"], truth["requests_per_s"]
        self.volatility, self.demand = shapes[truth["volatility"]], shapes[truth["demand"]]
        self.times, self.load_s, self.changes = [], [], []


class World:
    """A trace with its truth; times in seconds since its beginning."""

    def __init__(self, where, score_from):
        with open(os.path.join(where, "truth.json")) as f:
            truth = json.load(f)
        self.bin_s = truth["bin_s"]
        key = {name: Key(name, t, truth["shapes"]) for name, t in truth["keys"].items()}
        self.start = start = truth["start"]
        first = None
        for t, _, name, _, ms in rows(os.path.join(where, "requests.tsv")):
            k, at = key[name], float(t) - start
            k.times.append(at)
            k.load_s.append(float(ms) / 1e3)
            first = at if first is None else first
            self.end = at
        for t, name in rows(os.path.join(where, "changes.tsv")):
            key[name].changes.append(float(t) - start)
        self.keys = [k for k in key.values() if k.times]
        self.score_from = first + score_from * (self.end - first)


def usual_cap(max_stale):
    """max_stale_key where the user states none."""
    return min(max(20 * max_stale, 0.3), 0.95)


class Terms:
    """What the user states, and the price of a stale answer."""

    def __init__(self, latency_value, min_ttl=1, max_age=86400, max_stale_key=0.3):
        self.latency_value, self.min_ttl, self.max_age = latency_value, min_ttl, max_age
        self.cap = -math.log1p(-max_stale_key) if max_stale_key < 1 else math.inf
        self.price = None


def gained(y, before, ratio):
    """int (before + ratio z) exp(-z) dz from 0 to y."""
    e = math.exp(-y)
    # 1 - e^-y (1 + y) cancels for small y
    second = y * y * (0.5 - y / 3) if y < 1e-3 else 1 - e * (1 + y)
    return -before * math.expm1(-y) + ratio * second


def crossing(y_max, before, ratio, wanted):
    """The y in [0, y_max] at which gained() reaches what is wanted; it does by y_max. Newton, kept inside."""
    low, high = 0.0, y_max
    b = before / ratio if ratio > 0 else math.inf
    y = wanted / before if b > 1e6 else math.sqrt(b * b + 2 * wanted / ratio) - b
    for _ in range(60):
        if not low < y < high:
            y = (low + high) / 2
        miss = gained(y, before, ratio) - wanted
        if miss > 0:
            high = y
        else:
            low = y
        slope = (before + ratio * y) * math.exp(-y)
        step = miss / slope if slope > 0 else math.inf
        y -= step
        if abs(step) <= 1e-6 * y:
            break
    return min(max(y, 0.0), y_max)


def walk(world, k, at, age0, extra, target, terms):
    """Where int (M + extra) dS reaches target, for a value that has age0 when counting begins at `at`.

    Returns T, M(T) and int S dM. Rates are constant within a bin, so each step is in closed form.
    """
    bin_s = world.bin_s
    i = int(at // bin_s)
    vol, dem, week = k.volatility, k.demand, len(k.demand)
    x = k.change * vol[i % week] * age0
    t = m = lhs = stale = 0.0
    while True:
        change, request = k.change * vol[i % week], k.request * dem[i % week]
        d = (i + 1) * bin_s - at - t
        ended = t + d >= terms.max_age
        if ended:
            d = terms.max_age - t
        if x + change * d >= terms.cap:
            d, ended = max(0.0, (terms.cap - x) / change), True
        left = math.exp(-x)
        if change > 0:
            ratio = request / change
            add = left * gained(change * d, m + extra, ratio)
            if lhs + add >= target:
                d, ended = crossing(change * d, m + extra, ratio, (target - lhs) / left) / change, True
            else:
                lhs += add
            stale += request * d + left * ratio * math.expm1(-change * d)
        else:
            stale += request * d * (1 - left)
        t, m, x = t + d, m + request * d, x + change * d
        if ended:
            return t, m, stale
        i += 1


def plan(world, k, read, load_s, terms):
    """(seconds until the value is read again, whether without a request)"""
    s, value = terms.price, terms.latency_value
    t, m, stale = walk(world, k, read, 0.0, 1, (1 + value) / s, terms)
    t = max(t, terms.min_ttl, load_s)
    if value > 0:
        # on-demand answers while the load is under way wait for it, so there the age begins at 0
        cost = (1 + value + s * stale) / (m + 1)
        r, m2, stale2 = walk(world, k, read, load_s, 0, 1 / s, terms)
        if m2 > 0 and (1 + s * stale2) / m2 < cost:
            return max(r, terms.min_ttl, load_s), True
    return t, False


class Figures:
    def __init__(self):
        self.loads = self.refreshes = self.stale = self.misses = self.joined = 0
        self.wait_s = 0.0

    def add(self, o):
        for name, x in vars(o).items():
            setattr(self, name, getattr(self, name) + x)


def replay(world, k, terms, figures, log=None):
    """One key from its first request to the end. Work goes with the loads, not with the requests."""
    times, start, n = k.times, world.score_from, len(k.times)
    s0 = bisect.bisect_left(times, start)
    j, read, missed = 0, times[0], True  # value read at `read`; request j is the first it may answer
    while True:
        load_s = k.load_s[j if missed else bisect.bisect_right(times, read) - 1]
        lands = read + load_s
        wait, ahead = plan(world, k, read, load_s, terms)
        if read >= start:
            figures.loads += 1
            figures.refreshes += not missed
        joined = bisect.bisect_left(times, lands, j) if missed else j
        after = read + wait
        if ahead and after < world.end:
            next_load_s = k.load_s[bisect.bisect_right(times, after) - 1]
            # the old value answers until the new one has come
            end = bisect.bisect_left(times, after + next_load_s, joined)
        else:
            end = bisect.bisect_left(times, world.end + 1 if ahead else after, joined)
        c = bisect.bisect_right(k.changes, read)
        if c < len(k.changes):
            bad = bisect.bisect_left(times, k.changes[c], j, end)
            figures.stale += max(0, end - max(bad, s0))
        if missed and joined > s0:
            scored = range(max(j, s0), joined)
            figures.misses += j >= s0
            figures.joined += len(scored) - (j >= s0)
            figures.wait_s += sum(lands - times[i] for i in scored)
        if log is not None:
            log.append((read, 0 if not missed else 1, "F", k.name, "demand" if missed else "refresh", c))
            for i in range(j, end):
                word = "hit" if not missed or i >= joined else "miss" if i == j else "joined"
                log.append((times[i], 2, "R", k.name, word, c))
        j = end
        if ahead and after < world.end:
            read, missed = after, False
        elif end < n:
            read, missed = times[end], True
        else:
            return


WORLD = None


def part(job):
    """Every second key or so, in a process of its own."""
    terms, which, of = job
    figures = Figures()
    for k in WORLD.keys[which::of]:
        replay(WORLD, k, terms, figures)
    return figures


def run(pool, jobs, terms, price):
    terms.price = price
    total = Figures()
    for f in pool.map(part, [(terms, i, jobs) for i in range(jobs)]):
        total.add(f)
    return total


def solve(pool, jobs, terms, objective, requests):
    """The price at which the objective is met: log staleness is nearly a line in the log of the price."""
    x, low, high, slope, last = math.log(0.15 / objective), None, None, -0.6, None
    best = None
    for _ in range(16):
        f = run(pool, jobs, terms, math.exp(x))
        y = math.log(max(f.stale, 0.5) / requests / objective)
        if best is None or abs(y) < abs(best[0]):
            best = (y, math.exp(x), f)
        if abs(y) < TOLERANCE:
            break
        if last and x != last[0] and (y - last[1]) / (x - last[0]) < -0.05:
            slope = (y - last[1]) / (x - last[0])
        last = (x, y)
        low, high = (x, high) if y > 0 else (low, x)
        x -= y / slope
        if low is not None and high is not None and not low < x < high:
            x = (low + high) / 2
        x = min(max(x, math.log(1e-3)), math.log(1e7))
    return best[1], best[2]


def optima(world, terms, objectives, jobs=2):
    """What the oracle comes to at each objective; leaves the last price in terms."""
    global WORLD
    WORLD, value = world, terms.latency_value
    n = sum(len(k.times) - bisect.bisect_left(k.times, world.score_from) for k in world.keys)
    out = []
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        for objective in objectives:
            price, f = solve(pool, jobs, terms, objective, n)
            out.append({"objective": objective, "latency_value": value, "price": price, "requests": n,
                        "loads_per_request": f.loads / n, "refreshes_per_request": f.refreshes / n,
                        "stale_per_request": f.stale / n, "misses_per_request": f.misses / n,
                        "hit_ratio": 1 - (f.misses + f.joined) / n,
                        "cost_per_request": (f.loads + value * f.misses) / n,
                        "response_ms": {"mean": 1e3 * f.wait_s / n}})
            terms.price = price
    return out


def write_log(path, world, terms):
    entries, us = [], lambda t: round((t + world.start) * 1e6)
    for k in world.keys:
        replay(world, k, terms, Figures(), entries)
    entries = sorted((us(t), order, *rest) for t, order, *rest in entries)
    with open(path, "w") as f:
        f.write("# oracle.py: the optimum with known rates\n")
        for t, _, kind, name, word, version in entries:
            f.write(f"{kind}\t{t // 1000000}.{t % 1000000:06}\t{name}\t{word}\t{version}\n")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("dir")
    p.add_argument("--objective", default="0.03", help="share of requests that may be stale; a list with commas")
    p.add_argument("--latency-value", type=float, default=0.1)
    p.add_argument("--score-from", type=float, default=0.75)
    p.add_argument("--min-ttl", type=float, default=1)
    p.add_argument("--max-age", type=float, default=86400)
    p.add_argument("--max-stale-key", type=float, help="20 times the first objective, from 0.3 to 0.95, unless told")
    p.add_argument("--log", help="write the decisions at the last objective")
    p.add_argument("--jobs", type=int, default=2)
    a = p.parse_args()
    world = World(a.dir, a.score_from)
    objectives = [float(x) for x in a.objective.split(",")]
    terms = Terms(a.latency_value, a.min_ttl, a.max_age, a.max_stale_key or usual_cap(objectives[0]))
    out = optima(world, terms, objectives, a.jobs)
    if a.log:
        write_log(a.log, world, terms)
    json.dump(out, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
