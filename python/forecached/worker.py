# SPDX-License-Identifier: MIT
"""Runs an app's loaders in a process of its own: python -m forecached.worker app:create_app

HOW IT WORKS imports the app, calls the factory if it is one, and serves every loader that its modules
have registered (@forecached.cached, @forecached.loader), the cached views of a Flask-Caching backend, and the pages
of a Django app. A Flask app's loaders run within its app_context(), a Django app's connections are looked after as between requests, coroutines run in one
event loop. SIGTERM and SIGINT: no more jobs; those that run are finished and told, then it ends.
"""
from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import inspect
import logging
import os
import signal
import sys
import threading
from typing import Any, Callable, ContextManager, Iterator, List, Optional

from .client import Client, configure, default_client
from .decorator import Registered, registered
from .errors import ForecachedError, Unsupported

log = logging.getLogger("forecached.worker")

EX_USAGE = 2
EX_ERROR = 1


def find_app(spec: str) -> Any:
    """What "module:name" stands for; a factory is called."""
    module_name, _, name = spec.partition(":")
    module = importlib.import_module(module_name)
    if not name:
        return None
    found: Any = module
    call = name.endswith("()")
    for part in (name[:-2] if call else name).split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise LookupError("%s has no %r" % (module_name, part)) from None
    # an app is callable as well, but takes the server's arguments; a factory takes none
    if call or inspect.isfunction(found):
        found = found()
        if inspect.isawaitable(found):
            raise LookupError("%s: the factory is a coroutine function" % spec)
    return found


@contextlib.contextmanager
def _django_request() -> Iterator[None]:
    db = importlib.import_module("django.db")
    db.close_old_connections()
    try:
        yield
    finally:
        db.close_old_connections()


def _django_pages() -> List[Registered]:
    """Loaders for the pages of a Django app that keeps its cache here."""
    conf = sys.modules.get("django.conf")
    if conf is None or not conf.settings.configured or "forecached.django.Middleware" not in conf.settings.MIDDLEWARE:
        return []
    apps = importlib.import_module("django.apps").apps
    if not apps.ready:
        importlib.import_module("django").setup()
    found: List[Registered] = importlib.import_module("forecached.django").loaders()
    return found


def app_context(app: Any) -> Callable[[], ContextManager[Any]]:
    """Makes what a load runs within."""
    own = getattr(app, "app_context", None)
    if callable(own):
        made: Callable[[], ContextManager[Any]] = own
        return made
    django = sys.modules.get("django.conf")
    if django is not None and django.settings.configured:
        return _django_request
    return contextlib.nullcontext


class Loop:
    """One event loop in a thread, for loaders that are coroutine functions."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: Optional[asyncio.AbstractEventLoop] = None

    def run(self, coroutine: Any) -> Any:
        async def finish() -> Any:
            return await coroutine

        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="forecached-loop", daemon=True).start()
        return asyncio.run_coroutine_threadsafe(finish(), self._loop).result()

    def stop(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)


class Worker:
    """The loaders of an app, served by a client; at most `concurrency` run at once."""

    def __init__(self, client: Client, app: Any = None, concurrency: int = 4) -> None:
        self.client = client
        self.concurrency = concurrency
        self._context = app_context(app)
        self._places = threading.BoundedSemaphore(concurrency)
        self._loop = Loop()

    def _bound(self, r: Registered) -> Callable[[str], Any]:
        def run(key: str) -> Any:
            with self._places, self._context():
                got = r.load(key)
                return self._loop.run(got) if inspect.isawaitable(got) else got

        return run

    def serve(self, loaders: Optional[List[Registered]] = None) -> List[str]:
        """Registers them, all by default; gives their endpoints."""
        served = []
        for r in registered() if loaders is None else loaders:
            self.client.register_loader(
                r.endpoint,
                self._bound(r),
                concurrency=self.concurrency,
                serializer=r.serializer,
                ttl=r.ttl,
            )
            log.info("serving endpoint=%s by=%s", r.endpoint, r.name)
            served.append(r.endpoint)
        return served

    def close(self) -> None:
        """No more jobs; waits for those that run."""
        self.client.close()
        self._loop.stop()


def _arguments(argv: Optional[List[str]]) -> argparse.Namespace:
    p = argparse.ArgumentParser(
        prog="python -m forecached.worker",
        description="Runs the loaders of an app for the daemon: refreshes and prewarms.",
    )
    p.add_argument("app", help="module, module:app or module:factory; its import registers the loaders")
    p.add_argument("--dir", help="the daemon's directory (default: as for Client)")
    p.add_argument("--concurrency", type=int, default=4, metavar="N", help="loads at once, 1 to 256 (default 4)")
    p.add_argument("--transport", choices=["auto", "library", "zeromq"], default="auto")
    p.add_argument("--chdir", default=".", help="go there first, and import from there (default .)")
    p.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    given = p.parse_args(argv)
    if not 1 <= given.concurrency <= 256:
        p.error("--concurrency: must be from 1 to 256, not %d" % given.concurrency)
    return given


def main(argv: Optional[List[str]] = None) -> int:
    given = _arguments(argv)
    logging.basicConfig(
        level=given.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    # a pipe, since a handler must take no lock
    stopped, stop = os.pipe()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os.write(stop, b"x"))
    # before the app is imported: its cached functions may make the client at once
    options: Any = {"transport": None if given.transport == "auto" else given.transport}
    if given.dir:
        os.environ["FORECACHED_DIR"] = given.dir
    try:
        os.chdir(given.chdir)
        sys.path.insert(0, os.getcwd())
        configure(**{k: v for k, v in options.items() if v})
        app = find_app(given.app)
    except (ImportError, LookupError, OSError) as e:
        log.error("cannot import the app %s: %s", given.app, e)
        return EX_USAGE
    backends = getattr(app, "extensions", {}).get("forecached", [])
    loaders = registered() + [r for backend in backends for r in backend.loaders()] + _django_pages()
    if not loaders:
        log.error(
            "%s registers no loader: cached functions need a template as key and annotated parameters", given.app
        )
        return EX_USAGE
    try:
        client = backends[0].client if backends and not given.dir else default_client()
        if client.transport == "resp":
            raise Unsupported("the worker needs libforecache or python3-zmq; there is only RESP")
        worker = Worker(client, app, given.concurrency)
        endpoints = worker.serve(loaders)
    except ForecachedError as e:
        log.error("%s", e)
        return EX_ERROR
    log.info("event=ready transport=%s endpoints=%d concurrency=%d", client.transport, len(endpoints), given.concurrency)
    os.read(stopped, 1)
    log.info("event=stopping")
    worker.close()
    log.info("event=stopped")
    return 0


def console() -> None:
    """The command forecached-worker."""
    sys.exit(main())


if __name__ == "__main__":
    console()
