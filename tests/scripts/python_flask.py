#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flask-Caching on forecached: the backend's contract, views learned by route, one run of a view for many
requests, refreshes through the app itself, tags, header fields, and no daemon at all."""
import os
import pickle
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pyfc

pyfc.preload()
for module in ("flask", "flask_caching", "cachelib"):
    if not pyfc.have(module):
        pyfc.skip_all("no python3-" + module.replace("_", "-"))

import logging  # noqa: E402

import flask  # noqa: E402
from flask_caching import Cache, CachedResponse  # noqa: E402

from fcd import Daemon, main, test, until  # noqa: E402

import forecached  # noqa: E402
import forecached.flask as ff  # noqa: E402

logging.getLogger("forecached").setLevel(logging.ERROR)
OBEY = {"policy": {"ttl": "obey", "grace": "0s", "min_ttl": "50ms"}}


def daemon(config=None):
    return Daemon(dict(config or OBEY, redis="off", redis_socket="on"))


class App:
    """The usual app, with counts of what its views did."""

    def __init__(self, directory, **options):
        self.app = app = flask.Flask("usual")
        app.config.update(
            CACHE_TYPE="forecached.flask.ForecachedCache",
            CACHE_OPTIONS=dict(options, dir=directory),
            SECRET_KEY="x",
        )
        self.cache = cache = Cache(app)
        self.ran = []
        self.gate = threading.Event()
        self.gate.set()
        self.fail = False
        self.values = {}

        @app.route("/v1/users/<int:id>")
        @cache.cached(timeout=60)
        def user(id):
            self.ran.append(id)
            assert self.gate.wait(60)
            if self.fail:
                raise RuntimeError("down")
            return flask.jsonify(id=id, value=self.values.get(id, 0))

        @app.route("/v1/search")
        @cache.cached(timeout=60, query_string=True)
        def search():
            self.ran.append(flask.request.args.get("q"))
            return "found %s %s" % (flask.request.args.get("q"), self.values.get("search", 0))

        @app.route("/tagged/<name>")
        @cache.cached(timeout=60)
        def tagged(name):
            self.ran.append(name)
            ff.tag("all", "name:" + name)
            return name

        @app.route("/own/<name>")
        @cache.cached(timeout=60)
        def own(name):
            r = flask.make_response(name)
            if name == "control":
                r.headers["Cache-Control"] = "no-store"
            if name == "cookie":
                r.set_cookie("a", "b")
            if name == "session":
                flask.session["a"] = 1
            return r

        @app.route("/short")
        @cache.cached(timeout=60)
        def short():
            return CachedResponse(flask.make_response("short"), 7)

        @app.route("/learned")
        @cache.cached(timeout=forecached.ttl)
        def learned():
            return "learned"

        @app.route("/filtered")
        @cache.cached(timeout=60, response_filter=lambda r: False)
        def filtered():
            self.ran.append("filtered")
            return "no"

        @app.route("/uncached")
        def uncached():
            return "uncached"

        @cache.memoize(300)
        def add(a, b):
            self.ran.append((a, b))
            return a + b

        self.add = add
        self.backend = app.extensions["cache"][cache]

    def get(self, url):
        return self.app.test_client().get(url)

    def close(self):
        self.backend.client.close()


@test
def the_contract_of_a_backend():
    """Against Flask-Caching's own SimpleCache, call by call, with what that does not do named."""
    with daemon() as d:
        a = App(d.dir)
        simple = flask.Flask("simple")
        other = Cache(simple, config={"CACHE_TYPE": "SimpleCache"})
        for app, c in ((simple, other), (a.app, a.cache)):
            with app.app_context():
                got = [
                    c.get("none"), c.set("a", {"x": (1, 2)}), c.get("a"), c.has("a"), c.has("none"),
                    c.add("a", 2), c.add("b", b"raw"), c.get("b"), c.get_many("a", "none", "b"), c.get_dict("a", "none"),
                    c.set("text", "7"), c.get("text"), c.set("n", 7), c.get("n"), c.set("f", 1.5, timeout=2.5), c.get("f"),
                    c.set("t", True), c.get("t"), c.delete("a"), c.delete("a"), c.get("a"),
                    c.delete_many("b", "none", "text"), c.get("text"), c.set("for ever", 1, timeout=0), c.get("for ever"),
                    c.cache.inc("n", 5), c.get("n"), c.cache.dec("n"), c.get("n"), c.cache.inc("new"),
                ]
                if c is other:
                    wanted = got
        assert got == wanted, "\n%r\n%r" % (got, wanted)
        with a.app.app_context():
            assert sorted(a.cache.set_many({"x": 1, "y": 2})) == ["x", "y"] and a.cache.get_many("x", "y") == [1, 2]
            assert a.backend.plain.command("PTTL", "flask_cache_x") > 290000
            assert a.backend.plain.command("PTTL", "flask_cache_for ever") == -1
            assert 0 < a.backend.plain.command("PTTL", "flask_cache_f") <= 2500
            assert a.cache.unlink("x", "none", "y") == ["x", "y"]
            # what Flask-Caching's Redis backend wrote is read, and the other way
            a.backend.plain.command("SET", "flask_cache_r", b"!" + pickle.dumps([1]))
            assert a.cache.get("r") == [1]
            a.backend.plain.command("SET", "flask_cache_bad", b"!no pickle")
            assert a.cache.get("bad") is None
            a.cache.set("w", {"a"})
            assert pickle.loads(a.backend.plain.command("GET", "flask_cache_w")[1:]) == {"a"}
            # of many that add one key, one does
            wins = []
            threads = [threading.Thread(target=lambda n=n: wins.append(a.backend.add("lock", n))) for n in range(8)]
            [t.start() for t in threads]
            [t.join() for t in threads]
            assert sorted(wins) == [False] * 7 + [True], wins
            a.backend.plain.command("SET", "someone else's", "1")
            assert a.get("/v1/users/1").json["id"] == 1
            assert a.cache.clear() and a.cache.get("w") is None and a.backend.plain.command("GET", "someone else's") == b"1"
            assert a.get("/v1/users/1") and a.ran == [1, 1], "clear takes out views, too"
        a.close()


