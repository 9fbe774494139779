#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ASGI middleware: with an app of bare ASGI, and with FastAPI where there is one."""
import asyncio
import os
import sys
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pyfc

pyfc.preload()

import logging  # noqa: E402

from fcd import Daemon, main, test  # noqa: E402

import forecached  # noqa: E402
from forecached.asgi import CacheMiddleware  # noqa: E402

logging.getLogger("forecached").setLevel(logging.ERROR)
OBEY = {"policy": {"ttl": "obey", "grace": "0s", "min_ttl": "50ms"}}


class Bare:
    """An app that counts; what it answers is in the path."""

    def __init__(self):
        self.ran, self.value, self.gate = [], 0, None
        self.status, self.more = 200, []

    async def __call__(self, scope, receive, send):
        assert scope["type"] == "http"
        self.ran.append(scope["path"] + ("?" + scope["query_string"].decode() if scope["query_string"] else ""))
        if self.gate:
            await self.gate.wait()
        await send({"type": "http.response.start", "status": self.status, "headers": [(b"content-type", b"text/plain"), *self.more]})
        await send({"type": "http.response.body", "body": b"%s " % scope["path"].encode(), "more_body": True})
        await send({"type": "http.response.body", "body": b"%d" % self.value})


class Reply:
    pass


async def get(app, url, headers=(), method="GET"):
    path, _, query = url.partition("?")
    scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": query.encode(),
             "headers": [(k.encode(), v.encode()) for k, v in headers], "scheme": "http", "root_path": "",
             "http_version": "1.1", "server": ("x", 80), "client": ("c", 1), "asgi": {"version": "3.0"}}
    r = Reply()
    r.body = b""

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        if message["type"] == "http.response.start":
            r.status = message["status"]
            r.headers = {k.decode(): v.decode() for k, v in message["headers"]}
        else:
            r.body += message["body"]

    await app(scope, receive, send)
    return r


ROUTES = {"/v1/users/{id}": 60, "/files/{path:path}": None}


@test
def responses_are_learned_by_templates():
    with Daemon(OBEY) as d:
        c, bare = forecached.Client(d.dir), Bare()
        app = CacheMiddleware(bare, ROUTES, client=c, refresh=False)

        async def go():
            first = await get(app, "/v1/users/7")
            assert first.headers["cache-status"] == "forecached; fwd=miss; stored; ttl=60", first.headers
            again = await get(app, "/v1/users/7")
            assert again.body == first.body == b"/v1/users/7 0" and len(bare.ran) == 1
            assert again.headers["cache-control"] in ("max-age=59", "max-age=60") and again.headers["age"] == "0"
            assert again.headers["cache-status"].startswith("forecached; hit; ttl=")
            assert (await get(app, "/v1/users/7?b=2&a=1")).body and (await get(app, "/v1/users/7?a=1&b=2")).body
            assert len(bare.ran) == 2
            await get(app, "/files/a/b.txt")
            bare.ran.clear()
            for url, more in (("/other", {}), ("/v1/users/7/x", {}), ("/v1/users/7", {"method": "POST"}),
                              ("/v1/users/7", {"headers": [("authorization", "x")]})):
                for _ in range(2):
                    assert "cache-status" not in (await get(app, url, **more)).headers
            assert len(bare.ran) == 8

        asyncio.run(go())
        assert {r["key"] for r in c.ttls("/v1/users/<id>")} == {"/v1/users/7", "/v1/users/7?a=1&b=2"}
        assert c.ttls("/files/<path>")[0]["key"] == "/files/a/b.txt"
        c.close()


@test
def many_requests_are_one_of_the_app():
    with Daemon(OBEY) as d:
        c, bare = forecached.Client(d.dir), Bare()
        app = CacheMiddleware(bare, ROUTES, client=c, refresh=False)

        async def go():
            bare.gate = asyncio.Event()
            tasks = [asyncio.ensure_future(get(app, "/v1/users/1")) for _ in range(20)]
            while not bare.ran:
                await asyncio.sleep(0.005)
            bare.gate.set()
            got = await asyncio.gather(*tasks)
            assert {r.body for r in got} == {b"/v1/users/1 0"} and bare.ran == ["/v1/users/1"], bare.ran

        asyncio.run(go())
        c.close()


