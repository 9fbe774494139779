#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Django's cache on forecached: the contract, against Django's own backend call by call, pages and get_or_set."""
import json
import os
import pickle
import subprocess
import sys
import tempfile
import threading
import warnings

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pyfc

pyfc.preload()
if not pyfc.have("django"):
    pyfc.skip_all("no python3-django")

import logging  # noqa: E402

import django  # noqa: E402
from django.conf import settings  # noqa: E402

warnings.simplefilter("ignore")  # keys that memcached would not take

from fcd import Daemon, Refused, main, test, until  # noqa: E402

import forecached  # noqa: E402

logging.getLogger("forecached").setLevel(logging.CRITICAL)
settings.configure(
    ROOT_URLCONF="urls_of_test",
    SECRET_KEY="x",
    ALLOWED_HOSTS=["*"],
    MIDDLEWARE=["forecached.django.Middleware"],
    CACHES={
        "default": {"BACKEND": "forecached.django.ForecachedCache", "TIMEOUT": 60},
        "local": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "TIMEOUT": 60},
    },
)

import types  # noqa: E402

from django.core.cache import caches  # noqa: E402
from django.http import HttpResponse, JsonResponse  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import path, re_path  # noqa: E402
from django.views.decorators.cache import cache_page  # noqa: E402

OBEY = {"policy": {"ttl": "obey", "grace": "0s", "min_ttl": "50ms"}}
ran = []
gate = threading.Event()
gate.set()


@cache_page(60)
def user(request, id):
    ran.append(id)
    assert gate.wait(60)
    if id == 500:
        return HttpResponse("down", status=500)
    if id == 501:
        raise RuntimeError("down")
    return JsonResponse({"id": id})


@cache_page(60)
def report(request, name):
    return HttpResponse(name)


urls = types.ModuleType("urls_of_test")
urls.urlpatterns = [path("v1/users/<int:id>", user), re_path(r"^report/(?P<name>\w+)$", report)]
sys.modules["urls_of_test"] = urls
django.setup()


class Place:
    def __init__(self, config=None):
        self.daemon = Daemon(dict(config or OBEY, redis="off", redis_socket="on"))

    def __enter__(self):
        forecached.configure(dir=self.daemon.dir)
        ran.clear()
        return self.daemon.__enter__()

    def __exit__(self, *exc):
        forecached.configure()
        return self.daemon.__exit__(*exc)


def failed(fn, *args):
    try:
        return fn(*args)
    except ValueError:
        return "ValueError"


@test
def the_contract_of_a_backend():
    with Place():
        ours, local = caches["default"], caches["local"]
        assert type(ours).__module__ == "forecached.django"
        got = {}
        for c in (local, ours):
            got[c] = [
                c.get("none"), c.get("none", 7), c.set("a", {"x": (1, 2)}), c.get("a"), c.has_key("a"), "none" in c,
                c.add("a", 2), c.add("b", b"raw"), c.get("b"), c.get_many(["a", "none", "b"]), c.set("t", True), c.get("t"),
                c.set("n", 7), c.get("n"), c.incr("n", 5), c.decr("n"), failed(c.incr, "no such"), c.set("s", "12"), c.get("s"),
                c.set("none value", None, version=3), c.get("none value", "default", version=3), c.delete("a"), c.delete("a"),
                c.set_many({"x": 1, "y": [2]}), c.get_many(["x", "y"]), c.delete_many(["x", "none"]), c.get("x"),
                c.touch("y", 100), c.touch("none", 100), c.set("z", 1, timeout=0), c.get("z"), c.set("z", 1, timeout=None), c.get("z"),
                c.add("zero", 1, timeout=-1), c.get("zero"), c.get_or_set("g", lambda: [1]), c.get_or_set("g", [2]), c.get("g"),
                c.set("v", 1), c.incr_version("v"), c.get("v", version=2), c.get("v"), c.get_or_set("h", 5),
            ]
        assert got[ours] == got[local], "\n%r\n%r" % (got[ours], got[local])
        assert 90000 < ours.plain.command("PTTL", ":1:y") <= 100000 and ours.plain.command("PTTL", ":1:z") == -1
        assert pickle.loads(ours.plain.command("GET", ":1:b")) == b"raw" and ours.plain.command("GET", ":1:n") == b"11"
        assert ours.touch("y", None) and ours.plain.command("PTTL", ":1:y") == -1
        ours.plain.command("SET", "someone else's", "1")
        ours.clear()
        assert ours.get("y") is None and ours.plain.command("GET", "someone else's") == b"1"


