#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cached functions: keys from templates and back, single flight, and what they say of themselves."""
import asyncio
import datetime
import decimal
import enum
import os
import random
import shutil
import sys
import tempfile
import threading
import time
import uuid
from typing import Optional

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pyfc

pyfc.preload()

from fcd import Daemon, main, test, until  # noqa: E402

import forecached  # noqa: E402
from forecached import decorator  # noqa: E402
from forecached.template import CallKey, Template  # noqa: E402

CONFIG = {"policy": {"grace": "10m", "ttl": "obey", "min_ttl": "50ms"}}


def raises(kind, fn, *args, **kw):
    try:
        got = fn(*args, **kw)
    except kind as e:
        return e
    raise AssertionError("no %s, but %r" % (kind.__name__, got))


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@test
def keys_are_made_of_arguments_and_split_again():
    seed = int(os.environ.get("SEED", time.time_ns() % 1000000))
    print("# seed %d" % seed)
    rng = random.Random(seed)

    def f(a: str, b: int, c: float = 1.5, *, d: Colour = Colour.RED, e: bool = False, g: uuid.UUID = uuid.UUID(int=1),
          h: datetime.date = datetime.date(2026, 1, 2), i: decimal.Decimal = decimal.Decimal("1.10"),
          j: datetime.datetime = datetime.datetime(2026, 1, 2, 3, 4)):
        pass

    t = Template("/x/{a}/{b}/{c}?d={d}&e={e}:{g};{h},{i} {j}", f)
    parsers = t.parsers()
    signs = "ab/%{}<>?&=:;, \0\n\r\"'ü\ud800☃.~-_+"
    seen = {}
    for _ in range(2000):
        given = {
            "a": "".join(rng.choice(signs) for _ in range(rng.randrange(4))),
            "b": rng.randrange(-5, 5),
            "c": rng.choice((0.0, -1.5, 1e300, 1e-7)),
            "d": rng.choice(list(Colour)),
            "e": rng.random() < 0.5,
            "g": uuid.UUID(int=rng.randrange(3)),
            "h": datetime.date(2026, 1, rng.randrange(1, 4)),
            "i": decimal.Decimal(rng.randrange(30)) / 10,
            "j": datetime.datetime(2026, 1, 2, 3, rng.randrange(4), tzinfo=datetime.timezone.utc),
        }
        key = t.key((), given)
        assert t.arguments(key, parsers) == given, (key, given)
        name = repr(sorted(given.items(), key=lambda x: x[0]))
        assert seen.setdefault(key, name) == name, "two calls, one key"
        key.encode("ascii")
    assert t.key(("p", 1), {}) == t.key((), {"b": 1, "a": "p"})
    assert t.endpoint.startswith("/x/<a>/<b>/")
    for bad in ("/x", "/x/p/notanumber", "", t.key(("p", 1), {}) + "/", t.key(("p", 1), {}).replace("RED", "GREEN")):
        raises(forecached.NotFound, t.arguments, bad, parsers)


@test
def templates_that_would_mix_calls_up_are_refused():
    def f(a, b=1, *rest):
        pass

    for bad in ("/{a}{b}", "/{a}-{b}", "/{c}", "/{a}/{a}", "/{a!r}", "/{}", "/{a", "/{a.b}", "/{a[0]}"):
        raises(forecached.BadRequest, Template, bad, f)
    t = Template("/{a}/{b}", f)
    for value in (object(), [1], {}, (1,)):
        raises(forecached.BadRequest, t.key, (value,), {})
    raises(TypeError, t.key, (), {})
    raises(TypeError, t.key, (1,), {"nope": 1})

    def g(a: list):
        pass

    assert Template("/{a}", g).parsers() is None
    raises(forecached.BadRequest, forecached.cached("/{a}", loader=True), g)
    raises(forecached.BadRequest, forecached.cached, "/{a}", key_function=str)
    raises(forecached.BadRequest, forecached.cached("/{a}", ttl=-1), g)


