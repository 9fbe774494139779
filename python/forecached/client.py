# SPDX-License-Identifier: MIT
"""The client: keys, values and loaders of an app's own types over one of the transports.

HOW IT WORKS a get first peeks at shared memory; what is not there goes the transport's way. Of the
threads of this process that load one key, one does; of the processes, the daemon (or a lock) lets one.

WITHOUT THE DAEMON get and mget give what they give for a miss, get_or_load and cached functions call
their loader; everything else raises Unavailable. Nothing waits long for a daemon that is not there.
"""
from __future__ import annotations

import logging
import os
import threading
import time
from typing import (
    Any,
    Callable,
    Dict,
    Generic,
    Iterable,
    List,
    Mapping,
    Optional,
    TypeVar,
    Union,
)

from .errors import BadRequest, SerializationError, TooLarge, Unavailable
from .serialize import Serializer, SerializerLike, serializer as serializer_of
from .transport import (
    GRACE,
    MAX_KEY_BYTES,
    MISS,
    Flights,
    Found,
    LoadBytes,
    Options,
    Payload,
    Transport,
    Uncacheable,
    amount,
    find_dir,
    watch_forks,
)

log = logging.getLogger("forecached")

Key = Union[str, bytes]
T = TypeVar("T")

# After a daemon was not to be reached, gets are misses for so long before it is asked again.
DOWN_S = 0.25
MAX_ENDPOINTS = 10000  # whose bytes are kept
# Keys whose values turned out too large are loaded without a lease for so long.
UNKEPT_S = 60.0
MAX_UNKEPT = 1000


class Start:
    """When a load began."""

    __slots__ = ("read_s", "_monotonic_s")

    def __init__(self) -> None:
        self.read_s = time.time()
        self._monotonic_s = time.monotonic()

    def passed_ms(self) -> float:
        return (time.monotonic() - self._monotonic_s) * 1e3


class Value(Generic[T]):
    """A value and what is known of it."""

    __slots__ = ("value", "outcome", "version", "age_s", "ttl_s", "error")

    def __init__(self, value: T, found: Found) -> None:
        self.value = value
        self.outcome = found.outcome  # "hit": fresh; "grace": past its TTL; "miss": loaded just now
        self.version = found.version  # equal ones mean equal content; 0: unknown
        self.age_s = found.age_s  # since the origin was read; None: unknown
        self.ttl_s = found.ttl_s  # until it is no longer fresh, below 0: past it; None: unknown
        self.error = found.error  # why the load failed for which this old value stands in

    @property
    def fresh(self) -> bool:
        return self.outcome != GRACE

    def __repr__(self) -> str:
        return "<Value %r %s age=%s ttl=%s>" % (self.value, self.outcome, self.age_s, self.ttl_s)


class Loaded(Generic[T]):
    """What a loader may give instead of the bare value, if it knows more."""

    __slots__ = ("value", "version", "ttl_s")

    def __init__(self, value: T, version: int = 0, ttl_s: Optional[float] = None) -> None:
        self.value = value
        self.version = version  # of the content, from 1 to 2^64 - 1; 0: unknown
        self.ttl_s = ttl_s  # the origin's own; None: not said


def open_transport(options: Options, wanted: str) -> Transport:
    """The wanted transport, or with "auto" the first one of library, zeromq and resp that works here.

    One whose daemon is there is preferred; while there is none, the first whose modules are.
    """
    from . import library, resp, zeromq

    def open_resp() -> Transport:
        urls = [options.resp] if options.resp else resp.default_addresses(options.dir)
        if options.named and wanted == "auto" and not options.resp:
            del urls[1:]  # the daemon at the default port may be another one than that directory's
        for url in urls:
            if resp.answers(url):
                return resp.Resp(options, url)
        return resp.Resp(options, urls[-1])

    makers: Dict[str, Callable[[], Transport]] = {
        "library": lambda: library.Library(options),
        "zeromq": lambda: zeromq.ZeroMQ(options),
        "resp": open_resp,
    }
    if wanted != "auto":
        maker = makers.get(wanted)
        if maker is None:
            raise BadRequest("transport: %r is none of auto, library, zeromq, resp" % wanted)
        try:
            return maker()
        except ImportError as e:
            raise Unavailable("transport %s: %s" % (wanted, e)) from e
    first: Optional[Transport] = None
    for name, maker in makers.items():
        try:
            transport = maker()
        except (ImportError, BadRequest) as e:
            if name == "resp":
                raise
            log.info("transport=%s not used: %s", name, e)
            continue
        if transport.alive():
            if first is not None:
                first.close()
            return transport
        if first is None:
            first = transport
        else:
            transport.close()
    assert first is not None
    return first


