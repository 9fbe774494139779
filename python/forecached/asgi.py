# SPDX-License-Identifier: MIT
"""A cache for ASGI apps: FastAPI, Starlette, Django, or an app of your own.

	app.add_middleware(forecached.asgi.CacheMiddleware, routes={"/v1/users/{id}": 60})

HOW IT WORKS a GET whose path matches a template is answered from the cache, under its path and sorted
query, and learned under the template. Of all that miss, one asks the app, the others wait for its
response or get the old one. What the app says stands: a response that sets a cookie, is private, must not
be stored, or varies by what is no part of the key goes to the one who asked for it, and is not kept.

REFRESH the daemon asks for a key; its path is then requested from the app itself, in the event loop that
serves it. So TTLs are learned up to max_age, and values are there before they are asked for.
"""
from __future__ import annotations

import asyncio
import json
import logging
import os
import re
from typing import Any, Awaitable, Callable, Dict, Iterable, List, Mapping, MutableMapping, Optional, Tuple, Union
from urllib.parse import parse_qsl, quote, unquote, urlencode

from .aio import AsyncClient
from .client import Client, Loaded, default_client
from .decorator import async_around
from .errors import BadRequest, ForecachedError, LoadFailed, NotFound
from .learned import TTL, LearnedTTL
from .transport import amount
from .web import MAX_TTL_S, Shown, content_version, freshness_fields

log = logging.getLogger("forecached.asgi")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

REFRESH = "forecached.refresh"  # in the scope of a request that refreshes
KEPT = (200, 203, 300, 301, 404, 410)
_FIELD = re.compile(r"\{([A-Za-z_][A-Za-z_0-9]*)(:[a-z]+)?\}")


