# SPDX-License-Identifier: MIT
"""Django's cache on forecached.

	CACHES = {"default": {"BACKEND": "forecached.django.ForecachedCache"}}
	MIDDLEWARE = ["forecached.django.Middleware", ...]      # for cache_page and the cache middleware

HOW IT WORKS with the middleware, whole pages are learned by their routes, and of the requests that miss
one, one runs the view. cache.get_or_set() learns, too: its function can make the value again, and one
caller runs it for all. Every other key is plain: kept exactly as a Redis keeps it (see web.py). Values are
pickles, and whole numbers as themselves, as Django's own Redis backend writes them.

REFRESH the key of a page is a hash, so what was asked for is kept beside it: host, path, and those of the request's
header fields that the response varies by. `python -m forecached.worker mysite.wsgi:application` registers the
routes; when the daemon asks for a page, that request is made to the app itself, without a server, with a mark in its
environment which no client can send. For it the page is a miss, so that the view runs, and what Django wants to
keep is the answer to the daemon. Only fields that say which form of a page is wanted (_FIELDS_KEPT) are written down: what
varies by any other that the request had, such as a cookie, a token or a user's name from a proxy, is not refreshed.
"""
from __future__ import annotations

import contextvars
import functools
import hashlib
import json
import logging
import pickle
import re
import threading
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple
from wsgiref.util import setup_testing_defaults

# Django says nothing of its types
from django.conf import settings  # type: ignore
from django.core.cache import caches  # type: ignore
from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache, default_key_func  # type: ignore
from django.http import HttpResponse  # type: ignore
from django.urls import Resolver404, get_resolver, resolve  # type: ignore
from django.utils.cache import patch_cache_control  # type: ignore

from .client import Client, Loaded, default_client
from .decorator import Registered
from .errors import BadRequest, ForecachedError, LoadFailed
from .learned import LearnedTTL, ttl as learned_ttl
from .serialize import PickleSerializer
from .web import Answer, Learned, Plain, Shown, content_version, freshness_fields

log = logging.getLogger("forecached.django")

_PAGE = "views.decorators.cache.cache_page."
_OPTIONS = {"transport", "resp", "endpoint"}

REFRESH = "forecached.refresh"  # in the environment of a request that refreshes
REQUEST_KEPT_S = 7 * 86400.0  # what was asked for, since the page was last made
MAX_ROUTES = 64  # that one loader can serve; the daemon's messages.max_loader_endpoints


# Of what a page may vary by: fields that many visitors send alike, and that open nothing.
_FIELDS_KEPT = {
    "HTTP_ACCEPT", "HTTP_ACCEPT_CHARSET", "HTTP_ACCEPT_ENCODING", "HTTP_ACCEPT_LANGUAGE", "HTTP_DNT", "HTTP_DOWNLINK",
    "HTTP_DPR", "HTTP_ECT", "HTTP_HX_REQUEST", "HTTP_ORIGIN", "HTTP_RTT", "HTTP_SAVE_DATA", "HTTP_SEC_CH_UA",
    "HTTP_SEC_CH_UA_MOBILE", "HTTP_SEC_CH_UA_PLATFORM", "HTTP_SEC_FETCH_DEST", "HTTP_SEC_FETCH_MODE",
    "HTTP_SEC_FETCH_SITE", "HTTP_SEC_GPC", "HTTP_USER_AGENT", "HTTP_VIEWPORT_WIDTH", "HTTP_WIDTH",
    "HTTP_X_REQUESTED_WITH",
}  # fmt: skip


class _Job:
    """A refresh that is under way."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.got: Optional[Loaded[bytes]] = None


class _State:
    """What is known of one request."""

    def __init__(self, request: Any) -> None:
        self.request = request
        self.asked: Dict[str, Answer] = {}
        self.shown: Optional[Shown] = None
        self._route: Optional[str] = None
        self.give_up: List[Callable[[], None]] = []
        job = request.META.get(REFRESH)
        self.job: Optional[_Job] = job if isinstance(job, _Job) else None

    @property
    def route(self) -> str:
        """The template of the request's route; the cache middleware asks before Django has resolved it."""
        if self._route is None:
            try:
                match = self.request.resolver_match or resolve(self.request.path_info)
                self._route = _template(match.route)
            except Resolver404:
                self._route = "/<none>"
        return self._route


def _template(route: str) -> str:
    """The endpoint that a route's pages are learned under."""
    return "/" + route.lstrip("^/").rstrip("$")


