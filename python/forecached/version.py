# SPDX-License-Identifier: MIT
"""The version, which configure.ac says: built packages carry it in _version.py."""
from __future__ import annotations

import importlib
import os
import re


def _find() -> str:
    try:
        return str(importlib.import_module("._version", __package__).version)
    except ImportError:
        pass
    top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    try:
        with open(os.path.join(top, "configure.ac"), encoding="utf-8") as f:
            found = re.search(r"AC_INIT\(\[forecached\], \[([^\]]+)\]", f.read())
    except OSError:
        found = None
    return found.group(1) if found else "0+unknown"


__version__ = _find()
