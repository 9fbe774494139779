#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""python -m forecached.worker with Flask and Django apps, and the client under gunicorn's prefork server."""
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import shutil
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pyfc

pyfc.preload()

from fcd import Daemon, main, test, until  # noqa: E402

import forecached  # noqa: E402

# a load may take long here: the machine may be slow
CONFIG = {
    "policy": {"ttl": "obey", "min_ttl": "50ms", "max_age": "1h"},
    "origins": {"app": {"timeout": "120s", "rate": 1000}},
    "endpoints": [{"match": "*", "origin": "app"}],
}

APP = '''
import asyncio, os, threading, time
import forecached

@forecached.cached("/users/{id}", ttl=60)
def user(id: int) -> dict:
    return {"id": id, "where": "worker" if os.environ.get("IS_WORKER") else "app"}

@forecached.cached("/co/{id}")
async def co(id: int) -> str:
    await asyncio.sleep(0)
    return "co %d" % id

@forecached.loader("/reports/<id>", serializer="bytes")
def report(key):
    if key.endswith("/none"):
        raise forecached.NotFound(key)
    if key.endswith("/bad"):
        raise RuntimeError("no such luck")
    return forecached.Loaded(b"report " + key.encode(), version=3)

busy, most, lock = [0], [0], threading.Lock()

@forecached.loader("/slow/<n>")
def slow(key):
    with lock:
        busy[0] += 1
        most[0] = max(most[0], busy[0])
    open(os.path.join(os.environ["MARKS"], "began" + key.replace("/", "-")), "w").close()
    end = time.monotonic() + 30
    while not os.path.exists(os.path.join(os.environ["MARKS"], "go")) and time.monotonic() < end:
        time.sleep(0.005)
    with lock:
        busy[0] -= 1
    return most[0]

def nothing():
    return None
'''

FLASK = APP + '''
import flask

@forecached.cached("/flask/{id}")
def in_context(id: int) -> str:
    return "%s of %s" % (id, flask.current_app.name)

def create_app():
    return flask.Flask("the app")

app = create_app()
'''

DJANGO = APP + '''
import django
from django.conf import settings
settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}})
django.setup()
from django.core.wsgi import get_wsgi_application
from django.db import connection

@forecached.cached("/django/{id}")
def from_db(id: int) -> int:
    with connection.cursor() as c:
        c.execute("select %s + 1", [id])
        return c.fetchone()[0]

application = get_wsgi_application()
'''


class Place:
    """A directory with an app, a daemon, and workers."""

    def __init__(self, app, config=None):
        self.base = tempfile.mkdtemp(prefix="pyfc-")
        with open(os.path.join(self.base, "theapp.py"), "w") as f:
            f.write(app)
        self.daemon = Daemon(dict(CONFIG, **(config or {})))
        self.client = forecached.Client(self.daemon.dir, timeout=30, load_wait=60)
        self.workers = []

    def env(self, **more):
        return dict(os.environ, MARKS=self.base, FORECACHED_DIR=self.daemon.dir, PYTHONUNBUFFERED="1", **more)

    def worker(self, *args, wait=True):
        log = os.path.join(self.base, "worker%d.log" % len(self.workers))
        with open(log, "w") as f:
            p = subprocess.Popen(
                [sys.executable, "-m", "forecached.worker", *args],
                cwd=self.base, env=self.env(IS_WORKER="1"), stderr=f, stdout=f)
        p.log = lambda: open(log).read()
        self.workers.append(p)
        if wait:
            until("the worker is ready", lambda: p.poll() is not None or "event=ready" in p.log())
            assert p.poll() is None, p.log()
        return p

    def load(self, key, endpoint):
        """What the daemon gets from its loader; asks again until one is registered, and while it is busy."""

        def ask():
            try:
                return self.client.fetch(key, endpoint=endpoint)
            except (forecached.NotFound, forecached.LoadFailed, forecached.Unavailable):
                return None

        return until("loaded " + key, ask).value

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind:
            for p in self.workers:
                for line in p.log().splitlines()[-20:]:
                    print("# worker: " + line)
        for p in self.workers:
            if p.poll() is None:
                p.kill()
            p.wait()
        self.client.close()
        self.daemon.__exit__(kind, value, trace)
        shutil.rmtree(self.base, ignore_errors=True)