_state: "contextvars.ContextVar[Optional[_State]]" = contextvars.ContextVar("forecached_django", default=None)


def Middleware(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Stands first. Tells the backend of the request at hand, and says on its response where it comes from:
    Cache-Status, and in place of the max-age and Expires that were stored with the page, what is left."""

    def middleware(request: Any) -> Any:
        state = _State(request)
        token = _state.set(state)
        try:
            response = get_response(request)
        finally:
            _state.reset(token)
            for give_up in state.give_up:
                give_up()
        if state.shown is not None:
            fields = freshness_fields(state.shown)
            response["Cache-Status"] = fields["Cache-Status"]
            if state.shown.outcome != "miss" and "max-age" in response.get("Cache-Control", ""):
                del response["Expires"]
                kept = [p for p in response["Cache-Control"].split(",") if not p.strip().startswith("max-age")]
                response["Cache-Control"] = ", ".join([p.strip() for p in kept])
                if not kept:
                    del response["Cache-Control"]
                patch_cache_control(response, max_age=int(fields["Cache-Control"].split("=")[1]))
                response["Age"] = fields["Age"]
        return response

    return middleware


class ForecachedCache(BaseCache):  # type: ignore
    """The backend. LOCATION is the daemon's directory, "" the usual one. OPTIONS: transport and resp of the
    client, and endpoint, a function of a key that gives a template to learn it under in get_or_set."""

    def __init__(self, server: str, params: Dict[str, Any]) -> None:
        super().__init__(params)
        options = dict(params.get("OPTIONS") or {})
        unknown = set(options) - _OPTIONS - {"MAX_ENTRIES", "CULL_FREQUENCY"}
        if unknown:
            raise BadRequest("OPTIONS: %s: there are %s" % (", ".join(sorted(unknown)), ", ".join(sorted(_OPTIONS))))
        self._endpoint_of: Callable[[str], Optional[str]] = options.get("endpoint") or (lambda key: None)
        own = {"dir": server, "transport": options.get("transport"), "resp": options.get("resp")}
        self._own: Dict[str, Any] = {k: v for k, v in own.items() if v}
        self._pickle = PickleSerializer()
        self.learned = Learned(self._the_client)
        self.plain = Plain(self._the_client, options.get("resp"))

    def _the_client(self) -> Client:
        """One for all threads of the process, each of which has a backend of its own."""
        if not self._own:
            return default_client()
        name = tuple(sorted(self._own.items()))
        client = _clients.get(name)
        if client is None:
            with _clients_lock:
                client = _clients.get(name)
                if client is None:
                    client = _clients[name] = Client(**self._own)
        return client

    @property
    def client(self) -> Client:
        return self._the_client()

    # -- Keys, values, times ----------------------------------------------------------------------

    def _name(self, key: Any, version: Any) -> str:
        self.validate_key(key)
        return str(self.make_key(key, version=version))

    @staticmethod
    def _dump(value: Any) -> bytes:
        return b"%d" % value if type(value) is int else pickle.dumps(value, pickle.HIGHEST_PROTOCOL)

    @staticmethod
    def _load(data: Optional[bytes], default: Any) -> Any:
        if data is None:
            return default
        try:
            return int(data)
        except ValueError:
            pass
        try:
            return pickle.loads(data)
        except Exception as e:  # whatever the classes in it raise
            log.warning("a cached value cannot be unpickled: %s", e)
            return default

    def _seconds(self, timeout: Any, name: str) -> Optional[float]:
        """None: for ever; 0 or less: not at all."""
        if timeout is DEFAULT_TIMEOUT:
            timeout = self.default_timeout
        if isinstance(timeout, LearnedTTL):
            return timeout.of(name, client=self.client)
        return None if timeout is None else float(timeout)

    # -- One key ----------------------------------------------------------------------------------

    def get(self, key: Any, default: Any = None, version: Any = None) -> Any:
        name = self._name(key, version)
        state = _state.get()
        if state is not None and str(key).startswith(_PAGE):
            return self._load(self._page(name, state), default)
        return self._load(self.plain.get_many([name])[0], default)

    def _page(self, name: str, state: _State) -> Optional[bytes]:
        if name in state.asked or (state.job is not None and state.job.key == name):
            return None
        answer = self.learned.get(name, state.route)
        if answer.data is not None:
            state.shown = Shown(answer.outcome, answer.ttl_s, collapsed=answer.outcome == "miss")
            return answer.data
        state.asked[name] = answer
        state.shown = Shown("miss", None)
        state.give_up.append(lambda: self.learned.give_up(name, state.route, answer.lease))
        return None

    def set(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> None:
        name = self._name(key, version)
        state = _state.get()
        if state is None or not str(key).startswith(_PAGE):
            self.plain.set(name, self._dump(value), self._seconds(timeout, name))
            return
        data = self._dump(value)
        ttl_s = None if isinstance(timeout, LearnedTTL) else self._seconds(timeout, name)
        if ttl_s is not None and ttl_s <= 0:
            return
        if state.job is not None and state.job.key == name:
            state.job.got = Loaded(data, self._version(value, data), ttl_s)
            return
        answer = state.asked.get(name)
        kept = self.learned.set(name, state.route, data, ttl_s, self._version(value, data), answer)
        left = learned_ttl.of(name, endpoint=state.route, client=self.client) if kept else None
        state.shown = Shown("miss", left, stored=kept)
        asked = _asked(state.request, value) if kept else None
        if asked is not None:
            self.plain.set(self._request_key(name), json.dumps(asked).encode(), REQUEST_KEPT_S)

    @staticmethod
    def _version(value: Any, data: bytes) -> int:
        if isinstance(value, HttpResponse):
            said = [[k.lower(), v] for k, v in value.items() if k.lower() not in ("date", "expires")]
            value = [value.status_code, sorted(said), value.content.decode("latin-1")]
        return content_version(value, data)

    def add(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> bool:
        name = self._name(key, version)
        ttl_s = self._seconds(timeout, name)
        if ttl_s is not None and ttl_s <= 0:
            return not self.plain.exists(name)
        return self.plain.set(name, self._dump(value), ttl_s, "NX")

    def touch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> bool:
        name = self._name(key, version)
        ttl_s = self._seconds(timeout, name)
        if ttl_s is None:
            there = self.plain.exists(name)
            self.plain.command("PERSIST", name)
            return there
        return bool(self.plain.command("PEXPIRE", name, int(ttl_s * 1000)))

    def delete(self, key: Any, version: Any = None) -> bool:
        return self.learned.delete(self._name(key, version))

    def has_key(self, key: Any, version: Any = None) -> bool:
        return self.plain.exists(self._name(key, version))

    def incr(self, key: Any, delta: int = 1, version: Any = None) -> int:
        name = self._name(key, version)
        got = self.plain.add(name, delta) if self.plain.exists(name) else None
        if got is None:
            raise ValueError("Key '%s' not found" % key)
        return got

    def get_or_set(self, key: Any, default: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> Any:
        """One caller runs default for all; without a function it is what it is for every backend."""
        if not callable(default):
            return super().get_or_set(key, default, timeout, version)
        name = self._name(key, version)
        ttl_s = None if isinstance(timeout, LearnedTTL) else self._seconds(timeout, name)
        if ttl_s is not None and ttl_s <= 0:
            return default()
        return self.client.get_or_load(
            name, default, endpoint=self._endpoint_of(name), ttl=ttl_s, serializer=self._pickle
        )

    # -- Many keys --------------------------------------------------------------------------------

    def get_many(self, keys: Iterable[Any], version: Any = None) -> Dict[Any, Any]:
        names = {k: self._name(k, version) for k in keys}
        got = self.plain.get_many(list(names.values())) if names else []
        missing = object()
        found = {k: self._load(data, missing) for k, data in zip(names, got)}
        return {k: v for k, v in found.items() if v is not missing}

    def set_many(self, data: Mapping[Any, Any], timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> List[Any]:
        failed = []
        for key, value in data.items():
            name = self._name(key, version)
            if not self.plain.set(name, self._dump(value), self._seconds(timeout, name)):
                failed.append(key)
        return failed

    def delete_many(self, keys: Iterable[Any], version: Any = None) -> None:
        self.plain.delete(*[self._name(k, version) for k in keys])

    def clear(self) -> None:
        """All keys with this KEY_PREFIX; with a KEY_FUNCTION of your own, all that there are."""
        own = self.key_func is not default_key_func
        self.plain.clear("" if own else "%s:" % self.key_prefix)

    # -- Refreshes --------------------------------------------------------------------------------

    @staticmethod
    def _request_key(name: str) -> str:
        return "%s:request" % hashlib.md5(name.encode(errors="replace")).hexdigest()

    def load(self, key: str) -> Loaded[bytes]:
        """Makes a page, by a request to the app itself."""
        known = self.plain.get_many([self._request_key(key)])[0]
        if known is None:
            raise LoadFailed("%r: what it was asked by is not known" % key)
        asked = json.loads(known)
        job = _Job(key)
        environ = _environ(asked)
        environ[REFRESH] = job
        said: List[str] = []
        response = _handler()(environ, lambda status, headers, exc_info=None: said.append(status))
        try:
            for _part in response:
                pass
        finally:
            response.close()
        if job.got is None:
            raise LoadFailed("%s: %s: the cached page was not kept" % (asked["path"], said[0] if said else "?"))
        return job.got

    # -- Changes ----------------------------------------------------------------------------------

    def changed(self, key: Any, version: Any = None) -> bool:
        """The value of a key is another one now: it is dropped, and learned from."""
        return self.learned.changed(self._name(key, version), self._endpoint_of(self._name(key, version)))


# -- Requests that can be made again --------------------------------------------------------------


def _asked(request: Any, response: Any) -> Optional[Dict[str, Any]]:
    """What has to be asked for to get this response again; None: it cannot be."""
    if request.method != "GET":
        return None
    headers = {}
    for field in response.get("Vary", "").split(","):
        name = "HTTP_" + field.strip().upper().replace("-", "_")
        if name in ("HTTP_*", "HTTP_") or name not in request.META:
            continue
        if name not in _FIELDS_KEPT:
            return None
        headers[name] = str(request.META[name])
    return {
        "scheme": request.scheme,
        "host": request.get_host(),
        "script": request.META.get("SCRIPT_NAME", ""),
        "path": request.path_info,
        "query": request.META.get("QUERY_STRING", ""),
        "headers": headers,
    }


def _wsgi(text: str) -> str:
    """As WSGI has it: the bytes, each as one character."""
    return text.encode().decode("latin-1")


def _environ(asked: Mapping[str, Any]) -> Dict[str, Any]:
    where = re.match(r"(\[[^]]*\]|[^:]*)(?::([0-9]+))?", str(asked["host"]))
    host = where.group(1) if where else ""
    port = where.group(2) if where else None
    environ: Dict[str, Any] = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": _wsgi(asked["script"]),
        "PATH_INFO": _wsgi(asked["path"]),
        "QUERY_STRING": asked["query"],
        "HTTP_HOST": asked["host"],
        "SERVER_NAME": host.strip("[]"),
        "SERVER_PORT": port or ("443" if asked["scheme"] == "https" else "80"),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.url_scheme": asked["scheme"],
        **asked["headers"],
    }
    if asked["scheme"] == "https" and settings.SECURE_PROXY_SSL_HEADER:
        name, value = settings.SECURE_PROXY_SSL_HEADER
        environ[name] = value
    setup_testing_defaults(environ)  # the rest of what WSGI wants
    return environ


@functools.lru_cache(maxsize=None)
def _handler() -> Any:
    from django.core.handlers.wsgi import WSGIHandler  # type: ignore

    return WSGIHandler()


def _routes(patterns: Any, before: str = "") -> Iterator[Tuple[str, str]]:
    """(template, name of the view) of all routes, but those of Django's admin."""
    for p in patterns:
        route = before + str(p.pattern)
        if hasattr(p, "url_patterns"):
            if p.app_name != "admin":
                yield from _routes(p.url_patterns, route)
        else:
            yield _template(route), p.lookup_str


def loaders() -> List[Registered]:
    """For the worker: one for each route, where pages are learned. Needs django.setup()."""
    if __name__ + ".Middleware" not in settings.MIDDLEWARE:
        return []
    names = [settings.CACHE_MIDDLEWARE_ALIAS, *settings.CACHES]
    backend = next((caches[n] for n in names if isinstance(caches[n], ForecachedCache)), None)
    if backend is None:
        return []
    routes = dict(_routes(get_resolver().url_patterns))
    if len(routes) > MAX_ROUTES:
        log.warning("%d routes: the pages of only %d of them are refreshed", len(routes), MAX_ROUTES)
    return [
        Registered(template, backend.load, "view " + view, "bytes", None)
        for template, view in list(routes.items())[:MAX_ROUTES]
    ]


_clients: Dict[Any, Client] = {}
_clients_lock = threading.Lock()

__all__ = ["ForecachedCache", "ForecachedError", "Middleware", "loaders"]
