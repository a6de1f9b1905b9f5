"""Any checkpoint that maskrt can read, as its own `Checkpoint`: ours, or a foreign one by its keys."""

from __future__ import annotations

import os
from typing import Any

from maskrt.models.checkpoint import (
    Checkpoint,
    existing_checkpoint,
    file_sha256,
    is_maskrt_checkpoint,
    parse_checkpoint,
    read_weights_file,
)
from maskrt.models.parts.keras_files import read_keras
from maskrt.models.parts.pickles import read_pickle
from maskrt.models.rcnn.matterport.weights import from_matterport, is_matterport
from maskrt.models.rcnn.weights.detectron2 import from_detectron2, is_detectron2
from maskrt.models.rcnn.weights.mmdetection import from_mmdetection, is_mmdetection
from maskrt.models.rcnn.weights.torchvision import from_torchvision, is_torchvision
from maskrt.runtime.errors import CheckpointError

# By name: whether a file's content is of the format, and its reader.
FOREIGN = {
    "a state dict of torchvision's R-CNNs": (is_torchvision, from_torchvision),
    "an R-CNN of Detectron2": (is_detectron2, from_detectron2),
    "an R-CNN of MMDetection": (is_mmdetection, from_mmdetection),
    "a Mask R-CNN of Matterport": (is_matterport, from_matterport),
}


def load_checkpoint(path: str | os.PathLike[str], class_names: list[str] | None = None) -> Checkpoint:
    """Read a checkpoint of maskrt, or one of `FOREIGN`, which are recognised by their keys.

    class_names: for a foreign file whose classes are not COCO's. Raises CheckpointError for anything else,
    and for other names than a file has itself.
    """
    content, sha256 = _read(path)
    if is_maskrt_checkpoint(content):
        checkpoint = parse_checkpoint(content, sha256, str(path))
        own = [c.name for c in checkpoint.classes]
        if class_names not in (None, own):
            raise CheckpointError(
                f"{path}: names its classes itself: {', '.join(own[:5])}{', …' if len(own) > 5 else ''}; "
                f"{', '.join(class_names[:5])} were given. Leave --classes out."
            )
        return checkpoint
    for recognises, read in FOREIGN.values():
        if recognises(content):
            return read(content, class_names=class_names, sha256=sha256, source=str(path))
    raise CheckpointError(
        f"{path}: neither a maskrt checkpoint nor {', nor '.join(FOREIGN)} "
        f"(its first keys: {list(content)[:3]}). Train one: maskrt train --data DATA"
    )


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], str]:
    """The dictionary in a file, and the file's SHA-256."""
    path = existing_checkpoint(path)
    if path.suffix == ".pkl":
        return read_pickle(path), file_sha256(path)
    if path.suffix == ".h5":
        return read_keras(path), file_sha256(path)
    return read_weights_file(path)
