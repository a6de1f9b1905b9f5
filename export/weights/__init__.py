"""Any checkpoint that maskrt can read, as its own `Checkpoint`: ours, or a foreign one by its keys."""

from __future__ import annotations

import os

from export.weights.torchvision_maskrcnn import from_torchvision, is_torchvision
from runtime.errors import CheckpointError
from training.checkpoint import Checkpoint, is_maskrt_checkpoint, parse_checkpoint, read_weights_file


def load_checkpoint(path: str | os.PathLike[str], class_names: list[str] | None = None) -> Checkpoint:
    """Read a checkpoint of maskrt or a bare state dict of torchvision's Mask R-CNN.

    class_names: for a foreign file whose classes are not COCO's. Raises CheckpointError for anything else.
    """
    content, sha256 = read_weights_file(path)
    if is_maskrt_checkpoint(content):
        return parse_checkpoint(content, sha256, str(path))
    if is_torchvision(content):
        return from_torchvision(content, class_names=class_names, sha256=sha256, source=str(path))
    raise CheckpointError(
        f"{path}: neither a maskrt checkpoint nor a state dict of torchvision's Mask or Faster R-CNN "
        f"(its first keys: {list(content)[:3]}). Train one: maskrt train --data DATA"
    )
