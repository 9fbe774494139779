# SPDX-License-Identifier: MIT
"""forecached from Python: a cache that learns how long values stay fresh.

	import forecached

	@forecached.cached("/users/{id}")
	def user(id: int) -> dict:
	    return db.load(id)

See docs/python.md.
"""
from .aio import AsyncClient
from .client import Client, Loaded, Value, configure, default_client
from .decorator import Cached, cached, loader, registered
from .errors import (
    BadRequest,
    Busy,
    Closed,
    Denied,
    ForecachedError,
    LeaseLost,
    LoadFailed,
    NotFound,
    SerializationError,
    Timeout,
    TooLarge,
    Unavailable,
    Unsupported,
)
from .learned import LearnedTTL, ttl
from .serialize import Serializer
from .version import __version__

__all__ = [
    "AsyncClient",
    "BadRequest",
    "Busy",
    "Cached",
    "Client",
    "Closed",
    "Denied",
    "ForecachedError",
    "LearnedTTL",
    "LeaseLost",
    "LoadFailed",
    "Loaded",
    "NotFound",
    "SerializationError",
    "Serializer",
    "Timeout",
    "TooLarge",
    "Unavailable",
    "Unsupported",
    "Value",
    "__version__",
    "cached",
    "configure",
    "default_client",
    "loader",
    "registered",
    "ttl",
]
