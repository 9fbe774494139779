# SPDX-License-Identifier: MIT
"""The version stands in ../configure.ac; sdist and wheel carry it in forecached/_version.py."""
import os
import re

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

HERE = os.path.dirname(os.path.abspath(__file__))
PLACES = (
    ("forecached/_version.py", r'version = "([^"]+)"'),
    ("../configure.ac", r"AC_INIT\(\[forecached\], \[([^\]]+)\]"),
)


def find_version():
    for path, pattern in PLACES:
        try:
            with open(os.path.join(HERE, path), encoding="utf-8") as f:
                found = re.search(pattern, f.read())
        except OSError:
            continue
        if found:
            return found.group(1)
    raise SystemExit("setup.py: neither forecached/_version.py nor ../configure.ac says the version")


def write_version(package):
    with open(os.path.join(package, "_version.py"), "w", encoding="utf-8") as f:
        f.write('# SPDX-License-Identifier: MIT\nversion = "%s"\n' % find_version())


class BuildPy(build_py):
    def run(self):
        super().run()
        write_version(os.path.join(self.build_lib, "forecached"))


class Sdist(sdist):
    def make_release_tree(self, base_dir, files):
        super().make_release_tree(base_dir, files)
        write_version(os.path.join(base_dir, "forecached"))


setup(version=find_version(), cmdclass={"build_py": BuildPy, "sdist": Sdist})
