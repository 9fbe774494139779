# SPDX-License-Identifier: MIT
"""The daemon's own protocol (docs/protocol.md) with python3-zmq, for where there is no libforecache.

HOW IT WORKS each thread has a DEALER of its own and asks one thing after the other. A reply of
another number than the one waited for came too late and is passed over. A loader is a thread that
talks and others that run the function.

INVARIANTS a socket that broke, or whose daemon did not answer in time, is closed: the next request
begins with a new one. Nothing of the parent's is touched after a fork.
"""
from __future__ import annotations

import itertools
import logging
import os
import queue
import threading
import time
from typing import Any, Dict, List, Mapping, Optional, Sequence

from . import msgpack as own_msgpack
from .errors import (
    BadRequest,
    Busy,
    Closed,
    ForecachedError,
    NotFound,
    Timeout,
    TooLarge,
    Unavailable,
    from_status,
)
from .transport import (
    HIT,
    MISS,
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

PROBE_S = 0.02  # a request that could not be sent for so long: is anyone there?
MAX_REPLY_BYTES = 83886080
CLOSE_WAIT_S = 5.0


def _import_zmq() -> Any:
    import zmq

    return zmq


def _codec() -> Any:
    """(pack, unpack): python3-msgpack where it is installed, else our own."""
    try:
        import msgpack  # type: ignore[import]
    except ImportError:
        return own_msgpack.pack, own_msgpack.unpack

    def unpack(data: bytes) -> Any:
        return msgpack.unpackb(data, raw=False, strict_map_key=False, unicode_errors="surrogateescape")

    return msgpack.packb, unpack


def address(directory: str, name: str) -> str:
    return "ipc://%s/%s" % (directory, name)


def listening(directory: str) -> bool:
    """Whether a daemon listens on that directory's sockets: ZeroMQ itself would wait for one."""
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.settimeout(0.2)
        try:
            s.connect(os.path.join(directory, "requests"))
        except OSError:
            return False
    return True


class _Local(threading.local):
    def __init__(self) -> None:
        self.socket: Any = None


class ZeroMQ(Transport):
    name = "zeromq"

    def __init__(self, options: Options) -> None:
        self._zmq = _import_zmq()
        self._pack, self._unpack = _codec()
        self._options = options
        self.where = address(options.dir, "requests")
        self._max_reply = min(max(MAX_REPLY_BYTES, options.max_value_bytes + 65536), 1 << 30)
        self._numbers = itertools.count(1)
        self._closed = False
        self._counts = dict.fromkeys(
            ("gets", "hits", "grace", "misses", "requests", "timeouts", "loads", "load_errors"), 0
        )
        self._loaders: List["Loader"] = []
        self.forked()
        watch_forks(self)

    def forked(self) -> None:
        # what is the parent's is kept alive untouched: closing it would hang on threads that are gone
        self._parents = getattr(self, "_parents", []) + [
            (getattr(self, "_context", None), getattr(self, "_local", None), list(self._loaders))
        ]
        self._lock = threading.Lock()
        self._context: Any = None
        self._local = _Local()
        self._calls = 0
        self._loaders = []

    # -- Sockets -------------------------------------------------------------------------------

    def socket(self, kind: int, name: str) -> Any:
        """A socket of the calling thread's; the context is made with the first."""
        zmq = self._zmq
        with self._lock:
            if self._closed:
                raise Closed("the client is closed")
            if self._context is None:
                self._context = zmq.Context()
            s = self._context.socket(kind)
        s.setsockopt(zmq.LINGER, 0)
        s.setsockopt(zmq.IMMEDIATE, 1)
        s.setsockopt(zmq.MAXMSGSIZE, self._max_reply)
        s.setsockopt(zmq.RECONNECT_IVL, 50)
        s.setsockopt(zmq.RECONNECT_IVL_MAX, 250)
        s.connect(address(self._options.dir, name))
        return s

    def _drop(self) -> None:
        s, self._local.socket = self._local.socket, None
        if s is not None:
            s.close()

    def _send(self, frame: bytes, end: float) -> Any:
        """The socket on which it went out."""
        zmq = self._zmq
        while True:
            s = self._local.socket
            if s is None:
                s = self._local.socket = self.socket(zmq.DEALER, "requests")
            wait_s = min(max(end - time.monotonic(), 0.0), PROBE_S)
            if s.poll(int(wait_s * 1000) + 1, zmq.POLLOUT):
                s.send(frame, zmq.NOBLOCK)
                return s
            if not listening(self._options.dir):
                self._drop()
                raise Unavailable("no daemon listens on " + self.where)
            if time.monotonic() > end:
                raise Timeout("the daemon takes no request on " + self.where)

    def _ask(self, op: str, args: Sequence[Any], timeout_s: Optional[float]) -> Any:
        with self._lock:
            if self._closed:
                raise Closed("the client is closed")
            self._calls += 1
        try:
            return self._ask_now(op, args, timeout_s)
        finally:
            with self._lock:
                self._calls -= 1

    def _ask_now(self, op: str, args: Sequence[Any], timeout_s: Optional[float]) -> Any:
        if timeout_s is None:
            timeout_s = self._options.timeout_s
        end = time.monotonic() + timeout_s
        wanted = next(self._numbers)
        try:
            frame = self._pack([wanted, op, *args])
        except (ValueError, TypeError, OverflowError) as e:
            raise BadRequest("%s: %s" % (op, e)) from e
        self._counts["requests"] += 1
        try:
            s = self._send(frame, end)
            while True:
                left = end - time.monotonic()
                # now and then: a daemon that has gone will not answer what it was sent
                if left > 0 and s.poll(int(min(left, 0.5) * 1000) + 1):
                    reply = self._read(s.recv())
                    if reply[0] == wanted or reply[0] is None:
                        return self._result(op, reply)
                    continue
                if left <= 0:
                    self._counts["timeouts"] += 1
                    self._drop()
                    raise Timeout("%s: no answer within %g s" % (op, timeout_s))
                if not listening(self._options.dir):
                    self._drop()
                    raise Unavailable("%s: the daemon went away" % op)
        except self._zmq.ZMQError as e:
            self._drop()
            raise Unavailable("%s: %s" % (op, e)) from e

    def _read(self, frame: bytes) -> List[Any]:
        try:
            reply = self._unpack(frame)
        except Exception as e:  # msgpack has a family of them
            self._drop()
            raise ForecachedError("the daemon's answer is not what the protocol says: %s" % e) from e
        if not isinstance(reply, list) or len(reply) < 3:
            self._drop()
            raise ForecachedError("the daemon's answer is not what the protocol says")
        return reply

    @staticmethod
    def _result(op: str, reply: Sequence[Any]) -> Any:
        if reply[1] == 0:
            return reply[2]
        said = reply[2]
        text = said[1] if isinstance(said, list) and len(said) > 1 else None
        raise from_status(reply[1], "%s: %s" % (op, text) if text else None)

    # -- Reads ---------------------------------------------------------------------------------

    def peek(self, key: bytes, endpoint: Optional[bytes]) -> Optional[bytes]:
        return None

    def _found(self, got: Any, error: Optional[BaseException] = None) -> Optional[Found]:
        if not isinstance(got, dict):
            raise ForecachedError("the daemon's answer is not what the protocol says")
        value = got.get("value")
        outcome = got.get("outcome")
        if value is None:
            self._counts["misses"] += 1
            return None
        if not isinstance(value, bytes) or not isinstance(outcome, str):
            raise ForecachedError("the daemon's answer is not what the protocol says")
        self._counts["hits" if outcome == HIT else "misses" if outcome == MISS else "grace"] += 1
        return Found(
            value, outcome, got.get("version") or 0, number(got.get("age_s")), number(got.get("ttl_s")), error
        )

    @staticmethod
    def _options_map(endpoint: Optional[bytes], **more: Any) -> Dict[str, Any]:
        given = {k: v for k, v in more.items() if v}
        if endpoint is not None:
            given["endpoint"] = endpoint
        return given

    def get(self, key: bytes, endpoint: Optional[bytes]) -> Optional[Found]:
        self._counts["gets"] += 1
        return self._found(self._ask("get", [key, self._options_map(endpoint, mode="peek")], None))

    def mget(self, keys: Sequence[bytes], endpoint: Optional[bytes]) -> List[Optional[Found]]:
        found: List[Optional[Found]] = []
        for at in range(0, len(keys), 1000):  # the daemon's max_keys
            part = list(keys[at : at + 1000])
            got = self._ask("mget", [part, self._options_map(endpoint, mode="peek")], None)
            if not isinstance(got, list) or len(got) != len(part):
                raise ForecachedError("mget: the daemon's answer is not what the protocol says")
            self._counts["gets"] += len(part)
            found += [self._found(g) for g in got]
        return found

    # -- Loads ---------------------------------------------------------------------------------

    def _load(
        self, key: bytes, endpoint: Optional[bytes], fn: LoadBytes, lease: int, tell: bool = True
    ) -> Found:
        """Runs fn and tells the daemon; after a failure the old value, else fn's error."""
        start = time.monotonic()
        self._counts["loads"] += 1
        try:
            got = fn()
        except BaseException as e:
            if not isinstance(e, NotFound):
                self._counts["load_errors"] += 1
            if lease:
                try:
                    self._ask("lease", [key, self._options_map(endpoint, failed=lease)], None)
                except ForecachedError:
                    pass  # the lease runs out by itself
            if tell and isinstance(e, Exception) and not isinstance(e, (NotFound, Uncacheable)):
                old = self._old(key, endpoint, e)
                if old is not None:
                    return old
            raise
        load_s = time.monotonic() - start
        if tell:
            try:
                self.set(key, got.data, endpoint, got.ttl_s, load_s * 1e3, got.version, lease=lease)
            except ForecachedError as e:  # whatever becomes of it, the caller has its value
                log.debug("a loaded value was not kept: %s", e)
        return Found(got.data, MISS, got.version, load_s, got.ttl_s)

    def _old(self, key: bytes, endpoint: Optional[bytes], why: BaseException) -> Optional[Found]:
        try:
            got = self._ask("get", [key, self._options_map(endpoint, mode="peek")], None)
            return self._found(got, why)
        except ForecachedError:
            return None

    def get_or_load(self, key: bytes, endpoint: Optional[bytes], fn: Optional[LoadBytes]) -> Found:
        self._counts["gets"] += 1
        mode = "lease" if fn else "load"
        wait_s = self._options.load_wait_s if fn else self._options.timeout_s
        try:
            got = self._ask("get", [key, self._options_map(endpoint, mode=mode)], wait_s)
            lease = got.get("lease") if isinstance(got, dict) else None
            if lease and fn:
                return self._load(key, endpoint, fn, lease)
            found = self._found(got)
            if found is not None:
                return found
            if fn is None:
                raise NotFound("get_or_load: there is no such thing, or nothing to load it by")
            return self._load(key, endpoint, fn, 0)
        except Unavailable as e:
            if fn is None:
                raise
            # too slow or too busy is still there to be told; gone is not
            return self._load(key, endpoint, fn, 0, tell=isinstance(e, (Timeout, Busy)))

    def register_loader(self, endpoint: bytes, concurrency: int, fn: LoadKey) -> None:
        with self._lock:
            if self._closed:
                raise Closed("the client is closed")
            if any(x.endpoint == endpoint for x in self._loaders):
                raise BadRequest("register_loader: the endpoint has a loader already")
            self._loaders.append(Loader(self, endpoint, concurrency, fn))
            started = self._loaders[-1]
        started.start()
        close_at_exit(self)

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
        lease: int = 0,
    ) -> None:
        if len(value) > self._options.max_value_bytes:
            raise TooLarge(
                "set: the value has %d bytes, max_value_bytes is %d" % (len(value), self._options.max_value_bytes)
            )
        more = self._options_map(
            endpoint,
            ttl_s=ttl_s,
            load_ms=min(load_ms, 86400000.0),
            version=version,
            read_s=read_s,
            lease=lease,
        )
        self._ask("set", [key, value, more], None)

    def delete(self, key: bytes) -> bool:
        return bool(self._ask("delete", [key], None).get("count"))

    def changed(self, key: bytes, endpoint: Optional[bytes], version: int) -> None:
        self._ask("changed", [key, self._options_map(endpoint, version=version)], None)

    def ttl(self, key: bytes, endpoint: Optional[bytes]) -> float:
        got = number(self._ask("ttl", [key, self._options_map(endpoint)], None).get("ttl_s"))
        if got is None:
            raise ForecachedError("ttl: the daemon's answer is not what the protocol says")
        return got

    def request(self, op: str, args: Sequence[Any], timeout_s: Optional[float]) -> Any:
        return self._ask(op, args, timeout_s)

    def alive(self) -> bool:
        return listening(self._options.dir)

    def stats(self) -> Mapping[str, int]:
        return dict(self._counts)

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            loaders, self._loaders = self._loaders, []
            context, self._context = self._context, None
        for x in loaders:
            x.stop()
        end = time.monotonic() + CLOSE_WAIT_S
        while self._calls or any(x.running() for x in loaders):
            if time.monotonic() > end:
                log.warning("the client was closed while calls go on: its sockets stay open")
                return
            time.sleep(0.001)
        if context is not None:
            context.destroy(linger=100 if loaders else 0)

    # for loaders
    @property
    def zmq(self) -> Any:
        return self._zmq

    def pack(self, value: Any) -> bytes:
        packed: bytes = self._pack(value)
        return packed

    def unpack(self, data: bytes) -> Any:
        return self._unpack(data)

    def count_load(self, failed: bool) -> None:
        self._counts["loads"] += 1
        self._counts["load_errors"] += failed


