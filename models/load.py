"""Any checkpoint that maskrt can read, as its own `Checkpoint`: ours, or a foreign one by its keys."""

from __future__ import annotations

import os
from typing import Any

from maskrt.models import all_families
from maskrt.models.checkpoint import (
    Checkpoint,
    existing_checkpoint,
    file_sha256,
    is_maskrt_checkpoint,
    parse_checkpoint,
    read_weights_file,
)
from maskrt.models.foreign.keras_files import read_keras
from maskrt.models.foreign.pickles import read_pickle
from maskrt.runtime.errors import CheckpointError


def load_checkpoint(path: str | os.PathLike[str], class_names: list[str] | None = None) -> Checkpoint:
    """Read a checkpoint of maskrt, or another project's that a family recognises by its keys.

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
    readers = dict.fromkeys(reader for family in all_families() for reader in family.readers)
    for reader in readers:
        if reader.recognises(content):
            return reader.read(content, class_names=class_names, sha256=sha256, source=str(path))
    raise CheckpointError(
        f"{path}: neither a maskrt checkpoint nor {', nor '.join(reader.title for reader in readers)} "
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
