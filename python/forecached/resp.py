# SPDX-License-Identifier: MIT
"""The Redis protocol, for where there is nothing else: to the daemon's RESP listener, or any Redis.

HOW IT WORKS GET, SET and DEL, with a pool of connections. One client at a time loads a key: it holds
`forecached:load:KEY` (SET NX PX), the others look for the value until it is there or the lock has
gone. What only the daemon's own protocol has (ages, versions, advice, loaders) is unknown here, or
raises Unsupported.

INVARIANTS a connection on which anything went wrong is closed, never given to the next caller. A
lock is taken back by its holder alone. Replies are bounded by max_value_bytes.
"""
from __future__ import annotations

import itertools
import os
import secrets
import socket
import threading
import time
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union
from urllib.parse import unquote, urlsplit

from .errors import (
    BadRequest,
    Busy,
    Closed,
    Denied,
    ForecachedError,
    NotFound,
    Timeout,
    TooLarge,
    Unavailable,
    Unsupported,
)
from .transport import (
    HIT,
    MISS,
    Found,
    LoadBytes,
    LoadKey,
    Options,
    Transport,
    watch_forks,
)

LOCK = b"forecached:load:"
MAX_IDLE = 64
MAX_LINE = 65536
MAX_ITEMS = 1048576
POLL_S = (0.002, 0.05)  # those who wait for a load look this often, doubling

Reply = Union[None, int, bytes, "ReplyError", List[Any]]


class ReplyError(ForecachedError):
    """An error that the server replied with."""


def default_addresses(directory: str) -> List[str]:
    return ["unix://" + os.path.join(directory, "resp.sock"), "redis://127.0.0.1:6390"]


