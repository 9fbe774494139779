#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Does HTTP hold up the cache? Gets over ZeroMQ, alone and while others ask for metrics, TTLs and warmth.

	top_builddir=build bench/web.py [KEYS [ENDPOINTS [SECONDS]]]

Prints the latency of the gets in both cases, side by side in one run, and the longest step of the listener.
"""
import http.client
import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "scripts"))
from fcd import Client, Daemon

KEYS, ENDPOINTS, SECONDS = (int(x) for x in (sys.argv[1:] + ["1000000", "10000", "10"][len(sys.argv) - 1:]))
QUESTIONS = ("/metrics", "/api/v1/ttls?max=1000", "/api/v1/endpoints", "/readyz?warm=0.9", "/api/v1/stats")


def fill(d):
    sent = 0
    for e in range(ENDPOINTS):
        n = KEYS // ENDPOINTS
        for at in range(0, n, 1000):
            d.client.send("mset", [["/e%d/%d" % (e, i), b"value"] for i in range(at, min(at + 1000, n))],
                          {"endpoint": "/e%d/<n>" % e})
            sent += 1
        while sent > 200:
            assert d.client.receive()[1] == 0
            sent -= 1
    for _ in range(sent):
        assert d.client.receive()[1] == 0


def gets(d, stop):
    c, took = Client(d.dir), []
    end, i = time.monotonic() + SECONDS, 0
    while time.monotonic() < end:
        i += 1
        t = time.perf_counter()
        c.ask("get", "/e%d/%d" % (i % ENDPOINTS, i % (KEYS // ENDPOINTS)), {"mode": "peek"})
        took.append(time.perf_counter() - t)
    stop.set()
    c.close()
    took.sort()
    return [1e6 * took[int(q * (len(took) - 1))] for q in (0.5, 0.99, 0.999, 1)] + [len(took)]


def watch(port, path, stop, count):
    while not stop.is_set():
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        c.request("GET", path)
        count[path] = count.get(path, 0) + len(c.getresponse().read()) * 0 + 1
        c.close()


def longest(port):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    c.request("GET", "/metrics")
    text = c.getresponse().read().decode()
    return float(text.split("\nforecached_http_longest_step_seconds ")[1].split()[0])


def main():
    config = {"http": "127.0.0.1:0", "segment_bytes": 512 << 20, "limits": {"max_keys": 2 * KEYS, "max_endpoints": 2 * ENDPOINTS}}
    with Daemon(config) as d:
        port = int(d.wait_log(r"event=http .*port=(\d+)").group(1))
        fill(d)
        print("%d keys in %d endpoints; gets over ZeroMQ, one after the other, from Python" % (KEYS, ENDPOINTS))
        print("%-34s %9s %9s %9s %9s %9s" % ("", "p50 us", "p99 us", "p99.9 us", "max us", "gets"))
        print("%-34s %9.0f %9.0f %9.0f %9.0f %9d" % ("nobody asks over HTTP", *gets(d, threading.Event())))
        for path in QUESTIONS:
            stop, count = threading.Event(), {}
            t = threading.Thread(target=watch, args=(port, path, stop, count))
            t.start()
            row = gets(d, stop)
            t.join()
            print("%-34s %9.0f %9.0f %9.0f %9.0f %9d   %d answers, longest step so far %.0f us"
                  % (path + ", all the time", *row, count.get(path, 0), 1e6 * longest(port)))


main()
