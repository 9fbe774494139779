#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python package as a package: types, wheel and sdist built offline, version, and docs/python.md run from
top to bottom."""
import ast
import glob
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pyfc

pyfc.preload()

from fcd import Daemon, main, test  # noqa: E402

DOC = os.path.join(pyfc.TOP, "docs", "python.md")
# modules that are for one framework alone may import that
NEEDS = {"flask.py": {"flask", "flask_caching", "werkzeug"}, "django.py": {"django"}}
MODULES = sorted(glob.glob(os.path.join(pyfc.PACKAGE, "forecached", "*.py")))


def run(*command, **kw):
    kw.setdefault("env", pyfc.without_preload())
    said = subprocess.run(command, capture_output=True, text=True, timeout=600, **kw)
    assert said.returncode == 0, "%s\n%s%s" % (" ".join(command), said.stdout, said.stderr)
    return said.stdout


def version():
    with open(os.path.join(pyfc.TOP, "configure.ac")) as f:
        return re.search(r"AC_INIT\(\[forecached\], \[([^\]]+)\]", f.read()).group(1)


@test
def mypy_has_nothing_to_say():
    if not pyfc.have("mypy"):
        return "no mypy"
    with tempfile.TemporaryDirectory() as base:
        user = os.path.join(base, "user.py")
        with open(user, "w") as f:
            f.write('''
import forecached
from typing import List

@forecached.cached("/users/{id}", ttl=forecached.ttl)
def user(id: int, page: int = 1) -> List[str]:
    return [str(id)]

@forecached.cached
def plain(a: str) -> int:
    return len(a)

@forecached.cached("/co/{id}")
async def co(id: int) -> bytes:
    return b""

async def use() -> bytes:
    return await co(1)

a: List[str] = user(1, page=2)
b: int = plain("x")
k: str = user.key(7)
f: List[str] = user.refresh(7)
g: bool = user.delete(7)
''')
        bad = os.path.join(base, "bad.py")
        with open(bad, "w") as f:
            f.write('''
import forecached

@forecached.cached("/users/{id}")
def user(id: int) -> str:
    return ""

user("seven")
n: int = user(7)
user.key()
''')
        options = ["--strict", "--python-executable", sys.executable, "--cache-dir", os.path.join(base, "cache")]
        env = dict(pyfc.without_preload(), MYPYPATH=pyfc.PACKAGE)
        # what is not installed here has no types either
        checked = []
        for m in MODULES:
            name = os.path.basename(m)
            if name != "__init__.py" and all(map(pyfc.have, NEEDS.get(name, ()))):
                checked += ["-m", "forecached." + name[:-3]]
        run(sys.executable, "-m", "mypy", *options, *checked, env=env, cwd=base)
        run(sys.executable, "-m", "mypy", *options, user, env=env, cwd=base)
        said = subprocess.run([sys.executable, "-m", "mypy", *options, bad], env=env, cwd=base, capture_output=True, text=True)
        assert said.returncode == 1 and said.stdout.count("error:") == 3, said.stdout


@test
def every_public_name_is_said_to_be_one():
    import forecached

    for name in forecached.__all__:
        assert hasattr(forecached, name), name
    assert forecached.__version__ == version(), forecached.__version__
    assert forecached.__all__ == sorted(forecached.__all__)


@test
def no_module_needs_what_is_not_python():
    """Imports of other packages stand in functions or behind try."""
    known = set(sys.stdlib_module_names)
    for path in MODULES:
        with open(path) as f:
            tree = ast.parse(f.read())
        for node in tree.body:
            names = []
            if isinstance(node, ast.Import):
                names = [a.name for a in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module]
            for n in names:
                top = n.split(".")[0]
                assert top in known | NEEDS.get(os.path.basename(path), set()), "%s imports %s" % (path, n)


@test
def wheel_and_sdist_are_built_offline_and_work():
    for module in ("setuptools", "wheel"):
        if not pyfc.have(module):
            return "no python3-" + module
    env = {k: v for k, v in pyfc.without_preload().items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "PYTHONPATH")}
    run(os.environ.get("MAKE", "make"), "-C", pyfc.BUILD, "python-dist", env=env)
    dist = os.path.join(pyfc.BUILD, "python", "dist")
    wheel = os.path.join(dist, "forecached-%s-py3-none-any.whl" % version())
    sdist = os.path.join(dist, "forecached-%s.tar.gz" % version())
    assert sorted(os.listdir(dist)) == sorted([os.path.basename(wheel), os.path.basename(sdist)])
    modules = {"forecached/" + os.path.basename(m) for m in MODULES} | {"forecached/py.typed", "forecached/_version.py"}
    with tempfile.TemporaryDirectory() as base:
        site = os.path.join(base, "site")
        with zipfile.ZipFile(wheel) as z:
            names = z.namelist()
            z.extractall(site)
        assert {n for n in names if n.startswith("forecached/")} == modules, names
        meta = open(os.path.join(site, "forecached-%s.dist-info" % version(), "METADATA")).read()
        assert "\nLicense: MIT\n" in meta and "Requires-Python: >=3.10" in meta and "Requires-Dist" in meta
        assert not re.search(r"^Requires-Dist: (?!.*extra ==)", meta, re.M), "nothing may be needed unconditionally"
        env["PYTHONPATH"] = site
        say = "import forecached, sys; print(forecached.__version__, forecached.__file__)"
        said = run(sys.executable, "-c", say, env=env, cwd=base).split()
        assert said[0] == version() and said[1].startswith(site), said
        assert "--concurrency" in run(sys.executable, "-m", "forecached.worker", "--help", env=env, cwd=base)
        # a wheel made from the sdist alone is the same
        with tarfile.open(sdist) as t:
            t.extractall(base)
        del env["PYTHONPATH"]
        again = "import setuptools.build_meta as b; print(b.build_wheel(%r))" % base
        run(sys.executable, "-c", again, env=env, cwd=os.path.join(base, "forecached-" + version()))
        with zipfile.ZipFile(os.path.join(base, os.path.basename(wheel))) as z:
            assert sorted(z.namelist()) == sorted(names)


@test
def the_documentation_runs_from_top_to_bottom():
    with open(DOC, encoding="utf-8") as f:
        text = f.read()
    blocks = list(re.finditer(r"^```python\n(.*?)^```$", text, re.M | re.S))
    assert len(blocks) >= 8, "docs/python.md has lost its examples"
    with Daemon() as d:
        os.environ["FORECACHED_DIR"] = d.dir
        names = {"__name__": "docs_python"}
        for b in blocks:
            # lines count as in the page
            code = "\n" * text.count("\n", 0, b.start(1)) + b.group(1)
            exec(compile(code, DOC, "exec"), names)
        names["client"].close()
        import forecached

        forecached.configure()
        # what the page says of names is true
        for name in re.findall(r"`(\w+)\(", text.split("### Loading")[0]):
            assert name in ("Client", "loader") or hasattr(forecached.Client, name), name


@test
def the_benchmark_runs():
    if not shutil.which("redis-server"):
        return "no redis-server"
    if pyfc.runtime_of_sanitizer():
        return "a sanitizer's times say nothing"
    said = run(sys.executable, os.path.join(pyfc.TOP, "bench", "python_get.py"), "--build", pyfc.BUILD, "--rounds", "1",
               env=dict(os.environ))
    assert "shared memory" in said


if not os.path.exists(pyfc.LIBRARY):
    pyfc.skip_all("libforecache is not built as a shared library")
main()
