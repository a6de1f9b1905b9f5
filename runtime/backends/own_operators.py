"""Gives ONNX Runtime its own DeformConv in place of our operator's body, where it has a kernel for it.

A file has the operator with its body, which every ONNX Runtime runs. The kernel computes the same, somewhat
faster. Which installation has one, a trial alone can tell: `load_onnx` makes it.
"""

from __future__ import annotations

from pathlib import Path

from maskrt.runtime.backends.onnx_weights import function_names, functions_of
from maskrt.runtime.errors import MissingDependencyError
from maskrt.runtime.siblings import read_native

OURS = "DeformConv"


def own_form(model: str | bytes) -> bytes | None:
    """A file, or a file's bytes, with ONNX Runtime's own operator; None where there is nothing to replace.

    Without the package onnx, which rewrites it, the file serves as it is.
    """
    if isinstance(model, str) and (not Path(model).is_file() or not Path(model).stat().st_size):
        return None  # what is wrong with it ONNX Runtime says
    names = functions_of(memoryview(model)) if isinstance(model, bytes) else function_names(model)
    if OURS not in names:
        return None
    try:
        return read_native(model)
    except MissingDependencyError:
        return None