@test
def pages_are_learned_by_their_routes():
    with Place() as d:
        c = Client()
        first = c.get("/v1/users/7")
        assert first.json() == {"id": 7} and first["Cache-Status"] == "forecached; fwd=miss; stored; ttl=60", first["Cache-Status"]
        again = c.get("/v1/users/7")
        assert again.json() == {"id": 7} and ran == [7] and again["Cache-Status"].startswith("forecached; hit; ttl=")
        assert c.get("/report/x").content == c.get("/report/x").content == b"x"
        assert sorted(e["endpoint"] for e in d.ask("endpoints") if e["endpoint"].startswith(("/v1", "/rep"))) == [
            r"/report/(?P<name>\w+)", "/v1/users/<int:id>"], d.ask("endpoints")

        def left(r):
            return int(r["Cache-Control"].split("max-age=")[1].split(",")[0])

        until("time passes", lambda: left(c.get("/v1/users/7")) < 59)
        r = c.get("/v1/users/7")
        assert "Expires" not in r and r["Age"] == "0" and left(r) < 59 and ran == [7]


@test
def one_request_runs_a_view_for_all_and_none_waits_for_one_that_fails():
    with Place() as d:
        c = Client()
        c.get("/v1/users/1")  # Django learns by which fields it varies
        caches["default"].learned.delete(next(r["key"] for r in d.ask("ttls", {"endpoint": "/v1/users/<int:id>"})))
        ran.clear()
        gate.clear()
        got = []
        threads = [threading.Thread(target=lambda: got.append(Client().get("/v1/users/1").json())) for _ in range(8)]
        [t.start() for t in threads]
        until("the view runs", lambda: ran)
        until("the others wait", lambda: d.ask("stats")["joined"] >= 7)
        gate.set()
        [t.join() for t in threads]
        assert got == [{"id": 1}] * 8 and ran == [1], ran
        for n in range(3):
            assert c.get("/v1/users/500").status_code == 500
            try:
                c.get("/v1/users/501")
            except RuntimeError:
                pass
        assert ran.count(500) == 3 and ran.count(501) == 3


@test
def get_or_set_runs_once_for_all():
    with Place() as d:
        cache, calls, got = caches["default"], [], []
        gate.clear()

        def make():
            calls.append(1)
            gate.wait(60)
            return {"made": (1, 2)}

        threads = [threading.Thread(target=lambda: got.append(caches["default"].get_or_set("/reports/5", make, 60))) for _ in range(8)]
        [t.start() for t in threads]
        until("it was called", lambda: calls)
        gate.set()
        [t.join() for t in threads]
        assert got == [{"made": (1, 2)}] * 8 and calls == [1] and cache.get("/reports/5") == {"made": (1, 2)}
        assert cache.changed("/reports/5") and cache.get_or_set("/reports/5", lambda: 8) == 8
        assert d.ask("why", ":1:/reports/5")["resident"]


@test
def without_a_daemon_views_run_and_nothing_raises():
    with tempfile.TemporaryDirectory(prefix="pyfc-") as base:
        with Place():
            pass
        forecached.configure(dir=base, transport="library")
        from forecached.django import ForecachedCache

        c = ForecachedCache("", {})
        assert c.get("a") is None and c.set("a", 1) is None and not c.add("a", 1) and not c.delete("a") and not c.has_key("a")
        assert c.get_many(["a"]) == {} and c.set_many({"a": 1}) == ["a"] and not c.touch("a") and c.get_or_set("g", lambda: 3) == 3
        c.clear()
        ran.clear()
        for n in (1, 2):
            assert Client().get("/v1/users/%d" % n).json() == {"id": n}
        assert ran == [1, 2]
        forecached.configure()


@test
def the_example_runs():
    from django.test import override_settings
    from django.urls import clear_url_caches

    with Place():
        sys.path.insert(0, os.path.join(pyfc.TOP, "examples", "django"))
        import app as example

        with override_settings(ROOT_URLCONF="app"):
            clear_url_caches()
            c = Client()
            assert c.get("/v1/users/7").json() == c.get("/v1/users/7").json() == {"id": 7, "name": "user 7"}
            assert c.get("/v1/users/7")["Cache-Status"].startswith("forecached; hit")
            assert c.get("/v1/total").json() == c.get("/v1/total").json() == {"total": 499999500000}
        clear_url_caches()
        assert example.urlpatterns


