"""NVIDIA's own ONNX parser of TensorRT 8.6.0, made ready for the tests of this folder by one command.

    python -m tests.tensorrt.parsed.prepare --tensorrt CLONE --onnx-tensorrt CLONE

It downloads the wheel of TensorRT 8.6.0 (819 MB, x86-64) with pip, and takes the headers of that very version
from clones of github.com/NVIDIA/TensorRT (tag v8.6.0) and github.com/onnx/onnx-tensorrt (tag release/8.6-EA).
Wheel and headers are NVIDIA's: they stay in the user's cache.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

TENSORRT = "8.6.0"
HEADERS, PARSER_HEADER = "v8.6.0", "release/8.6-EA"
LIBRARIES = ("libnvinfer.so.8", "libnvinfer_plugin.so.8", "libnvonnxparser.so.8")
#: Empty: what libnvinfer_plugin.so.8 is linked against and never calls while a file is parsed; and a library that
#: the parser looks for, and does no more, where a graph has a RoiAlign (the wheel lacks it).
STUBS = ("libcublas.so.12", "libcublasLt.so.12", "libcudnn.so.8", "libnvinfer_vc_plugin.so.8")


@dataclass(frozen=True)
class Environment:
    """Where the libraries and the headers of one TensorRT lie."""

    root: Path
    version: tuple[int, int]
    needed: tuple[str, ...]  # files under `root`, without which it is not whole
    command: str

    @property
    def include(self) -> Path:
        """Headers of TensorRT and of its parser."""
        return self.root / "include"

    @property
    def libraries(self) -> Path:
        """TensorRT's libraries, and stubs of those that they are linked against."""
        return self.root / "lib"

    @property
    def lacks(self) -> str | None:
        """Why it cannot be used, with the command that makes it; None where it can."""
        missing = [name for name in self.needed if not (self.root / name).is_file()]
        return (
            f"there is no {self.root / missing[0]}; make it: {self.command} (docs/tensorrt.md)"
            if missing
            else None
        )


def cached(name: str) -> Path:
    """A folder in the user's cache, whether it is there or not."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "maskrt" / "tests" / name


def lacking_library(library: Path) -> str | None:
    """Why a shared library cannot be loaded here, where one that it is linked against is not found, else None."""
    load = "import ctypes, os, sys; ctypes.CDLL(sys.argv[1], os.RTLD_LAZY)"
    done = subprocess.run([sys.executable, "-c", load, str(library)], capture_output=True, text=True)
    last = (done.stderr.strip().splitlines() or [""])[-1]
    return last.removeprefix("OSError: ") if "cannot open shared object file" in last else None


NVIDIAS = Environment(
    root=cached(f"tensorrt-{TENSORRT}"),
    version=(8, 6),
    needed=("include/NvOnnxParser.h", *(f"lib/{name}" for name in LIBRARIES + STUBS)),
    command="python -m tests.tensorrt.parsed.prepare --tensorrt CLONE --onnx-tensorrt CLONE",
)


def prepare(environment: Environment, tensorrt: Path, onnx_tensorrt: Path) -> None:
    """Fill the environment. tensorrt, onnx_tensorrt: git clones that have the tags."""
    for folder in (environment.include, environment.libraries):
        folder.mkdir(parents=True, exist_ok=True)
    from_git(tensorrt, HEADERS, "include", environment.root)
    from_git(onnx_tensorrt, PARSER_HEADER, "NvOnnxParser.h", environment.include)
    _from_wheel(environment.libraries)
    for stub in STUBS:
        flags = ["-shared", "-fPIC", f"-Wl,-soname,{stub}", "-xc", os.devnull]
        subprocess.run(["gcc", *flags, "-o", str(environment.libraries / stub)], check=True)


def from_git(clone: Path, tag: str, path: str, to: Path) -> None:
    archive = ["git", "-C", str(clone), "archive", tag, path]
    done = subprocess.run(archive, capture_output=True)
    if done.returncode != 0:
        sys.exit(f"{clone}: {path} of {tag} is not there ({done.stderr.decode().strip()})")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        tar.extractall(to, filter="data")


def _from_wheel(to: Path) -> None:
    """Unpack the libraries alone; the wheel itself is not kept."""
    with tempfile.TemporaryDirectory(dir=to) as folder:
        python = ["--python-version", "3.10", "--only-binary=:all:", "--no-deps", "--dest", folder]
        download = [sys.executable, "-m", "pip", "download", *python, f"tensorrt=={TENSORRT}"]
        subprocess.run(download, check=True)
        (wheel,) = Path(folder).glob("tensorrt-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            for library in LIBRARIES:
                with archive.open(f"tensorrt/{library}") as source, (to / library).open("wb") as sink:
                    shutil.copyfileobj(source, sink)


def main() -> None:
    """Prepare it in the user's cache."""
    tensorrt, onnx_tensorrt = clones(__doc__)
    prepare(NVIDIAS, tensorrt, onnx_tensorrt)
    print(NVIDIAS.lacks or f"{NVIDIAS.root}: ready")


def clones(description: str | None) -> tuple[Path, Path]:
    """Those that the command line names."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tensorrt", type=Path, required=True, help="a clone of github.com/NVIDIA/TensorRT")
    parser.add_argument("--onnx-tensorrt", type=Path, required=True, help="of github.com/onnx/onnx-tensorrt")
    arguments = parser.parse_args()
    return arguments.tensorrt, arguments.onnx_tensorrt


if __name__ == "__main__":
    main()