@test
def without_a_template_the_types_of_arguments_tell_calls_apart():
    def f(a, b=None, **more):
        pass

    k = CallKey(f)
    calls = [((1,), {}), (("1",), {}), ((True,), {}), ((1.0,), {}), ((b"1",), {}), (([1],), {}), (((1,),), {}),
             ((1, "x"), {}), (("a,b='x'",), {}), (("a",), {"b": "x"}), ((1,), {"c": 1}), (({"a": 1},), {}),
             (({1},), {}), ((Colour.RED,), {}), ((uuid.UUID(int=1),), {}), ((decimal.Decimal(1),), {})]
    keys = [k.key(*c) for c in calls]
    assert len(set(keys)) == len(keys), keys
    assert k.key((1,), {}) == k.key((), {"a": 1}) == k.key((1, None), {})
    assert k.key(({"x": 1, "y": 2},), {}) == k.key(({"y": 2, "x": 1},), {})
    raises(forecached.BadRequest, k.key, (object(),), {})

    class C:
        def method(self, a):
            pass

    raises(forecached.BadRequest, forecached.cached(), C.method)


@test
def a_cached_function_is_called_once_and_says_what_it_knows():
    with Daemon(CONFIG) as d:
        c = forecached.Client(d.dir)
        calls = []

        @forecached.cached("/users/{id}", client=c, ttl=60)
        def user(id: int, note: Optional[str] = None) -> dict:
            """A user."""
            calls.append(id)
            return {"id": id}

        assert user(7) == user(id=7) == user(7, note="x") == {"id": 7} and calls == [7]
        assert user.__name__ == "user" and user.__doc__ == "A user."
        assert user.endpoint == "/users/<id>" and user.key(7) == "/users/7" and user.uncached(8) == {"id": 8}
        assert user.lookup(7).outcome == "hit" and user.lookup(9) is None
        assert c.ttls("/users/<id>")[0]["key"] == "/users/7"
        assert user.learned_ttl(7) > 0
        calls.clear()
        assert user.refresh(7) == {"id": 7} and calls == [7]
        user.changed(7)
        assert user.lookup(7) is None and user(7) == {"id": 7} and calls == [7, 7]
        assert user.delete(7) and not user.delete(7)
        raises(TypeError, user)

        @forecached.cached(client=c)
        def plain(a, b=2):
            calls.append(a)
            return a + b

        calls.clear()
        assert plain(1) == plain(1, 2) == plain(a=1) == 3 and calls == [1]

        @forecached.cached(key_function=lambda self, a: "/method/%s" % a, client=c)
        def shared(self, a):
            return a

        class Model:
            @forecached.cached("/model/{a}", client=c)
            def method(self, a: int):
                calls.append(a)
                return [a]

            wrong = forecached.cached(key_function=lambda self: 7, client=c)(lambda self: 1)

        calls.clear()
        assert Model().method(3) == Model().method(3) == [3] and calls == [3]
        assert shared(None, 5) == 5 and shared.key(None, 5) == "/method/5"
        raises(forecached.BadRequest, Model().wrong)

        @forecached.cached("/fail/{n}", client=c)
        def fails(n: int):
            calls.append(n)
            raise RuntimeError("down")

        calls.clear()
        for _ in range(2):
            raises(RuntimeError, fails, 1)
        assert calls == [1, 1], "errors are not kept"

        @forecached.cached("/pickled/{n}", client=c, serializer="pickle")
        def pickled(n: int):
            return (n, {1, 2})

        assert pickled(1) == pickled(1) == pickled.lookup(1).value == (1, {1, 2})
        c.close()


@test
def cached_coroutines_share_a_load():
    with Daemon(CONFIG) as d:
        c = forecached.Client(d.dir)
        calls = []

        @forecached.cached("/co/{id}", client=c)
        async def co(id: int) -> list:
            calls.append(id)
            await asyncio.sleep(0)
            return [id]

        async def go():
            got = await asyncio.gather(*(co(n % 3) for n in range(60)))
            assert got == [[n % 3] for n in range(60)] and sorted(calls) == [0, 1, 2], calls
            assert (await co.lookup(1)).value == [1] and await co.refresh(1) == [1] and len(calls) == 4
            assert await co.delete(1) and await co.lookup(1) is None
            await co.changed(2)
            assert await co.learned_ttl(2) > 0 and co.key(2) == "/co/2"

        asyncio.run(go())
        asyncio.run(go2(co))
        c.close()


