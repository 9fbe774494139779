# SPDX-License-Identifier: GPL-3.0-or-later
"""A forecached of a test's own: in a temporary directory, asked over ZeroMQ, and gone at the end.

	with Daemon({"segment_bytes": "4MiB"}) as d:
		d.ask("set", "/q/IBM", b"1", {"ttl_s": 5})

Nothing here sleeps for a fixed time: whatever takes its time is polled for until a deadline. Only
processes that were started here are ever killed.
"""
import contextlib
import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import msgpack
import zmq

BUILD = os.environ.get("top_builddir", ".")
PROGRAM = os.environ.get("FORECACHED", os.path.join(BUILD, "daemon", "forecached"))
# sanitizers slow things down; a loaded machine does, too
DEADLINE_S = float(os.environ.get("FCD_DEADLINE_S", "60"))


def until(what, fn, deadline_s=None):
    """Polls fn until it gives something true, and gives that."""
    end = time.monotonic() + (deadline_s or DEADLINE_S)
    while True:
        got = fn()
        if got:
            return got
        if time.monotonic() > end:
            raise AssertionError("not within the deadline: " + what)
        time.sleep(0.01)


def write_ics(path, day):
    """A calendar whose only special day is this one, as 20261225."""
    with open(path, "w") as f:
        f.write("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTART;VALUE=DATE:%s\r\n"
                "SUMMARY:Closed\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n" % day)


class Refused(Exception):
    """A reply with another status than 0."""

    def __init__(self, status, code, text):
        super().__init__("%d %s: %s" % (status, code, text))
        self.status, self.code, self.text = status, code, text


class Client:
    """A DEALER that asks one thing after the other."""

    def __init__(self, directory):
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.connect("ipc://%s/requests" % directory)
        self.id = 0

    def send(self, op, *args):
        self.id += 1
        self.socket.send(msgpack.packb([self.id, op, *args]))
        return self.id

    def receive(self, timeout_s=None):
        """[id, status, result], or None."""
        if not self.socket.poll(int((timeout_s or DEADLINE_S) * 1000)):
            return None
        return msgpack.unpackb(self.socket.recv(), raw=False, strict_map_key=False)

    def ask(self, op, *args, timeout_s=None):
        wanted = self.send(op, *args)
        while True:
            reply = self.receive(timeout_s)
            if reply is None:
                raise TimeoutError("no reply to " + op)
            if reply[0] == wanted:
                break
        if reply[1]:
            raise Refused(reply[1], reply[2][0], reply[2][1])
        return reply[2]

    def close(self):
        self.context.destroy(linger=0)


