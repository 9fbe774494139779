# SPDX-License-Identifier: MIT
"""Flask-Caching on forecached: one line of configuration.

	CACHE_TYPE = "forecached.flask.ForecachedCache"

HOW IT WORKS a key that has the request's path in it is the response of the route at hand; it is learned
under the route's template, /v1/users/<int:id>. The first request that misses it gets a lease and runs
the view, the others wait for its response or get the old one. Every other key is plain: kept exactly as a
Redis keeps it (see web.py). Values are pickles behind a "!", as Flask-Caching writes them to Redis.

REFRESH the daemon asks for a key; its URL is then requested from the app itself, without a server, with
a mark in the WSGI environment which no client can send. For that request the key is a miss, so that the
view runs, and what it wants to keep is the answer to the daemon. `python -m forecached.worker
app:create_app` does so in a process of its own (robust: an app's requests never wait for it), and
CACHE_OPTIONS = {"refresh": "thread"} in threads of each serving process (nothing more to run).
"""
from __future__ import annotations

import functools
import hashlib
import logging
import os
import pickle
import re
import threading
from typing import Any, Callable, Dict, List, Mapping, Optional

from flask import Flask, Response, current_app, has_request_context, request, session
from flask.testing import EnvironBuilder
from flask_caching.backends.base import BaseCache
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect
from werkzeug.test import run_wsgi_app

from .client import Client, Loaded, default_client
from .decorator import Registered
from .errors import BadRequest, ForecachedError, LoadFailed
from .learned import ttl as learned_ttl
from .transport import limit
from .web import (
    Answer,
    Learned,
    Plain,
    Shown,
    Tags,
    content_version,
    freshness_fields,
    split_tags,
    with_tags,
)

log = logging.getLogger("forecached.flask")

REFRESH = "forecached.refresh"  # in the WSGI environment of a request that refreshes
_HASH = re.compile("[0-9a-f]{32,}$")  # what query_string=True puts behind the path
MAX_ROUTES = 64  # that one loader can serve; the daemon's messages.max_loader_endpoints
_OPTIONS = {"dir", "transport", "resp", "headers", "stale_if_error", "refresh", "concurrency", "endpoint", "refresh_headers"}


