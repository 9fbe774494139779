#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""An app with a Redis of its own that takes its TTLs from forecached: app.py [KEY...].

Each key is asked for until Ctrl-C, ten times a second in all. The origin is a function here."""
import itertools
import sys
import time

from advice import Advice

ENDPOINT = "/quotes/<symbol>"


def read_origin(key):
    """A quote that changes every so often: each key at its own pace, 2 s to about 10 min."""
    pace = 2.0 * 2 ** (sum(key.encode()) % 9)
    time.sleep(0.01)
    return b"%s is at %d" % (key.encode(), time.time() // pace)


class Dict:
    """Stands in for Redis where there is none."""

    def __init__(self):
        self.kept = {}

    def get(self, key):
        value, until = self.kept.get(key, (None, 0))
        return value if time.time() < until else None

    def set(self, key, value, px):
        self.kept[key] = value, time.time() + px / 1e3


def connect():
    try:
        import redis
        r = redis.Redis()
        r.ping()
        return r
    except Exception as e:
        print("no Redis (%s): a dict stands in" % e, file=sys.stderr)
        return Dict()


def main(keys):
    r, advice, loads = connect(), Advice(), 0
    for n in itertools.count(1):
        key = "/quotes/" + keys[n % len(keys)]
        value = r.get(key)
        if value is None:
            start = time.time()
            value = read_origin(key)
            ttl_s = advice.loaded(key, value, (time.time() - start) * 1e3, ENDPOINT)
            r.set(key, value, px=max(1, int(ttl_s * 1e3)))
            loads += 1
            print("%-16s kept for %7.2f s   (%d loads for %d requests)" % (key, ttl_s, loads, n))
        else:
            advice.hit(key, ENDPOINT)
        time.sleep(0.1)


if __name__ == "__main__":
    try:
        main(sys.argv[1:] or ["IBM", "SAP", "MSFT", "ORCL", "BP"])
    except KeyboardInterrupt:
        pass
