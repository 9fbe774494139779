# SPDX-License-Identifier: MIT
"""libforecache by ctypes: no compiler is needed, and a get reads shared memory.

HOW IT WORKS fc_get_into never waits, so it is called with Python's lock held (PyDLL), with a buffer that
its thread keeps; everything else lets other threads run meanwhile (CDLL). Load functions are called
back through one function for all; its argument is the number under which the Python function waits.

INVARIANTS the handle is freed only when no thread is in a call: a peek says so in its thread's
record, the other calls are counted. A peek within a peek of the same thread (a signal handler, a
finalizer) does not touch its buffer.
"""
from __future__ import annotations

import ctypes
import errno
import glob
import itertools
import logging
import os
import threading
import time
import weakref
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from . import msgpack
from .errors import BadRequest, Closed, ForecachedError, NotFound, TooLarge, from_errno
from .transport import (
    OUTCOMES,
    Found,
    LoadBytes,
    LoadKey,
    Options,
    Payload,
    Transport,
    Uncacheable,
    close_at_exit,
    number,
    watch_forks,
)

log = logging.getLogger("forecached")

SONAME = "libforecache.so.0"
PEEK_BYTES = 65536  # larger values are copied once more
CLOSE_WAIT_S = 5.0


class _Options(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_size_t),
        ("dir", ctypes.c_char_p),
        ("timeout_s", ctypes.c_double),
        ("load_wait_s", ctypes.c_double),
        ("silence_s", ctypes.c_double),
        ("flush_s", ctypes.c_double),
        ("max_batch", ctypes.c_uint),
        ("max_events", ctypes.c_uint),
        ("max_waiting", ctypes.c_uint),
        ("max_value_bytes", ctypes.c_size_t),
        ("max_reply_bytes", ctypes.c_size_t),
    ]


class _Value(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("bytes", ctypes.c_size_t),
        ("version", ctypes.c_uint64),
        ("age_s", ctypes.c_double),
        ("ttl_s", ctypes.c_double),
        ("lease", ctypes.c_uint64),
        ("outcome", ctypes.c_int),
        ("error", ctypes.c_int),
        ("reserved", ctypes.c_void_p * 2),
    ]


class _Loaded(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("bytes", ctypes.c_size_t),
        ("version", ctypes.c_uint64),
        ("ttl_s", ctypes.c_double),
    ]


class _SetOptions(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_size_t),
        ("ttl_s", ctypes.c_double),
        ("lease", ctypes.c_uint64),
        ("load_ms", ctypes.c_double),
        ("version", ctypes.c_uint64),
        ("read_s", ctypes.c_double),
    ]


_STATS = (
    "gets",
    "hits",
    "grace",
    "misses",
    "segment_reads",
    "requests",
    "timeouts",
    "events_sent",
    "events_dropped",
    "loads",
    "load_errors",
)


class _Stats(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in _STATS]


_LOAD_FN = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.POINTER(_Loaded)
)

_P = ctypes.c_void_p
_S = ctypes.c_char_p
_N = ctypes.c_size_t
_V = ctypes.POINTER(_Value)
_PROTOTYPES: Dict[str, Tuple[Any, List[Any]]] = {
    "fc_open": (ctypes.c_int, [ctypes.POINTER(_Options), ctypes.POINTER(_P)]),
    "fc_close": (None, [ctypes.POINTER(_P)]),
    "fc_value_release": (None, [_V]),
    "fc_get": (ctypes.c_int, [_P, _S, _S, _N, _V]),
    "fc_mget": (ctypes.c_int, [_P, _S, ctypes.POINTER(_S), ctypes.POINTER(_N), _N, _V]),
    "fc_get_or_load": (ctypes.c_int, [_P, _S, _S, _N, _P, _P, _V]),
    "fc_set": (ctypes.c_int, [_P, _S, _S, _N, _S, _N, ctypes.POINTER(_SetOptions)]),
    "fc_delete": (ctypes.c_int, [_P, _S, _N]),
    "fc_changed": (ctypes.c_int, [_P, _S, _S, _N, ctypes.c_uint64]),
    "fc_ttl": (ctypes.c_int, [_P, _S, _S, _N, ctypes.POINTER(ctypes.c_double)]),
    "fc_register_loader": (ctypes.c_int, [_P, _S, ctypes.c_uint, _P, _P]),
    "fc_request": (
        ctypes.c_int,
        [_P, _S, _S, _N, ctypes.c_double, ctypes.POINTER(_P), ctypes.POINTER(_N), _S, _N],
    ),
    "fc_stats": (None, [_P, ctypes.POINTER(_Stats)]),
    "fc_alive": (ctypes.c_int, [_P]),
    "fc_strerror": (ctypes.c_char_p, [ctypes.c_int]),
    "fc_version": (ctypes.c_char_p, []),
}
_ALL = ctypes.c_uint(0)
_FRESH = ctypes.c_uint(1)
_TOO_SMALL = -errno.ERANGE
_PEEK_BYTES = ctypes.c_size_t(PEEK_BYTES)