class _Job:
    """A refresh that is under way."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.got: Optional[Loaded[bytes]] = None


class _State:
    """What is known of one request."""

    def __init__(self) -> None:
        self.asked: Dict[str, Answer] = {}  # keys that were missed, with their leases
        self.shown: Optional[Shown] = None
        self.tags: List[str] = []


def tag(*names: str) -> None:
    """Within a cached view: its response is dropped when one of these tags is; see drop_tags."""
    if has_request_context():
        for backend in _backends(current_app):
            backend._state().tags.extend(names)


def drop_tags(*names: str) -> bool:
    """Drops every response that has one of the tags. False: the daemon could not be told."""
    return all([backend.tags.drop(*names) for backend in _backends(current_app)])


def changed(path: str) -> bool:
    """What the views give for the URL path is another response now. Tells the daemon so: it learns from it
    how often that happens, and nobody is given the old response. False: it could not be told."""
    return all([backend.changed(path) for backend in _backends(current_app)])


def refreshing() -> bool:
    """Whether this request refreshes its response: for forced_update of decorators around other caches."""
    return has_request_context() and REFRESH in request.environ


def _backends(app: Any) -> List["ForecachedCache"]:
    found: List[ForecachedCache] = app.extensions.get("forecached", [])
    return found


class ForecachedCache(BaseCache):
    """The backend; CACHE_OPTIONS are

    dir, transport, resp  of the client (default: forecached.default_client())
    headers         True: Cache-Control, Age and Cache-Status on cached responses that say nothing
                    themselves (default False)
    stale_if_error  seconds for Cache-Control's stale-if-error (default 0: not said)
    refresh         "thread": refreshes run in this process, `concurrency` (2) at once; default: in
                    python -m forecached.worker, if that runs
    refresh_headers header fields for the requests of refreshes, say for an app that wants a token
    endpoint        function of a key that gives a template for keys of your own, None: plain
    """

    def __init__(
        self,
        app: Flask,
        default_timeout: float = 300,
        key_prefix: str = "",
        ignore_errors: bool = False,
        dir: Optional[str] = None,
        transport: Optional[str] = None,
        resp: Optional[str] = None,
        headers: bool = False,
        stale_if_error: int = 0,
        refresh: Optional[str] = None,
        concurrency: int = 2,
        endpoint: Optional[Callable[[str], Optional[str]]] = None,
        refresh_headers: Optional[Mapping[str, str]] = None,
    ) -> None:
        super().__init__(default_timeout)  # type: ignore[no-untyped-call]
        limit("stale_if_error", stale_if_error, 0, 1e9)
        limit("concurrency", concurrency, 1, 256)
        if refresh not in (None, "thread"):
            raise BadRequest('refresh: must be "thread" or None, not %r' % (refresh,))
        self.app = app
        self.ignore_errors = ignore_errors
        self.key_prefix = key_prefix() if callable(key_prefix) else key_prefix or ""
        self.stale_if_error = int(stale_if_error)
        self.refresh, self.concurrency = refresh, int(concurrency)
        self.refresh_headers = dict(refresh_headers or {})
        self._endpoint_of = endpoint
        self._own = {k: v for k, v in (("dir", dir), ("transport", transport), ("resp", resp)) if v}
        self._client: Optional[Client] = None
        self._lock = threading.Lock()
        self._started_in = 0
        self.learned = Learned(self._the_client)
        self.plain = Plain(self._the_client, resp)
        self.tags = Tags(self.plain, self.key_prefix)
        self._name = "forecached.state.%d" % id(self)
        app.extensions.setdefault("forecached", []).append(self)
        app.teardown_request(self._request_ends)
        if headers:
            app.after_request(self._say)
        if refresh == "thread":
            app.before_request(self._start_refreshing)

    @classmethod
    def factory(cls, app: Any, config: Any, args: Any, kwargs: Any) -> "ForecachedCache":
        unknown = set(kwargs) - _OPTIONS - {"default_timeout", "key_prefix"}
        if unknown:
            raise BadRequest("CACHE_OPTIONS: %s: there are %s" % (", ".join(sorted(unknown)), ", ".join(sorted(_OPTIONS))))
        given = {"key_prefix": config["CACHE_KEY_PREFIX"], "ignore_errors": config["CACHE_IGNORE_ERRORS"], **kwargs}
        return cls(app, *args, **given)

    def _the_client(self) -> Client:
        if not self._own:
            return default_client()
        if self._client is None:
            with self._lock:
                if self._client is None:
                    self._client = Client(**self._own)  # type: ignore[arg-type]
        return self._client

    @property
    def client(self) -> Client:
        return self._the_client()

    # -- What a key is ----------------------------------------------------------------------------

    def _state(self) -> _State:
        state: _State = request.environ.setdefault(self._name, _State())
        return state

    def _template(self, key: str) -> Optional[str]:
        """The endpoint that a key of the request at hand is learned under; None: it is plain."""
        if self._endpoint_of is not None:
            own = self._endpoint_of(key)
            if own is not None:
                return own
        if has_request_context() and request.url_rule is not None and request.path in key:
            return request.url_rule.rule
        return None

    def _job(self, key: str) -> Optional[_Job]:
        job = request.environ.get(REFRESH) if has_request_context() else None
        return job if isinstance(job, _Job) and job.key == self.key_prefix + key else None

    # -- Values -----------------------------------------------------------------------------------

    @staticmethod
    def _dump(value: Any) -> bytes:
        return b"!" + pickle.dumps(value, pickle.HIGHEST_PROTOCOL)

    @classmethod
    def _dump_plain(cls, value: Any) -> bytes:
        """A whole number as itself, which inc and dec can go on with; read alike."""
        return b"%d" % value if type(value) is int else cls._dump(value)

    @staticmethod
    def _load(data: Optional[bytes]) -> Any:
        """As Flask-Caching reads what is in Redis; what cannot be read is a miss."""
        if data is None:
            return None
        if data[:1] == b"!":
            try:
                return pickle.loads(data[1:])
            except Exception as e:  # whatever the classes in it raise
                log.warning("a cached value cannot be unpickled: %s", e)
                return None
        try:
            return int(data)
        except ValueError:
            return data

    @staticmethod
    def _version(value: Any, data: bytes) -> int:
        if isinstance(value, Response) and not (value.is_streamed or value.direct_passthrough):
            fields = sorted((k.lower(), v) for k, v in value.headers if k.lower() not in ("date", "set-cookie"))
            value = [value.status, value.get_data().decode("latin-1"), [list(f) for f in fields]]
        return content_version(value, data)

    def _seconds(self, timeout: Any) -> Optional[float]:
        """What the app says; None: nothing, it is learned."""
        if timeout is None:
            timeout = self.default_timeout
        if callable(timeout):
            return None
        return float(timeout)

    # -- Reads ------------------------------------------------------------------------------------

    def get(self, key: str) -> Any:
        template = self._template(key)
        if template is None:
            return self._load(self.plain.get_many([self.key_prefix + key])[0])
        if not has_request_context():
            return self._load(self.learned.get(self.key_prefix + key, template, lease=False).data)
        if self._job(key) is not None:
            return None
        return self._load(self._of_view(self.key_prefix + key, template))

    def _of_view(self, key: str, template: str) -> Optional[bytes]:
        state = self._state()
        if key in state.asked:  # again, while it is being made
            return None
        answer = self.learned.get(key, template)
        if answer.data is not None:
            data, tags = split_tags(answer.data)
            if self.tags.hold(tags):
                state.shown = Shown(
                    answer.outcome, answer.ttl_s, collapsed=answer.outcome == "miss"
                )
                return data
            self.learned.changed(key, template)
            answer = self.learned.get(key, template)
            if answer.data is not None:
                data, tags = split_tags(answer.data)
                if self.tags.hold(tags):
                    state.shown = Shown("miss", answer.ttl_s, collapsed=True)
                    return data
                answer.data = None
        state.asked[key] = answer
        state.shown = Shown("miss", 0.0)
        state.tags = []
        return None

    def get_many(self, *keys: str) -> List[Any]:
        templates = [self._template(k) for k in keys]
        names = [self.key_prefix + k for k, t in zip(keys, templates) if t is None]
        plain = iter(self.plain.get_many(names) if names else [])
        return [
            self._load(next(plain)) if t is None
            else self._load(split_tags(self.learned.get(self.key_prefix + k, t, lease=False).data or b"")[0] or None)
            for k, t in zip(keys, templates)
        ]

    def get_dict(self, *keys: str) -> Dict[str, Any]:
        return dict(zip(keys, self.get_many(*keys)))

    def has(self, key: str) -> bool:
        if self._job(key) is not None:
            return False
        return self.plain.exists(self.key_prefix + key)

    # -- Writes -----------------------------------------------------------------------------------

    def set(self, key: str, value: Any, timeout: Any = None) -> bool:
        template, name = self._template(key), self.key_prefix + key
        ttl_s = self._seconds(timeout)
        if template is None:
            if ttl_s is None:
                ttl_s = learned_ttl.of(name, client=self.client)
            return self.plain.set(name, self._dump_plain(value), ttl_s or None)
        data = self._dump(value)
        version = self._version(value, data)
        if not has_request_context():
            return self.learned.set(name, template, data, ttl_s or None, version)
        state = self._state()
        if state.tags:
            data = with_tags(data, self.tags.versions(sorted(set(state.tags))))
        job = self._job(key)
        if job is not None:
            job.got = Loaded(data, version, ttl_s or None)
            return True
        kept = self.learned.set(name, template, data, ttl_s or None, version, state.asked.pop(name, None))
        if kept and _HASH.search(key):
            # the key hides the query: a refresh must know what to ask for
            self.plain.set(self._url_key(name), request.full_path.encode(), 7 * 86400.0)
        if state.shown is not None:
            left = learned_ttl.of(name, endpoint=template, client=self.client) if kept else 0.0
            state.shown = Shown("miss", left, stored=kept)
        return kept

    def _url_key(self, name: str) -> str:
        return "%surl/%s" % (self.key_prefix, hashlib.md5(name.encode(errors="replace")).hexdigest())

    def add(self, key: str, value: Any, timeout: Any = None) -> bool:
        ttl_s = self._seconds(timeout)
        return self.plain.set(self.key_prefix + key, self._dump_plain(value), ttl_s or None, "NX")

    def set_many(self, mapping: Mapping[str, Any], timeout: Any = None) -> List[str]:
        return [k for k, v in mapping.items() if self.set(k, v, timeout)]

    def delete(self, key: str) -> bool:
        return self.learned.delete(self.key_prefix + key)

    def clear(self) -> bool:
        return self.plain.clear(self.key_prefix)

    def inc(self, key: str, delta: int = 1) -> Optional[int]:
        return self.plain.add(self.key_prefix + key, delta)

    def dec(self, key: str, delta: int = 1) -> Optional[int]:
        return self.plain.add(self.key_prefix + key, -delta)

    def unlink(self, *keys: str) -> List[str]:
        return [k for k in keys if self.delete(k)]

    def changed(self, path: str) -> bool:
        """See the function of that name."""
        rule = self._rule(path)
        return self.learned.changed("%sview/%s" % (self.key_prefix, path), rule)

    # -- A request's ends -------------------------------------------------------------------------

    def _request_ends(self, _: Optional[BaseException] = None) -> None:
        """A view that failed, or whose response is not to be kept: nobody is to wait for it."""
        state = request.environ.pop(self._name, None)
        if state is None:
            return
        for key, answer in state.asked.items():
            self.learned.give_up(key, request.url_rule.rule if request.url_rule else "", answer.lease)

    def _say(self, response: Response) -> Response:
        """Header fields of freshness, for responses that say nothing of it."""
        state = request.environ.get(self._name)
        if state is None or state.shown is None or REFRESH in request.environ:
            return response
        fields = freshness_fields(state.shown, self.stale_if_error)
        response.headers.add("Cache-Status", fields["Cache-Status"])
        if (
            request.method in ("GET", "HEAD")
            and response.status_code in (200, 203, 204, 300, 301, 404, 410)
            and not {"Cache-Control", "Expires", "Age", "Set-Cookie"} & set(response.headers.keys())
            and not session.accessed
        ):
            response.headers["Cache-Control"] = fields["Cache-Control"]
            response.headers["Age"] = fields["Age"]
        return response

    # -- Refreshes --------------------------------------------------------------------------------

    def _rule(self, path: str, method: str = "GET") -> Optional[str]:
        """The template of the route that a path goes to."""
        host = self.app.config.get("SERVER_NAME") or "localhost"
        try:
            rule, _ = self.app.url_map.bind(host).match(path, method, return_rule=True)
            return str(rule.rule)
        except (HTTPException, RequestRedirect):
            return None

    def _url(self, key: str, template: str) -> Optional[str]:
        """What to ask the app for, so that its view makes the value of a key."""
        name = key[len(self.key_prefix) :]
        if _HASH.search(name):
            known = self.plain.get_many([self._url_key(key)])[0]
            if known is not None:
                return known.decode("utf-8", "replace")
        for at in (m.start() for m in re.finditer("/(?!/)", name)):
            if self._rule(name[at:]) == template:
                return name[at:]
        return None

    def load(self, template: str, key: str) -> Loaded[bytes]:
        """Makes the value of a key, by a request to the app itself."""
        url = self._url(key, template)
        if url is None:
            raise LoadFailed("%r: no URL is known for it" % key)
        job = _Job(key)
        environ = EnvironBuilder(self.app, path=url, headers=self.refresh_headers).get_environ()
        environ[REFRESH] = job
        body, status, _ = run_wsgi_app(self.app, environ, buffered=True)
        for _part in body:
            pass
        if job.got is None:
            raise LoadFailed("%s: %s: the cached view kept nothing" % (url, status))
        return job.got

    def loaders(self) -> List[Registered]:
        """For the worker: one for each route whose view is cached."""
        templates: Dict[str, str] = {}
        for rule in self.app.url_map.iter_rules():
            view = self.app.view_functions.get(rule.endpoint)
            if hasattr(view, "make_cache_key") and "GET" in (rule.methods or ()):
                templates[rule.rule] = rule.endpoint
        if len(templates) > MAX_ROUTES:
            log.warning("%d cached routes: only %d of them are refreshed", len(templates), MAX_ROUTES)
        return [
            Registered(t, functools.partial(self.load, t), "view " + name, "bytes", None)
            for t, name in list(templates.items())[:MAX_ROUTES]
        ]

    def _start_refreshing(self) -> None:
        """At the first request of each process, which may be a child of one that had some."""
        if self._started_in == os.getpid() or REFRESH in request.environ:
            return
        with self._lock:
            if self._started_in == os.getpid():
                return
            self._started_in = os.getpid()
        places = threading.BoundedSemaphore(self.concurrency)
        for r in self.loaders():
            try:
                self.client.register_loader(
                    r.endpoint, _within(places, r.load), concurrency=self.concurrency, serializer="bytes"
                )
            except ForecachedError as e:
                log.warning("%s is not refreshed by this process: %s", r.endpoint, e)


def _within(places: threading.BoundedSemaphore, load: Callable[[str], Any]) -> Callable[[str], Any]:
    def run(key: str) -> Any:
        with places:
            return load(key)

    return run
