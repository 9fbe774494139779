#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/adopt.md, done as it says: its files are written and its commands run, from top to bottom, in one shell
and one empty directory. All must succeed. Only the ports are others, since tests run side by side.

A block of "output" must be found in what the commands before it said: a line that is a number alone, exactly;
in other lines numbers may be others."""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pyfc

if pyfc.runtime_of_sanitizer():
    pyfc.skip_all("commands of the page load libforecache into programs without the sanitizer's runtime")
for module in ("flask", "flask_caching", "sqlalchemy", "redis"):
    if not pyfc.have(module):
        pyfc.skip_all("no python3-" + module.replace("_", "-"))
for program, package in (("flask", "python3-flask"), ("redis-cli", "redis-tools"), ("curl", "curl"), ("bash", "bash")):
    if not shutil.which(program):
        pyfc.skip_all("no %s: %s is not installed" % (program, package))
if not os.path.exists(pyfc.LIBRARY):
    pyfc.skip_all("libforecache is not built as a shared library")

PAGE = os.path.join(pyfc.TOP, "docs", "adopt.md")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
PORTS = {"6390": pyfc.free_port(), "6391": pyfc.free_port(), "5000": pyfc.free_port(), "6379": pyfc.free_port()}
DEADLINE_S = 150
MARK = "@@ block %d"


def blocks(text):
    """[(kind, name of the file or None, body)]."""
    found = []
    for m in BLOCK.finditer(text):
        named = re.findall(r"`([\w.]+\.(?:py|conf))`", text[: m.start()].rsplit("```", 1)[-1])
        found.append((m[1], named[-1] if named else None, m[2]))
    return found


def script(found):
    """Ends with the number of the first block that fails."""
    out = ["trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT"]
    for n, (kind, name, body) in enumerate(found):
        if kind in ("python", "json"):
            out.append("cat >%s <<'END_OF_FILE'\n%sEND_OF_FILE" % (name, body))
        elif kind == "sh":
            # a program that was told to end does not end with 0
            body = re.sub(r"^(.*\bwait %.*)$", r"\1 || :", body, flags=re.M)
            out.append("echo; echo '%s'\nset -e\n%sset +e" % (MARK % n, body))
    return "\n".join(out) + "\necho '%s'\n" % (MARK % len(found))


def pattern(line):
    if line.isdigit():
        return "^%s$" % line
    return "^" + re.sub(r"\\?\s+", r"\\s+", re.sub(r"\d+", r"\\d+", re.escape(line))) + r"\s*$"


def main():
    with open(PAGE) as f:
        text = f.read()
    found = blocks(text)
    for port, other in PORTS.items():
        found = [(kind, name, re.sub(r"\b%s\b" % port, str(other), body)) for kind, name, body in found]
    tests, failed = [], []

    def ok(good, what, why=""):
        tests.append(what)
        if not good:
            failed.append(what)
        print("%sok %d - %s" % ("" if good else "not ", len(tests), what), flush=True)
        if not good:
            print("# " + str(why).replace("\n", "\n# "), flush=True)

    base = tempfile.mkdtemp(prefix="adopt-")
    run = os.path.join(base, "run")
    os.mkdir(run, 0o700)
    here = os.path.join(base, "here")
    os.mkdir(here)
    env = dict(os.environ, XDG_RUNTIME_DIR=run)
    programs = [os.path.join(os.path.abspath(pyfc.BUILD), d) for d in ("daemon", "cli")]
    env["PATH"] = os.pathsep.join(programs + ["/usr/bin", env.get("PATH", "")])
    env["PYTHONPATH"] = os.path.abspath(pyfc.PACKAGE)
    env["FORECACHED_LIBRARY"] = os.path.abspath(pyfc.LIBRARY)
    shell = subprocess.Popen(["bash", "-c", script(found)], cwd=here, env=env, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        said, _ = shell.communicate(timeout=DEADLINE_S)
    except subprocess.TimeoutExpired:
        os.killpg(shell.pid, signal.SIGKILL)
        said, _ = shell.communicate()
    said = said.decode(errors="replace")
    parts = re.split(r"^@@ block (\d+)$", said, flags=re.M)
    output = {int(n): text for n, text in zip(parts[1::2], parts[2::2])}
    last = max(output, default=-1)
    for n, (kind, name, body) in enumerate(found):
        if kind == "sh":
            ok(n < last, "runs: " + body.splitlines()[0], output.get(n, "it was not come to") + "\n" + logs(here))
        elif kind == "output":
            lines = output.get(n - 1, "").splitlines()
            missing = [x for x in body.splitlines() if not any(re.match(pattern(x), y) for y in lines)]
            ok(not missing, "says: " + body.splitlines()[0], "%s\nnot in:\n%s" % (missing, output.get(n - 1)))
    for what, good in claims(here, said):
        ok(good, what, said + "\n" + logs(here))
    shutil.rmtree(base, ignore_errors=True)
    print("1..%d" % len(tests))
    sys.exit(1 if failed else 0)


def logs(here):
    out = []
    for name in ("app.log", "worker.log"):
        try:
            with open(os.path.join(here, name), errors="replace") as f:
                out.append("%s:\n%s" % (name, f.read()[-3000:]))
        except OSError:
            pass
    return "\n".join(out)


def claims(here, said):
    """What the page says of its commands."""
    try:
        with open(os.path.join(here, "app.log"), errors="replace") as f:
            app = f.read()
        with open(os.path.join(here, "worker.log"), errors="replace") as f:
            worker = f.read()
    except OSError:
        return
    yield "user 1 was made once, by the app", app.count("database for user 1") == 1
    yield "the first get after its end gives nothing, the second the old one", re.search(r'^\(nil\)\n"!', said, re.M)
    yield "user 2 was made once, although asked for twice", app.count("database for user 2") == 1
    yield "user 3 was made by the app, and after its change by the worker", (
        app.count("database for user 3") == 1 and worker.count("database for user 3") >= 1)


main()
