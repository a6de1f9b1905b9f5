"""Chooses between plugins and function bodies for an engine's custom operators."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from maskrt.export.plugins.build import source_hash
from maskrt.runtime.backends.trt.library import major_minor
from maskrt.runtime.backends.trt.plugins import PYTHON, VARIABLE, Wanted, find_libraries
from maskrt.runtime.errors import ExportError

KINDS = ("auto", "plugin", "body")


@dataclass(frozen=True)
class Operators:
    """The choice. kind: as in EngineHeader; library: of the plugins, None for bodies and Python plugins."""

    kind: str
    library: Path | None
    summary: str  # printed


def check_kind(asked: str) -> None:
    """Raise ExportError for an unknown value of --operators."""
    if asked not in KINDS:
        raise ExportError(f"--operators is {asked!r}, expected one of {', '.join(KINDS)}.")


def choose_operators(asked: str, tensorrt_version: str, folder: Path, compute_capability: str) -> Operators:
    """Choose from what is installed here.

    asked: "plugin" (the library, else the plugins in Python, which TensorRT 8.6 does not know), "body", or
    "auto": the plugins where there is a library, or where MASKRT_PLUGINS=python asks for the others, else the
    bodies. folder: of the engine. compute_capability: of the GPU, "8.7". Raises ExportError,
    PluginError.
    """
    check_kind(asked)
    if asked == "body":
        return Operators("body", None, "function bodies, as asked: slower than the plugins")
    libraries = find_libraries(tensorrt_version, folder, Wanted(source_hash(), compute_capability))
    if libraries:
        return Operators("plugin", libraries[0], f"the plugins of {libraries[0]}")
    has_python = major_minor(tensorrt_version) >= (10, 0)
    wanted = os.environ.get(VARIABLE) == PYTHON
    if has_python and (wanted or asked == "plugin"):
        return Operators("plugin", None, "the plugins in Python, compiled by NVRTC when the engine runs")
    if asked == "plugin" or wanted:
        raise ExportError(
            f"there is no plugin library here for TensorRT {tensorrt_version}, which knows no plugins in "
            "Python. Build it: maskrt build-plugins; or build from the function bodies: --operators body"
        )
    return Operators(
        "body",
        None,
        "function bodies, since there is no plugin library: slower. Build it: maskrt build-plugins",
    )
