#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Does a decision log of `forecache simulate` describe a cache that could exist?

The judge replays nothing: it walks the log beside the trace and asks of each line whether the lines
before it explain it. Times are whole microseconds here, so nothing is compared with a tolerance.

  F  the origin was read: its version must be the number of changes up to then. What was read can be
     served after the key's load time (for a demand load that of the request that asks, which is the
     latest request of the key; for all others that of its latest request so far).
  R  an answer to the next request of the trace:
     miss        right behind a demand load of the same instant, with its version
     joined      with the version of a load that is under way
     hit, grace  with the version of the load that ended last

usage: judge.py --requests R.tsv --changes C.tsv --log L.tsv [--score-from 0.5] [--overlap]
--overlap: loads of one key may overlap (fixed rules that look back count with instant loads).
Prints figures as JSON; exits 1 and names the first lines at fault when there are any.
"""
import argparse
import bisect
import gzip
import json
import lzma
import sys

REASONS = {"demand", "refresh", "prewarm", "event", "audit", "probe", "association"}
DEFAULT_LOAD_US = 300_000
SHOWN = 10


def lines(path):
    with open(path, "rb") as f:
        magic = f.read(6)
    opener = {b"\x1f\x8b": gzip.open, b"\xfd7": lzma.open}.get(magic[:2], open)
    with opener(path, "rb") as f:
        for line in f:
            if not line.startswith(b"#"):
                yield line.rstrip(b"\n").split(b"\t")


def scaled(text, digits):
    """A decimal as an integer count of 10^-digits."""
    whole, _, part = text.decode().partition(".")
    kept = (part + "0" * digits)[:digits]
    up = len(part) > digits and part[digits] >= "5"
    return int((whole or "0") + kept) + up


class Trace:
    def __init__(self, requests, changes):
        rows = lines(requests)
        next(rows)
        self.requests, self.endpoint = [], {}
        for row in rows:
            load = row[4] if len(row) > 4 else b"-"
            self.requests.append((scaled(row[0], 6), row[2],
                                  DEFAULT_LOAD_US if load == b"-" else scaled(load, 3)))
            self.endpoint.setdefault(row[2], row[1].decode())
        self.changes = {}
        if changes:
            rows = lines(changes)
            next(rows)
            for row in rows:
                self.changes.setdefault(row[1], []).append(scaled(row[0], 6))
            for times in self.changes.values():
                times.sort()

    def version(self, key, at):
        return bisect.bisect_right(self.changes.get(key, []), at)

    def score_from(self, share):
        if share > 1:
            return round(share * 1e6)
        first, last = self.requests[0][0], self.requests[-1][0]
        return first + round(share * (last - first))


class Figures:
    def __init__(self):
        self.outcome = dict.fromkeys(("hit", "grace", "miss", "joined"), 0)
        self.loads, self.waits, self.ages = {}, [], []

    def result(self):
        n, loads = len(self.waits), sum(self.loads.values())
        at = lambda v, q: sorted(v)[min(len(v) - 1, int(q * len(v)))] if v else None
        ms = lambda us: None if us is None else us / 1e3
        return {
            "requests": n, "outcomes": self.outcome, "loads": self.loads,
            "loads_per_request": loads / n if n else None,
            "stale_per_request": len(self.ages) / n if n else None,
            "hit_ratio": (self.outcome["hit"] + self.outcome["grace"]) / n if n else None,
            "response_ms": {"mean": sum(self.waits) / n / 1e3 if n else None,
                            "p50": ms(at(self.waits, .5)), "p99": ms(at(self.waits, .99))},
        }


class Key:
    """What the log has shown of one key so far."""

    def __init__(self):
        self.load_us = DEFAULT_LOAD_US  # of its latest request
        self.flying = []                # (ends, version), in order of their start
        self.held = None                # the newest version that a load has brought
        self.demand = None              # (time, version) of a demand load that no miss has claimed

    def land(self, now):
        """Loads that have ended: a hit at the very instant may still show the value before."""
        before = self.held
        done = sorted((x for x in self.flying if x[0] <= now), key=lambda x: x[0])
        if done:
            # of two under way, one from before a change, the older may end last
            self.held = max(x[1] for x in done) if before is None else max(before, *(x[1] for x in done))
            self.flying = [x for x in self.flying if x[0] > now]
        return before


def judge(trace, log, score_from, overlap):
    total, endpoints, faults, keys = Figures(), {}, [], {}
    start, clock, i, number = trace.score_from(score_from), 0, 0, 1

    def fault(why):
        faults.append(f"line {number}: {why}")

    for row in lines(log):
        number += 1
        if len(row) != 5 or row[0] not in (b"F", b"R"):
            fault("is neither an F nor an R row of five fields")
            continue
        now, name, word, version = scaled(row[1], 6), row[2], row[3].decode(), int(row[4])
        if len(row[1].partition(b".")[2]) != 6:
            fault("time without six decimals")
        if now < clock:
            fault("time runs backwards")
        clock = max(clock, now)
        if name not in trace.endpoint:
            fault("key is not in the trace")
            continue
        key = keys.setdefault(name, Key())
        where = (total, endpoints.setdefault(trace.endpoint[name], Figures()))
        if row[0] == b"F":
            if word not in REASONS:
                fault(f"unknown reason {word}")
            if version != trace.version(name, now):
                fault(f"origin had version {trace.version(name, now)}")
            if word == "demand" and i < len(trace.requests) and trace.requests[i][:2] == (now, name):
                key.load_us = trace.requests[i][2]  # asked for by the request behind it
                key.demand = (now, version)
            key.land(now)
            if any(x[1] >= version for x in key.flying) and not overlap:
                # the second may only be there because the first is known to bring an old value
                fault("two loads of one key and version at once")
            key.flying.append((now + key.load_us, version))
            if now >= start:
                for f in where:
                    f.loads[word] = f.loads.get(word, 0) + 1
            continue
        if i >= len(trace.requests) or trace.requests[i][:2] != (now, name):
            fault(f"is not request {i + 1} of the trace")
            break
        key.load_us = trace.requests[i][2]
        i += 1
        before, wait = key.land(now), 0
        if word == "miss":
            if key.demand != (now, version):
                fault("no demand load of this instant and version stands before the miss")
            wait = key.load_us
        elif word == "joined":
            with_it = [x for x in key.flying if x[1] == version]
            if not with_it:
                fault("no load of that version is under way")
            else:
                wait = with_it[-1][0] - now
        elif word in ("hit", "grace"):
            if version not in (key.held, before):
                fault(f"holds version {key.held}")
        else:
            fault(f"unknown outcome {word}")
            continue
        key.demand = None
        if now < start:
            continue
        truth = trace.version(name, now)
        for f in where:
            f.outcome[word] += 1
            f.waits.append(wait)
            if version != truth:
                # a version of the future is a fault of its load
                f.ages.append(now - trace.changes[name][version] if version < truth else 0)
    if i != len(trace.requests):
        faults.append(f"answers {i} of {len(trace.requests)} requests")
    result = total.result()
    result["endpoints"] = {e: f.result() for e, f in endpoints.items() if f.waits}
    return result, faults


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--requests", required=True)
    p.add_argument("--changes")
    p.add_argument("--log", required=True)
    p.add_argument("--score-from", type=float, default=0.5)
    p.add_argument("--overlap", action="store_true")
    a = p.parse_args()
    result, faults = judge(Trace(a.requests, a.changes), a.log, a.score_from, a.overlap)
    json.dump(result, sys.stdout, indent=1)
    print()
    for text in faults[:SHOWN]:
        print(text, file=sys.stderr)
    if len(faults) > SHOWN:
        print(f"and {len(faults) - SHOWN} more", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
