"""Any checkpoint that maskrt can read, opened as the PyTorch reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from maskrt.models.load import load_checkpoint
from maskrt.runtime.backends.session import Session
from maskrt.runtime.errors import ModelError


def open_reference(
    path: Path,
    *,
    device: str = "cpu",
    class_names: list[str] | None = None,
    settings: Mapping[str, Any] | Sequence[str] | None = None,
) -> Session:
    """The checkpoint at `path` on PyTorch; class_names serve one without names of its own.

    settings: of the model, in place of the checkpoint's own; see `Checkpoint.with_settings`. Raises
    CheckpointError where it cannot be used, ModelError for a device that is not there.
    """
    if device not in ("cpu", "cuda"):
        raise ModelError(f"{path}: device {device!r}, expected 'cpu' or 'cuda'.")
    if device == "cuda" and not torch.cuda.is_available():
        raise ModelError(f"{path}: --device cuda, but PyTorch finds no CUDA GPU here. See: maskrt doctor")
    checkpoint = load_checkpoint(path, class_names).with_settings(settings or {}, f"{path}: settings")
    return checkpoint.family.reference(
        checkpoint.build(), checkpoint.contract(), name=str(path), device=device
    )
