# SPDX-License-Identifier: MIT
"""What the backends for web frameworks share: values with leases, plain values, and header fields.

Two kinds of keys are told apart, so that nothing breaks where a Redis is replaced:

	learned	responses of views. They can be made again by asking for them, so the daemon may learn
		how long they stay, one request makes them and the others wait or get the old one.
	plain	whatever else the app keeps in its cache: counters, locks, tokens, versions. They live
		exactly as long as the app says, by the daemon's listener for Redis clients.

A plain key is read from shared memory, too; writes, counters and locks go the listener's way.
"""
from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import struct
import threading
import time
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from .client import Client
from .errors import BadRequest, ForecachedError, LeaseLost, SerializationError, Unavailable
from .resp import Resp, answers, default_addresses
from .serialize import AutoSerializer
from .transport import GRACE, HIT, Found, Options, number

log = logging.getLogger("forecached.web")

MAX_TTL_S = 1e9  # "for ever"
ASK_AGAIN_S = 1.0  # after the listener for Redis clients was not to be reached


class Answer:
    """What the cache has for a learned key. With a lease the asker has to make the value now."""

    __slots__ = ("data", "lease", "start_s", "age_s", "ttl_s", "outcome")

    def __init__(self, found: Optional[Found] = None, lease: int = 0) -> None:
        self.data = None if found is None or lease else found.data
        self.outcome = found.outcome if found is not None else "miss"
        self.age_s = None if found is None else found.age_s
        self.ttl_s = None if found is None else found.ttl_s
        self.lease = lease
        self.start_s = time.monotonic()

    def passed_ms(self) -> float:
        return (time.monotonic() - self.start_s) * 1e3


class Learned:
    """Learned keys. Nothing here raises for want of a daemon: then there is nothing, and nothing is kept."""

    def __init__(self, client: Callable[[], Client]) -> None:
        self._client = client

    def get(self, key: str, endpoint: str, lease: bool = True) -> Answer:
        """The value, or the lease to make it, or neither: make it and keep it for yourself.

        Waits while another one makes it. lease False: only what is there.
        """
        client = self._client()
        try:
            k, e = client._key(key), client._endpoint(endpoint)
            found = client.backend.peek_found(k, e)
            if found is not None:
                return Answer(found)
            if client.transport == "resp" or not lease:
                return Answer(client._get(k, e))
            if client._down_until and time.monotonic() < client._down_until:
                return Answer()
            got = client.backend.request("lease", [k, {"endpoint": e}], client._options.load_wait_s)
        except Unavailable as why:
            client._is_down(why)
            return Answer()
        except ForecachedError as why:  # its load has just failed; or too long a key
            log.debug("%r is made without a lease: %s", key, why)
            return Answer()
        client._is_up()
        return self._answer(got)

    @staticmethod
    def _answer(got: Any) -> Answer:
        if not isinstance(got, dict):
            return Answer()
        value, outcome = got.get("value"), got.get("outcome")
        if isinstance(value, str):
            value = value.encode("utf-8", "surrogateescape")
        found = None
        if isinstance(value, bytes):
            found = Found(
                value,
                outcome if outcome in (HIT, GRACE) else "miss",
                got.get("version") or 0,
                number(got.get("age_s")),
                number(got.get("ttl_s")),
            )
        return Answer(found, got.get("lease") or 0)

    def set(
        self,
        key: str,
        endpoint: str,
        data: bytes,
        ttl_s: Optional[float],
        version: int = 0,
        answer: Optional[Answer] = None,
    ) -> bool:
        """Keeps it; answer is what get() gave before. True: it is there now."""
        client = self._client()
        more: Dict[str, Any] = {"endpoint": endpoint}
        if ttl_s is not None:
            more["ttl_s"] = min(float(ttl_s), MAX_TTL_S)
        if version:
            more["version"] = version
        if answer is not None:
            more["load_ms"] = min(answer.passed_ms(), 86400000.0)
            if answer.lease:
                more["lease"], answer.lease = answer.lease, 0
        try:
            if client.transport == "resp":
                client.backend.set(client._key(key), data, client._endpoint(endpoint), ttl_s or 0.0)
                return True
            if len(data) > client._options.max_value_bytes:
                raise BadRequest("%d bytes are more than max_value_bytes" % len(data))
            got = client.request("set", client._key(key), data, more)
        except LeaseLost as why:  # it has changed meanwhile, or took too long: others will make it
            log.info("%r is not kept: %s", key, why)
            return False
        except Unavailable as why:
            client._is_down(why)
            return False
        except ForecachedError as why:
            log.warning("%r is not kept: %s", key, why)
            self.give_up(key, endpoint, more.get("lease") or 0)
            return False
        return bool(isinstance(got, dict) and got.get("count"))

    def give_up(self, key: str, endpoint: str, lease: int) -> None:
        """The value could not be made: those who wait need not."""
        if not lease:
            return
        try:
            self._client().request("lease", key, {"endpoint": endpoint, "failed": lease})
        except ForecachedError:
            pass  # it runs out by itself

    def delete(self, key: str) -> bool:
        try:
            return self._client().delete(key)
        except ForecachedError as why:
            log.warning("%r is not deleted: %s", key, why)
            return False

    def changed(self, key: str, endpoint: Optional[str]) -> bool:
        try:
            self._client().changed(key, endpoint=endpoint)
            return True
        except ForecachedError as why:
            log.warning("the change of %r is not told: %s", key, why)
            return False


