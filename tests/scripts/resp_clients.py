#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real Redis clients, unchanged, against the listener. What is not installed is skipped, and says so.

RESP_NPM=DIR: a directory in which `npm install ioredis redis` was done, for the two of Node.
"""
import os
import shlex
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fcd import Daemon, main, test
from resp_wire import port_of

SHARED = None


def port():
    global SHARED
    if SHARED is None:
        SHARED = Daemon({"redis": "127.0.0.1:0", "segment_bytes": "32MiB"})
    assert SHARED.alive(), "the daemon has died"
    return port_of(SHARED)


def run(*command, **kw):
    p = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, **kw)
    text = p.stdout.decode(errors="replace")
    assert p.returncode == 0, text
    return text


@test
def redis_py():
    try:
        import redis
    except ImportError:
        return "no python3-redis"
    c = redis.Redis(port=port(), decode_responses=True)
    assert c.set("py", "1", ex=100) and c.get("py") == "1" and 90 < c.ttl("py") <= 100
    assert c.incrby("py", 4) == 5 and c.mget("py", "nothing") == ["5", None]
    assert set(c.scan_iter("py*")) == {"py"} and c.exists("py") == 1
    with c.pipeline(transaction=True) as p:
        assert p.mset({"a": 1, "b": 2}).expire("a", 10).execute() == [True, True]
    with c.lock("py-lock", timeout=5):
        assert not c.lock("py-lock", timeout=5).acquire(blocking=False)
    assert c.delete("py") == 1 and c.client_list()[0]["db"] == "0"


@test
def hiredis_in_c():
    if not os.path.exists("/usr/include/hiredis/hiredis.h"):
        return "no libhiredis-dev"
    with tempfile.TemporaryDirectory() as d:
        with open(d + "/t.c", "w") as f:
            f.write("""#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>