PAGES = '''
import os
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import include, path
from django.views.decorators.cache import cache_page
from django.views.decorators.vary import vary_on_cookie, vary_on_headers

settings.configure(ROOT_URLCONF=__name__, SECRET_KEY="x", ALLOWED_HOSTS=["*"], MIDDLEWARE=["forecached.django.Middleware"],
                   CACHES={"default": {"BACKEND": "forecached.django.ForecachedCache"}})
ran = []

def answer(request, *more):
    ran.append(request.path)
    by = "worker" if os.environ.get("IS_WORKER") else "app"
    return HttpResponse(" ".join([by, request.build_absolute_uri(), *more]))

@cache_page(60)
def user(request, id):
    return answer(request)

@cache_page(60)
@vary_on_headers("Accept-Language")
def translated(request):
    return answer(request, request.headers.get("Accept-Language", "-"))

@cache_page(60)
@vary_on_cookie
def personal(request):
    return answer(request, request.COOKIES.get("who", "nobody"))

@cache_page(60)
@vary_on_headers("X-Api-Key")
def private(request):
    return answer(request, request.headers.get("X-Api-Key", "-"))

urlpatterns = [path("v1/", include([path("users/<int:id>", user), path("translated", translated), path("personal", personal),
                                    path("private", private), path("below/<str:id>", user)]))]
application = get_wsgi_application()
'''

ASK = '''
import json, sys, theapp
from django.test import Client
c = Client()
for url, headers in json.load(sys.stdin):
    print(c.get(url, **headers).content.decode())
'''


@test
def the_worker_makes_pages_anew():
    learn = {"policy": {"ttl": "learn", "min_ttl": "1s", "max_age": "1h", "grace": "1s"}, "origins": {"app": {"rate": 50}},
             "endpoints": [{"match": "/v1/*", "origin": "app"}]}
    with Place(learn) as d, tempfile.TemporaryDirectory(prefix="pyfc-") as base:
        with open(os.path.join(base, "theapp.py"), "w") as f:
            f.write(PAGES)
        env = dict(os.environ, FORECACHED_DIR=d.dir, PYTHONUNBUFFERED="1")

        def ask(*requests):
            out = subprocess.run([sys.executable, "-c", ASK], cwd=base, env=env, input=json.dumps(requests), stdout=subprocess.PIPE,
                                 text=True, check=True).stdout
            return out.splitlines()

        german, cookie, secret = {"HTTP_ACCEPT_LANGUAGE": "de"}, {"HTTP_COOKIE": "who=me"}, {"HTTP_X_API_KEY": "s3cret"}
        prefix = {"SCRIPT_NAME": "/shop/\u00c3\u00a4", "HTTP_HOST": "[::1]:8000"}
        asked = [("/v1/users/7?q=%C3%A4%20b", {"HTTP_HOST": "a.example:81"}), ("/v1/translated", german),
                 ("/v1/below/%C3%A4?q=%C3%A4", prefix), ("/v1/personal", cookie), ("/v1/private", secret)]
        made = ask(*asked)
        assert made == ["app http://a.example:81/v1/users/7?q=%C3%A4%20b", "app http://testserver/v1/translated de",
                        "app http://[::1]:8000/shop/%C3%A4/v1/below/%C3%A4?q=%C3%A4",
                        "app http://testserver/v1/personal me", "app http://testserver/v1/private s3cret"], made
        assert ask(*asked) == made
        client = forecached.default_client()
        keys = {e: client.ttls(e)[0]["key"] for e in (
            "/v1/users/<int:id>", "/v1/translated", "/v1/below/<str:id>", "/v1/personal", "/v1/private")}
        plain = caches["default"].plain
        assert plain.get_many([caches["default"]._request_key(keys["/v1/translated"])])[0]
        for endpoint in ("/v1/personal", "/v1/private"):
            assert plain.get_many([caches["default"]._request_key(keys[endpoint])]) == [None]
        log = os.path.join(base, "log")
        with open(log, "w") as f:
            p = subprocess.Popen([sys.executable, "-m", "forecached.worker", "theapp:application"], cwd=base,
                                 env=dict(env, IS_WORKER="1"), stdout=f, stderr=f)
        try:
            until("the worker is ready", lambda: p.poll() is not None or "event=ready" in open(log).read())
            assert p.poll() is None, open(log).read()
            for endpoint, key in keys.items():
                pyfc.patiently(lambda: client.changed(key, endpoint=endpoint))
                load = lambda: d.ask("get", key.encode(), {"endpoint": endpoint, "mode": "load"})  # noqa: B023, E731
                if endpoint not in ("/v1/personal", "/v1/private"):
                    until("made by the worker", lambda: pyfc.patiently(load)["value"])
                    continue
                # nobody's cookies or tokens are written down
                try:
                    pyfc.patiently(load)
                except Refused as e:
                    assert e.status == 6, e
                else:
                    raise AssertionError("a page for one user was made for all")
            got = ask(*asked)
            assert got[:3] == [m.replace("app", "worker") for m in made[:3]], got
            assert got[3:] == made[3:], got
        finally:
            p.terminate()
            assert p.wait(60) == 0, open(log).read()


if not os.path.exists(pyfc.LIBRARY):
    pyfc.skip_all("libforecache is not built as a shared library")
main()