@test
def views_are_learned_by_their_routes():
    with daemon() as d:
        a = App(d.dir)
        for _ in range(3):
            assert a.get("/v1/users/7").json == {"id": 7, "value": 0}
        assert a.get("/v1/users/8").status_code == 200 and a.ran == [7, 8]
        assert a.get("/v1/search?a=1&q=x").text == a.get("/v1/search?q=x&a=1").text and a.ran == [7, 8, "x"]
        assert a.get("/short").text == a.get("/short").text and a.get("/learned").text == "learned"
        rows = {r["key"]: r for r in a.backend.client.ttls("/v1/users/<int:id>")}
        assert set(rows) == {"flask_cache_view//v1/users/7", "flask_cache_view//v1/users/8"}, rows
        assert rows["flask_cache_view//v1/users/7"]["ttl_s"] == 60, rows
        assert a.backend.client.ttls("/short")[0]["ttl_s"] == 7 and a.backend.client.ttls("/v1/search")
        # a Redis client of the same app reads them
        data = a.backend.plain.command("GET", "flask_cache_view//v1/users/7")
        assert pickle.loads(data[1:]).json == {"id": 7, "value": 0}
        with a.app.test_request_context():
            assert a.cache.delete("view//v1/users/7")
        assert a.get("/v1/users/7") and a.ran[-1] == 7 and len(a.ran) == 4
        with a.app.app_context():
            assert ff.changed("/v1/users/7")
        a.values[7] = 1
        assert a.get("/v1/users/7").json["value"] == 1
        # what a view looks up for itself is no view
        with a.app.test_request_context("/v1/users/7"):
            a.app.preprocess_request()
            assert a.cache.set("mine", 1) and a.cache.get("mine") == 1
        assert a.add(1, 2) == 3 == a.add(1, 2) and a.ran[-1] == (1, 2) and a.ran.count((1, 2)) == 1
        a.cache.delete_memoized(a.add)
        assert a.add(1, 2) == 3 and a.ran.count((1, 2)) == 2
        # contents tell versions, pickles of equal ones can differ
        x = "".join(["a", "b"])
        v = ff.ForecachedCache._version
        assert v({"k": x, "l": x}, b"1") == v({"k": "ab", "l": "".join(["a", "b"])}, b"2") != v({"k": "ab"}, b"1")
        with a.app.app_context():
            one, two = flask.jsonify(a=1), flask.jsonify(a=1)
            two.headers["Date"] = "now"
            assert v(one, b"1") == v(two, b"2") != v(flask.jsonify(a=2), b"1")
        a.close()


