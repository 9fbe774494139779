# SPDX-License-Identifier: MIT
"""Cached functions and loaders.

	@forecached.cached("/users/{id}", ttl=60)
	def user(id: int) -> dict: ...

	@forecached.loader("/reports/<id>")
	def report(key: str) -> bytes: ...

A cached function whose key is a template, with parameters that are annotated with plain types, is a
loader at the same time: `python -m forecached.worker` runs it whenever the daemon wants its value
refreshed or prewarmed.
"""
from __future__ import annotations

import functools
import inspect
from typing import (
    Any,
    Awaitable,
    Callable,
    Dict,
    Generic,
    List,
    Optional,
    ParamSpec,
    Protocol,
    Tuple,
    TypeVar,
    Union,
    cast,
    overload,
)

from .aio import AsyncClient
from .client import Client, Value, default_client
from .errors import BadRequest, SerializationError
from .learned import TTL, LearnedTTL
from .serialize import SerializerLike, serializer as serializer_of
from .template import CallKey, Template
from .transport import amount

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

AnyClient = Union[Client, AsyncClient]
KeyLike = Union[str, Callable[..., str], None]


class Registered:
    """A function that the worker can run for a key."""

    def __init__(
        self,
        endpoint: str,
        load: Callable[[str], Any],
        name: str,
        serializer: Optional[SerializerLike],
        ttl: Optional[float],
    ) -> None:
        self.endpoint = endpoint
        self.load = load  # may give an awaitable
        self.name = name
        self.serializer = serializer
        self.ttl = ttl


_registered: Dict[str, Registered] = {}


def registered() -> List[Registered]:
    """All loaders that the app's modules have made so far."""
    return list(_registered.values())


def _register(r: Registered) -> None:
    _registered[r.endpoint] = r  # a module that is loaded again replaces its own