# Bytes of that length whose content is whatever was there, for a C function to fill.
_new_bytes = ctypes.pythonapi.PyBytes_FromStringAndSize
_new_bytes.restype = ctypes.py_object
_new_bytes.argtypes = [ctypes.c_char_p, ctypes.c_ssize_t]


class _Api:
    """The library's functions; libc's malloc and free are those that the library uses."""

    def __init__(self, path: str) -> None:
        self.path = path
        lib = ctypes.CDLL(path)
        for name, (result, arguments) in _PROTOTYPES.items():
            fn = getattr(lib, name)
            fn.restype = result
            fn.argtypes = arguments
            setattr(self, name, fn)
        # without argtypes, which would take as long again as the call: peek passes ctypes objects
        self.peek = ctypes.PyDLL(path).fc_get_into
        self.peek.restype = ctypes.c_int
        libc = ctypes.CDLL(None)
        self.malloc = libc.malloc
        self.malloc.restype = ctypes.c_void_p
        self.malloc.argtypes = [ctypes.c_size_t]
        self.free = libc.free
        self.free.restype = None
        self.free.argtypes = [ctypes.c_void_p]

    def __getattr__(self, name: str) -> Any:  # fc_…: set above
        raise AttributeError(name)

    def text(self, rc: int) -> str:
        said: bytes = self.fc_strerror(rc)
        return said.decode(errors="replace")

    @property
    def version(self) -> str:
        said: bytes = self.fc_version()
        return said.decode(errors="replace")


def candidates() -> List[str]:
    """Where libforecache may be: $FORECACHED_LIBRARY, the build tree or prefix around this file, the
    system's own places."""
    given = os.environ.get("FORECACHED_LIBRARY")
    if given:
        return [given]
    top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    found: List[str] = []
    if os.path.exists(os.path.join(top, "configure.ac")):  # run from the source tree
        for build in (os.environ.get("top_builddir", ""), top, os.path.join(top, "build")):
            if build:
                found += sorted(glob.glob(os.path.join(build, "client", ".libs", SONAME)))
    # PREFIX/lib/python3/dist-packages/forecached/library.py
    beside = os.path.join(os.path.dirname(top), SONAME)
    if os.path.exists(beside):
        found.append(beside)
    return found + [SONAME]


_api: Optional[_Api] = None
_api_lock = threading.Lock()


def load_library() -> _Api:
    """The library, loaded once; ImportError says where it was sought and what was wrong."""
    global _api
    with _api_lock:
        if _api is not None:
            return _api
        wrong: List[str] = []
        for path in candidates():
            try:
                _api = _Api(path)
                return _api
            except (OSError, AttributeError) as e:
                wrong.append("%s: %s" % (path, e))
        raise ImportError("libforecache: " + ("; ".join(wrong) or "not found"))


class _Thread:
    """What a thread needs for its peeks."""

    __slots__ = ("busy", "buffer", "view", "value", "ref", "address", "n", "__weakref__")

    def __init__(self) -> None:
        self.busy = False
        self.buffer = ctypes.create_string_buffer(PEEK_BYTES)
        self.view = memoryview(self.buffer).cast("B")
        self.value = _Value()
        self.ref = ctypes.byref(self.value)
        self.address = ctypes.c_void_p(ctypes.addressof(self.buffer))
        self.n = ctypes.c_size_t()


class _Local(threading.local):
    def __init__(self, threads: "weakref.WeakSet[_Thread]") -> None:
        self.thread = _Thread()
        threads.add(self.thread)


def _passes(error: Optional[BaseException]) -> bool:
    """No old value may stand in: an interrupt, or a new value that cannot be kept."""
    return error is not None and (not isinstance(error, Exception) or isinstance(error, Uncacheable))