class Plain:
    """Plain keys, as a Redis keeps them. What cannot be reached has nothing and keeps nothing."""

    def __init__(self, client: Callable[[], Client], url: Optional[str] = None) -> None:
        self._client = client
        self._url = url
        self._lock = threading.Lock()
        self._resp: Optional[Resp] = None
        self._of: Optional[Client] = None
        self._ask_at = 0.0
        self._told = False

    def _connected(self) -> Optional[Resp]:
        client = self._client()
        with self._lock:
            if self._of is not client:  # another one has been configured
                self._resp, self._of, self._ask_at = None, client, 0.0
            if self._resp is not None or time.monotonic() < self._ask_at:
                return self._resp
            if isinstance(client.backend, Resp):
                self._resp = client.backend
                return self._resp
            # the listener of that daemon and no other
            url = self._url or client._options.resp or default_addresses(client.dir)[0]
            o = client._options
            if answers(url, o.timeout_s):
                self._resp = Resp(Options(o.dir, o.timeout_s, max_value_bytes=o.max_value_bytes), url)
            else:
                self._ask_at = time.monotonic() + ASK_AGAIN_S
                self._tell("nothing answers at " + url)
            return self._resp

    def _tell(self, why: object) -> None:
        if not self._told:
            self._told = True
            log.warning("the daemon's listener for Redis clients cannot be reached: only views are cached (%s)", why)

    def command(self, *words: Any) -> Any:
        """Its reply; None if it cannot be reached."""
        resp = self._connected()
        if resp is None:
            return None
        try:
            reply = resp.command(*words)
        except Unavailable as why:
            self._tell(why)
            return None
        self._told = False
        return reply

    def get_many(self, keys: Sequence[str]) -> List[Optional[bytes]]:
        client = self._client()
        got: List[Optional[bytes]] = []
        for key in keys:
            found = None
            try:
                found = client.backend.peek(client._key(key), None)
            except ForecachedError:
                pass
            got.append(found)
        missing = [i for i, data in enumerate(got) if data is None]
        if missing:
            reply = self.command("MGET", *(keys[i] for i in missing))
            for i, data in zip(missing, reply or ()):
                got[i] = data if isinstance(data, bytes) else None
        return got

    def set(self, key: str, data: bytes, ttl_s: Optional[float], only: str = "") -> bool:
        """ttl_s None: for ever. only: "NX" if it is not there, "XX" if it is. False: not kept."""
        words: List[Any] = ["SET", key, data]
        if ttl_s is not None:
            if ttl_s <= 0:
                return self.delete(key)
            words += ["PX", max(1, int(min(ttl_s, MAX_TTL_S) * 1000))]
        if only:
            words.append(only)
        return self.command(*words) is not None

    def delete(self, *keys: str) -> bool:
        return bool(self.command("DEL", *keys)) if keys else False

    def exists(self, key: str) -> bool:
        return bool(self.command("EXISTS", key))

    def add(self, key: str, delta: int) -> Optional[int]:
        got = self.command("INCRBY", key, delta)
        return got if isinstance(got, int) else None

    def clear(self, prefix: str) -> bool:
        """Takes out all keys that begin so, of either kind."""
        pattern = "".join("\\" + c if c in "*?[]^-\\" else c for c in prefix) + "*"
        cursor: Any = b"0"
        while True:
            reply = self.command("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
            if not isinstance(reply, list) or len(reply) != 2:
                return False
            cursor, keys = reply
            for at in range(0, len(keys), 1000):
                self.command("DEL", *keys[at : at + 1000])
            if cursor in (b"0", 0, "0"):
                return True


# -- Tags ---------------------------------------------------------------------------------------

_MAGIC = b"fct\0"


def with_tags(data: bytes, tags: Mapping[str, str]) -> bytes:
    """A value with what it depends on: names of tags and their versions. Unpicklers read past it."""
    if not tags:
        return data
    packed = json.dumps(tags, sort_keys=True).encode()
    return data + packed + struct.pack(">I", len(packed)) + _MAGIC


def split_tags(data: bytes) -> Tuple[bytes, Dict[str, str]]:
    if data[-4:] != _MAGIC or len(data) < 8:
        return data, {}
    n = struct.unpack(">I", data[-8:-4])[0]
    try:
        tags = json.loads(data[-8 - n : -8])
    except ValueError:
        return data, {}
    return (data[: -8 - n], tags) if isinstance(tags, dict) else (data, {})


class Tags:
    """Names that values are given, so that all of one name can be dropped at once.

    HOW IT WORKS each tag has a version, a plain key; a value holds those of its tags at the time it
    was made, and counts only as long as they are the same. A version that got lost drops, too.
    """

    def __init__(self, plain: Plain, prefix: str) -> None:
        self._plain = plain
        self._prefix = prefix + "tag/"

    def _key(self, name: str) -> str:
        """All of them are one endpoint to the daemon, which takes the hash for what differs."""
        return self._prefix + hashlib.md5(name.encode(errors="replace")).hexdigest()

    def versions(self, names: Sequence[str]) -> Dict[str, str]:
        """Those that there are; a new one for a tag that has none."""
        got = self._current(names)
        for name in names:
            if name not in got:
                self._plain.set(self._key(name), os.urandom(9).hex().encode(), None, "NX")
        return got if len(got) == len(set(names)) else self._current(names)

    def _current(self, names: Sequence[str]) -> Dict[str, str]:
        keys = [self._key(n) for n in names]
        return {n: v.decode("latin-1") for n, v in zip(names, self._plain.get_many(keys)) if v is not None}

    def hold(self, tags: Mapping[str, str]) -> bool:
        return not tags or self._current(list(tags)) == tags

    def drop(self, *names: str) -> bool:
        """Whatever has one of these tags is dropped."""
        done = [self._plain.set(self._key(n), os.urandom(9).hex().encode(), None) for n in names]
        return all(done)


# -- What tells one content from another ----------------------------------------------------------

_auto = AutoSerializer()


def content_version(content: Any, encoded: bytes) -> int:
    """A number for a content: equal ones mean the same. encoded stands in for what has no plain form,
    since the pickles of equal objects can differ."""
    try:
        plain = _auto.encode(content)
    except SerializationError:
        plain = encoded
    return int.from_bytes(hashlib.blake2b(plain, digest_size=8).digest(), "big") or 1


# -- Header fields --------------------------------------------------------------------------------


class Shown:
    """What a response's header fields say of where it comes from."""

    __slots__ = ("outcome", "ttl_s", "stored", "collapsed")

    def __init__(
        self, outcome: str, ttl_s: Optional[float], stored: bool = False, collapsed: bool = False
    ) -> None:
        self.outcome = outcome  # "hit", "grace" or "miss"
        self.ttl_s = ttl_s  # until it is no longer fresh; None: unknown
        self.stored = stored
        self.collapsed = collapsed


def cache_status(s: Shown) -> str:
    """RFC 9211."""
    if s.outcome == "miss" and s.collapsed:
        text = "forecached; fwd=miss; collapsed"
    elif s.outcome == "miss":
        text = "forecached; fwd=miss" + ("; stored" if s.stored else "")
    else:
        text = "forecached; hit"
    if s.ttl_s is not None and math.isfinite(s.ttl_s):
        text += "; ttl=%d" % math.floor(s.ttl_s)
    return text


def freshness_fields(s: Shown, stale_if_error_s: int = 0) -> Dict[str, str]:
    """Cache-Control, Age and Cache-Status.

    max-age is what is left of the time that the value counts as fresh, and Age is 0: caches in front,
    also those that do not look at Age, drop the response when it is dropped here, so that times do
    not add up. What is no longer fresh, or how long is not known, gets max-age=0.
    """
    left = s.ttl_s if s.ttl_s is not None and math.isfinite(s.ttl_s) else 0.0
    control = "max-age=%d" % max(0, math.floor(min(left, MAX_TTL_S)))
    if stale_if_error_s > 0:
        control += ", stale-if-error=%d" % stale_if_error_s
    return {"Cache-Control": control, "Age": "0", "Cache-Status": cache_status(s)}


__all__ = [
    "Answer",
    "Learned",
    "Plain",
    "Shown",
    "Tags",
    "cache_status",
    "content_version",
    "freshness_fields",
    "split_tags",
    "with_tags",
]