def serves(place, transport):
    p = place.worker("theapp:nothing", "--transport", transport, "--concurrency", "2")
    assert place.load("/users/7", "/users/<id>") == {"id": 7, "where": "worker"}
    assert place.load("/co/7", "/co/<id>") == "co 7"
    assert place.load("/reports/7", "/reports/<id>") == b"report /reports/7"
    assert place.client.lookup("/reports/7").version == 3
    for key, error in (("/reports/none", forecached.NotFound), ("/users/none", forecached.NotFound),
                       ("/reports/bad", forecached.LoadFailed)):
        try:
            pyfc.patiently(lambda: place.client.get_or_load(key, endpoint=key[: key.rindex("/")] + "/<id>"))
            raise AssertionError("no error for " + key)
        except error:
            pass
    assert "no such luck" in p.log() and "RuntimeError" in p.log()
    # a new daemon in the same place is found again
    place.daemon.kill9()
    place.daemon.start()
    assert place.load("/users/8", "/users/<id>") == {"id": 8, "where": "worker"}
    p.send_signal(signal.SIGINT)
    assert p.wait(60) == 0 and "event=stopped" in p.log(), p.log()


@test
def a_worker_serves_what_the_app_has_registered():
    with Place(APP) as place:
        serves(place, "library")


@test
def a_worker_serves_over_zeromq_as_well():
    with Place(APP) as place:
        serves(place, "zeromq")


def ends_well(transport):
    import threading

    with Place(APP) as place:
        p = place.worker("theapp", "--concurrency", "2", "--transport", transport)
        place.load("/users/1", "/users/<id>")
        got = []

        def ask(n):
            c = forecached.Client(place.daemon.dir, timeout=120)
            got.append(c.get_or_load("/slow/%d" % n, endpoint="/slow/<n>"))
            c.close()

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(2)]
        for t in threads:
            t.start()
        began = lambda: [x for x in os.listdir(place.base) if x.startswith("began")]  # noqa: E731
        until("both run", lambda: len(began()) == 2)
        p.send_signal(signal.SIGTERM)
        until("it has heard", lambda: "event=stopping" in p.log())
        assert p.poll() is None, "jobs are running"
        open(os.path.join(place.base, "go"), "w").close()
        for t in threads:
            t.join(60)
        assert p.wait(60) == 0 and "event=stopped" in p.log()
        assert sorted(got) == [2, 2], got


@test
def sigterm_lets_running_jobs_finish_and_tells_their_values():
    ends_well("library")


@test
def sigterm_lets_running_jobs_finish_over_zeromq():
    ends_well("zeromq")


