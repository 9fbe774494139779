# SPDX-License-Identifier: MIT
"""What a client needs of the way to the daemon. Three ways do it:

	library.py   libforecache by ctypes: gets from shared memory, everything else by its thread
	zeromq.py    the daemon's own protocol with python3-zmq, where there is no libforecache
	resp.py      the Redis protocol, where there is nothing else, also to another host

All of them take keys and endpoints as bytes and values as bytes, raise the errors of errors.py, may
be used by any number of threads at once, and go on in a child after fork with connections of its own.
"""
from __future__ import annotations

import abc
import atexit
import math
import os
import threading
import weakref
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

from .errors import BadRequest, ForecachedError

MAX_KEY_BYTES = 65536  # no daemon takes more; its own limit, 1024 by default, is its to tell

HIT = "hit"
GRACE = "grace"
MISS = "miss"
OUTCOMES = (HIT, GRACE, MISS)


class Found:
    """What the cache holds of a key, as bytes."""

    __slots__ = ("data", "outcome", "version", "age_s", "ttl_s", "error")

    def __init__(
        self,
        data: bytes,
        outcome: str,
        version: int = 0,
        age_s: Optional[float] = None,
        ttl_s: Optional[float] = None,
        error: Optional[BaseException] = None,
    ) -> None:
        self.data = data
        self.outcome = outcome  # HIT: fresh; GRACE: past its TTL; MISS: loaded just now
        self.version = version  # equal ones mean equal content; 0: unknown
        self.age_s = age_s  # since the origin was read; None: unknown
        self.ttl_s = ttl_s  # until it is no longer fresh, below 0: past it; None: unknown
        self.error = error  # why the load failed for which this old value stands in


class Payload:
    """What a load function gave, as bytes."""

    __slots__ = ("data", "version", "ttl_s")

    def __init__(self, data: bytes, version: int = 0, ttl_s: float = 0.0) -> None:
        self.data = data
        self.version = version  # 0: unknown
        self.ttl_s = ttl_s  # the origin's own; 0: not said


