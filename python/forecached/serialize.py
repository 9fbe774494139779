# SPDX-License-Identifier: MIT
"""Values to bytes and back.

	auto     (the default) bytes stay as they are; str and JSON values come back as what they were
	bytes    bytes only, as they are
	str      str only, as UTF-8
	json     JSON text, readable by everyone; JSON values only
	pickle   any Python object. Only by explicit choice: whoever can write to the cache can then run
	         code in your app

HOW IT WORKS auto puts a tag of five bytes before what is not bytes. It begins with 0xC1, which begins
no text, no JSON and no msgpack; bytes that begin with the tag by chance get it in front once more.

INVARIANTS what comes out of the cache equals what went in, types included; what JSON would change
silently (tuples, keys that are no str, NaN) is refused when it is written. auto never unpickles.
"""
from __future__ import annotations

import json
import math
import pickle
from typing import Any, Callable, Dict, Tuple, Union

from .errors import SerializationError

TAG = b"\xc1fc"
_BYTES = TAG + b":b"
_STR = TAG + b":s"
_JSON = TAG + b":j"
MAX_DEPTH = 64


class Serializer:
    """encode(value) -> bytes and decode(bytes) -> value. Subclass it for your own."""

    name = "?"

    def encode(self, value: Any) -> bytes:
        raise NotImplementedError

    def decode(self, data: bytes) -> Any:
        raise NotImplementedError


def _refuse(value: Any, where: str, why: str) -> SerializationError:
    return SerializationError(
        "%s at %s: %s; change the value or choose serializer=\"pickle\"" % (type(value).__name__, where, why)
    )


def _check_json(value: Any, where: str, depth: int) -> None:
    """Raises where JSON would give back something else."""
    kind = type(value)
    if value is None or kind is bool or kind is int or kind is str:
        return
    if kind is float:
        if not math.isfinite(value):
            raise _refuse(value, where, "JSON has no %r" % value)
        return
    if depth > MAX_DEPTH:
        raise _refuse(value, where, "nested more than %d deep" % MAX_DEPTH)
    if kind is list:
        for i, x in enumerate(value):
            _check_json(x, "%s[%d]" % (where, i), depth + 1)
        return
    if kind is dict:
        for k, x in value.items():
            if type(k) is not str:
                raise _refuse(k, where, "JSON would make a str of this key")
            _check_json(x, "%s.%s" % (where, k), depth + 1)
        return
    raise _refuse(value, where, "JSON would not give it back" if kind is tuple else "is no JSON value")


def _to_json(value: Any) -> bytes:
    _check_json(value, "$", 0)
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (ValueError, UnicodeEncodeError) as e:
        raise SerializationError("cannot be written as JSON: %s" % e) from e


def _from_json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as e:
        raise SerializationError("the cached value is no JSON: %s" % e) from e


def _to_utf8(value: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError as e:
        raise SerializationError("cannot be written as UTF-8: %s" % e) from e


def _from_utf8(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as e:
        raise SerializationError("the cached value is no UTF-8: %s" % e) from e


class AutoSerializer(Serializer):
    name = "auto"

    def encode(self, value: Any) -> bytes:
        kind = type(value)
        if kind is bytes or kind is bytearray or kind is memoryview:
            data = bytes(value)
            return _BYTES + data if data.startswith(TAG) else data
        if kind is str:
            return _STR + _to_utf8(value)
        return _JSON + _to_json(value)

    def decode(self, data: bytes) -> Any:
        if not data.startswith(TAG):
            return data
        head = data[:5]
        if head == _JSON:
            return _from_json(data[5:])
        if head == _STR:
            return _from_utf8(data[5:])
        if head == _BYTES:
            return data[5:]
        raise SerializationError("the cached value has a tag that this version does not know: %r" % head)


class BytesSerializer(Serializer):
    name = "bytes"

    def encode(self, value: Any) -> bytes:
        if not isinstance(value, (bytes, bytearray, memoryview)):
            raise SerializationError('%s is no bytes; choose another serializer' % type(value).__name__)
        return bytes(value)

    def decode(self, data: bytes) -> bytes:
        return data


class StrSerializer(Serializer):
    name = "str"

    def encode(self, value: Any) -> bytes:
        if not isinstance(value, str):
            raise SerializationError('%s is no str; choose another serializer' % type(value).__name__)
        return _to_utf8(value)

    def decode(self, data: bytes) -> str:
        return _from_utf8(data)


class JsonSerializer(Serializer):
    name = "json"

    def encode(self, value: Any) -> bytes:
        return _to_json(value)

    def decode(self, data: bytes) -> Any:
        return _from_json(data)


class PickleSerializer(Serializer):
    name = "pickle"

    def encode(self, value: Any) -> bytes:
        try:
            return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        except Exception as e:  # pickle raises what the object's own code raises
            raise SerializationError("cannot be pickled: %s" % e) from e

    def decode(self, data: bytes) -> Any:
        try:
            return pickle.loads(data)
        except Exception as e:
            raise SerializationError("the cached value cannot be unpickled: %s" % e) from e


_BY_NAME: Dict[str, Callable[[], Serializer]] = {
    "auto": AutoSerializer,
    "bytes": BytesSerializer,
    "str": StrSerializer,
    "json": JsonSerializer,
    "pickle": PickleSerializer,
}

SerializerLike = Union[str, Serializer]


def serializer(which: SerializerLike) -> Serializer:
    """By name, or the object itself."""
    if isinstance(which, Serializer):
        return which
    make = _BY_NAME.get(which) if isinstance(which, str) else None
    if make is None:
        names: Tuple[str, ...] = tuple(_BY_NAME)
        raise ValueError("serializer: %r is none of %s, and no Serializer" % (which, ", ".join(names)))
    return make()