class Address:
    """redis://[user:password@]host:port[/db] or unix://[user:password@]path[?db=n]."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.path: Optional[str] = None
        self.host, self.port, self.db = "127.0.0.1", 6390, 0
        self.user = unquote(parts.username) if parts.username else None
        self.password = unquote(parts.password) if parts.password else None
        db = ""
        if parts.scheme == "unix":
            self.path = unquote(parts.path)
            if parts.query.startswith("db="):
                db = parts.query[3:]
        elif parts.scheme in ("redis", "tcp"):
            self.host = parts.hostname or self.host
            try:
                self.port = parts.port or self.port
            except ValueError as e:
                raise BadRequest("resp: %s" % e) from e
            db = parts.path.strip("/")
        else:
            raise BadRequest("resp: %r: must begin with redis:// or unix://" % url)
        if db:
            if not db.isdigit():
                raise BadRequest("resp: %r is no number of a database" % db)
            self.db = int(db)
        # without the password
        self.text = "unix://" + self.path if self.path else "redis://%s:%d" % (self.host, self.port)

    def connect(self, timeout_s: float) -> socket.socket:
        if self.path is not None:
            s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            s.settimeout(timeout_s)
            try:
                s.connect(self.path)
            except BaseException:
                s.close()
                raise
            return s
        s = socket.create_connection((self.host, self.port), timeout_s)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s


def answers(url: str, timeout_s: float = 0.5) -> bool:
    """Whether something there answers PING."""
    try:
        c = Connection(Address(url), timeout_s, 1024)
        try:
            return c.call(b"PING") == b"PONG"
        finally:
            c.close()
    except (ForecachedError, OSError):
        return False


class Connection:
    """One connection. Any exception of it but a ReplyError ends it."""

    def __init__(self, address: Address, timeout_s: float, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._socket = address.connect(timeout_s)
        self._file = self._socket.makefile("rb", 65536)
        try:
            if address.password is not None:
                who = [address.user.encode()] if address.user else []
                self.call(b"AUTH", *who, address.password.encode())
            if address.db:
                self.call(b"SELECT", b"%d" % address.db)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def send(self, *words: bytes) -> None:
        parts = [b"*%d\r\n" % len(words)]
        for w in words:
            parts.append(b"$%d\r\n" % len(w))
            parts.append(w)
            parts.append(b"\r\n")
        self._socket.sendall(b"".join(parts))

    def call(self, *words: bytes) -> Reply:
        """Sends a command and reads its reply; raises an error reply."""
        self.send(*words)
        got = self.read()
        if isinstance(got, ReplyError):
            raise got
        return got

    def _line(self) -> bytes:
        line = bytes(self._file.readline(MAX_LINE))
        if not line.endswith(b"\r\n"):
            raise Unavailable("the server closed the connection" if len(line) < MAX_LINE else "a line too long")
        return line[:-2]

    def _count(self, text: bytes, top: int) -> int:
        try:
            n = int(text)
        except ValueError:
            raise Unavailable("the server's answer is no RESP: %r" % text[:32]) from None
        if not -1 <= n <= top:
            raise TooLarge("the server's answer is larger than %d" % top)
        return n

    def read(self, depth: int = 0) -> Reply:
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b"$":
            n = self._count(rest, self._max_bytes)
            if n < 0:
                return None
            data: bytes = self._file.read(n + 2)
            if len(data) != n + 2 or not data.endswith(b"\r\n"):
                raise Unavailable("the server closed the connection")
            return data[:-2]
        if kind == b"+":
            return rest
        if kind == b"-":
            return ReplyError(rest.decode(errors="replace"))
        if kind == b":":
            try:
                return int(rest)
            except ValueError:
                raise Unavailable("the server's answer is no RESP: %r" % line[:32]) from None
        if kind == b"*" and depth < 8:
            n = self._count(rest, MAX_ITEMS)
            return None if n < 0 else [self.read(depth + 1) for _ in range(n)]
        raise Unavailable("the server's answer is no RESP: %r" % line[:32])


def _word(x: Any) -> bytes:
    if isinstance(x, bytes):
        return x
    if isinstance(x, str):
        return x.encode()
    if isinstance(x, (int, float)) and not isinstance(x, bool):
        return repr(x).encode()
    raise BadRequest("over RESP arguments are bytes, str and numbers, not %s" % type(x).__name__)


def _translate(e: ReplyError, what: str) -> ForecachedError:
    text = "%s: %s" % (what, e)
    head = str(e).split(" ", 1)[0]
    if head in ("NOAUTH", "WRONGPASS", "NOPERM", "DENIED"):
        return Denied(text)
    if head in ("LOADING", "BUSY", "OOM", "MASTERDOWN", "TRYAGAIN"):
        return Busy(text)
    if "unknown command" in str(e) or "unknown subcommand" in str(e):
        return Unsupported(text)
    if "exceeds" in str(e) or "too large" in str(e) or "too long" in str(e):
        return TooLarge(text)
    return BadRequest(text)


class Resp(Transport):
    name = "resp"

    def __init__(self, options: Options, url: str) -> None:
        self._options = options
        self._address = Address(url)
        self.where = self._address.text
        self._closed = False
        self._token = itertools.count(1)
        self._counts: Dict[str, int] = dict.fromkeys(
            ("gets", "hits", "grace", "misses", "requests", "timeouts", "loads", "load_errors"), 0
        )
        self._idle: List[Connection] = []
        self.forked()
        watch_forks(self)

    def forked(self) -> None:
        # the parent's connections: closed here, which does not end them there
        idle, self._idle = self._idle, []
        self._lock = threading.Lock()
        for c in idle:
            try:
                c.close()
            except OSError:
                pass

    # -- Calls ---------------------------------------------------------------------------------

    def _take(self) -> Tuple[Connection, bool]:
        """A connection, and whether it is a used one, which may have been closed meanwhile."""
        with self._lock:
            if self._closed:
                raise Closed("the client is closed")
            if self._idle:
                return self._idle.pop(), True
        try:
            return Connection(self._address, self._options.timeout_s, self._options.max_value_bytes), False
        except socket.timeout as e:
            raise Timeout("%s: %s" % (self.where, e)) from e
        except OSError as e:
            raise Unavailable("%s: %s" % (self.where, e)) from e
        except ReplyError as e:
            raise _translate(e, self.where) from e

    def _give_back(self, c: Connection) -> None:
        with self._lock:
            if not self._closed and len(self._idle) < MAX_IDLE:
                self._idle.append(c)
                return
        c.close()

    def _run(self, commands: Sequence[Sequence[bytes]]) -> List[Reply]:
        """The replies of commands on one connection; error replies among them."""
        while True:
            c, used = self._take()
            self._counts["requests"] += len(commands)
            try:
                for words in commands:
                    c.send(*words)
                replies = [c.read() for _ in commands]
            except socket.timeout as e:
                c.close()
                self._counts["timeouts"] += 1
                raise Timeout("%s: no answer within %g s" % (self.where, self._options.timeout_s)) from e
            except (OSError, Unavailable) as e:
                c.close()
                if used:
                    continue  # the server has closed it while it was idle
                raise Unavailable("%s: %s" % (self.where, e)) from e
            except BaseException:
                c.close()
                raise
            self._give_back(c)
            return replies

    def _call(self, what: str, *words: bytes) -> Reply:
        reply = self._run([words])[0]
        if isinstance(reply, ReplyError):
            raise _translate(reply, what)
        return reply

    # -- Reads ---------------------------------------------------------------------------------

    def peek(self, key: bytes, endpoint: Optional[bytes]) -> Optional[bytes]:
        return None

    def _found(self, reply: Reply) -> Optional[Found]:
        self._counts["gets"] += 1
        self._counts["hits" if isinstance(reply, bytes) else "misses"] += 1
        return Found(reply, HIT) if isinstance(reply, bytes) else None

    def get(self, key: bytes, endpoint: Optional[bytes]) -> Optional[Found]:
        return self._found(self._call("get", b"GET", key))

    def mget(self, keys: Sequence[bytes], endpoint: Optional[bytes]) -> List[Optional[Found]]:
        if not keys:
            return []
        replies = self._call("mget", b"MGET", *keys)
        if not isinstance(replies, list) or len(replies) != len(keys):
            raise ForecachedError("mget: the server's answer is not one of MGET")
        return [self._found(r) for r in replies]

    # -- Loads ---------------------------------------------------------------------------------

    def _load(self, key: bytes, endpoint: Optional[bytes], fn: LoadBytes, tell: bool) -> Found:
        start = time.monotonic()
        self._counts["loads"] += 1
        try:
            got = fn()
        except NotFound:
            raise
        except BaseException:
            self._counts["load_errors"] += 1
            raise
        load_s = time.monotonic() - start
        if tell:
            try:
                self.set(key, got.data, endpoint, got.ttl_s)
            except ForecachedError:
                pass  # whatever becomes of it, the caller has its value
        return Found(got.data, MISS, got.version, load_s, got.ttl_s)

    def _unlock(self, lock: bytes, token: bytes) -> None:
        """Takes the lock back if it is still ours, in one transaction."""
        try:
            c, _ = self._take()
            try:
                c.call(b"WATCH", lock)
                if c.call(b"GET", lock) == token:
                    c.call(b"MULTI")
                    c.call(b"DEL", lock)
                    c.call(b"EXEC")
                else:
                    c.call(b"UNWATCH")
            except BaseException:
                c.close()
                raise
            self._give_back(c)
        except (ForecachedError, OSError):
            pass  # it runs out by itself

    def get_or_load(self, key: bytes, endpoint: Optional[bytes], fn: Optional[LoadBytes]) -> Found:
        lock, token = LOCK + key, secrets.token_hex(16).encode()
        lease_ms = b"%d" % max(1, int(self._options.load_wait_s * 1000))
        end = time.monotonic() + self._options.load_wait_s
        pause_s = POLL_S[0]
        found: Optional[Found] = None
        while True:
            try:
                found = self.get(key, endpoint)
                if found is not None:
                    return found
                if fn is None:
                    raise NotFound("get_or_load: not in the cache, and over RESP nobody is asked to load it")
                ours = self._call("lease", b"SET", lock, token, b"NX", b"PX", lease_ms) is not None
            except Unavailable:
                if fn is None:
                    raise
                return self._load(key, endpoint, fn, False)
            except (TooLarge, BadRequest):
                if fn is None:
                    raise
                return self._load(key, endpoint, fn, True)  # the lock's name is too long for the server
            if ours:
                try:
                    # whoever held the lock before may just have set it
                    found = self._found_again(key)
                    return found if found is not None else self._load(key, endpoint, fn, True)
                finally:
                    self._unlock(lock, token)
            if time.monotonic() > end:
                return self._load(key, endpoint, fn, True)
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, POLL_S[1])

    def _found_again(self, key: bytes) -> Optional[Found]:
        try:
            reply = self._call("get", b"GET", key)
        except ForecachedError:
            return None
        return Found(reply, HIT) if isinstance(reply, bytes) else None

    def register_loader(self, endpoint: bytes, concurrency: int, fn: LoadKey) -> None:
        raise Unsupported("register_loader: loaders need libforecache or python3-zmq")

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
        # age and TTL count from when the origin was read
        left_s = (ttl_s or self._options.default_ttl_s) - (max(0.0, time.time() - read_s) if read_s else 0.0)
        if left_s <= 0:
            self._call("set", b"DEL", key)
            return
        self._call("set", b"SET", key, value, b"PX", b"%d" % max(1, int(left_s * 1000)))

    def delete(self, key: bytes) -> bool:
        return bool(self._call("delete", b"DEL", key))

    def changed(self, key: bytes, endpoint: Optional[bytes], version: int) -> None:
        self._call("changed", b"DEL", key)

    def ttl(self, key: bytes, endpoint: Optional[bytes]) -> float:
        raise Unsupported("ttl: the advice needs libforecache or python3-zmq")

    def request(self, op: str, args: Sequence[Any], timeout_s: Optional[float]) -> Any:
        raise Unsupported("%s: needs libforecache or python3-zmq" % op)

    def command(self, *words: Any) -> Any:
        """Any command of the server, for what is not here."""
        return self._call(str(words[0]) if words else "command", *map(_word, words))

    def alive(self) -> bool:
        try:
            return self._call("ping", b"PING") == b"PONG"
        except ForecachedError:
            return False

    def stats(self) -> Mapping[str, int]:
        return dict(self._counts)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for c in idle:
            c.close()