class Client:
    """A handle on the cache. One per process is enough: threads share it, children inherit it.

    dir         the daemon's directory (default: $FORECACHED_DIR, $XDG_RUNTIME_DIR/forecached,
                /run/forecached)
    transport   "auto" (default, or $FORECACHED_TRANSPORT), "library", "zeromq" or "resp"
    resp        address for the last one: redis://host:port or unix://path (default, or
                $FORECACHED_RESP: the daemon's, else 127.0.0.1:6390)
    serializer  "auto" (bytes, str and JSON values), "bytes", "str", "json", "pickle" or a Serializer
    timeout     seconds that a call may wait for the daemon
    load_wait   seconds that get_or_load waits for another's load
    default_ttl seconds that values live over RESP when nobody said a TTL
    """

    def __init__(
        self,
        dir: Optional[str] = None,
        *,
        transport: Optional[str] = None,
        resp: Optional[str] = None,
        serializer: SerializerLike = "auto",
        timeout: float = 5.0,
        load_wait: float = 10.0,
        max_value_bytes: int = 67108864,
        default_ttl: float = 300.0,
    ) -> None:
        self._serializer = serializer_of(serializer)
        self._decode = self._serializer.decode
        self._options = Options(
            find_dir(dir),
            timeout,
            load_wait,
            max_value_bytes,
            resp or os.environ.get("FORECACHED_RESP"),
            default_ttl,
            bool(dir or os.environ.get("FORECACHED_DIR")),
        )
        wanted = transport or os.environ.get("FORECACHED_TRANSPORT") or "auto"
        self._transport = open_transport(self._options, wanted)
        self._peek = self._transport.peek
        self._flights = Flights()
        self._endpoints: Dict[str, bytes] = {}
        self._unkept: Dict[bytes, float] = {}
        self._down_until = 0.0
        self._told_down = False
        watch_forks(self)
        log.info("transport=%s at %s dir=%s", self.transport, self._transport.where, self._options.dir)

    def forked(self) -> None:
        self._flights.forked()

    # -- What it is ----------------------------------------------------------------------------

    @property
    def transport(self) -> str:
        """ "library", "zeromq" or "resp"."""
        return self._transport.name

    @property
    def dir(self) -> str:
        return self._options.dir

    @property
    def serializer(self) -> Serializer:
        return self._serializer

    @property
    def backend(self) -> Transport:
        """The transport itself: bytes in and out, for those who build on this."""
        return self._transport

    def alive(self) -> bool:
        """Is the daemon there?"""
        return self._transport.alive()

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return "<forecached.Client transport=%s dir=%s>" % (self.transport, self.dir)

    # -- Names and values ----------------------------------------------------------------------

    @staticmethod
    def _key(key: Key) -> bytes:
        if isinstance(key, str):
            try:
                key = key.encode("utf-8", "surrogateescape")
            except UnicodeEncodeError as e:
                raise BadRequest("key: %s" % e) from None
        elif not isinstance(key, bytes):
            raise BadRequest("key: must be str or bytes, not %s" % type(key).__name__)
        if not 0 < len(key) <= MAX_KEY_BYTES:
            raise BadRequest("key: must have 1 to %d bytes, not %d" % (MAX_KEY_BYTES, len(key)))
        return key

    def _endpoint(self, endpoint: Optional[str]) -> Optional[bytes]:
        if endpoint is None:
            return None
        known = self._endpoints.get(endpoint)
        if known is not None:
            return known
        packed = endpoint.encode(errors="replace") if isinstance(endpoint, str) else b""
        if b"\0" in packed or not 0 < len(packed) <= MAX_KEY_BYTES:
            raise BadRequest("endpoint: must be a str of 1 to %d bytes without NUL" % MAX_KEY_BYTES)
        if len(self._endpoints) < MAX_ENDPOINTS:
            self._endpoints[endpoint] = packed
        return packed

    def _codec(self, which: Optional[SerializerLike]) -> Serializer:
        return self._serializer if which is None else serializer_of(which)

    def _payload(self, got: Any, codec: Serializer, ttl: Optional[float] = None) -> Payload:
        """A loader's result as bytes."""
        version = 0
        try:
            if isinstance(got, Loaded):
                version, ttl = self._version(got.version), got.ttl_s if got.ttl_s is not None else ttl
                got = got.value
            payload = Payload(codec.encode(got), version, amount("ttl_s", ttl))
        except (SerializationError, BadRequest) as e:
            raise Uncacheable(e) from e
        if len(payload.data) > self._options.max_value_bytes:
            raise Uncacheable(
                TooLarge(
                    "the value has %d bytes, max_value_bytes is %d"
                    % (len(payload.data), self._options.max_value_bytes)
                ),
                payload.data,
            )
        return payload

    @staticmethod
    def _version(version: int) -> int:
        if not isinstance(version, int) or not 0 <= version < 1 << 64:
            raise BadRequest("version: must be a whole number from 0 to 2^64 - 1")
        return version

    # -- Reads ---------------------------------------------------------------------------------

    def get(self, key: Key, default: Any = None, *, endpoint: Optional[str] = None) -> Any:
        """The value, or default. Never loads; no daemon is a miss."""
        try:
            k = key.encode("utf-8", "surrogateescape")  # type: ignore[union-attr]
        except (AttributeError, UnicodeEncodeError):
            k = self._key(key)
        e = None if endpoint is None else self._endpoint(endpoint)
        data = self._peek(k, e)
        if data is not None:
            return self._decode(data)
        found = self._get(k, e)
        return default if found is None else self._decode(found.data)

    def _get(self, key: bytes, endpoint: Optional[bytes]) -> Optional[Found]:
        """The transport's get; while there is no daemon, None."""
        if self._down_until and time.monotonic() < self._down_until:
            return None
        try:
            found = self._transport.get(self._key(key), endpoint)
        except Unavailable as e:
            self._is_down(e)
            return None
        self._is_up()
        return found

    def _is_down(self, why: Exception) -> None:
        self._down_until = time.monotonic() + DOWN_S
        if not self._told_down:
            self._told_down = True
            log.warning("no daemon: gets are misses and loaders are called (%s)", why)

    def _is_up(self) -> None:
        if self._told_down:
            self._down_until = 0.0
            self._told_down = False
            log.warning("the daemon is back")

    def lookup(
        self,
        key: Key,
        *,
        endpoint: Optional[str] = None,
        serializer: Optional[SerializerLike] = None,
    ) -> Optional[Value[Any]]:
        """The value with outcome, age, TTL and version; None: nothing fresh enough. Never loads.

        Unlike get it raises Unavailable when nobody can tell.
        """
        found = self._transport.get(self._key(key), self._endpoint(endpoint))
        return None if found is None else Value(self._codec(serializer).decode(found.data), found)

    def mget(self, keys: Iterable[Key], *, endpoint: Optional[str] = None) -> Dict[Key, Any]:
        """The values that are there, by key. No daemon: none are."""
        names = list(keys)
        e = self._endpoint(endpoint)
        packed = [self._key(k) for k in names]
        if not packed:
            return {}
        if self._down_until and time.monotonic() < self._down_until:
            return {}
        try:
            found = self._transport.mget(packed, e)
        except Unavailable as why:
            self._is_down(why)
            return {}
        self._is_up()
        return {k: self._decode(f.data) for k, f in zip(names, found) if f is not None}

    # -- Loads ---------------------------------------------------------------------------------

    def get_or_load(
        self,
        key: Key,
        loader: Optional[Callable[[], Any]] = None,
        *,
        endpoint: Optional[str] = None,
        ttl: Optional[float] = None,
        serializer: Optional[SerializerLike] = None,
    ) -> Any:
        """The value, loaded by loader() if the cache has none that is fresh.

        Of all callers one loads, in this process and in others; the rest get its value, or the old
        one. If the loader fails, the old value is given as long as that may be; else its exception
        comes out. Without a loader the daemon loads, by its origin or a registered loader: NotFound,
        LoadFailed, Unavailable.
        """
        codec = self._codec(serializer)
        k, e = self._key(key), self._endpoint(endpoint)
        data = self._peek(k, e)
        if data is None:
            return self._load(k, e, loader, ttl, codec).value
        try:
            return codec.decode(data)
        except SerializationError as why:
            if loader is None:
                raise
            return self._replace(k, e, loader, ttl, codec, why)

    def fetch(
        self,
        key: Key,
        loader: Optional[Callable[[], Any]] = None,
        *,
        endpoint: Optional[str] = None,
        ttl: Optional[float] = None,
        serializer: Optional[SerializerLike] = None,
    ) -> Value[Any]:
        """get_or_load with the outcome: "hit", "grace", or "miss" if it was loaded just now."""
        return self._load(
            self._key(key), self._endpoint(endpoint), loader, ttl, self._codec(serializer)
        )

    def _load(
        self,
        key: bytes,
        endpoint: Optional[bytes],
        loader: Optional[Callable[[], Any]],
        ttl: Optional[float],
        codec: Serializer,
    ) -> Value[Any]:
        fn: Optional[LoadBytes] = None
        if loader is not None:

            def load_bytes() -> Payload:
                assert loader is not None
                return self._payload(loader(), codec, ttl)

            fn = load_bytes
        found = self._load_bytes(key, endpoint, fn)
        try:
            return Value(codec.decode(found.data), found)
        except SerializationError as why:
            if loader is None:
                raise
            value = self._replace(key, endpoint, loader, ttl, codec, why)
            return Value(value, Found(found.data, MISS))

    def _replace(
        self,
        key: bytes,
        endpoint: Optional[bytes],
        loader: Callable[[], Any],
        ttl: Optional[float],
        codec: Serializer,
        why: SerializationError,
    ) -> Any:
        """What an older version of the app left in the cache, say, cannot be read: loads it anew."""
        log.warning("%r is loaded anew: %s", key, why)
        start = Start()
        return self._keep(key, endpoint, loader(), ttl, codec, start)

    def _load_bytes(self, key: bytes, endpoint: Optional[bytes], fn: Optional[LoadBytes]) -> Found:
        """The transport's get_or_load, once per process at a time."""

        def run() -> Found:
            until = self._unkept.get(key)
            if fn is not None and until is not None:
                if time.monotonic() < until:  # no one is to wait for a value that will not be kept
                    return Found(fn().data, MISS)
                self._unkept.pop(key, None)
            return self._transport.get_or_load(key, endpoint, fn)

        try:
            found: Found = self._flights.do((key, fn is None), run, self._options.load_wait_s)
            return found
        except Uncacheable as e:
            if e.data is None:
                raise e.error from e.error.__cause__
            if len(self._unkept) >= MAX_UNKEPT:
                self._unkept.clear()
            if key not in self._unkept:
                log.warning("%r is not kept: %s", key, e.error)
            self._unkept[key] = time.monotonic() + UNKEPT_S
            return Found(e.data, MISS)

    def refresh(
        self,
        key: Key,
        loader: Callable[[], Any],
        *,
        endpoint: Optional[str] = None,
        ttl: Optional[float] = None,
        serializer: Optional[SerializerLike] = None,
    ) -> Any:
        """Calls loader() now, whatever the cache holds, and puts its value into the cache."""
        codec = self._codec(serializer)
        k, e = self._key(key), self._endpoint(endpoint)
        start = Start()
        return self._keep(k, e, loader(), ttl, codec, start)

    def _keep(
        self,
        key: bytes,
        endpoint: Optional[bytes],
        got: Any,
        ttl: Optional[float],
        codec: Serializer,
        start: "Start",
    ) -> Any:
        """Puts into the cache what a loader gave, and gives it as a get would. Fails open."""
        try:
            payload = self._payload(got, codec, ttl)
        except Uncacheable as e:
            if e.data is None:
                raise e.error from None
            log.warning("%r is not kept: %s", key, e.error)
            return codec.decode(e.data)
        try:
            self._transport.set(
                key, payload.data, endpoint, payload.ttl_s, start.passed_ms(), payload.version, start.read_s
            )
        except Unavailable as why:
            self._is_down(why)
        return codec.decode(payload.data)

    # -- Writes --------------------------------------------------------------------------------

    def set(
        self,
        key: Key,
        value: Any,
        *,
        endpoint: Optional[str] = None,
        ttl: Optional[float] = None,
        load_ms: Optional[float] = None,
        version: int = 0,
        read_s: Optional[float] = None,
        serializer: Optional[SerializerLike] = None,
    ) -> None:
        """Puts a value into the cache. ttl: the app's own; load_ms: what producing it took.

        TooLarge, Unavailable.
        """
        self._transport.set(
            self._key(key),
            self._codec(serializer).encode(value),
            self._endpoint(endpoint),
            amount("ttl", ttl),
            amount("load_ms", load_ms),
            self._version(version),
            amount("read_s", read_s),
        )

    def mset(
        self,
        values: Mapping[Key, Any],
        *,
        endpoint: Optional[str] = None,
        ttl: Optional[float] = None,
    ) -> None:
        for k, v in values.items():
            self.set(k, v, endpoint=endpoint, ttl=ttl)

    def delete(self, key: Key) -> bool:
        """Takes a value out; False: it was not there."""
        return self._transport.delete(self._key(key))

    def changed(self, key: Key, *, endpoint: Optional[str] = None, version: int = 0) -> None:
        """The origin's value has changed."""
        self._transport.changed(self._key(key), self._endpoint(endpoint), self._version(version))

    def register_loader(
        self,
        endpoint: str,
        loader: Callable[[str], Any],
        *,
        concurrency: int = 4,
        serializer: Optional[SerializerLike] = None,
        ttl: Optional[float] = None,
    ) -> None:
        """Serves an endpoint: loader(key) runs in threads when the daemon asks, also for refreshes
        and prewarms, until close. It raises NotFound for what is not there."""
        codec = self._codec(serializer)
        e = self._endpoint(endpoint)
        if e is None:
            raise BadRequest("endpoint: must be a str")
        if not isinstance(concurrency, int) or not 1 <= concurrency <= 256:
            raise BadRequest("concurrency: must be a whole number from 1 to 256, not %r" % (concurrency,))

        def run(key: bytes) -> Payload:
            try:
                return self._payload(loader(key.decode("utf-8", "surrogateescape")), codec, ttl)
            except Uncacheable as e:
                raise e.error from None

        self._transport.register_loader(e, concurrency, run)

    # -- Learned and told ----------------------------------------------------------------------

    def ttl(self, key: Key, *, endpoint: Optional[str] = None) -> float:
        """The TTL that the daemon advises for the key, in seconds."""
        return self._transport.ttl(self._key(key), self._endpoint(endpoint))

    def event(
        self,
        key: Key,
        outcome: str,
        *,
        endpoint: Optional[str] = None,
        bytes: int = 0,
        load_ms: Optional[float] = None,
        version: int = 0,
        count: int = 1,
    ) -> None:
        """Tells what happened at a cache of the app's own: "hit", "grace", "miss", "set", "changed"."""
        row = [
            None,
            self._endpoint(endpoint),
            self._key(key),
            outcome,
            bytes or None,
            load_ms,
            version or None,
            count,
        ]
        said = self.request("event", [row])
        if isinstance(said, dict) and said.get("refused"):
            raise BadRequest(str(said["errors"][0][1]))

    def request(self, op: str, *args: Any, timeout: Optional[float] = None) -> Any:
        """Any operation of docs/protocol.md."""
        return self._transport.request(op, args, timeout)

    def why(self, name: Key) -> Dict[str, Any]:
        """What led to the decision on a key or endpoint."""
        got: Dict[str, Any] = self.request("why", name)
        return got

    def ttls(self, endpoint: Optional[str] = None, max: int = 100) -> List[Dict[str, Any]]:
        more: Dict[str, Any] = {"max": max}
        if endpoint is not None:
            more["endpoint"] = endpoint
        got: List[Dict[str, Any]] = self.request("ttls", more)
        return got

    def endpoints(self, max: int = 100) -> List[Dict[str, Any]]:
        got: List[Dict[str, Any]] = self.request("endpoints", {"max": max})
        return got

    def forecast(self, endpoint: str, *, step_s: float = 60, steps: int = 60) -> List[Dict[str, Any]]:
        got: List[Dict[str, Any]] = self.request("forecast", endpoint, {"step_s": step_s, "steps": steps})
        return got

    def prewarm(self, pattern: str, *, dry_run: bool = False, max_keys: Optional[int] = None) -> Any:
        more: Dict[str, Any] = {"dry_run": dry_run}
        if max_keys is not None:
            more["max_keys"] = max_keys
        return self.request("prewarm", pattern, more)

    def purge(self, name: str = "", what: str = "key") -> int:
        """Takes out a "key", all keys of an "endpoint", or "all"."""
        return int(self.request("purge", name, {"what": what})["count"])

    def server_stats(self) -> Dict[str, Any]:
        """The daemon's counters."""
        got: Dict[str, Any] = self.request("stats")
        return got

    def health(self) -> Dict[str, Any]:
        got: Dict[str, Any] = self.request("health")
        return got

    def stats(self) -> Dict[str, int]:
        """What this client has counted: gets, hits, grace, misses, requests, timeouts, loads…"""
        return dict(self._transport.stats())


# -- The app's one client -----------------------------------------------------------------------

_default: Optional[Client] = None
_default_options: Dict[str, Any] = {}
_default_lock = threading.Lock()


class _DefaultFork:
    def forked(self) -> None:
        global _default_lock
        _default_lock = threading.Lock()


_default_fork = _DefaultFork()
watch_forks(_default_fork)


def configure(**options: Any) -> None:
    """The options of the client that cached functions use; see Client. Before its first use."""
    global _default
    with _default_lock:
        old, _default = _default, None
        _default_options.clear()
        _default_options.update(options)
    if old is not None:
        old.close()


def default_client() -> Client:
    """The app's one client, made at its first use from configure() and the environment."""
    global _default
    client = _default
    if client is None:
        with _default_lock:
            if _default is None:
                _default = Client(**_default_options)
            client = _default
    return client