class Loader:
    """Serves an endpoint: one thread talks, `concurrency` others run the function."""

    def __init__(self, transport: ZeroMQ, endpoint: bytes, concurrency: int, fn: LoadKey) -> None:
        if not 1 <= concurrency <= 256:
            raise BadRequest("register_loader: concurrency: must be from 1 to 256")
        self.endpoint = endpoint
        self._transport = transport
        self._concurrency = concurrency
        self._fn = fn
        self._jobs: "queue.Queue[Any]" = queue.Queue()
        self._answers: "queue.Queue[List[Any]]" = queue.Queue()
        self._stop = threading.Event()
        self._threads: List[threading.Thread] = []

    def start(self) -> None:
        for run in [self._talk] + [self._work] * self._concurrency:
            t = threading.Thread(target=run, name="forecached-loader", daemon=True)
            self._threads.append(t)
            t.start()

    def stop(self) -> None:
        """Waits for the functions that are running, and for their answers to be told."""
        self._stop.set()
        for _ in range(self._concurrency):
            self._jobs.put(None)
        for t in self._threads[1:]:
            t.join()
        self._threads[0].join(CLOSE_WAIT_S)

    def running(self) -> bool:
        return self._threads[0].is_alive()

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            if job is None:
                return
            if not self._stop.is_set():
                self._answers.put(self._run(job))

    def _run(self, job: List[Any]) -> List[Any]:
        number_, key, end, version = job
        if time.monotonic() > end:
            return ["error", number_, "the deadline was over before its turn"]
        start = time.monotonic()
        try:
            got: Payload = self._fn(key)
        except NotFound:
            self._transport.count_load(False)
            return ["absent", number_]
        except Exception as e:
            self._transport.count_load(True)
            log.exception("the loader of %s failed for %r", self.endpoint.decode(errors="replace"), key)
            text = ("%s: %s" % (type(e).__name__, e)).encode(errors="replace")
            return ["error", number_, text[:1024]]
        self._transport.count_load(False)
        if got.version and got.version == version:
            return ["unchanged", number_]
        more: Dict[str, Any] = {"load_ms": (time.monotonic() - start) * 1e3}
        if got.version:
            more["version"] = got.version
        if got.ttl_s:
            more["max_age_s"] = got.ttl_s
        return ["value", number_, got.data, more]

    def _talk(self) -> None:
        zmq = self._transport.zmq
        pack = self._transport.pack
        socket: Any = None
        registered = False
        heard = asked = next_beat = 0.0
        beat_s = 5.0
        try:
            while True:
                now = time.monotonic()
                if socket is None or now - heard > 3 * beat_s:
                    if socket is not None:
                        socket.close()
                    socket, registered, heard, asked = self._transport.socket(zmq.DEALER, "loaders"), False, now, 0.0
                if not registered and now - asked > 1.0 and socket.poll(0, zmq.POLLOUT):
                    socket.send(pack(["register", [self.endpoint], self._concurrency]), zmq.NOBLOCK)
                    asked = now
                if registered and now >= next_beat and socket.poll(0, zmq.POLLOUT):
                    socket.send(pack(["beat"]), zmq.NOBLOCK)
                    next_beat = now + beat_s
                self._tell(socket, zmq)
                if self._stop.is_set():
                    if any(t.is_alive() for t in self._threads[1:]) or not self._answers.empty():
                        time.sleep(0.005)
                        continue
                    if registered and socket.poll(0, zmq.POLLOUT):
                        socket.setsockopt(zmq.LINGER, 100)
                        socket.send(pack(["bye"]), zmq.NOBLOCK)
                    return
                if not socket.poll(20):
                    continue
                told = self._transport.unpack(socket.recv())
                heard = time.monotonic()
                if not isinstance(told, list) or not told:
                    continue
                if told[0] == "registered":
                    registered, beat_s = True, max(float(told[1]), 0.1)
                    next_beat = heard + beat_s
                elif told[0] == "refused":
                    log.warning("the daemon refused the loader of %r: %s", self.endpoint, told[1:])
                    registered = False
                elif isinstance(told[0], int) and len(told) >= 5:
                    key = told[2] if isinstance(told[2], bytes) else str(told[2]).encode(errors="surrogateescape")
                    version = told[5] if len(told) > 5 else None
                    self._jobs.put([told[0], key, heard + float(told[4]), version])
        except zmq.ContextTerminated:
            pass
        except Closed:
            pass
        except Exception:
            log.exception("the loader of %r has ended", self.endpoint)
        finally:
            if socket is not None:
                socket.close()

    def _tell(self, socket: Any, zmq: Any) -> None:
        while True:
            try:
                answer = self._answers.get_nowait()
            except queue.Empty:
                return
            if socket.poll(100, zmq.POLLOUT):
                socket.send(self._transport.pack(answer), zmq.NOBLOCK)
            # else: the daemon is gone, and with it the job
