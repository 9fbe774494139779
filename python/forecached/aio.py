# SPDX-License-Identifier: MIT
"""The client for asyncio.

HOW IT WORKS a get from shared memory takes no longer than a look into a dict, so it is done at once,
in the event loop. What has to wait goes to a thread. A loader that is a coroutine runs in the event
loop of its caller, in the caller's context, while a thread holds the lease for it; callers of one
loop that want the same key wait for one load.
"""
from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import logging
import weakref
from concurrent.futures import Future as ThreadFuture
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TimeoutOfThread
from typing import Any, Awaitable, Callable, Dict, FrozenSet, Iterable, List, Optional, Union

from .client import Client, Key, Start, Value
from .errors import SerializationError, Unavailable
from .serialize import Serializer, SerializerLike
from .transport import MISS, Found, Payload, limit, watch_forks

log = logging.getLogger("forecached")

# A thread waits for each load; loads that wait for other loads need more than one.
MAX_THREADS = 256
LOOK_S = 0.25  # a thread that waits for a loader looks this often whether the loop is still there

# The keys that the task at hand is loading.
_loading: "contextvars.ContextVar[FrozenSet[bytes]]" = contextvars.ContextVar(
    "forecached_loading", default=frozenset()
)

Loader = Callable[[], Union[Any, Awaitable[Any]]]


