"""The .cu files themselves on a CPU: what emulated/ builds, as kernels over numpy arrays."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.export.plugins.kernels import PLUGINS, Kernels

SOURCE = Path(__file__).parent / "emulated" / "emulated.cpp"
FLAGS = (
    "-std=c++20", "-O1", "-ffp-contract=off", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror",
    "-shared", "-fPIC", "-pthread", f"-I{SOURCE.parent}", f"-I{PLUGINS}",
)  # fmt: skip


def build_emulation(folder: Path, *flags: str) -> Path:
    """The library that runs the .cu files, compiled anew; a skip where there is no g++ for it."""
    probe = "#include <barrier>\n_Float16 half = 1;"
    takes = ["g++", "-std=c++20", "-fsyntax-only", "-x", "c++", "-"]
    if (
        shutil.which("g++") is None
        or subprocess.run(takes, input=probe.encode(), capture_output=True).returncode
    ):
        pytest.skip("the emulation needs g++ with std::barrier and _Float16: 12 or later")
    library = folder / "libemulated.so"
    subprocess.run(["g++", *FLAGS, *flags, str(SOURCE), "-o", str(library)], check=True)
    return library


class Stream(ctypes.Structure):
    """emulated.cpp: EmulatedStream."""

    _fields_ = [
        ("part", ctypes.c_int),
        ("parts", ctypes.c_int),
        ("all_parts", ctypes.c_void_p),
        ("late", ctypes.c_int),
        ("dropped", ctypes.c_int),
        ("call", ctypes.c_void_p),
    ]


class EmulatedKernels(Kernels):
    """As many multiprocessors as `parts`; `late` and `dropped`: a thread and a barrier of every block, or -1."""

    def __init__(self, library: Path, parts: int = 2, late: int = -1, dropped: int = -1) -> None:
        self.late, self.dropped = late, dropped
        folder = Path(tempfile.mkdtemp(dir=library.parent))  # a library in use must not be written to
        copies = [folder / f"part{part}.so" for part in range(parts)]
        self.parts = [ctypes.CDLL(str(shutil.copyfile(library, copy))) for copy in copies]
        self.parts[0].emulated_barrier.restype = ctypes.c_void_p
        self.barrier = self.parts[0].emulated_barrier(parts)

    def launch_roi_align(self, params, storage, maximum, backwards):
        self._launch(
            lambda part, stream: part.emulated_roi_align(ctypes.byref(params), int(storage), maximum, stream)
        )

    def launch_grouped_nms(self, params, backwards):
        self._launch(lambda part, stream: part.emulated_grouped_nms(ctypes.byref(params), stream))

    def launch_deform_conv(self, params, storage, backwards):
        self._launch(
            lambda part, stream: part.emulated_deform_conv(ctypes.byref(params), int(storage), stream)
        )

    def _launch(self, launch: Callable[[ctypes.CDLL, Stream], int]) -> None:
        count = len(self.parts)
        streams = [Stream(i, count, self.barrier, self.late, self.dropped) for i in range(count)]
        with ThreadPoolExecutor(count) as pool:
            assert set(pool.map(launch, self.parts, streams)) == {0}