class Library(Transport):
    name = "library"

    def __init__(self, options: Options) -> None:
        self._api = api = load_library()
        self.where = api.path
        self._options = options
        given = _Options(
            size=ctypes.sizeof(_Options),
            dir=os.fsencode(options.dir),
            timeout_s=options.timeout_s,
            load_wait_s=options.load_wait_s,
            max_value_bytes=options.max_value_bytes,
            max_reply_bytes=min(max(83886080, options.max_value_bytes + 65536), 1 << 30),
        )
        handle = ctypes.c_void_p()
        rc = api.fc_open(ctypes.byref(given), ctypes.byref(handle))
        if rc:
            raise self._error(rc, "fc_open: " + options.dir)
        self._handle: Optional[ctypes.c_void_p] = handle
        self._numbers = itertools.count(1)
        self._waiting: Dict[int, Callable[[bytes, Any], int]] = {}
        self._callback = _LOAD_FN(self._called_back)
        self._callback_address = ctypes.cast(self._callback, ctypes.c_void_p)
        self._fc_peek = api.peek
        self.forked()
        watch_forks(self)
        close_at_exit(self)

    def forked(self) -> None:
        self._threads: "weakref.WeakSet[_Thread]" = weakref.WeakSet()
        self._local = _Local(self._threads)
        # a signal handler may get while its thread is in here
        self._calls_lock = threading.RLock()
        self._calls = 0

    # -- Calls ---------------------------------------------------------------------------------

    def _error(self, rc: int, what: str, key: bytes = b"", value: bytes = b"") -> ForecachedError:
        """What a function of the library returned; for what is too large, which of the two and the limit."""
        if rc == -errno.EMSGSIZE and key:
            # the library has a number for it and no more; the daemon says what it accepts
            try:
                limits = self.request("hello", (), None)
                for name, n in (("key", len(key)), ("value", len(value))):
                    most = limits["max_%s_bytes" % name]
                    if n > most:
                        return TooLarge("%s: the %s has %d bytes, max_%s_bytes is %d" % (what, name, n, name, most))
            except (ForecachedError, LookupError, TypeError):
                pass
        return from_errno(-rc, "%s: %s" % (what, self._api.text(rc)))

    def _closed(self) -> Closed:
        return Closed("the client is closed")

    def _enter(self) -> ctypes.c_void_p:
        with self._calls_lock:
            if self._handle is None:
                raise self._closed()
            self._calls += 1
            return self._handle

    def _leave(self) -> None:
        with self._calls_lock:
            self._calls -= 1

    def _call(self, fn: Any, *args: Any) -> int:
        """A function of the library whose first argument is the handle."""
        handle = self._enter()
        try:
            rc: int = fn(handle, *args)
            return rc
        finally:
            self._leave()

    def _take(self, v: _Value, error: Optional[BaseException] = None) -> Found:
        """What a value of the library's own memory holds; gives the memory back."""
        found = Found(
            ctypes.string_at(v.data, v.bytes),
            OUTCOMES[v.outcome],
            v.version,
            number(v.age_s),
            number(v.ttl_s),
            error,
        )
        self._api.fc_value_release(ctypes.byref(v))
        return found

    # -- Reads ---------------------------------------------------------------------------------

    def peek(self, key: bytes, endpoint: Optional[bytes]) -> Optional[bytes]:
        t = self._local.thread
        if t.busy:  # a signal handler or finalizer in the middle of a get: the buffer is in use
            return None
        t.busy = True
        try:
            handle = self._handle
            if handle is None:
                raise self._closed()
            t.n.value = len(key)
            rc = self._fc_peek(handle, endpoint, key, t.n, _FRESH, t.address, _PEEK_BYTES, t.ref)
            if rc == 0:
                return t.view[: t.value.bytes].tobytes()
            return self._peek_large(handle, key, endpoint, t) if rc == _TOO_SMALL else None
        finally:
            t.busy = False

    def _peek_large(
        self, handle: ctypes.c_void_p, key: bytes, endpoint: Optional[bytes], t: _Thread
    ) -> Optional[bytes]:
        """After a peek that said what the value takes: straight into a bytes object that no one has yet."""
        for _ in range(4):  # it may grow meanwhile
            n = t.value.bytes
            if n > self._options.max_value_bytes:
                return None
            data: bytes = _new_bytes(None, n)
            rc = self._fc_peek(handle, endpoint, key, t.n, _FRESH, data, ctypes.c_size_t(n), t.ref)
            if rc == 0:
                return data if t.value.bytes == n else data[: t.value.bytes]
            if rc != _TOO_SMALL:
                break
        return None

    def peek_found(self, key: bytes, endpoint: Optional[bytes]) -> Optional[Found]:
        data = self.peek(key, endpoint)
        if data is None:
            return None
        v = self._local.thread.value  # of that peek: no other thread has this one
        return Found(data, OUTCOMES[v.outcome], v.version, number(v.age_s), number(v.ttl_s))

    def get_now(self, key: bytes, endpoint: Optional[bytes]) -> Optional[Found]:
        t = self._local.thread
        if t.busy:
            raise BlockingIOError
        t.busy = True
        try:
            handle = self._handle
            if handle is None:
                raise self._closed()
            t.n.value = len(key)
            rc = self._fc_peek(handle, endpoint, key, t.n, _ALL, t.address, _PEEK_BYTES, t.ref)
            v = t.value
            if rc == 0:
                data = t.view[: v.bytes].tobytes()
                return Found(data, OUTCOMES[v.outcome], v.version, number(v.age_s), number(v.ttl_s))
            if rc == _TOO_SMALL:
                data = self._peek_large(handle, key, endpoint, t) or b""
                if data:
                    return Found(data, OUTCOMES[v.outcome], v.version, number(v.age_s), number(v.ttl_s))
        finally:
            t.busy = False
        if rc == -errno.ENOENT:
            return None
        if rc == -errno.EAGAIN or rc == _TOO_SMALL:
            raise BlockingIOError
        raise self._error(rc, "get")

    def get(self, key: bytes, endpoint: Optional[bytes]) -> Optional[Found]:
        v = _Value()
        rc = self._call(self._api.fc_get, endpoint, key, len(key), ctypes.byref(v))
        if rc == -errno.ENOENT:
            return None
        if rc:
            raise self._error(rc, "get", key)
        return self._take(v)

    def mget(self, keys: Sequence[bytes], endpoint: Optional[bytes]) -> List[Optional[Found]]:
        n = len(keys)
        values = (_Value * n)()
        names = (ctypes.c_char_p * n)(*keys)
        sizes = (ctypes.c_size_t * n)(*map(len, keys))
        rc = self._call(self._api.fc_mget, endpoint, names, sizes, n, values)
        if rc:
            raise self._error(rc, "mget")
        found: List[Optional[Found]] = []
        wrong = 0
        for v in values:
            if not v.error and v.data:
                found.append(self._take(v))
                continue
            if v.error and v.error != -errno.ENOENT:
                wrong = v.error
            self._api.fc_value_release(ctypes.byref(v))
            found.append(None)
        if wrong:
            raise self._error(wrong, "mget")
        return found

    # -- Loads ---------------------------------------------------------------------------------

    def _called_back(self, arg: Optional[int], key: Optional[int], n: int, ret: Any) -> int:
        """The one function that the library calls. No exception may leave it."""
        try:
            fn = self._waiting[arg or 0]
            return fn(ctypes.string_at(key or 0, n), ret)
        except BaseException:
            log.exception("a load failed in the binding itself")
            return -errno.EIO

    def _give(self, got: Payload, ret: Any) -> int:
        """Fills the library's struct fc_loaded. 0 or a negative errno value."""
        n = len(got.data)
        p = self._api.malloc(n or 1)
        if not p:
            return -errno.ENOMEM
        ctypes.memmove(p, got.data, n)
        loaded = ret.contents
        loaded.data = p
        loaded.bytes = n
        loaded.version = got.version
        loaded.ttl_s = got.ttl_s
        return 0

    def get_or_load(self, key: bytes, endpoint: Optional[bytes], fn: Optional[LoadBytes]) -> Found:
        v = _Value()
        errors: List[BaseException] = []
        token = 0

        def run(_key: bytes, ret: Any) -> int:
            assert fn is not None
            try:
                return self._give(fn(), ret)
            except NotFound as e:
                errors.append(e)
                return -errno.ENOENT
            except BaseException as e:
                errors.append(e)
                return -errno.EIO

        if fn is not None:
            token = next(self._numbers)
            self._waiting[token] = run
        try:
            rc = self._call(
                self._api.fc_get_or_load,
                endpoint,
                key,
                len(key),
                self._callback_address if fn is not None else None,
                token,
                ctypes.byref(v),
            )
        finally:
            self._waiting.pop(token, None)
        error = errors[0] if errors else None
        if rc == 0 and not _passes(error):
            return self._take(v, error)
        self._api.fc_value_release(ctypes.byref(v))
        if error is not None:
            raise error
        raise self._error(rc, "get_or_load", key)

    def register_loader(self, endpoint: bytes, concurrency: int, fn: LoadKey) -> None:
        def run(key: bytes, ret: Any) -> int:
            try:
                return self._give(fn(key), ret)
            except NotFound:
                return -errno.ENOENT
            except Exception:
                log.exception("the loader of %s failed for %r", endpoint.decode(errors="replace"), key)
                return -errno.EIO

        token = next(self._numbers)
        self._waiting[token] = run
        rc = self._call(
            self._api.fc_register_loader, endpoint, concurrency, self._callback_address, token
        )
        if rc:
            del self._waiting[token]
            raise self._error(rc, "register_loader: " + endpoint.decode(errors="replace"))

    # -- Everything else -----------------------------------------------------------------------

    def set(
        self,
        key: bytes,
        value: bytes,
        endpoint: Optional[bytes],
        ttl_s: float = 0.0,
        load_ms: float = 0.0,
        version: int = 0,
        read_s: float = 0.0,
    ) -> None:
        if len(value) > self._options.max_value_bytes:
            raise TooLarge(
                "set: the value has %d bytes, max_value_bytes is %d" % (len(value), self._options.max_value_bytes)
            )
        given = _SetOptions(
            size=ctypes.sizeof(_SetOptions), ttl_s=ttl_s, load_ms=load_ms, version=version, read_s=read_s
        )
        rc = self._call(
            self._api.fc_set, endpoint, key, len(key), value, len(value), ctypes.byref(given)
        )
        if rc:
            raise self._error(rc, "set", key, value)

    def delete(self, key: bytes) -> bool:
        rc = self._call(self._api.fc_delete, key, len(key))
        if rc and rc != -errno.ENOENT:
            raise self._error(rc, "delete", key)
        return rc == 0

    def changed(self, key: bytes, endpoint: Optional[bytes], version: int) -> None:
        rc = self._call(self._api.fc_changed, endpoint, key, len(key), version)
        if rc:
            raise self._error(rc, "changed", key)

    def ttl(self, key: bytes, endpoint: Optional[bytes]) -> float:
        ttl_s = ctypes.c_double()
        rc = self._call(self._api.fc_ttl, endpoint, key, len(key), ctypes.byref(ttl_s))
        if rc:
            raise self._error(rc, "ttl", key)
        return ttl_s.value

    def request(self, op: str, args: Sequence[Any], timeout_s: Optional[float]) -> Any:
        try:
            packed = msgpack.pack(list(args))
        except (ValueError, TypeError) as e:
            raise BadRequest("%s: %s" % (op, e)) from e
        result = ctypes.c_void_p()
        n = ctypes.c_size_t()
        said = ctypes.create_string_buffer(512)
        rc = self._call(
            self._api.fc_request,
            op.encode(),
            packed,
            len(packed),
            timeout_s or 0.0,
            ctypes.byref(result),
            ctypes.byref(n),
            said,
            len(said),
        )
        if rc:
            text = said.value.decode(errors="replace") or self._api.text(rc)
            raise from_errno(-rc, "%s: %s" % (op, text))
        try:
            return msgpack.unpack(ctypes.string_at(result.value or 0, n.value))
        finally:
            self._api.free(result)

    def alive(self) -> bool:
        return self._call(self._api.fc_alive) == 1

    def stats(self) -> Mapping[str, int]:
        s = _Stats()
        self._call(self._api.fc_stats, ctypes.byref(s))
        return {name: int(getattr(s, name)) for name in _STATS}

    def close(self) -> None:
        """Frees the handle as soon as no thread is in a call; waits 5 s for that at most."""
        with self._calls_lock:
            handle, self._handle = self._handle, None
        if handle is None:
            return
        end = time.monotonic() + CLOSE_WAIT_S
        while self._calls or any(t.busy for t in list(self._threads)):
            if time.monotonic() > end:
                log.warning("the client was closed while calls go on: its memory is not given back")
                return
            time.sleep(0.001)
        self._api.fc_close(ctypes.byref(handle))
