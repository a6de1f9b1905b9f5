"""Reads Detectron2's model-zoo files: pickles of arrays, without running code that a pickle may name."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from maskrt.runtime.errors import CheckpointError

# What numpy's arrays and numbers are pickled as, by numpy 1 and 2 and by Python 2.
_NUMPY = ("numpy.core.multiarray", "numpy._core.multiarray")
_REBUILD = np.zeros(()).__reduce__()[0]
_SCALAR = np.float32(0).__reduce__()[0]
_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): dict,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): lambda text, _: text.encode("latin1"),
    **{(module, "_reconstruct"): _REBUILD for module in _NUMPY},
    **{(module, "scalar"): _SCALAR for module in _NUMPY},
}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None


def read_pickle(path: Path) -> dict[str, Any]:
    """Read a pickle of plain values and numpy arrays in a dictionary.

    Raises CheckpointError where it is none, or names anything else: that could run code.
    """
    try:
        with path.open("rb") as stream:
            content = _ArraysOnly(stream, encoding="latin1").load()
    except Exception as error:  # the unpickler raises nearly anything on bytes that are no pickle
        raise CheckpointError(
            f"{path}: not a pickle of numpy arrays ({path.stat().st_size} bytes; {error}). Only plain values "
            "and arrays are read, since any other pickle can run code. Truncated files end like this too: "
            "download it again."
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}, expected a dictionary of weights.")
    return content
