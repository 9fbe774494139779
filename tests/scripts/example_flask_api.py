#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""examples/flask-api: its load script, for some seconds with each kind of cache. All of them answer all requests,
and what it prints of them fits together."""
import json
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pyfc

if pyfc.runtime_of_sanitizer():
    pyfc.skip_all("the load script loads libforecache without the sanitizer's runtime")
for module in ("flask", "flask_caching", "sqlalchemy", "redis"):
    if not pyfc.have(module):
        pyfc.skip_all("no python3-" + module.replace("_", "-"))
if not os.path.exists(pyfc.LIBRARY):
    pyfc.skip_all("libforecache is not built as a shared library")

from fcd import main, test  # noqa: E402

LOAD = os.path.join(pyfc.TOP, "examples", "flask-api", "load.py")
KINDS = ["simple", "redis", "plain", "forecached"]


@test
def each_kind_answers_the_same_requests():
    kinds = [k for k in KINDS if k != "redis" or shutil.which("redis-server")]
    command = [sys.executable, LOAD, "--build", os.path.abspath(pyfc.BUILD), "--hours", "0.06", "--users", "20",
               "--median", "600", "--json"]
    for kind in kinds:
        command += ["--kind", kind]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=150)
    assert said.returncode == 0, said.stdout
    rows = json.loads(said.stdout.splitlines()[-1])
    assert [r["kind"] for r in rows] == kinds, rows
    for r in rows:
        print("# %(kind)s: %(requests)d requests, %(hits)d hits, %(queries)d queries, %(stale)d stale" % r)
        assert r["requests"] == rows[0]["requests"] > 100, rows
        assert 0 < r["hits"] < r["requests"] and 0 <= r["stale"] < r["requests"] / 2, r
        # a request that is no hit has asked the database, and so has a refresh
        assert r["queries"] >= r["requests"] - r["hits"], r
    by = {r["kind"]: r for r in rows}
    # these three keep what the app says, for as long as it says
    for kind in set(kinds) - {"forecached"}:
        assert abs(by[kind]["hits"] - by["plain"]["hits"]) < 0.15 * rows[0]["requests"], rows


main()
