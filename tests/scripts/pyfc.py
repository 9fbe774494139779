# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the Python package share: the package from the source tree, libforecache from the build
tree, a Redis server of their own, and the ways to the daemon that can be tested here.

A library built with AddressSanitizer can only be loaded into a Python that has the sanitizer's runtime: then
the test starts itself again with that."""
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

TOP = os.environ.get("top_srcdir", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
BUILD = os.environ.get("top_builddir", TOP)
PACKAGE = os.path.join(TOP, "python")
LIBRARY = os.path.join(BUILD, "client", ".libs", "libforecache.so.0")

sys.dont_write_bytecode = True  # the source tree may be read only
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
sys.path.insert(0, PACKAGE)
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [PACKAGE, os.environ.get("PYTHONPATH")]))
os.environ["FORECACHED_LIBRARY"] = LIBRARY
for name in ("FORECACHED_DIR", "FORECACHED_TRANSPORT", "FORECACHED_RESP"):
    os.environ.pop(name, None)


def runtime_of_sanitizer():
    """Paths of the runtimes that the library wants loaded first."""
    said = subprocess.run(["ldd", LIBRARY], capture_output=True, text=True).stdout
    return re.findall(r"=> (\S*lib(?:clang_rt\.)?(?:a|t)san\S*)", said)


def preload():
    """Starts this program again under the sanitizer's runtime, if the library has one."""
    if os.environ.get("PYFC_PRELOADED"):
        return
    found = runtime_of_sanitizer()
    if found:
        os.environ["PYFC_PRELOADED"] = "1"
        os.environ["LD_PRELOAD"] = ":".join(found)
        # Python itself leaks at its end
        os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
        os.execv(sys.executable, [sys.executable] + sys.argv)


# That of this age does not take the locks of its allocator around fork: where another thread holds one just
# then, as those of libzmq do, the child waits for ever for its first memory.
NO_FORK = "the sanitizer cannot fork a process with threads" if os.environ.get("PYFC_PRELOADED") else None


def without_preload():
    """The environment for programs that are not ours."""
    return {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}


def skip_all(reason):
    print("1..0 # SKIP " + reason)
    sys.exit(0)


def have(module):
    return importlib.util.find_spec(module) is not None


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Redis:
    """redis-server on a port of its own, without files that outlive it."""

    def __init__(self):
        self.base = tempfile.mkdtemp(prefix="pyfc-")
        self.path = os.path.join(self.base, "redis.sock")
        self.port = free_port()
        self.url = "redis://127.0.0.1:%d" % self.port
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--unixsocket", self.path, "--save", "", "--dir", self.base],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=without_preload(),
        )
        end = time.monotonic() + 30
        while not os.path.exists(self.path):
            assert self.process.poll() is None and time.monotonic() < end, "redis-server does not start"
            time.sleep(0.01)

    def stop(self):
        self.process.kill()
        self.process.wait()
        if os.path.exists(self.path):
            os.unlink(self.path)

    def close(self):
        self.stop()
        shutil.rmtree(self.base, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def patiently(ask, deadline_s=30):
    """What ask gives; while the daemon is busy, or there for nobody yet, asks again."""
    import forecached

    end = time.monotonic() + deadline_s
    while True:
        try:
            return ask()
        except (forecached.Busy, forecached.Timeout):
            if time.monotonic() > end:
                raise
            time.sleep(0.01)
        except Exception as e:
            # a worker that says it is ready may not have been heard yet; that answer stands for a second
            if "no loader worker" not in str(e) or time.monotonic() > end:
                raise
            time.sleep(0.1)