@test
def one_request_runs_a_view_for_all():
    with daemon() as d:
        a = App(d.dir)
        a.gate.clear()
        got = []
        threads = [threading.Thread(target=lambda: got.append(a.get("/v1/users/1").json)) for _ in range(12)]
        for t in threads:
            t.start()
        until("the view runs", lambda: a.ran)
        until("the others wait", lambda: d.ask("stats")["joined"] >= 11)
        a.gate.set()
        for t in threads:
            t.join()
        assert got == [{"id": 1, "value": 0}] * 12 and a.ran == [1], a.ran
        a.close()


@test
def a_view_that_fails_or_is_not_kept_holds_nobody_up():
    with daemon() as d:
        a = App(d.dir)
        a.app.config["PROPAGATE_EXCEPTIONS"] = False
        a.app.logger.disabled = True
        a.fail = True
        for _ in range(3):
            assert a.get("/v1/users/1").status_code == 500
        a.fail = False
        assert a.get("/v1/users/1").status_code == 200
        for _ in range(3):
            assert a.get("/filtered").text == "no"
        assert a.ran == [1, 1, 1, 1, "filtered", "filtered", "filtered"], a.ran
        until("its lease was given back", lambda: a.get("/v1/users/1").status_code == 200 and d.ask("get", b"flask_cache_view//v1/users/1", {"mode": "peek"})["value"])
        a.close()


@test
def tags_drop_what_has_them():
    with daemon() as d:
        a = App(d.dir)
        for _ in range(2):
            assert a.get("/tagged/x").text == "x" and a.get("/tagged/y").text == "y"
        assert a.ran == ["x", "y"]
        with a.app.app_context():
            assert ff.drop_tags("name:x")
        for _ in range(2):
            assert a.get("/tagged/x").text == "x" and a.get("/tagged/y").text == "y"
        assert a.ran == ["x", "y", "x"]
        with a.app.app_context():
            assert ff.drop_tags("all")
        for _ in range(2):
            assert a.get("/tagged/x").text == "x" and a.get("/tagged/y").text == "y"
        assert a.ran == ["x", "y", "x", "x", "y"]
        a.backend.plain.delete(a.backend.tags._key("all"))
        assert a.get("/tagged/x").text == "x" and a.ran[-1] == "x" and len(a.ran) == 6, "a lost version drops"
        a.close()


def control(r):
    return dict(p.strip().partition("=")[::2] for p in r.headers.get("Cache-Control", "").split(",") if p)


@test
def header_fields_say_what_is_left():
    with daemon() as d:
        a = App(d.dir, headers=True, stale_if_error=30)
        r = a.get("/v1/users/1")
        assert r.headers["Cache-Status"] == "forecached; fwd=miss; stored; ttl=60", r.headers
        assert control(r) == {"max-age": "60", "stale-if-error": "30"} and r.headers["Age"] == "0"
        until("time passes", lambda: int(control(a.get("/v1/users/1"))["max-age"]) < 59)
        r = a.get("/v1/users/1")
        left = int(control(r)["max-age"])
        assert r.headers["Cache-Status"] in ("forecached; hit; ttl=%d" % n for n in (left, left + 1)), r.headers
        for _ in range(2):
            assert a.get("/own/control").headers["Cache-Control"] == "no-store", "the app's own stands"
            assert "Age" not in a.get("/own/control").headers
            for name in ("cookie", "session"):
                r = a.get("/own/" + name)
                if "Set-Cookie" in r.headers:
                    assert "max-age" not in r.headers.get("Cache-Control", ""), "what is one user's is not for all"
        r = a.get("/uncached")
        assert not {"Cache-Control", "Age", "Cache-Status"} & set(r.headers.keys())
        quiet = App(d.dir)
        assert not {"Cache-Control", "Age", "Cache-Status"} & set(quiet.get("/v1/users/1").headers.keys())
        quiet.close()
        a.close()


LEARN = {"policy": {"ttl": "learn", "min_ttl": "1s", "max_age": "1h", "grace": "1s"}, "origins": {"app": {"rate": 50}},
         "endpoints": [{"match": "/v1/*", "origin": "app"}]}


