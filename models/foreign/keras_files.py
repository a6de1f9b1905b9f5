"""Reads Keras' `.h5` files of weights: arrays by layer, of `save_weights()` or `save()` of Keras 2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from maskrt.runtime.errors import CheckpointError, MissingDependencyError, first_line
from maskrt.runtime.packages import install


def read_keras(path: Path) -> dict[str, Any]:
    """Read every array of the file, float32, by "layer/weight": "res2a_branch2a/kernel".

    A file has a group a layer, and below it again the layer's name, or, for a model inside the model, those
    of its layers. TensorFlow appends ":0" to a weight's name, and "_1" to a name that was taken. `save()`
    writes the optimizer's arrays beside the weights (`model_weights`); they are left out. Raises
    CheckpointError for a truncated file or another one, MissingDependencyError without h5py.
    """
    try:
        import h5py
    except ImportError as error:
        raise MissingDependencyError(
            f"reading {path} needs the package 'h5py', which is not installed here. "
            f"Install it: {install('keras')}"
        ) from error
    arrays: dict[str, Any] = {}

    def take(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            arrays[_key(name)] = np.asarray(item, np.float32)

    try:
        with h5py.File(path, "r") as file:
            file.get("model_weights", file).visititems(take)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path}: not a readable file of Keras' weights ({path.stat().st_size} bytes; "
            f"{first_line(error)}). Truncated files end like this: download it again."
        ) from error
    return arrays


def _key(name: str) -> str:
    """Normalise a key: "rpn_model/rpn_class_raw_1/bias:0" → "rpn_class_raw/bias"."""
    *groups, weight = name.split("/")
    layer = groups[0] if groups else ""
    if layer.endswith("_model") and len(groups) > 1:
        layer = groups[1].rsplit("_", 1)[0] if groups[1].rsplit("_", 1)[-1].isdigit() else groups[1]
    return f"{layer}/{weight.split(':')[0]}"