class Daemon:
    def __init__(self, config=None, args=(), directory=None, start=True, user=None):
        self.own = directory is None
        self.base = directory or tempfile.mkdtemp(prefix="fcd-")
        self.dir = os.path.join(self.base, "run")
        self.log_file = os.path.join(self.base, "log")
        self.config_file = os.path.join(self.base, "conf")
        self.config = {"segment_bytes": 4 << 20, "log_burst": 1000}
        self.config.update(config or {})
        self.args = list(args)
        self.user = user
        self.process = None
        self.client = None
        self.contexts = []
        self.write_config(self.config)
        if start:
            self.start()

    def write_config(self, config):
        with open(self.config_file, "w") as f:
            f.write(config if isinstance(config, str) else json.dumps(config))

    def command(self):
        head = ["setpriv", "--reuid", self.user, "--clear-groups"] if self.user else []
        # tests run side by side: none of them may want a port that is everybody's default
        ports = [x for o in ("redis", "http") if o not in self.config for x in ("--" + o, "off")]
        return head + [PROGRAM, "--config", self.config_file, "--dir", self.dir, *ports, *self.args]

    def spawn(self):
        log = open(self.log_file, "a")
        self.log_from = os.path.getsize(self.log_file)
        env = dict(os.environ)
        env.pop("JOURNAL_STREAM", None)
        self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)
        log.close()

    def start(self):
        self.spawn()
        until("ready", lambda: self.process.poll() is not None or "event=ready" in self.log())
        if self.process.poll() is not None:
            raise AssertionError("ended with %d:\n%s" % (self.process.returncode, self.log()))
        self.client = Client(self.dir)
        return self

    def log(self):
        """What this run has written so far."""
        with open(self.log_file, errors="replace") as f:
            f.seek(self.log_from)
            return f.read()

    def wait_log(self, pattern):
        return until("log line " + pattern, lambda: re.search(pattern, self.log()))

    def ask(self, *args, **kw):
        return self.client.ask(*args, **kw)

    def refused(self, *args):
        """The refusal that this must meet with."""
        try:
            got = self.ask(*args)
        except Refused as e:
            return e
        raise AssertionError("not refused: %r gave %r" % (args, got))

    def socket(self, kind, name):
        context = zmq.Context()
        self.contexts.append(context)
        s = context.socket(kind)
        s.setsockopt(zmq.LINGER, 0)
        if kind == zmq.SUB:
            s.setsockopt(zmq.SUBSCRIBE, b"")
        s.connect("ipc://%s/%s" % (self.dir, name))
        return s

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def kill9(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.forget()

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """SIGTERM; gives the exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=DEADLINE_S)
        self.forget()
        return code

    def run(self):
        """For a start that is to fail: exit code and log."""
        self.spawn()
        code = self.process.wait(timeout=DEADLINE_S)
        return code, self.log()

    def forget(self):
        if self.client:
            self.client.close()
        self.client = None

    def close(self):
        if self.alive():
            self.process.kill()
            self.process.wait()
        self.forget()
        for c in self.contexts:
            c.destroy(linger=0)
        try:
            os.unlink(os.readlink(os.path.join(self.dir, "segment")))
        except OSError:
            pass
        if self.own:
            shutil.rmtree(self.base, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind and os.path.exists(self.log_file):
            for line in self.log().splitlines()[-30:]:
                print("# log: " + line)
        self.close()


class Handler(http.server.BaseHTTPRequestHandler):
    """Of an origin that says nothing of its own on what it is asked for."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def origin(handler):
    """An HTTP server with this handler, on a port of its own; gives its URL."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield "http://127.0.0.1:%d" % server.server_port
    finally:
        server.shutdown()
        server.server_close()


class Loader:
    """A loader worker that does what the test tells it to."""

    def __init__(self, daemon, endpoints, concurrency=4):
        self.socket = daemon.socket(zmq.DEALER, "loaders")
        self.say("register", endpoints, concurrency)
        told = self.hear()
        assert told[0] == "registered", told

    def say(self, *words):
        self.socket.send(msgpack.packb(list(words)))

    def hear(self, timeout_s=None):
        if not self.socket.poll(int((timeout_s or DEADLINE_S) * 1000)):
            return None
        return msgpack.unpackb(self.socket.recv(), raw=False)

    def job(self, timeout_s=None):
        """
        The next job, [job, endpoint, key, reason, deadline_s, version]. Other words are passed over, and
        audits: any hit may be one.
        """
        end = time.monotonic() + (timeout_s or DEADLINE_S)
        while True:
            told = self.hear(max(end - time.monotonic(), 0.001))
            if told is None or (isinstance(told[0], int) and told[3] != "audit"):
                return told

    def word(self, word):
        """Waits for that word; jobs and others are passed over."""
        end = time.monotonic() + DEADLINE_S
        while True:
            told = self.hear(max(end - time.monotonic(), 0.001))
            assert told is not None, "never heard " + word
            if told[0] == word:
                return told


# -- TAP ---------------------------------------------------------------------------------------

_tests = []


def test(fn):
    _tests.append(fn)
    return fn


def main():
    """Runs all tests of the module, or those whose names contain an argument."""
    wanted = [t for t in _tests if not sys.argv[1:] or any(a in t.__name__ for a in sys.argv[1:])]
    bad = 0
    print("1..%d" % len(wanted), flush=True)
    for n, t in enumerate(wanted, 1):
        name = t.__name__.replace("_", " ")
        try:
            skip = t()
            print("ok %d - %s%s" % (n, name, " # SKIP " + skip if skip else ""), flush=True)
        except Exception as e:  # whatever it is, the others are run as well
            bad += 1
            import traceback

            for line in traceback.format_exc().splitlines():
                print("# " + line)
            print("not ok %d - %s" % (n, name), flush=True)
    sys.exit(1 if bad else 0)
