"""Any checkpoint that maskrt can read, opened as the PyTorch reference."""

from __future__ import annotations

from pathlib import Path

from export.weights import load_checkpoint
from training.eager import EagerSession


def open_reference(path: Path, *, device: str = "cpu") -> EagerSession:
    """The checkpoint at `path` on PyTorch. Raises CheckpointError where it cannot be used."""
    checkpoint = load_checkpoint(path)
    return EagerSession(checkpoint.build(), checkpoint.contract(), name=str(path), device=device)
