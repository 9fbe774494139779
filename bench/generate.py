#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Traces whose truth is known: what is asked for when, what changes when, and with which rates.

The main scenario, `synthetic`: 40 endpoints, 1,500 keys. An endpoint's changes come at a rate between one
in 20 s and one a day, a key's at that rate times a lognormal factor (sigma 0.8), as a Poisson process whose
pace follows one of four shapes of the day (flat, diurnal, a market with an opening, an office); the demand
follows one of the last three. Popularity is Zipf-like, rank^-x. How hard a trace is hangs on x and on which
keys happen to be popular, so both are held fast by what static TTLs would do: x is worked out so that 60 s
answer 70 % from the cache, and keys are dealt out anew until 5.9 % of the answers are stale at 60 s and
17.2 % at 300 s: the second says how much of the staleness is of few, restless keys.
So seeds differ in everything else and are comparable. A load takes 500 to 1,000 ms, 750 in the mean.

Everything drawn comes from --seed; the same arguments give the same files byte for byte, on any machine with
the same Python. Factors are constant for a quarter of an hour. Times are UTC; the trace begins on a Monday.

The other scenarios are small, one idea each: see SCENARIOS below, or --list.

usage: generate.py SCENARIO --out DIR [--seed 1] [--requests N] [--days N]
Writes DIR/requests.tsv, DIR/changes.tsv (formats: `forecache simulate --help`) and DIR/truth.json: the rates
and shapes, for oracle.py.
"""
import argparse
import bisect
import itertools
import json
import math
import os
import random
import sys

BIN_S = 900
DAY_BINS = 96
WEEK_BINS = 7 * DAY_BINS
START = 1_793_577_600  # Monday, 2 November 2026, 00:00 UTC
LOAD_MS = (500, 1000)
STATIC_TTL_S, STATIC_HITS, STATIC_STALE = 60, 0.70, 0.059
LONG_TTL_S, LONG_STALE = 300, 0.172
MAX_DEALS = 5000


# -- Shapes of the day ----------------------------------------------------------------------------

def hours(bin):
    return (bin + 0.5) / 4


def flat(bin):
    return 1.0


def diurnal(bin):
    """Least at 04:00, five times as much at 16:00."""
    return 1 - 2 / 3 * math.cos((hours(bin) - 4) / 24 * 2 * math.pi)


def market(bin):
    """Nothing much until the opening at 09:30, most right behind it, half of that at noon, closed at 16:00."""
    h = hours(bin)
    if 9.5 <= h < 16:
        return 2 + 3 * math.exp(-(h - 9.5) / 0.7) + 1.5 * math.exp(-(16 - h) / 0.5)
    return 0.5 if 8 <= h < 9.5 or 16 <= h < 18 else 0.05


def office(bin):
    """Nine to six with a lunch hour."""
    h = hours(bin)
    if 9 <= h < 18:
        return 1.2 if 12 <= h < 13 else 2.0
    return 0.8 if 7 <= h < 9 or 18 <= h < 20 else 0.1


# shape, and how much of a weekday is left on Saturday and Sunday
SHAPES = {"flat": (flat, 1.0), "diurnal": (diurnal, 0.8), "market": (market, 0.02), "office": (office, 0.15)}


def week(name):
    """672 factors from Monday on; the mean of a weekday is 1."""
    shape, rest = SHAPES[name]
    day = [shape(b) for b in range(DAY_BINS)]
    mean = sum(day) / DAY_BINS
    day = [f / mean for f in day]
    return day * 5 + [f * rest for f in day] * 2


WEEK = {name: week(name) for name in SHAPES}


# -- Drawing --------------------------------------------------------------------------------------

def poisson(rng, mean):
    """Exact for small means, rounded normal above 500 (skew below 5 %)."""
    if mean > 500:
        return max(0, round(rng.gauss(mean, math.sqrt(mean))))
    n, left = 0, rng.expovariate(1)
    while left < mean:
        n += 1
        left += rng.expovariate(1)
    return n


def instants(rng, rate, factors, begin, end):
    """Times of a Poisson process: unit exponentials, walked through the shape's own clock."""
    t, left = begin, rng.expovariate(1)
    while t < end:
        i = int(t // BIN_S)
        edge = min((i + 1) * BIN_S, end)
        r = rate * factors[i % WEEK_BINS]
        if r * (edge - t) < left:
            left -= r * (edge - t)
            t = edge
        else:
            t += left / r
            left = rng.expovariate(1)
            yield t


class Key:
    """demand and volatility name shapes; rates are per second, the mean of a weekday."""

    def __init__(self, name, endpoint, changes_per_s, demand="flat", volatility="flat", weight=1.0, born=0.0):
        self.name, self.endpoint, self.changes_per_s = name, endpoint, changes_per_s
        self.demand, self.volatility, self.weight, self.born = demand, volatility, weight, born
        self.requests_per_s = 0.0
        self.change_times = None  # given by the scenario, or drawn from the rate


def spread_demand(keys, requests, days):
    """Sets requests_per_s so that about so many requests come in all."""
    whole = {shape: [0.0, *itertools.accumulate(f * BIN_S for f in itertools.islice(itertools.cycle(factors),
                                                                                    DAY_BINS * days))]
             for shape, factors in WEEK.items()}
    expected = 0.0
    for k in keys:
        sums = whole[k.demand]
        expected += k.weight * (sums[-1] - sums[math.ceil(k.born / BIN_S)])
    for k in keys:
        k.requests_per_s = k.weight * requests / expected


def static_hits(keys, ttl, days):
    """Expected hit ratio of an on-demand cache with this TTL, loads instant."""
    hits = total = 0.0
    for shape in {k.demand for k in keys}:
        factors = WEEK[shape]
        rates = [k.requests_per_s for k in keys if k.demand == shape]
        for b in range(0, DAY_BINS * min(days, 7), 4):
            for r in rates:
                m = r * factors[b]
                total += m
                hits += m * m * ttl / (1 + m * ttl)
    return hits / total


def static_stale(keys, ttl, days):
    """Expected stale answers per request of such a cache."""
    stale = total = 0.0
    for k in keys:
        demand, pace = WEEK[k.demand], WEEK[k.volatility]
        for b in range(0, DAY_BINS * min(days, 7), 4):
            m, x = k.requests_per_s * demand[b], k.changes_per_s * pace[b] * ttl
            total += m
            if x > 0:
                stale += m * m * ttl / (1 + m * ttl) * (1 + math.expm1(-x) / x)
    return stale / total


def set_popularity(keys, ranks, x, a):
    for k, rank in zip(keys, ranks):
        k.weight = (rank + 1) ** -x
    spread_demand(keys, a.requests, a.days)


def zipf_for_hits(keys, ranks, a):
    """The exponent at which a static TTL has the wanted hit ratio: more skew, more hits."""
    low, high = 0.0, 3.0
    for _ in range(20):
        x = (low + high) / 2
        set_popularity(keys, ranks, x, a)
        if static_hits(keys, STATIC_TTL_S, a.days) < a.static_hits:
            low = x
        else:
            high = x
    return x


# -- Scenarios ------------------------------------------------------------------------------------

def deal(rng, a):
    """One draw of endpoints and keys, and their ranks of popularity."""
    names, keys = list(SHAPES), []
    for e in range(a.endpoints):
        rate = math.exp(rng.uniform(math.log(1 / 86400), math.log(1 / 20)))
        demand, volatility = rng.choice(names[1:]), rng.choice(names)
        n = a.keys // a.endpoints + (e < a.keys % a.endpoints)
        keys += [Key(f"/e{e:02}/{i}", f"/e{e:02}/<id>", rate * math.exp(rng.gauss(0, 0.8)), demand, volatility)
                 for i in range(n)]
    ranks = list(range(len(keys)))
    rng.shuffle(ranks)
    return keys, ranks


def synthetic(rng, a):
    """1,500 keys in 40 endpoints with known rates: the scenario behind the published figures"""
    for deals in range(1, MAX_DEALS + 1):
        keys, ranks = deal(rng, a)
        if deals == 1:
            x = zipf_for_hits(keys, ranks, a)
        set_popularity(keys, ranks, x, a)
        stale = static_stale(keys, STATIC_TTL_S, a.days)
        if not a.static_stale or (abs(stale / a.static_stale - 1) < 0.03 and
                                  abs(static_stale(keys, LONG_TTL_S, a.days) / LONG_STALE - 1) < 0.03):
            break
    else:
        sys.exit(f"generate.py: none of {MAX_DEALS} deals has {a.static_stale} stale at {STATIC_TTL_S} s")
    x = zipf_for_hits(keys, ranks, a)
    print(f"popularity: rank^-{x:.3f}, deal {deals}; a TTL of {STATIC_TTL_S} s: "
          f"{static_hits(keys, STATIC_TTL_S, a.days):.3f} hits, {stale:.4f} stale expected", file=sys.stderr)
    return keys


def regime(rng, a):
    """one endpoint of 50 keys that change every 2 h, and from half time on every 72 s (x100)"""
    keys = [Key(f"/r/{i}", "/r/<id>", 1 / 7200, weight=(i + 1) ** -0.5) for i in range(50)]
    half, end = a.days * 43200, a.days * 86400
    for k in keys:
        k.change_times = [*instants(rng, 1 / 7200, WEEK["flat"], 0, half),
                          *instants(rng, 1 / 72, WEEK["flat"], half, end)]
    spread_demand(keys, a.requests, a.days)
    return keys


def timetable(rng, a):
    """50 keys written every five minutes on the dot, a few seconds late"""
    keys = [Key(f"/t/{i}", "/t/<id>", 1 / 300, weight=(i + 1) ** -0.5) for i in range(50)]
    for k in keys:
        k.change_times = [t + rng.uniform(1, 4) for t in range(0, a.days * 86400, 300)]
    spread_demand(keys, a.requests, a.days)
    return keys


def extremes(rng, a):
    """40 keys that never change, and 10 that differ at every look"""
    keys = [Key(f"/still/{i}", "/still/<id>", 0.0, "diurnal", weight=(i + 1) ** -0.8) for i in range(40)]
    keys += [Key(f"/restless/{i}", "/restless/<id>", 1.0, "diurnal", weight=0.1) for i in range(10)]
    spread_demand(keys, a.requests, a.days)
    return keys


def newcomers(rng, a):
    """one endpoint that changes every 10 min; 20 keys from the start on, and 400 more that come one by one"""
    keys = [Key(f"/n/{i}", "/n/<id>", math.exp(rng.gauss(0, 0.8)) / 600, "diurnal", weight=3.0,
                born=0.0 if i < 20 else (i - 20) / 400 * a.days * 86400) for i in range(420)]
    spread_demand(keys, a.requests, a.days)
    return keys


# name: function, requests, days
SCENARIOS = {"synthetic": (synthetic, 1_000_000, 4), "regime": (regime, 60_000, 4), "timetable": (timetable, 60_000, 4),
             "extremes": (extremes, 60_000, 4), "newcomers": (newcomers, 100_000, 4)}


# -- Files ----------------------------------------------------------------------------------------

def write_changes(path, rng, keys, days):
    """In time order; returns how many."""
    rows = []
    for k in keys:
        times = k.change_times
        if times is None:
            times = instants(rng, k.changes_per_s, WEEK[k.volatility], 0, days * 86400) if k.changes_per_s else ()
        rows += [(round(t * 1e6), k.name) for t in times]
    rows.sort()
    with open(path, "w") as f:
        f.write("time_s\tkey\n")
        f.writelines(f"{START + us // 1000000}.{us % 1000000:06}\t{name}\n" for us, name in rows)
    return len(rows)


def write_requests(path, rng, keys, days):
    """Bin by bin: each shape of demand has one stream, shared out among its keys by popularity."""
    groups = []
    for shape in sorted({k.demand for k in keys}):
        members = sorted((k for k in keys if k.demand == shape), key=lambda k: k.born)
        tails = [f"\t{k.endpoint}\t{k.name}\t500\t" for k in members]
        groups.append((WEEK[shape], members, tails, list(itertools.accumulate(k.requests_per_s for k in members))))
    count = 0
    with open(path, "w") as f:
        f.write("time_s\tendpoint\tkey\tbytes\tload_ms\n")
        for b in range(days * DAY_BINS):
            rows, begin = [], b * BIN_S
            for factors, members, tails, sums in groups:
                # who is not born by the beginning of this bin is not asked for
                alive = bisect.bisect_right([k.born for k in members], begin)
                if not alive:
                    continue
                n = poisson(rng, sums[alive - 1] * factors[b % WEEK_BINS] * BIN_S)
                who = rng.choices(tails[:alive], cum_weights=sums[:alive], k=n)
                rows += zip([begin * 1000000 + int(rng.random() * BIN_S * 1e6) for _ in range(n)], who)
            rows.sort()
            low, high = LOAD_MS
            f.writelines(f"{START + us // 1000000}.{us % 1000000:06}{tail}{low + int(rng.random() * (high - low + 1))}\n"
                         for us, tail in rows)
            count += len(rows)
    return count


def write_truth(path, keys, days):
    truth = {"start": START, "days": days, "bin_s": BIN_S, "shapes": WEEK,
             "keys": {k.name: {"endpoint": k.endpoint, "changes_per_s": k.changes_per_s,
                               "requests_per_s": k.requests_per_s, "demand": k.demand,
                               "volatility": k.volatility} for k in keys}}
    with open(path, "w") as f:
        json.dump(truth, f)
        f.write("\n")


def generate(a):
    """a: scenario, out, seed, requests, days, keys, endpoints, static_hits, static_stale.
    Returns (requests, changes)."""
    os.makedirs(a.out, exist_ok=True)
    # streams of their own, so that more requests do not change what changes
    keys = SCENARIOS[a.scenario][0](random.Random(f"{a.seed} keys"), a)
    changes = write_changes(os.path.join(a.out, "changes.tsv"), random.Random(f"{a.seed} changes"), keys, a.days)
    requests = write_requests(os.path.join(a.out, "requests.tsv"), random.Random(f"{a.seed} requests"), keys, a.days)
    write_truth(os.path.join(a.out, "truth.json"), keys, a.days)
    return requests, changes


def arguments(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("scenario", nargs="?", default="synthetic", choices=SCENARIOS)
    p.add_argument("--list", action="store_true", help="the scenarios, a line each")
    p.add_argument("--out", metavar="DIR", default=".")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--requests", type=int, help="about so many")
    p.add_argument("--days", type=int)
    p.add_argument("--keys", type=int, default=1500, help="of synthetic")
    p.add_argument("--endpoints", type=int, default=40, help="of synthetic")
    p.add_argument("--static-hits", type=float, default=STATIC_HITS, help="synthetic: share of hits at a TTL of 60 s")
    p.add_argument("--static-stale", type=float, default=STATIC_STALE,
                   help="synthetic: share of stale answers at a TTL of 60 s; 0: as it falls")
    a = p.parse_args(argv)
    a.requests = a.requests or SCENARIOS[a.scenario][1]
    a.days = a.days or SCENARIOS[a.scenario][2]
    return a


def main():
    a = arguments()
    if a.list:
        for name, (fn, requests, days) in SCENARIOS.items():
            print(f"{name:10} {fn.__doc__} ({requests:,} requests, {days} days)")
        return
    requests, changes = generate(a)
    print(f"{requests} requests and {changes} changes of {a.days} days (seed {a.seed}) in {a.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
