# SPDX-License-Identifier: MIT
"""What can go wrong, the same whatever the transport.

	ForecachedError
	    Unavailable        no daemon, or it went away while it was asked
	        Timeout        no answer in time
	        Busy           too much is waiting: try again later
	    Closed             the client was closed
	    NotFound           there is no such thing (also a KeyError); loaders raise it to say so
	    LoadFailed         the load failed and there is no old value
	    LeaseLost          the lease is no longer held, or a change came after the value was read: it was not kept
	    TooLarge           a key, value or message is above a limit (also a ValueError)
	    BadRequest         an argument is out of range (also a ValueError)
	    Denied             the daemon's configuration does not allow it
	    Unsupported        this transport, daemon or Python cannot do that
	    SerializationError the value does not fit the serializer (also a TypeError)
"""
from __future__ import annotations

import errno
from typing import Dict, Optional, Type


class ForecachedError(Exception):
    """The base of all errors of this package."""


class Unavailable(ForecachedError):
    """No daemon is running there, or it went away while it was asked."""


class Timeout(Unavailable):
    """No answer in time."""


class Busy(Unavailable):
    """Too much is waiting: try again later."""


class Closed(ForecachedError):
    """The client was closed."""


class NotFound(ForecachedError, KeyError):
    """There is no such thing. A loader raises it to say that the origin knows no such key."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else "not found"


class LoadFailed(ForecachedError):
    """The load failed and there is no old value."""


class LeaseLost(ForecachedError):
    """The lease is no longer held, or a change came after the value was read: it was not kept."""


class TooLarge(ForecachedError, ValueError):
    """A key, value or message is above its limit."""


class BadRequest(ForecachedError, ValueError):
    """An argument is out of range."""


class Denied(ForecachedError):
    """The daemon's configuration does not allow it."""


class Unsupported(ForecachedError):
    """This transport, daemon or Python cannot do that."""


class SerializationError(ForecachedError, TypeError):
    """The value is not what the serializer can write, or the bytes are not what it can read."""


_BY_ERRNO: Dict[int, Type[ForecachedError]] = {
    errno.EINVAL: BadRequest,
    errno.ENAMETOOLONG: BadRequest,
    errno.EEXIST: BadRequest,
    errno.ENOENT: NotFound,
    errno.EMSGSIZE: TooLarge,
    errno.EBUSY: Busy,
    errno.ENOBUFS: Busy,
    errno.ESTALE: LeaseLost,
    errno.ETIMEDOUT: Timeout,
    errno.ENOTCONN: Unavailable,
    errno.ECANCELED: Unavailable,
    errno.EAGAIN: Unavailable,
    errno.EIO: LoadFailed,
    errno.EACCES: Denied,
    errno.ENODEV: Unavailable,
    errno.ENOSYS: Unsupported,
}

# The statuses of docs/protocol.md, from 1 on.
_BY_STATUS: Dict[int, Type[ForecachedError]] = {
    1: BadRequest,
    2: Unsupported,
    3: NotFound,
    4: TooLarge,
    5: Busy,
    6: LoadFailed,
    7: LeaseLost,
    8: Denied,
    9: Unavailable,
}


def from_errno(code: int, text: str) -> ForecachedError:
    """The exception for what a function of libforecache returned: code is above 0."""
    return _BY_ERRNO.get(code, ForecachedError)(text)


def from_status(status: int, text: Optional[str]) -> ForecachedError:
    """The exception for a reply with a status that is not 0."""
    return _BY_STATUS.get(status, ForecachedError)(text or "status %d" % status)