class Uncacheable(Exception):
    """A load function's value is not to be kept, and no old one may stand in for it.

    data: the value for those who asked; None: error says what was wrong with it.
    """

    def __init__(self, error: ForecachedError, data: Optional[bytes] = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.data = data


LoadBytes = Callable[[], Payload]
LoadKey = Callable[[bytes], Payload]


class Options:
    """What all transports are told."""

    __slots__ = ("dir", "timeout_s", "load_wait_s", "max_value_bytes", "resp", "default_ttl_s", "named")

    def __init__(
        self,
        dir: str,
        timeout_s: float = 5.0,
        load_wait_s: float = 10.0,
        max_value_bytes: int = 67108864,
        resp: Optional[str] = None,
        default_ttl_s: float = 300.0,
        named: bool = False,
    ) -> None:
        limit("timeout", timeout_s, 0.001, 3600)
        limit("load_wait", load_wait_s, 0.001, 3600)
        limit("max_value_bytes", max_value_bytes, 64, 1 << 29)
        limit("default_ttl", default_ttl_s, 0.001, 1e9)
        self.dir = dir
        self.timeout_s = float(timeout_s)
        self.load_wait_s = float(load_wait_s)
        self.max_value_bytes = int(max_value_bytes)
        self.resp = resp
        self.default_ttl_s = float(default_ttl_s)
        self.named = named  # the directory was asked for by its name


def limit(name: str, value: Any, low: float, high: float) -> None:
    """Raises unless it is a number from low to high."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise BadRequest("%s: must be a number from %.15g to %.15g, not %r" % (name, low, high, value))


def amount(name: str, value: Optional[float]) -> float:
    """Seconds or milliseconds: 0 for None, else a finite number from 0 on."""
    if value is None:
        return 0.0
    limit(name, value, 0, 3e12)
    return float(value)


def number(value: Any) -> Optional[float]:
    """A float, or None for what is no number."""
    if isinstance(value, (int, float)) and not math.isnan(value):
        return float(value)
    return None


def find_dir(given: Optional[str]) -> str:
    """The daemon's directory: given, $FORECACHED_DIR, $XDG_RUNTIME_DIR/forecached, /run/forecached."""
    found = given or os.environ.get("FORECACHED_DIR")
    if found:
        return found
    run = os.environ.get("XDG_RUNTIME_DIR")
    if run and os.path.exists(os.path.join(run, "forecached")):
        return os.path.join(run, "forecached")
    return "/run/forecached"


class Transport(abc.ABC):
    """One way to the daemon. Errors as in errors.py; those of a load function pass through."""

    name: str
    where: str  # for the log

    @abc.abstractmethod
    def peek(self, key: bytes, endpoint: Optional[bytes]) -> Optional[bytes]:
        """The value if it is fresh and can be had without waiting for anyone; None: not, or nobody
        knows. What gives None is not counted: get or get_or_load comes next.
        """

    def peek_found(self, key: bytes, endpoint: Optional[bytes]) -> Optional[Found]:
        """peek, with what is known of the value."""
        return None

    @abc.abstractmethod
    def get(self, key: bytes, endpoint: Optional[bytes]) -> Optional[Found]:
        """What the cache holds; never loads. None: nothing fresh enough."""

    def get_now(self, key: bytes, endpoint: Optional[bytes]) -> Optional[Found]:
        """get, for event loops: raises BlockingIOError where it would have to wait."""
        raise BlockingIOError

    def mget(self, keys: Sequence[bytes], endpoint: Optional[bytes]) -> List[Optional[Found]]:
        return [self.get(k, endpoint) for k in keys]

    @abc.abstractmethod
    def get_or_load(self, key: bytes, endpoint: Optional[bytes], fn: Optional[LoadBytes]) -> Found:
        """The value, loaded by fn, of which one call runs at a time. fn None: the daemon loads."""

    @abc.abstractmethod
    def set(
        self,
        key: bytes,
        value: bytes,
        endpoint: Optional[bytes],
        ttl_s: float = 0.0,
        load_ms: float = 0.0,
        version: int = 0,
        read_s: float = 0.0,
    ) -> None: ...

    @abc.abstractmethod
    def delete(self, key: bytes) -> bool:
        """False: it was not there."""

    @abc.abstractmethod
    def changed(self, key: bytes, endpoint: Optional[bytes], version: int) -> None: ...

    @abc.abstractmethod
    def ttl(self, key: bytes, endpoint: Optional[bytes]) -> float: ...

    @abc.abstractmethod
    def request(self, op: str, args: Sequence[Any], timeout_s: Optional[float]) -> Any: ...

    @abc.abstractmethod
    def register_loader(self, endpoint: bytes, concurrency: int, fn: LoadKey) -> None: ...

    @abc.abstractmethod
    def alive(self) -> bool: ...

    def stats(self) -> Mapping[str, int]:
        return {}

    @abc.abstractmethod
    def close(self) -> None: ...

    def forked(self) -> None:
        """In a child after fork: forget what belongs to the parent."""


class Flight:
    """One run of a function that others wait for."""

    __slots__ = ("ended", "result", "error", "owner")

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.result: Any = None
        self.error: Optional[BaseException] = None
        self.owner = threading.get_ident()


class Flights:
    """One run per key at a time within the process; who comes meanwhile gets its result or error."""

    def __init__(self) -> None:
        self.forked()

    def forked(self) -> None:
        self._lock = threading.Lock()
        self._running: Dict[Any, Flight] = {}

    def do(self, key: Any, fn: Callable[[], Any], wait_s: float) -> Any:
        """fn's result. Who waited for wait_s runs it as well."""
        with self._lock:
            flight = self._running.get(key)
            leads = flight is None
            if flight is None:
                flight = self._running[key] = Flight()
        if not leads:
            if flight.owner == threading.get_ident():
                raise RecursionError("the load function of %r asks for its own key" % (key,))
            if not flight.ended.wait(wait_s):
                return fn()
            if flight.error is not None:
                raise flight.error
            return flight.result
        try:
            flight.result = fn()
            return flight.result
        except Exception as e:
            flight.error = e
            raise
        except BaseException as e:  # an interrupt is its own thread's; the others must not wait on
            flight.error = InterruptedError("the load was interrupted: %r" % e)
            raise
        finally:
            with self._lock:
                if self._running.get(key) is flight:
                    del self._running[key]
            flight.ended.set()


# What is to be told of a fork: everything with a `forked` method that lives.
_forkable: "weakref.WeakSet[Any]" = weakref.WeakSet()


def watch_forks(thing: Any) -> None:
    """thing.forked() will be called in a child after fork."""
    _forkable.add(thing)


def _after_fork() -> None:
    for thing in list(_forkable):
        thing.forked()


os.register_at_fork(after_in_child=_after_fork)

_open: "weakref.WeakSet[Transport]" = weakref.WeakSet()


def close_at_exit(transport: Transport) -> None:
    """Its close() will be called at the end of the process, while Python's threads still can run."""
    _open.add(transport)


def _at_exit() -> None:
    for transport in list(_open):
        transport.close()


atexit.register(_at_exit)
