# SPDX-License-Identifier: MIT
"""The part of msgpack that the daemon's protocol uses, for where python3-msgpack is not installed.

pack(value) -> bytes, unpack(bytes) -> value. str is written as str, bytes as bin; no extensions.
Bad bytes raise ValueError: sizes are compared with what is there before anything is made of them.
"""
from __future__ import annotations

import struct
from typing import Any, List, Tuple

MAX_DEPTH = 32


def _head(out: List[bytes], n: int, fix: int, fix_max: int, codes: Tuple[int, int, int]) -> None:
    """The head of something of n parts; codes for 8, 16 and 32 bits, 0: there is none."""
    if n <= fix_max:
        out.append(bytes((fix | n,)))
    elif n <= 0xFF and codes[0]:
        out.append(struct.pack(">BB", codes[0], n))
    elif n <= 0xFFFF:
        out.append(struct.pack(">BH", codes[1], n))
    elif n <= 0xFFFFFFFF:
        out.append(struct.pack(">BI", codes[2], n))
    else:
        raise ValueError("msgpack: too large")


def _pack_int(out: List[bytes], x: int) -> None:
    if 0 <= x <= 0x7F or -32 <= x < 0:
        out.append(struct.pack(">b", x))
    elif 0 <= x <= 0xFFFFFFFFFFFFFFFF:
        for code, form, top in ((0xCC, ">BB", 0xFF), (0xCD, ">BH", 0xFFFF), (0xCE, ">BI", 0xFFFFFFFF)):
            if x <= top:
                out.append(struct.pack(form, code, x))
                return
        out.append(struct.pack(">BQ", 0xCF, x))
    elif -(1 << 63) <= x < 0:
        out.append(struct.pack(">Bq", 0xD3, x))
    else:
        raise ValueError("msgpack: %d needs more than 64 bits" % x)


def _pack(out: List[bytes], x: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ValueError("msgpack: nested too deep")
    if x is None:
        out.append(b"\xc0")
    elif isinstance(x, bool):
        out.append(b"\xc3" if x else b"\xc2")
    elif isinstance(x, int):
        _pack_int(out, x)
    elif isinstance(x, float):
        out.append(struct.pack(">Bd", 0xCB, x))
    elif isinstance(x, str):
        data = x.encode()
        _head(out, len(data), 0xA0, 31, (0xD9, 0xDA, 0xDB))
        out.append(data)
    elif isinstance(x, (bytes, bytearray, memoryview)):
        data = bytes(x)
        _head(out, len(data), 0, -1, (0xC4, 0xC5, 0xC6))
        out.append(data)
    elif isinstance(x, (list, tuple)):
        _head(out, len(x), 0x90, 15, (0, 0xDC, 0xDD))
        for item in x:
            _pack(out, item, depth + 1)
    elif isinstance(x, dict):
        _head(out, len(x), 0x80, 15, (0, 0xDE, 0xDF))
        for k, v in x.items():
            _pack(out, k, depth + 1)
            _pack(out, v, depth + 1)
    else:
        raise TypeError("msgpack: no way to write %s" % type(x).__name__)


def pack(value: Any) -> bytes:
    out: List[bytes] = []
    _pack(out, value, 0)
    return b"".join(out)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, n: int) -> bytes:
        end = self.at + n
        if end > len(self.data):
            raise ValueError("msgpack: cut short")
        got = self.data[self.at : end]
        self.at = end
        return got

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def text(self, n: int) -> str:
        return self.take(n).decode("utf-8", "surrogateescape")

    def items(self, n: int, depth: int) -> List[Any]:
        if n > len(self.data) - self.at:
            raise ValueError("msgpack: cut short")
        return [self.value(depth + 1) for _ in range(n)]

    def pairs(self, n: int, depth: int) -> Any:
        if 2 * n > len(self.data) - self.at:
            raise ValueError("msgpack: cut short")
        got = {}
        for _ in range(n):
            k = self.value(depth + 1)
            if isinstance(k, (list, dict)):
                raise ValueError("msgpack: a map's key is a map or an array")
            got[k] = self.value(depth + 1)
        return got

    def value(self, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise ValueError("msgpack: nested too deep")
        c = self.take(1)[0]
        if c <= 0x7F:
            return c
        if c >= 0xE0:
            return c - 256
        if c <= 0x8F:
            return self.pairs(c & 15, depth)
        if c <= 0x9F:
            return self.items(c & 15, depth)
        if c <= 0xBF:
            return self.text(c & 31)
        if c in _CONSTANTS:
            return _CONSTANTS[c]
        if c in _NUMBERS:
            return self.number(_NUMBERS[c])
        if c in _SIZES:
            n = self.number(_SIZES[c])
            if c <= 0xC6:
                return self.take(n)
            if c <= 0xDB:
                return self.text(n)
            return self.items(n, depth) if c <= 0xDD else self.pairs(n, depth)
        raise ValueError("msgpack: 0x%02x is not used here" % c)


_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}
_NUMBERS = {
    0xCA: ">f",
    0xCB: ">d",
    0xCC: ">B",
    0xCD: ">H",
    0xCE: ">I",
    0xCF: ">Q",
    0xD0: ">b",
    0xD1: ">h",
    0xD2: ">i",
    0xD3: ">q",
}
_SIZES = {
    0xC4: ">B",
    0xC5: ">H",
    0xC6: ">I",
    0xD9: ">B",
    0xDA: ">H",
    0xDB: ">I",
    0xDC: ">H",
    0xDD: ">I",
    0xDE: ">H",
    0xDF: ">I",
}


def unpack(data: bytes) -> Any:
    r = _Reader(data)
    got = r.value(0)
    if r.at != len(data):
        raise ValueError("msgpack: %d bytes too many" % (len(data) - r.at))
    return got
