"""The compiled bridge (parse.cpp) as Python calls it; nothing is imported here that takes long."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

#: A request in JSON, and the address at which its answer is expected.
ASK = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_void_p)


def open_bridge(library: Path) -> ctypes.CDLL:
    """The bridge with NVIDIA's libraries; lazily, since the stubs that these are linked against are empty."""
    bridge = ctypes.CDLL(str(library), os.RTLD_LAZY)
    bridge.maskrt_parse.restype = bridge.maskrt_load_library.restype = ctypes.c_bool
    return bridge


def loads(library: Path, plugins: str) -> bool:
    """Whether the real registry loads the plugin library of this name."""
    return open_bridge(library).maskrt_load_library(plugins.encode())


if __name__ == "__main__":
    print(loads(Path(sys.argv[1]), sys.argv[2]))