@test
def the_daemon_has_views_refreshed_in_the_process_itself():
    with daemon(LEARN) as d:
        a = App(d.dir, refresh="thread", refresh_headers={"X-Refresh": "1"})
        seen = []
        a.app.before_request(lambda: seen.append((ff.refreshing(), flask.request.headers.get("X-Refresh"))))
        assert a.get("/v1/users/5").json["value"] == 0 and a.get("/v1/search?q=a%20b").text == "found a b 0"
        a.values.update({5: 1, "search": 1})
        for url, key in (("/v1/users/5", "flask_cache_view//v1/users/5"), ("/v1/search?q=a%20b", None)):
            row = a.backend.client.ttls("/v1/users/<int:id>" if key else "/v1/search")[0]
            pyfc.patiently(lambda: a.backend.client.changed(row["key"]))
            before = len(a.ran)
            # the daemon loads by itself: a request of ours that only looks
            got = until("loaded by the app's own view", lambda: pyfc.patiently(lambda: d.ask("get", row["key"].encode(), {"mode": "load"}))["value"])
            assert got[:1] == b"!" and len(a.ran) > before
            text = a.get(url).text
            assert ("1" in text.split("value")[-1]) if key else text == "found a b 1", text
        assert (True, "1") in seen and (False, None) in seen
        # no client can pass for a refresh
        n = len(a.ran)
        a.app.test_client().get("/v1/users/5", headers={"forecached.refresh": "1", "Forecached-Refresh": "1"})
        assert len(a.ran) == n
        a.close()


FILE = '''
import flask, os
from flask_caching import Cache

cache = Cache()

def create_app():
    app = flask.Flask("usual")
    app.config.update(CACHE_TYPE="forecached.flask.ForecachedCache")
    cache.init_app(app)

    @app.route("/v1/users/<int:id>")
    @cache.cached(timeout=60)
    def user(id):
        return "%d by %s" % (id, "worker" if os.environ.get("IS_WORKER") else "app")

    return app
'''


@test
def the_worker_refreshes_views():
    with daemon(LEARN) as d, tempfile.TemporaryDirectory(prefix="pyfc-") as base:
        with open(os.path.join(base, "theapp.py"), "w") as f:
            f.write(FILE)
        env = dict(os.environ, FORECACHED_DIR=d.dir, PYTHONUNBUFFERED="1", IS_WORKER="1")
        log = os.path.join(base, "log")
        with open(log, "w") as f:
            p = subprocess.Popen([sys.executable, "-m", "forecached.worker", "theapp:create_app"], cwd=base, env=env,
                                 stdout=f, stderr=f)
        try:
            until("the worker is ready", lambda: p.poll() is not None or "event=ready" in open(log).read())
            assert p.poll() is None, open(log).read()
            key = b"flask_cache_view//v1/users/3"
            got = until("loaded", lambda: pyfc.patiently(lambda: d.ask("get", key, {"endpoint": "/v1/users/<int:id>", "mode": "load"}))["value"])
            assert pickle.loads(got[1:]) == "3 by worker", got
            sys.path.insert(0, base)
            os.environ["FORECACHED_DIR"] = d.dir
            import theapp

            assert theapp.create_app().test_client().get("/v1/users/3").text == "3 by worker"
            del os.environ["FORECACHED_DIR"]
            forecached.configure()
        finally:
            p.terminate()
            assert p.wait(60) == 0, open(log).read()


@test
def without_a_daemon_views_run_and_nothing_raises():
    with tempfile.TemporaryDirectory(prefix="pyfc-") as base:
        a = App(base, transport="library", headers=True)
        for _ in range(2):
            r = a.get("/v1/users/1")
            assert r.status_code == 200 and control(r) == {"max-age": "0"}, r.headers
            assert a.get("/tagged/x").text == "x"
        assert a.ran == [1, "x", 1, "x"]
        with a.app.app_context():
            c = a.cache
            assert c.get("a") is None and not c.set("a", 1) and not c.add("a", 1) and not c.delete("a") and not c.has("a")
            assert c.get_many("a", "b") == [None, None] and c.set_many({"a": 1}) == [] and not c.clear()
            assert not ff.drop_tags("x") and not ff.changed("/v1/users/1") and c.cache.inc("n") is None
        assert a.add(1, 2) == 3
        a.close()


@test
def options_that_are_none_are_named():
    for options in ({"nope": 1}, {"refresh": "maybe"}, {"concurrency": 0}, {"stale_if_error": -1}):
        try:
            App("/tmp", **options)
        except forecached.BadRequest as e:
            assert next(iter(options)) in str(e), e
        else:
            raise AssertionError(options)


if not os.path.exists(pyfc.LIBRARY):
    pyfc.skip_all("libforecache is not built as a shared library")
main()