@test
def what_is_for_one_is_not_for_others():
    with Daemon(OBEY) as d:
        c, bare = forecached.Client(d.dir), Bare()
        app = CacheMiddleware(bare, ROUTES, client=c, refresh=False)

        async def go():
            n = 0
            for field in ((b"set-cookie", b"a=b"), (b"cache-control", b"private"), (b"cache-control", b"no-store"),
                          (b"vary", b"Cookie"), (b"cache-control", b"max-age=0")):
                bare.more, n = [field], n + 1
                bare.ran.clear()
                bare.gate = asyncio.Event()
                tasks = [asyncio.ensure_future(get(app, "/v1/users/%d" % n)) for _ in range(3)]
                while not bare.ran:
                    await asyncio.sleep(0.005)
                bare.gate.set()
                got = await asyncio.gather(*tasks)
                assert len(bare.ran) == 3, (field, bare.ran)
                bare.gate = None
                assert all(field[0].decode() in r.headers and "cache-status" not in r.headers for r in got)
            bare.more, bare.status = [], 500
            assert (await get(app, "/v1/users/50")).status == 500 and (await get(app, "/v1/users/50")).status == 500
            bare.status = 200
            assert (await get(app, "/v1/users/51")).status == 200
            bare.more = [(b"cache-control", b"max-age=7")]
            await get(app, "/v1/users/52")
            assert (await get(app, "/v1/users/52")).headers["cache-control"] == "max-age=7", "the app's own stands"

        asyncio.run(go())
        assert [r["ttl_s"] for r in c.ttls("/v1/users/<id>") if r["key"] == "/v1/users/52"] == [7]
        c.close()


@test
def an_old_response_stands_in_for_a_failure():
    config = {"policy": {"ttl": "obey", "min_ttl": "50ms", "grace": "0s", "stale_if_error": "1h"}}
    with Daemon(config) as d:
        c, bare = forecached.Client(d.dir), Bare()
        app = CacheMiddleware(bare, {"/v1/users/{id}": 0.2}, client=c, refresh=False)

        async def go():
            assert (await get(app, "/v1/users/1")).status == 200
            bare.status = 503
            while len(bare.ran) < 2:
                r = await get(app, "/v1/users/1")
                assert r.status == 200, "the old one stands in"
                await asyncio.sleep(0.01)
            bare.status, bare.more = 200, [(b"set-cookie", b"mine")]
            n = len(bare.ran)
            while True:
                r = await get(app, "/v1/users/1")
                if len(bare.ran) > n:
                    break
                await asyncio.sleep(0.01)
            assert "set-cookie" in r.headers, "what is not to be kept is no failure"

        asyncio.run(go())
        c.close()


@test
def the_daemon_asks_the_app_itself():
    with Daemon({"policy": {"ttl": "learn"}}) as d:
        c, bare = forecached.Client(d.dir), Bare()
        app = CacheMiddleware(bare, ROUTES, client=c, refresh_headers={"X-Token": "t"})

        async def go():
            await get(app, "/v1/users/1")
            bare.value = 1

            def load():
                return pyfc.patiently(lambda: c.request("get", "/v1/users/9?a=b", {"endpoint": "/v1/users/<id>", "mode": "load"}))

            while True:
                got = await asyncio.get_running_loop().run_in_executor(None, load)
                if got["value"]:
                    break
                await asyncio.sleep(0.01)
            assert got["value"].endswith(b"/v1/users/9 1") and "/v1/users/9?a=b" in bare.ran
            assert (await get(app, "/v1/users/9?a=b")).body == b"/v1/users/9 1" and bare.ran.count("/v1/users/9?a=b") == 1

        asyncio.run(go())
        c.close()


@test
def without_a_daemon_the_app_is_asked():
    # processes without a daemon share what they load for a moment, by the name of its directory
    c, bare = forecached.Client("/nonexistent/%s" % uuid.uuid4(), transport="library"), Bare()
    app = CacheMiddleware(bare, ROUTES, client=c)

    async def go():
        for n in (1, 2):
            r = await get(app, "/v1/users/%d" % n)
            assert r.status == 200 and r.body == b"/v1/users/%d 0" % n and len(bare.ran) == n, (r.status, r.body, bare.ran)

    asyncio.run(go())
    c.close()


@test
def with_fastapi():
    for module in ("fastapi", "httpx"):
        if not pyfc.have(module):
            return "no python3-" + module
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    with Daemon(OBEY) as d:
        c, ran = forecached.Client(d.dir), []
        app = FastAPI()
        app.add_middleware(CacheMiddleware, routes={"/v1/users/{id}": 60}, client=c)

        @app.get("/v1/users/{id}")
        def user(id: int):
            ran.append(id)
            return {"id": id}

        with TestClient(app) as t:
            for _ in range(3):
                r = t.get("/v1/users/7")
                assert r.json() == {"id": 7} and r.headers["content-type"] == "application/json"
            assert t.get("/v1/users/x").status_code == 422 and ran == [7]
            assert r.headers["cache-status"].startswith("forecached; hit")
        c.close()


@test
def the_example_runs():
    for module in ("fastapi", "httpx"):
        if not pyfc.have(module):
            return "no python3-" + module
    from fastapi.testclient import TestClient

    with Daemon(OBEY) as d:
        forecached.configure(dir=d.dir)
        sys.path.insert(0, os.path.join(pyfc.TOP, "examples", "asgi"))
        import app as example

        with TestClient(example.app) as t:
            assert t.get("/v1/users/7").json() == t.get("/v1/users/7").json() == {"id": 7, "name": "user 7"}
            assert t.get("/v1/users/7").headers["cache-status"].startswith("forecached; hit")
            assert "minute" in t.get("/v1/clock").json()
        forecached.configure()


if not os.path.exists(pyfc.LIBRARY):
    pyfc.skip_all("libforecache is not built as a shared library")
main()
