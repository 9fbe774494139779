# SPDX-License-Identifier: MIT
"""`forecached.ttl`: the learned TTL wherever a library takes a number or a function for one.

	cache.set(key, value, timeout=forecached.ttl.of(key))       # of this key
	@cache.cached(timeout=forecached.ttl)                        # of the key at hand

Called, it gives the TTL of the key at hand: the one that a backend or `with forecached.ttl.key(...)`
has said for this thread or task. Nothing is asked twice within a second, and where there is no advice
(no daemon, nothing learned, no key at hand) it gives `ttl.default`, 60 s.
"""
from __future__ import annotations

import contextlib
import contextvars
import threading
import time
from typing import Any, Dict, Iterator, NamedTuple, Optional, Tuple, Union

from .client import Client, Key, default_client
from .errors import ForecachedError
from .transport import limit, watch_forks

ASK_AGAIN_S = 1.0
MAX_KEPT = 10000


class _AtHand(NamedTuple):
    key: Key
    endpoint: Optional[str]
    client: Optional[Client]


_at_hand: "contextvars.ContextVar[Optional[_AtHand]]" = contextvars.ContextVar("forecached_key", default=None)


class LearnedTTL:
    def __init__(self) -> None:
        self.default = 60.0
        self.forked()
        watch_forks(self)

    def forked(self) -> None:
        self._lock = threading.Lock()
        self._kept: Dict[Tuple[int, Key, Optional[str]], Tuple[float, float]] = {}

    def __call__(self, *_: Any, **__: Any) -> float:
        """The learned TTL of the key at hand, in seconds. Arguments (a response, say) are ignored."""
        at = _at_hand.get()
        if at is None:
            return self.default
        return self.of(at.key, endpoint=at.endpoint, client=at.client)

    def of(self, key: Key, *, endpoint: Optional[str] = None, client: Optional[Client] = None) -> float:
        """The learned TTL of a key, in seconds; never raises for want of a daemon."""
        which = client or default_client()
        name = (id(which), key, endpoint)
        now = time.monotonic()
        kept = self._kept.get(name)
        if kept is not None and now - kept[0] < ASK_AGAIN_S:
            return kept[1]
        try:
            got = which.ttl(key, endpoint=endpoint)
        except ForecachedError:
            got = self.default
        if not got > 0:
            got = self.default
        with self._lock:
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
            self._kept[name] = (now, got)
        return got

    @contextlib.contextmanager
    def key(
        self, key: Key, *, endpoint: Optional[str] = None, client: Optional[Client] = None
    ) -> Iterator[None]:
        """Within it, that is the key at hand."""
        token = _at_hand.set(_AtHand(key, endpoint, client))
        try:
            yield
        finally:
            _at_hand.reset(token)

    def with_default(self, seconds: float) -> "LearnedTTL":
        """Another one, which gives that where there is no advice."""
        limit("default", seconds, 0.001, 1e9)
        other = LearnedTTL()
        other.default = float(seconds)
        return other

    def __repr__(self) -> str:
        return "<forecached.ttl, default %g s>" % self.default


ttl = LearnedTTL()

# A TTL as cached() takes it: None and `ttl` leave it to the daemon.
TTL = Union[None, float, LearnedTTL]