int main(int n, char **v)
{
	redisContext *c = redisConnect("127.0.0.1", atoi(v[1]));
	redisReply *r;

	if (n != 2 || !c || c->err)
		return 1;
	r = redisCommand(c, "SET %b %b", "h\\0i", (size_t)3, "x\\r\\ny", (size_t)4);
	if (!r || strcmp(r->str, "OK"))
		return 2;
	for (int i = 0; i < 1000; i++)
		redisAppendCommand(c, "GET %b", "h\\0i", (size_t)3);
	for (int i = 0; i < 1000; i++)
		if (redisGetReply(c, (void **)&r) || r->len != 4 || memcmp(r->str, "x\\r\\ny", 4))
			return 3;
	return 0;
}
""")
        run(*shlex.split(os.environ.get("CC", "cc")), "-o", d + "/t", d + "/t.c", "-lhiredis")
        run(d + "/t", str(port()))


@test
def flask_caching():
    try:
        import flask
        import flask_caching
    except ImportError as e:
        return str(e)
    app = flask.Flask("t")
    cache = flask_caching.Cache(app, config={"CACHE_TYPE": "RedisCache", "CACHE_REDIS_PORT": port(), "CACHE_REDIS_HOST": "127.0.0.1"})
    calls = []

    @app.route("/v1/users/<int:id>")
    @cache.cached(timeout=60)
    def user(id):
        calls.append(id)
        return "user %d" % id

    @cache.memoize(60)
    def twice(x):
        calls.append(x)
        return 2 * x

    with app.test_client() as c:
        for _ in range(3):
            assert c.get("/v1/users/7").data == b"user 7"
    with app.app_context():
        assert [twice(4), twice(4)] == [8, 8]
        assert calls == [7, 4], calls
        cache.set("n", {"a": 1}, timeout=0)
        assert cache.get("n") == {"a": 1} and cache.has("n") and cache.add("m", 1, timeout=5) and not cache.add("m", 2)
        assert cache.set_many({"x": 1, "y": 2}) and cache.get_many("x", "y", "z") == [1, 2, None]
        cache.delete_memoized(twice)
        assert twice(4) == 8 and calls == [7, 4, 4]
        cache.delete("x")
        assert cache.get("x") is None
        cache.clear()
        assert cache.get("y") is None


@test
def django_and_django_redis():
    try:
        import django
        import django_redis
    except ImportError as e:
        return str(e)
    from django.conf import settings

    settings.configure(CACHES={"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": "redis://127.0.0.1:%d/1" % port()}})
    django.setup()
    from django.core.cache import cache

    cache.set("k", [1, 2], 100)
    assert cache.get("k") == [1, 2] and 90 < cache.ttl("k") <= 100
    cache.set_many({"a": 1, "b": 2}, 50)
    assert cache.get_many(["a", "b", "c"]) == {"a": 1, "b": 2}
    assert cache.incr("a", 5) == 6 and cache.persist("b") and cache.add("new", 1) and not cache.add("new", 2)
    assert set(cache.iter_keys("*")) >= {"k", "a", "b"} and cache.delete_pattern("a*") == 1
    with cache.lock("l", timeout=5):
        pass
    cache.clear()
    assert cache.get("k") is None


@test
def dogpile_cache():
    try:
        from dogpile.cache import make_region
    except ImportError as e:
        return str(e)
    region = make_region().configure("dogpile.cache.redis", expiration_time=60, arguments={
        "host": "127.0.0.1", "port": port(), "redis_expiration_time": 120, "distributed_lock": True, "thread_local_lock": False})
    calls = []
    for _ in range(3):
        assert region.get_or_create("dog", lambda: calls.append(1) or "bark") == "bark"
    region.set_multi({"d1": 1, "d2": 2})
    assert region.get_multi(["d1", "d2"]) == [1, 2] and len(calls) == 1
    region.delete("dog")


@test
def redis_cli():
    if not shutil.which("redis-cli"):
        return "no redis-cli"
    cli = ["redis-cli", "-p", str(port())]
    assert run(*cli, "SET", "cli", "a b").strip() == "OK"
    assert run(*cli, "-3", "GET", "cli").strip() == "a b"
    assert "cli" in run(*cli, "--scan", "--pattern", "cl*")
    assert "redis_version" in run(*cli, "INFO")
    run(*cli, "--bigkeys")
    run(*cli, "--memkeys")
    run(*cli, "--hotkeys")
    assert "errors: 0" in run(*cli, "--pipe", input=b"SET p1 v\r\nSET p2 v\r\n")
    assert "PONG" in run(*cli, input=b"PING\nQUIT\n")


@test
def redis_benchmark():
    if not shutil.which("redis-benchmark"):
        return "no redis-benchmark"
    text = run("redis-benchmark", "-p", str(port()), "-t", "ping,set,get,incr,mset", "-n", "2000", "-q", "-P", "4")
    assert "rror" not in text and text.count("requests per second") >= 5, text


NODE = {
    "ioredis": """const R = require('ioredis'); const c = new R(PORT, '127.0.0.1', {db: 1});
(async () => { await c.set('i', 'x', 'EX', 100); if (await c.get('i') !== 'x') throw 1;
 const r = await c.multi().incr('in').incr('in').exec(); if (r[1][1] !== 2) throw 2;
 await c.del('i', 'in'); await c.quit(); console.log('done'); })().catch(e => { console.error(e); process.exit(1); });""",
    "redis": """const {createClient} = require('redis'); const c = createClient({url: 'redis://127.0.0.1:PORT'});
(async () => { await c.connect(); await c.set('r', 'x', {EX: 100}); if (await c.get('r') !== 'x') throw 1;
 const m = await c.multi().incr('rn').incr('rn').exec(); if (m[1] !== 2) throw 2;
 await c.del(['r', 'rn']); await c.quit(); console.log('done'); })().catch(e => { console.error(e); process.exit(1); });""",
}


def node(name):
    where = os.environ.get("RESP_NPM")
    if not shutil.which("node") or not where or not os.path.isdir(os.path.join(where, "node_modules", name)):
        return "no node, or no %s in $RESP_NPM" % name
    assert "done" in run("node", "-e", NODE[name].replace("PORT", str(port())), cwd=where)
    return None


@test
def ioredis():
    return node("ioredis")


@test
def node_redis():
    return node("redis")


try:
    main()
finally:
    if SHARED:
        SHARED.close()
