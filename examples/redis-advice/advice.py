# SPDX-License-Identifier: MIT
"""TTLs from forecached for an app that keeps its own cache: tell it what happens, ask it for how long.

    advice = Advice()
    value = r.get(key)
    if value is None:
        start = time.time()
        value = read_origin(key)
        ms = (time.time() - start) * 1e3
        r.set(key, value, px=int(advice.loaded(key, value, ms, endpoint="/quotes/<symbol>") * 1e3))
    else:
        advice.hit(key, endpoint="/quotes/<symbol>")

Without a daemon nothing waits and nothing fails: every TTL is then the one given as `otherwise`.
Not for several threads at once: give each its own, as ZeroMQ wants it.
"""
import hashlib
import os

import msgpack
import zmq


class Advice:
    def __init__(self, directory=None, otherwise=60.0, timeout_ms=20):
        directory = directory or os.environ.get("FORECACHED_DIR") or "/run/forecached"
        self.otherwise, self.timeout_ms, self.id, self.waiting = otherwise, timeout_ms, 0, []
        context = zmq.Context.instance()
        self.events = context.socket(zmq.PUSH)
        self.requests = context.socket(zmq.DEALER)
        for socket, name in (self.events, "events"), (self.requests, "requests"):
            socket.setsockopt(zmq.LINGER, 0)
            socket.setsockopt(zmq.IMMEDIATE, 1)
            socket.connect("ipc://%s/%s" % (directory, name))

    def hit(self, key, endpoint=None, at=None):
        """The app's cache had it. Told in batches of 100, or with the next load."""
        self.waiting.append([at, endpoint, key, "hit"])
        if len(self.waiting) >= 100:
            self.flush()

    def loaded(self, key, value, load_ms, endpoint=None, at=None):
        """The app's cache had it not, the origin was read: gives the TTL for the value, in seconds."""
        version = hashlib.blake2b(value, digest_size=8).digest()  # so that changes are seen
        self.waiting.append([at, endpoint, key, "miss", len(value), load_ms, version])
        self.flush()
        return self.ttl(key, endpoint)

    def flush(self):
        try:
            self.events.send(msgpack.packb(self.waiting), zmq.DONTWAIT)
        except zmq.Again:
            pass  # no daemon, or it is behind: it can do without
        self.waiting = []

    def ttl(self, key, endpoint=None):
        self.id += 1
        try:
            self.requests.send(msgpack.packb([self.id, "ttl", key, {"endpoint": endpoint}]), zmq.DONTWAIT)
            while self.requests.poll(self.timeout_ms):
                number, status, result = msgpack.unpackb(self.requests.recv_multipart()[-1])
                if number == self.id:  # others are late answers to what was given up
                    return self.otherwise if status else result["ttl_s"]
        except zmq.Again:
            pass
        return self.otherwise