class _Threads:
    """The pool, made at its first use and anew in a child after fork."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.forked()
        watch_forks(self)

    def forked(self) -> None:
        self._pool: Optional[ThreadPoolExecutor] = None

    def run(self, fn: Callable[..., Any], *args: Any) -> "asyncio.Future[Any]":
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._most, "forecached")
        context = contextvars.copy_context()
        return asyncio.get_running_loop().run_in_executor(
            self._pool, functools.partial(context.run, fn, *args)
        )

    def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False)


async def _finish(got: Any) -> Any:
    return await got if inspect.isawaitable(got) else got


class AsyncClient:
    """Client with coroutines. Made of the same arguments, or around a Client that is there already."""

    def __init__(
        self, dir: Optional[str] = None, *, client: Optional[Client] = None, max_threads: int = MAX_THREADS, **options: Any
    ) -> None:
        limit("max_threads", max_threads, 1, 10000)
        self._own = client is None
        self._client = client or Client(dir, **options)
        self._threads = _Threads(int(max_threads))
        # per event loop: the loads that are under way
        self._loads: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Dict[Any, asyncio.Future[Found]]]"
        self._loads = weakref.WeakKeyDictionary()

    @property
    def client(self) -> Client:
        """The client for threads that it is made of."""
        return self._client

    @property
    def transport(self) -> str:
        return self._client.transport

    def __repr__(self) -> str:
        return "<forecached.AsyncClient transport=%s dir=%s>" % (self.transport, self._client.dir)

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        if self._own:
            await self._threads.run(self._client.close)
        self._threads.close()

    async def _in_thread(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await self._threads.run(functools.partial(fn, *args, **kwargs))

    # -- Reads ---------------------------------------------------------------------------------

    async def get(self, key: Key, default: Any = None, *, endpoint: Optional[str] = None) -> Any:
        """The value, or default. Never loads; no daemon is a miss."""
        c = self._client
        k, e = c._key(key), c._endpoint(endpoint)
        try:
            found = c.backend.get_now(k, e)
        except BlockingIOError:
            found = await self._threads.run(c._get, k, e)
        return default if found is None else c._decode(found.data)

    async def lookup(
        self,
        key: Key,
        *,
        endpoint: Optional[str] = None,
        serializer: Optional[SerializerLike] = None,
    ) -> Optional[Value[Any]]:
        c = self._client
        k, e = c._key(key), c._endpoint(endpoint)
        try:
            found = c.backend.get_now(k, e)
        except BlockingIOError:
            found = await self._threads.run(c.backend.get, k, e)
        return None if found is None else Value(c._codec(serializer).decode(found.data), found)

    async def mget(self, keys: Iterable[Key], *, endpoint: Optional[str] = None) -> Dict[Key, Any]:
        got: Dict[Key, Any] = await self._in_thread(self._client.mget, list(keys), endpoint=endpoint)
        return got

    # -- Loads ---------------------------------------------------------------------------------

    async def get_or_load(
        self,
        key: Key,
        loader: Optional[Loader] = None,
        *,
        endpoint: Optional[str] = None,
        ttl: Optional[float] = None,
        serializer: Optional[SerializerLike] = None,
    ) -> Any:
        """As Client.get_or_load; loader may be a coroutine function."""
        c = self._client
        codec = c._codec(serializer)
        k, e = c._key(key), c._endpoint(endpoint)
        data = c.backend.peek(k, e)
        if data is None:
            return (await self._load(k, e, loader, ttl, codec)).value
        try:
            return codec.decode(data)
        except SerializationError as why:
            if loader is None:
                raise
            return await self._replace(k, e, loader, ttl, codec, why)

    async def _replace(
        self,
        key: bytes,
        endpoint: Optional[bytes],
        loader: Loader,
        ttl: Optional[float],
        codec: Serializer,
        why: SerializationError,
    ) -> Any:
        """As Client._replace."""
        log.warning("%r is loaded anew: %s", key, why)
        start = Start()
        got = await _finish(loader())
        return await self._threads.run(self._client._keep, key, endpoint, got, ttl, codec, start)

    async def fetch(
        self,
        key: Key,
        loader: Optional[Loader] = None,
        *,
        endpoint: Optional[str] = None,
        ttl: Optional[float] = None,
        serializer: Optional[SerializerLike] = None,
    ) -> Value[Any]:
        """As Client.fetch."""
        c = self._client
        return await self._load(c._key(key), c._endpoint(endpoint), loader, ttl, c._codec(serializer))

    async def _load(
        self,
        key: bytes,
        endpoint: Optional[bytes],
        loader: Optional[Loader],
        ttl: Optional[float],
        codec: Serializer,
    ) -> Value[Any]:
        loop = asyncio.get_running_loop()
        loads = self._loads.setdefault(loop, {})
        name = (key, loader is None)
        running = loads.get(name)
        if running is not None and key in _loading.get():
            raise RecursionError("the load function of %r asks for its own key" % key)
        if running is None:
            running = loads[name] = self._begin(loop, key, endpoint, loader, ttl, codec)
            running.add_done_callback(functools.partial(self._ended, loads, name))
        # whoever is cancelled leaves the load to the others
        found = await asyncio.shield(running)
        try:
            return Value(codec.decode(found.data), found)
        except SerializationError as why:
            if loader is None:
                raise
            value = await self._replace(key, endpoint, loader, ttl, codec, why)
            return Value(value, Found(found.data, MISS))

    @staticmethod
    def _ended(loads: Dict[Any, "asyncio.Future[Found]"], name: Any, running: "asyncio.Future[Found]") -> None:
        if loads.get(name) is running:
            del loads[name]
        if not running.cancelled():
            running.exception()  # it may be that no one is left to hear of it

    def _begin(
        self,
        loop: asyncio.AbstractEventLoop,
        key: bytes,
        endpoint: Optional[bytes],
        loader: Optional[Loader],
        ttl: Optional[float],
        codec: Serializer,
    ) -> "asyncio.Future[Found]":
        c = self._client
        if loader is None:
            return self._threads.run(c._load_bytes, key, endpoint, None)
        context = contextvars.copy_context()
        context.run(_loading.set, _loading.get() | {key})
        tasks: List["asyncio.Task[Any]"] = []

        def load_bytes() -> Payload:
            """In the thread: runs the loader in the loop, and waits for it."""
            assert loader is not None
            done: "ThreadFuture[Any]" = ThreadFuture()

            def begin() -> None:
                assert loader is not None
                try:
                    task = loop.create_task(_finish(loader()))
                except BaseException as e:
                    done.set_exception(e)
                    return
                tasks.append(task)
                task.add_done_callback(functools.partial(_pass_on, done))

            try:
                loop.call_soon_threadsafe(begin, context=context)
            except RuntimeError as e:
                raise Unavailable("the event loop has ended: %s" % e) from e
            while True:
                try:
                    return c._payload(done.result(LOOK_S), codec, ttl)
                except TimeoutOfThread:
                    if done.done():  # the loader's own
                        raise
                    if loop.is_closed():
                        raise Unavailable("the event loop has ended") from None

        return self._threads.run(c._load_bytes, key, endpoint, load_bytes)

    async def refresh(
        self,
        key: Key,
        loader: Loader,
        *,
        endpoint: Optional[str] = None,
        ttl: Optional[float] = None,
        serializer: Optional[SerializerLike] = None,
    ) -> Any:
        """As Client.refresh; loader may be a coroutine function."""
        c = self._client
        codec = c._codec(serializer)
        k, e = c._key(key), c._endpoint(endpoint)
        start = Start()
        got = await _finish(loader())
        return await self._threads.run(c._keep, k, e, got, ttl, codec, start)

    # -- Everything that waits for the daemon's word ---------------------------------------------

    async def set(self, key: Key, value: Any, **options: Any) -> None:
        await self._in_thread(self._client.set, key, value, **options)

    async def mset(self, values: Dict[Key, Any], **options: Any) -> None:
        await self._in_thread(self._client.mset, values, **options)

    async def delete(self, key: Key) -> bool:
        return bool(await self._in_thread(self._client.delete, key))

    async def changed(self, key: Key, **options: Any) -> None:
        await self._in_thread(self._client.changed, key, **options)

    async def ttl(self, key: Key, *, endpoint: Optional[str] = None) -> float:
        return float(await self._in_thread(self._client.ttl, key, endpoint=endpoint))

    async def request(self, op: str, *args: Any, timeout: Optional[float] = None) -> Any:
        return await self._in_thread(self._client.request, op, *args, timeout=timeout)

    def stats(self) -> Dict[str, int]:
        return self._client.stats()


def _pass_on(done: "ThreadFuture[Any]", task: "asyncio.Task[Any]") -> None:
    """What became of a task, to the thread that waits for it."""
    if task.cancelled():
        done.set_exception(Unavailable("the load was cancelled"))
        return
    e = task.exception()
    if e is not None:
        done.set_exception(e)
    else:
        done.set_result(task.result())