class _Response:
    __slots__ = ("status", "headers", "body")

    def __init__(self, status: int, headers: List[Tuple[str, str]], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    def get(self, name: str) -> str:
        return ", ".join(v for k, v in self.headers if k.lower() == name)

    def pack(self) -> bytes:
        return json.dumps([self.status, self.headers]).encode() + b"\n" + self.body

    @classmethod
    def unpack(cls, data: bytes) -> "_Response":
        head, found, body = data.partition(b"\n")
        status, headers = json.loads(head)
        return cls(int(status), [(str(k), str(v)) for k, v in headers], body)

    def version(self) -> int:
        said = [[k.lower(), v] for k, v in self.headers if k.lower() not in ("date", "set-cookie")]
        return content_version([self.status, sorted(said), self.body.decode("latin-1")], b"")


class _NotKept(Exception):
    """The app's response is for the one who asked for it."""

    def __init__(self, response: _Response, asked: object) -> None:
        super().__init__("status %d" % response.status)
        self.response, self.asked = response, asked


class _Route:
    def __init__(self, template: str, ttl: TTL) -> None:
        if not template.startswith("/"):
            raise BadRequest("routes: %r: must begin with /" % template)
        self.ttl = None if ttl is None or isinstance(ttl, LearnedTTL) else amount("ttl", ttl)
        pattern, endpoint, at = "", "", 0
        for m in _FIELD.finditer(template):
            rest = m.group(2) == ":path"
            pattern += re.escape(template[at : m.start()]) + (".+" if rest else "[^/]+")
            endpoint += template[at : m.start()] + "<%s>" % m.group(1)
            at = m.end()
        self.pattern = re.compile(pattern + re.escape(template[at:]))
        self.endpoint = endpoint + template[at:]


def _directives(text: str) -> Dict[str, str]:
    found = {}
    for part in text.split(","):
        name, _, value = part.strip().partition("=")
        found[name.lower()] = value.strip('"')
    return found


class CacheMiddleware:
    """routes: templates of paths, {"/v1/users/{id}": seconds}; None or forecached.ttl: learned.

    client          default: forecached.default_client()
    vary            names of header fields that are part of the key
    headers         Cache-Status, and Cache-Control and Age where the app says nothing (default True)
    stale_if_error  seconds for Cache-Control's stale-if-error (default 0: not said)
    refresh         whether the daemon may ask this process for refreshes (default True)
    concurrency     of refreshes
    refresh_headers header fields of their requests
    max_body        bytes; larger responses are not kept

    Requests with an Authorization field pass by.
    """

    def __init__(
        self,
        app: App,
        routes: Union[Mapping[str, TTL], Iterable[str]] = (),
        *,
        client: Union[Client, AsyncClient, None] = None,
        vary: Iterable[str] = (),
        headers: bool = True,
        stale_if_error: int = 0,
        refresh: bool = True,
        concurrency: int = 2,
        refresh_headers: Optional[Mapping[str, str]] = None,
        max_body: int = 1 << 20,
    ) -> None:
        self.app = app
        given = routes if isinstance(routes, Mapping) else dict.fromkeys(routes)
        self.routes = [_Route(t, ttl) for t, ttl in given.items()]
        self.vary = tuple(v.lower() for v in vary)
        self.headers, self.stale_if_error, self.max_body = headers, int(amount("stale_if_error", stale_if_error)), max_body
        self.refresh, self.concurrency = refresh, concurrency
        self.refresh_headers = [(k.lower().encode(), v.encode()) for k, v in (refresh_headers or {}).items()]
        self._given = client
        self._served_by: Tuple[int, Optional[asyncio.AbstractEventLoop]] = (0, None)

    @property
    def client(self) -> AsyncClient:
        if isinstance(self._given, AsyncClient):
            return self._given
        return async_around(self._given or default_client())

    # -- Requests ---------------------------------------------------------------------------------

    def _route(self, scope: Scope) -> Optional[_Route]:
        if scope["type"] != "http" or scope["method"] != "GET" or REFRESH in scope:
            return None
        if any(name == b"authorization" for name, _ in scope["headers"]):
            return None
        for route in self.routes:
            if route.pattern.fullmatch(scope["path"]):
                return route
        return None

    def _key(self, scope: Scope) -> str:
        key = quote(scope["path"], safe="/:@!$&'()*+,;=~")
        query = sorted(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        if query:
            key += "?" + urlencode(query)
        if self.vary:
            said = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
            key += "#" + urlencode([(name, said.get(name, "")) for name in self.vary])
        return key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        matched = self._route(scope)
        if matched is None:
            await self.app(scope, receive, send)
            return
        route = matched
        self._serve_refreshes()
        me = object()
        collapsed = True

        async def load() -> Loaded[bytes]:
            nonlocal collapsed
            collapsed = False
            return self._keep(await self._ask(scope, receive), route, me)

        shown: Optional[Shown] = None
        try:
            found = await self.client.fetch(
                self._key(scope), load, endpoint=route.endpoint, ttl=route.ttl, serializer="bytes"
            )
            error = found.error
            if isinstance(error, _NotKept) and error.response.status < 500:
                raise error  # an old value stands in for a failure, not for what is not to be kept
            response = _Response.unpack(found.value)
            if found.outcome != "miss":
                shown = Shown(found.outcome, found.ttl_s)
            else:
                left = await self._left(self._key(scope), route) if self.headers else 0.0
                shown = Shown("miss", left, stored=not collapsed, collapsed=collapsed)
        except _NotKept as e:
            response = e.response if e.asked is me else await self._ask(scope, receive)
        except ForecachedError as e:
            log.debug("%s is asked of the app: %s", scope["path"], e)
            response = await self._ask(scope, receive)
        await self._send(response, shown, send)

    async def _left(self, key: str, route: _Route) -> float:
        try:
            return float(await self.client.ttl(key, endpoint=route.endpoint))
        except ForecachedError:
            return 0.0

    async def _ask(self, scope: Scope, receive: Receive) -> _Response:
        """The app's whole response."""
        start: Message = {}
        body: List[bytes] = []

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            elif message["type"] == "http.response.body":
                body.append(bytes(message.get("body", b"")))

        await self.app(scope, receive, send)
        if not start:
            raise RuntimeError("the app has sent no response")
        fields = [(bytes(k).decode("latin-1"), bytes(v).decode("latin-1")) for k, v in start.get("headers", ())]
        return _Response(start["status"], fields, b"".join(body))

    def _keep(self, r: _Response, route: _Route, asked: object) -> Loaded[bytes]:
        said = _directives(r.get("cache-control"))
        varies = {v.strip().lower() for v in r.get("vary").split(",") if v.strip()}
        if (
            r.status not in KEPT
            or r.get("set-cookie")
            or {"no-store", "private", "no-cache"} & set(said)
            or not varies <= set(self.vary)
            or len(r.body) > self.max_body
        ):
            raise _NotKept(r, asked)
        ttl = route.ttl
        for name in ("max-age", "s-maxage"):
            if said.get(name, "").isdigit():
                ttl = min(float(said[name]), MAX_TTL_S)
        if ttl == 0:
            raise _NotKept(r, asked)
        return Loaded(r.pack(), r.version(), ttl)

    async def _send(self, r: _Response, shown: Optional[Shown], send: Send) -> None:
        headers = list(r.headers)
        if self.headers and shown is not None:
            fields = freshness_fields(shown, self.stale_if_error)
            if {"cache-control", "expires", "age"} & {k.lower() for k, _ in headers}:
                fields = {"Cache-Status": fields["Cache-Status"]}
            headers += fields.items()
        packed = [(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in headers]
        await send({"type": "http.response.start", "status": r.status, "headers": packed})
        await send({"type": "http.response.body", "body": r.body})

    # -- Refreshes --------------------------------------------------------------------------------

    def _serve_refreshes(self) -> None:
        """At the first request in each process and event loop."""
        loop = asyncio.get_running_loop()
        if not self.refresh or self._served_by == (os.getpid(), loop):
            return
        first = self._served_by[0] != os.getpid()
        self._served_by = (os.getpid(), loop)
        if not first:
            return
        for route in self.routes:
            try:
                self.client.client.register_loader(
                    route.endpoint, self._loader(route), concurrency=self.concurrency, serializer="bytes"
                )
            except ForecachedError as e:
                log.info("%s is not refreshed by this process: %s", route.endpoint, e)

    def _loader(self, route: _Route) -> Callable[[str], Loaded[bytes]]:
        def load(key: str) -> Loaded[bytes]:
            loop = self._served_by[1]
            if loop is None or loop.is_closed():
                raise LoadFailed("the event loop that served requests is closed")
            return asyncio.run_coroutine_threadsafe(self._load(key, route), loop).result()

        return load

    async def _load(self, key: str, route: _Route) -> Loaded[bytes]:
        """A request without a server."""
        if self.vary or not route.pattern.fullmatch(unquote(key.partition("?")[0])):
            raise LoadFailed("%r: cannot be asked for without the header fields it varies by" % key)
        path, _, query = key.partition("?")
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(b"host", b"localhost"), *self.refresh_headers],
            "client": None,
            "server": ("localhost", 80),
            REFRESH: True,
        }

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        try:
            return self._keep(await self._ask(scope, receive), route, None)
        except _NotKept as e:
            if e.response.status in (404, 410):
                raise NotFound(key) from None
            raise LoadFailed("%s: its response is not to be kept: status %d" % (key, e.response.status)) from None
