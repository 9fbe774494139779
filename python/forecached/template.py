# SPDX-License-Identifier: MIT
"""Key templates: `/users/{id}/orders/{page}` makes keys of a function's arguments, and of keys again
arguments, so that a loader can be run for a key alone.

INVARIANTS different arguments give different keys: what stands in for a field is percent-encoded, so
that it holds none of the template's own `/`, `?`, `&`. A key made from arguments is split into equal
ones.
"""
from __future__ import annotations

import datetime
import decimal
import enum
import inspect
import re
import typing
import uuid
from typing import Any, Callable, Dict, List, Optional, Tuple
from urllib.parse import quote, unquote

from .errors import BadRequest, NotFound

_FIELD = re.compile(r"\{([A-Za-z_][A-Za-z_0-9]*)\}")

# What may stand between two fields so that a key can be split again: quote() leaves none of these.
_SEPARATORS = re.compile(r"[^A-Za-z0-9_.~%-]")


def _to_bool(text: str) -> bool:
    if text in ("True", "False"):
        return text == "True"
    raise ValueError("not a bool: " + text)


_PARSERS: Dict[Any, Callable[[str], Any]] = {
    str: str,
    int: int,
    float: float,
    bool: _to_bool,
    decimal.Decimal: decimal.Decimal,
    uuid.UUID: uuid.UUID,
    datetime.date: datetime.date.fromisoformat,
    datetime.datetime: datetime.datetime.fromisoformat,
}


def _text(value: Any, name: str) -> str:
    """A field's value as text; what has no plain one is refused, so that no address gets into a key."""
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat()
    if isinstance(value, (str, int, float, decimal.Decimal, uuid.UUID)) or value is None:
        return str(value)
    if isinstance(value, bytes):
        return value.decode("latin-1")
    raise BadRequest(
        "key: %s: a %s has no plain text; give cached() a key function instead of a template"
        % (name, type(value).__name__)
    )


class Template:
    """A template bound to a function's parameters."""

    def __init__(self, text: str, fn: Callable[..., Any]) -> None:
        self.text = text
        self.fields: List[str] = _FIELD.findall(text)
        self._signature = inspect.signature(fn)
        self._fn = fn
        parts = _FIELD.split(text)
        self._literals = parts[0::2]
        if any("{" in x or "}" in x for x in self._literals):
            raise BadRequest("key: %r: only {name} of a parameter may stand in braces" % text)
        names = list(self._signature.parameters)
        for f in self.fields:
            if f not in names:
                raise BadRequest("key: %r: {%s} is no parameter of %s" % (text, f, fn.__qualname__))
        if len(set(self.fields)) != len(self.fields):
            raise BadRequest("key: %r: a parameter stands there twice" % text)
        for between in self._literals[1:-1]:
            if not _SEPARATORS.search(between):
                raise BadRequest(
                    "key: %r: between two parameters there must be a sign like / or :, "
                    "so that different arguments make different keys" % text
                )
        self._plain = self._is_plain()
        self._pattern = re.compile(
            "".join(
                re.escape(x) if i % 2 == 0 else "([^/?&=:;,@+$!*'()\\[\\]#| ]*)" for i, x in enumerate(parts)
            ),
            re.ASCII,
        )

    def _is_plain(self) -> bool:
        """The fields are all the parameters, in their order, each positional and none a star."""
        kinds = [p.kind for p in self._signature.parameters.values()]
        return list(self._signature.parameters) == self.fields and all(
            k is inspect.Parameter.POSITIONAL_OR_KEYWORD for k in kinds
        )

    @property
    def endpoint(self) -> str:
        """The template as the daemon writes it: /users/<id>."""
        return _FIELD.sub(r"<\1>", self.text)

    def key(self, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> str:
        """The key for a call; TypeError as the call itself would raise."""
        if self._plain and not kwargs and len(args) == len(self.fields):
            values: List[Any] = list(args)
        else:
            bound = self._signature.bind(*args, **kwargs)
            bound.apply_defaults()
            values = [bound.arguments[f] for f in self.fields]
        out = [self._literals[0]]
        for name, value, literal in zip(self.fields, values, self._literals[1:]):
            kind = type(value)
            text = value if kind is str else str(value) if kind is int else _text(value, name)
            plain = text.isascii() and text.isalnum()
            out.append(text if plain else quote(text, safe="", errors="surrogatepass"))
            out.append(literal)
        return "".join(out)

    def parsers(self) -> Optional[Dict[str, Callable[[str], Any]]]:
        """How each field becomes an argument again, by its annotation; None: it cannot be said."""
        try:
            hints = typing.get_type_hints(self._fn)
        except Exception:  # an annotation that names what is not there
            return None
        found: Dict[str, Callable[[str], Any]] = {}
        for name, p in self._signature.parameters.items():
            if name not in self.fields:
                if p.default is inspect.Parameter.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
                    return None
                continue
            if p.kind is p.POSITIONAL_ONLY:
                return None
            kind = hints.get(name, str)
            if isinstance(kind, type) and issubclass(kind, enum.Enum):
                found[name] = kind.__getitem__
            elif kind in _PARSERS:
                found[name] = _PARSERS[kind]
            else:
                return None
        return found

    def arguments(self, key: str, parsers: Dict[str, Callable[[str], Any]]) -> Dict[str, Any]:
        """The arguments that make this key; NotFound: none do."""
        found = self._pattern.fullmatch(key)
        if found is None:
            raise NotFound("the key %r is not of %s" % (key, self.text))
        arguments = {}
        for name, text in zip(self.fields, found.groups()):
            try:
                arguments[name] = parsers[name](unquote(text, errors="surrogatepass"))
            except (ValueError, ArithmeticError, KeyError) as e:
                raise NotFound("the key %r is not of %s: %s: %s" % (key, self.text, name, e)) from e
        return arguments


def _canonical(x: Any, name: str) -> str:
    """Text of an argument with its type, for keys without a template."""
    if x is None or type(x) in (bool, int, float, str, bytes):
        return repr(x)
    if isinstance(x, (decimal.Decimal, uuid.UUID, datetime.date, enum.Enum)):
        return "%s(%s)" % (type(x).__qualname__, _text(x, name))
    if type(x) in (list, tuple):
        inner = ",".join(_canonical(i, name) for i in x)
        return "[%s]" % inner if type(x) is list else "(%s)" % inner
    if type(x) is dict:
        pairs = sorted((_canonical(k, name), _canonical(v, name)) for k, v in x.items())
        return "{%s}" % ",".join("%s:%s" % p for p in pairs)
    if type(x) in (set, frozenset):
        return "{%s}" % ",".join(sorted(_canonical(i, name) for i in x))
    raise BadRequest(
        "key: %s: a %s has no plain text; give cached() a template or a key function"
        % (name, type(x).__name__)
    )


class CallKey:
    """Keys for a function without a template: its name and all its arguments, with their types."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self._signature = inspect.signature(fn)
        self.text = "%s:%s" % (fn.__module__, fn.__qualname__)
        first = next(iter(self._signature.parameters), None)
        if first in ("self", "cls"):
            raise BadRequest("key: %s is a method: give cached() a template or a key function" % self.text)

    @property
    def endpoint(self) -> str:
        return self.text

    def key(self, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> str:
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        said = ",".join("%s=%s" % (k, _canonical(v, k)) for k, v in bound.arguments.items())
        return "%s(%s)" % (self.text, said)
