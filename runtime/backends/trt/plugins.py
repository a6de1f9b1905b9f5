"""The plugins that an engine needs: which library is looked for where, and loading it into TensorRT.

The library is $MASKRT_PLUGINS, or lies beside the engine, or where `maskrt build-plugins` puts it. There may
be several builds, and an engine takes the one that it was built with: a plan holds what a plugin wrote into
it, which another build may read otherwise. MASKRT_PLUGINS=python asks for the plugins in Python.

All paths are absolute: the linker takes a name without a slash for one to look up in its own folders, and
finds none of ours there (dlopen(3)).
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskrt.runtime.backends.trt.library import (
    TensorRtError,
    clear_errors,
    import_tensorrt,
    major_minor,
    reported_errors,
)
from maskrt.runtime.commands.cli import say
from maskrt.runtime.errors import MaskrtError
from maskrt.runtime.siblings import load_python_plugins, take_python_plugin_error

LIBRARY = "libmaskrt_plugins.so"
VARIABLE = "MASKRT_PLUGINS"
PYTHON = "python"  # the value of the variable that asks for the plugins in Python
# A build's folder in the cache, as maskrt.export.plugins.build.library_path names it.
BUILD = re.compile(r"(?P<source>\w+)-trt(?P<major>\d+)\.[\d.]+-sm(?P<archs>\d+(_\d+)*)-(?P<machine>\w+)")
SHORT, SHOWN = 12, 2  # in a message: digits of a hash, and libraries

_loading = threading.Lock()
_loaded: dict[str, Any] = {}  # SHA-256, or PYTHON: what keeps it loaded


class PluginError(MaskrtError):
    """The plugins that an engine needs are not here, or are another build."""


@dataclass(frozen=True)
class Wanted:
    """What a new engine asks of a library: kernels of this maskrt's source, for this GPU."""

    source: str  # its hash, as maskrt.export.plugins.build.source_hash gives it
    compute_capability: str  # "8.7"

    def is_met_by(self, build: re.Match[str]) -> bool:
        """True if a build of the cache, matched by BUILD, runs on the GPU.

        Of the architectures that it was built for, the last is in it as PTX too, which newer GPUs take.
        """
        if not self.source.startswith(build["source"]):
            return False
        here, built = int(self.compute_capability.replace(".", "")), build["archs"].split("_")
        return str(here) in built or int(built[-1]) <= here


def find_libraries(
    tensorrt_version: str, folder: Path | None = None, wanted: Wanted | None = None
) -> list[Path]:
    """Plugin libraries for this TensorRT and processor, absolute: the nearest first, then the newest.

    folder: where the engine lies. wanted: to build an engine with; of the cache's builds those alone that
    meet it. $MASKRT_PLUGINS alone, if it names a file. Raises PluginError if it names none.
    """
    if named := os.environ.get(VARIABLE, ""):
        if named == PYTHON:
            return []
        if not Path(named).is_file():
            raise PluginError(f"{VARIABLE}={named}: no such file. Build the library: maskrt build-plugins")
        return [Path(named).absolute()]
    beside = [folder.absolute() / LIBRARY] if folder is not None and (folder / LIBRARY).is_file() else []
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute()
    major, _ = major_minor(tensorrt_version)  # the plugins' interface changes with it alone
    built = [
        path
        for path in (cache / "maskrt" / "plugins").glob(f"*/{LIBRARY}")
        if (build := BUILD.fullmatch(path.parent.name))
        and (build["major"], build["machine"]) == (str(major), platform.machine())
        and (wanted is None or wanted.is_met_by(build))
    ]
    return beside + sorted(built, key=lambda path: path.stat().st_mtime, reverse=True)


@functools.lru_cache(maxsize=64)
def _hash_at(path: Path, _modified_ns: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def library_sha256(path: Path) -> str:
    """SHA-256 of a plugin library."""
    return _hash_at(path, path.stat().st_mtime_ns)


def choose_library(sha256: str, libraries: list[Path], engine: str) -> Path | None:
    """The library of this hash; None where there is none of any hash, else PluginError names both sides."""
    for path in libraries:
        if library_sha256(path) == sha256:
            return path
    if not libraries:
        return None
    here = ", ".join(f"{path} ({library_sha256(path)[:SHORT]})" for path in libraries[:SHOWN])
    here += f" and {len(libraries) - SHOWN} more" if len(libraries) > SHOWN else ""
    raise PluginError(
        f"{engine}: built with the plugin library {sha256[:SHORT]}, but here is {here}. Bring that library "
        f"along ({VARIABLE}=FILE, or beside the engine), or build the engine here: maskrt build MODEL.onnx "
        f"-o {engine}"
    )


def load_library(path: Path) -> None:
    """Load a plugin library into TensorRT's registry, once a process. Raises PluginError, TensorRtError."""
    trt = import_tensorrt()
    path = path.absolute()
    sha256 = library_sha256(path)
    with _loading:
        if _is_loaded(sha256, str(path)):
            return
        try:
            ctypes.CDLL(str(path))  # TensorRT does not say why it could not load a library; the linker does
        except OSError as error:
            raise PluginError(
                f"{path}: cannot be loaded ({error}). Build it on this machine: maskrt build-plugins"
            ) from error
        clear_errors()
        handle = trt.get_plugin_registry().load_library(str(path))
        if handle is None:
            raise TensorRtError(
                f"{path}: TensorRT {trt.__version__} does not take this plugin library; "
                f"{reported_errors()}. Build it for this TensorRT: maskrt build-plugins"
            )
        _loaded[sha256] = handle


def load_python() -> None:
    """Register the plugins in Python (TensorRT 10 and later), once a process. Raises PluginError."""
    with _loading:
        if not _is_loaded(PYTHON, "the plugins in Python"):
            load_python_plugins()
            _loaded[PYTHON] = True


def _is_loaded(key: str, name: str) -> bool:
    others = [other for other in _loaded if other != key]
    if others:
        raise PluginError(
            f"{name}: this process runs another build of the plugins already ({others[0][:SHORT]}), and they "
            "bear the same names. Run the two engines in two processes, or build them with the same plugins."
        )
    return key in _loaded


def load_for_engine(sha256: str | None, engine: Path) -> str:
    """Load what an engine needs that holds our plugins without embedding them; gives its name for messages.

    sha256: of the library that it was built with, None for the plugins in Python, which also stand in where
    there is no library at all (TensorRT 10 and later). Raises PluginError.
    """
    trt = import_tensorrt()
    libraries = find_libraries(trt.__version__, engine.parent)
    library = choose_library(sha256, libraries, str(engine)) if sha256 else None
    if library is not None:
        load_library(library)
        return str(library)
    if major_minor(trt.__version__)[0] < 10:
        raise PluginError(
            f"{engine}: needs a plugin library, and there is none here. Set {VARIABLE}=FILE, or build it and "
            f"then the engine: maskrt build-plugins, maskrt build MODEL.onnx -o {engine}"
        )
    if sha256 and os.environ.get(VARIABLE) != PYTHON:
        say(f"{engine}: no plugin library here, using the plugins in Python; a library: maskrt build-plugins")
    load_python()
    return "the plugins in Python"


def take_python_error() -> Exception | None:
    """What a plugin in Python raised last on this thread, where they are in use; asking clears it."""
    return take_python_plugin_error() if PYTHON in _loaded else None