@test
def no_more_jobs_than_asked_for_run_at_once():
    import threading

    with Place(APP) as place:
        place.worker("theapp", "--concurrency", "1")
        place.load("/users/1", "/users/<id>")
        open(os.path.join(place.base, "go"), "w").close()
        got = []
        threads = [threading.Thread(target=lambda n=n: got.append(place.load("/slow/%d" % n, "/slow/<n>"))) for n in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert got == [1, 1, 1, 1], got


@test
def flask_loaders_run_within_the_apps_context():
    if not pyfc.have("flask"):
        return "no python3-flask"
    for spec in ("theapp:create_app", "theapp:app", "theapp:create_app()"):
        with Place(FLASK) as place:
            place.worker(spec)
            assert place.load("/flask/3", "/flask/<id>") == "3 of the app"


@test
def django_loaders_have_their_connections():
    if not pyfc.have("django"):
        return "no python3-django"
    with Place(DJANGO) as place:
        place.worker("theapp:application")
        assert place.load("/django/41", "/django/<id>") == 42


@test
def what_is_wrong_with_the_app_is_said():
    with Place(APP) as place:
        with open(os.path.join(place.base, "empty.py"), "w") as f:
            f.write("def coroutine(): pass\nasync def factory(): pass\n")
        for args, said in (
            (["no_such_module"], "no_such_module"),
            (["theapp:no_such_name"], "no_such_name"),
            (["empty"], "registers no loader"),
            (["empty:factory"], "coroutine"),
            (["theapp", "--concurrency", "0"], "--concurrency"),
            (["theapp", "--chdir", "/nonexistent"], "/nonexistent"),
            ([], "required"),
        ):
            p = place.worker(*args, wait=False)
            assert p.wait(60) == 2 and said in p.log(), (args, p.returncode, p.log())


GUNICORN = '''
import os, sys, time
import forecached
client = forecached.Client(timeout=30, load_wait=60)
client.set("/from/the/master", "hello", ttl=600)
assert client.get("/from/the/master") == "hello"

def load():
    with open(os.path.join(os.environ["MARKS"], "loads"), "a") as f:
        f.write("%d\\\\n" % os.getpid())
    time.sleep(0.2)
    return "loaded"

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path.startswith("/load/"):
        said = client.get_or_load(path, load, ttl=600)
    elif path == "/stats":
        said = "%(requests)d %(segment_reads)d" % client.stats()
    else:
        said = client.get("/from/the/master", "none")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [("%d %s" % (os.getpid(), said)).encode()]
'''.replace("\\\\n", "\\n")


@test
def gunicorns_children_share_the_parents_client():
    if pyfc.NO_FORK:
        return pyfc.NO_FORK
    if not pyfc.have("gunicorn"):
        return "no gunicorn"
    import threading

    with Place(GUNICORN) as place:
        port = pyfc.free_port()
        url = "http://127.0.0.1:%d" % port
        log = open(os.path.join(place.base, "gunicorn.log"), "w")
        server = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "--preload", "--workers", "3", "--bind", "127.0.0.1:%d" % port,
             "--graceful-timeout", "10", "--timeout", "300", "theapp:app"],
            cwd=place.base, env=place.env(), stdout=log, stderr=log)
        try:
            def fetch(path):
                with urllib.request.urlopen(url + path, timeout=60) as r:
                    pid, said = r.read().decode().split(" ", 1)
                    return int(pid), said

            def up():
                try:
                    return fetch("/")
                except (OSError, socket.timeout):
                    assert server.poll() is None, open(log.name).read()
                    return None

            assert until("gunicorn is up", up)[1] == "hello"
            pids = set()
            until("all children have answered", lambda: pids.add(fetch("/")[0]) or len(pids) == 3)
            assert server.pid not in pids
            got = []

            def ask():
                got.append(fetch("/load/1"))

            threads = [threading.Thread(target=ask) for _ in range(12)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            assert [said for _, said in got] == ["loaded"] * 12
            with open(os.path.join(place.base, "loads")) as f:
                loads = f.read().split()
            assert len(loads) == 1, loads
            # the children's hits come from shared memory, and the daemon hears of them
            for _ in range(30):
                assert fetch("/load/1")[1] == "loaded"
            requests, segment = map(int, fetch("/stats")[1].split())
            assert segment >= 1, (requests, segment)
            # a child that is killed is replaced by one that works
            os.kill(int(loads[0]), signal.SIGKILL)
            fresh = set()
            until("a new child has answered", lambda: fresh.add(fetch("/")[0]) or fresh - pids)
        finally:
            server.terminate()
            code = server.wait(60)
            log.close()
        assert code == 0, open(log.name).read()


if not os.path.exists(pyfc.LIBRARY):
    pyfc.skip_all("libforecache is not built as a shared library")
main()