async def go2(co):
    """Another event loop later on: nothing of the first one is left in the way."""
    assert await co(77) == [77]


@test
def a_slow_function_is_called_once_by_many_threads():
    with Daemon(CONFIG) as d:
        c = forecached.Client(d.dir)
        gate, calls, got = threading.Event(), [], []

        @forecached.cached("/slow/{n}", client=c)
        def slow(n: int):
            calls.append(n)
            gate.wait(30)
            return n

        threads = [threading.Thread(target=lambda: got.append(slow(1))) for _ in range(12)]
        for t in threads:
            t.start()
        until("it was called", lambda: calls)
        gate.set()
        for t in threads:
            t.join()
        assert calls == [1] and got == [1] * 12
        c.close()


@test
def without_a_daemon_functions_are_called():
    base = tempfile.mkdtemp(prefix="pyfc-")
    for transport in ("library", "zeromq"):
        forecached.configure(dir=base, transport=transport)
        calls = []

        @forecached.cached("/none/{n}")
        def f(n: int):
            calls.append(n)
            return n

        assert f(1) == 1 and f.refresh(1) == 1 and len(calls) == 2

        @forecached.cached("/none2/{n}")
        async def g(n: int):
            return n

        assert asyncio.run(g(2)) == 2
        raises(forecached.Unavailable, f.delete, 1)
        assert forecached.ttl.of("/none/1") == 60.0 == forecached.ttl()
    forecached.configure()
    shutil.rmtree(base)


@test
def the_learned_ttl_is_a_number_and_a_function():
    with Daemon(CONFIG) as d:
        forecached.configure(dir=d.dir)
        c = forecached.default_client()
        assert c is forecached.default_client()
        c.set("/t/1", 1, endpoint="/t/<n>", ttl=17)
        assert forecached.ttl.of("/t/1", endpoint="/t/<n>") == 17
        assert forecached.ttl("a response") == 60, "no key at hand"
        with forecached.ttl.key("/t/1", endpoint="/t/<n>"):
            assert forecached.ttl("a response") == 17
            with forecached.ttl.key("/t/2"):
                assert forecached.ttl() != 17
            assert forecached.ttl() == 17
        # nothing is asked twice within a second
        before = c.stats()["requests"]
        for _ in range(50):
            forecached.ttl.of("/t/1", endpoint="/t/<n>")
        assert c.stats()["requests"] <= before + 5
        short = forecached.ttl.with_default(5)
        assert short() == 5 and forecached.ttl() == 60
        raises(forecached.BadRequest, forecached.ttl.with_default, 0)

        @forecached.cached("/t/f/{n}", ttl=forecached.ttl)
        def f(n: int):
            return n

        assert f(1) == 1
        forecached.configure()


@test
def functions_that_can_be_called_for_a_key_are_loaders():
    names = {r.endpoint: r for r in forecached.registered()}
    assert names["/co/<id>"].name.endswith("co") and "/fail/<n>" in names
    assert "/method/<a>" not in names and "/model/<a>" not in names, "a method has no self to be called with"

    @forecached.cached("/never/{n}", loader=False)
    def never(n: int):
        pass

    @forecached.cached("/by/{n}", loader=lambda key: key.upper())
    def by(n):
        pass

    @forecached.loader("/explicit/<x>", ttl=5)
    def explicit(key):
        return key

    names = {r.endpoint: r for r in decorator.registered()}
    assert "/never/<n>" not in names and names["/by/<n>"].load("/by/x") == "/BY/X"
    assert names["/explicit/<x>"].load("/explicit/1") == "/explicit/1" == explicit("/explicit/1")
    assert names["/explicit/<x>"].ttl == 5
    assert names["/slow/<n>"].ttl is None


if not os.path.exists(pyfc.LIBRARY):
    pyfc.skip_all("libforecache is not built as a shared library")
main()