class Cached(Protocol[P, R_co]):
    """What cached() makes of a function; calling it gives the cached value."""

    __name__: str
    endpoint: str

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...

    def uncached(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """The function itself, past the cache."""

    def key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """The key of a call."""

    def lookup(self, *args: P.args, **kwargs: P.kwargs) -> Optional[Value[Any]]:
        """What the cache holds for a call; never loads."""

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Calls the function now and puts its value into the cache."""

    def delete(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Takes the call's value out of the cache."""

    def changed(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Tells that the call would give another value now."""

    def learned_ttl(self, *args: P.args, **kwargs: P.kwargs) -> float:
        """The TTL that the daemon advises for the call's key, in seconds."""


def _seconds(ttl: TTL) -> Optional[float]:
    """The app's own TTL; None leaves it to the daemon."""
    if ttl is None or isinstance(ttl, LearnedTTL):
        return None
    return amount("ttl", ttl)


def _key_maker(
    fn: Callable[..., Any], key: KeyLike, endpoint: Optional[str]
) -> Tuple[Callable[[Tuple[Any, ...], Dict[str, Any]], str], str, Optional[Template]]:
    """(key of a call, endpoint, template if it is one)."""
    if callable(key):
        make = key

        def from_function(args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> str:
            got = make(*args, **kwargs)
            if not isinstance(got, str) or not got:
                raise BadRequest("key: the key function gave %r, not a str" % (got,))
            return got

        return from_function, endpoint or "%s:%s" % (fn.__module__, fn.__qualname__), None
    if key is None:
        plain = CallKey(fn)
        return plain.key, endpoint or plain.endpoint, None
    template = Template(key, fn)
    return template.key, endpoint or template.endpoint, template


def _as_loader(
    fn: Callable[..., Any],
    template: Optional[Template],
    loader: Union[bool, Callable[[str], Any]],
    what: str,
) -> Optional[Callable[[str], Any]]:
    """A function of the key, for the worker; None: there is none."""
    if callable(loader):
        return loader
    if loader is False:
        return None
    parsers = template.parsers() if template is not None else None
    if template is None or parsers is None:
        if loader is True:
            raise BadRequest(
                "loader: %s cannot be called for a key alone: it needs a template for a key and plain "
                "types as annotations (str, int, float, bool, UUID, date, Decimal, Enum)" % what
            )
        return None
    bound, split = template, parsers

    def load(key: str) -> Any:
        return fn(**bound.arguments(key, split))

    return load


class _Decorated(Generic[R]):
    """What the wrappers of functions and of coroutine functions share."""

    def __init__(
        self,
        fn: Callable[..., Any],
        key: KeyLike,
        endpoint: Optional[str],
        ttl: TTL,
        loader: Union[None, bool, Callable[[str], Any]],
        serializer: Optional[SerializerLike],
        client: Optional[AnyClient],
    ) -> None:
        self.fn = fn
        self.make_key, self.endpoint, template = _key_maker(fn, key, endpoint)
        self._endpoint = self.endpoint.encode(errors="replace")
        self.ttl = _seconds(ttl)
        self.serializer = None if serializer is None else serializer_of(serializer)
        self._given = client
        self._async: Optional[AsyncClient] = None
        what = "%s.%s" % (fn.__module__, fn.__qualname__)
        load = _as_loader(fn, template, loader, what) if loader is not None else _as_loader_or_none(fn, template)
        if load is not None:
            _register(Registered(self.endpoint, load, what, self.serializer, self.ttl))

    def peek(self, client: Client, key: str) -> Optional[bytes]:
        """A fresh value that is there at once, before anything is made ready for a load."""
        try:
            return client.backend.peek(key.encode("utf-8", "surrogateescape"), self._endpoint)
        except UnicodeEncodeError:
            return None  # get_or_load will say

    @property
    def client(self) -> Client:
        if self._given is None:
            return default_client()
        return self._given.client if isinstance(self._given, AsyncClient) else self._given

    @property
    def async_client(self) -> AsyncClient:
        if isinstance(self._given, AsyncClient):
            return self._given
        client = self.client
        if self._async is None or self._async.client is not client:
            self._async = async_around(client)
        return self._async


def _as_loader_or_none(fn: Callable[..., Any], template: Optional[Template]) -> Optional[Callable[[str], Any]]:
    if template is None or template.parsers() is None:
        return None
    return _as_loader(fn, template, True, fn.__qualname__)


_around: Dict[int, Tuple[Client, AsyncClient]] = {}


def async_around(client: Client) -> AsyncClient:
    """The one AsyncClient around a client, so that its coroutines wait for one load."""
    known = _around.get(id(client))
    if known is None or known[0] is not client:
        known = _around[id(client)] = (client, AsyncClient(client=client))
    return known[1]


def _wrap(d: _Decorated[Any]) -> Any:
    @functools.wraps(d.fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        key = d.make_key(args, kwargs)
        client = d.client
        data = d.peek(client, key)
        if data is not None:
            try:
                return (d.serializer or client.serializer).decode(data)
            except SerializationError:
                pass  # get_or_load knows what to do
        return client.get_or_load(
            key,
            functools.partial(d.fn, *args, **kwargs),
            endpoint=d.endpoint,
            ttl=d.ttl,
            serializer=d.serializer,
        )

    def lookup(*args: Any, **kwargs: Any) -> Any:
        return d.client.lookup(
            d.make_key(args, kwargs), endpoint=d.endpoint, serializer=d.serializer
        )

    def refresh(*args: Any, **kwargs: Any) -> Any:
        return d.client.refresh(
            d.make_key(args, kwargs),
            functools.partial(d.fn, *args, **kwargs),
            endpoint=d.endpoint,
            ttl=d.ttl,
            serializer=d.serializer,
        )

    def delete(*args: Any, **kwargs: Any) -> bool:
        return d.client.delete(d.make_key(args, kwargs))

    def changed(*args: Any, **kwargs: Any) -> None:
        d.client.changed(d.make_key(args, kwargs), endpoint=d.endpoint)

    def learned_ttl(*args: Any, **kwargs: Any) -> float:
        return d.client.ttl(d.make_key(args, kwargs), endpoint=d.endpoint)

    return _dress(d, call, lookup=lookup, refresh=refresh, delete=delete, changed=changed, learned_ttl=learned_ttl)


def _wrap_async(d: _Decorated[Any]) -> Any:
    @functools.wraps(d.fn)
    async def call(*args: Any, **kwargs: Any) -> Any:
        key = d.make_key(args, kwargs)
        client = d.client
        data = d.peek(client, key)
        if data is not None:
            try:
                return (d.serializer or client.serializer).decode(data)
            except SerializationError:
                pass  # get_or_load knows what to do
        return await d.async_client.get_or_load(
            key,
            functools.partial(d.fn, *args, **kwargs),
            endpoint=d.endpoint,
            ttl=d.ttl,
            serializer=d.serializer,
        )

    async def lookup(*args: Any, **kwargs: Any) -> Any:
        return await d.async_client.lookup(
            d.make_key(args, kwargs), endpoint=d.endpoint, serializer=d.serializer
        )

    async def refresh(*args: Any, **kwargs: Any) -> Any:
        return await d.async_client.refresh(
            d.make_key(args, kwargs),
            functools.partial(d.fn, *args, **kwargs),
            endpoint=d.endpoint,
            ttl=d.ttl,
            serializer=d.serializer,
        )

    async def delete(*args: Any, **kwargs: Any) -> bool:
        return await d.async_client.delete(d.make_key(args, kwargs))

    async def changed(*args: Any, **kwargs: Any) -> None:
        await d.async_client.changed(d.make_key(args, kwargs), endpoint=d.endpoint)

    async def learned_ttl(*args: Any, **kwargs: Any) -> float:
        return await d.async_client.ttl(d.make_key(args, kwargs), endpoint=d.endpoint)

    return _dress(d, call, lookup=lookup, refresh=refresh, delete=delete, changed=changed, learned_ttl=learned_ttl)


def _dress(d: _Decorated[Any], call: Any, **more: Any) -> Any:
    def key(*args: Any, **kwargs: Any) -> str:
        return d.make_key(args, kwargs)

    call.endpoint = d.endpoint
    call.uncached = d.fn
    call.key = key
    for name, fn in more.items():
        setattr(call, name, fn)
    return call


@overload
def cached(key: Callable[P, R], /) -> Cached[P, R]: ...


@overload
def cached(
    key: Union[str, None] = None,
    *,
    key_function: Optional[Callable[..., str]] = None,
    endpoint: Optional[str] = None,
    ttl: TTL = None,
    loader: Union[None, bool, Callable[[str], Any]] = None,
    serializer: Optional[SerializerLike] = None,
    client: Optional[AnyClient] = None,
) -> Callable[[Callable[P, R]], Cached[P, R]]: ...


def cached(
    key: Union[str, Callable[..., Any], None] = None,
    *,
    key_function: Optional[Callable[..., str]] = None,
    endpoint: Optional[str] = None,
    ttl: TTL = None,
    loader: Union[None, bool, Callable[[str], Any]] = None,
    serializer: Optional[SerializerLike] = None,
    client: Optional[AnyClient] = None,
) -> Any:
    """Caches what a function, or a coroutine function, gives.

    key           a template of its parameters, "/users/{id}"; without one the function's name and all
                  its arguments make the key
    key_function  makes the key of the call's arguments
    endpoint      what keys are learned together (default: the template as /users/<id>)
    ttl           seconds; None or forecached.ttl: learned
    loader        whether the worker may run the function for a key: True (BadRequest if that cannot
                  be), False, or another function of the key; default: if it can be
    serializer    as for Client; default: the client's
    client        default: forecached.default_client()

    One caller loads at a time, in this process and in all others on the daemon's host. When the function
    fails, the old value is given as long as its max_age permits. No daemon: the function is called.
    Exceptions are not cached. None is a value like others; raise NotFound for what is not there.
    """
    if key is not None and not isinstance(key, str):
        return cached()(key)
    how: KeyLike = key if key_function is None else key_function
    if key is not None and key_function is not None:
        raise BadRequest("key and key_function: only one of them can make the key")

    def decorate(fn: Callable[P, R]) -> Cached[P, R]:
        d: _Decorated[R] = _Decorated(fn, how, endpoint, ttl, loader, serializer, client)
        wrap = _wrap_async if inspect.iscoroutinefunction(fn) else _wrap
        return cast("Cached[P, R]", wrap(d))

    return decorate


LoadKeyFunction = TypeVar("LoadKeyFunction", bound=Callable[[str], Union[Any, Awaitable[Any]]])


def loader(
    endpoint: str, *, ttl: TTL = None, serializer: Optional[SerializerLike] = None
) -> Callable[[LoadKeyFunction], LoadKeyFunction]:
    """Makes a function of the key the loader of an endpoint, for the worker."""

    def decorate(fn: LoadKeyFunction) -> LoadKeyFunction:
        name = "%s.%s" % (fn.__module__, fn.__qualname__)
        _register(Registered(endpoint, fn, name, serializer, _seconds(ttl)))
        return fn

    return decorate
