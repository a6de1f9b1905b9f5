"""Training runs of a few steps on small canvases, by the command."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

from maskrt.models.checkpoint import Checkpoint, parse_checkpoint, read_weights_file
from maskrt.training import train as train_module

SETTINGS = (
    "min_size_px=64",
    "max_size_px=80",
    "fpn_channels=8",
    "box_samples=16",
    "mask_convs=16",
    "rpn_samples=16",
    "rpn_post_nms_train=50",
    "rpn_post_nms_test=50",
    "precision=32-true",
)


def setting(*pairs: str) -> list[str]:
    """--set for each KEY=VALUE."""
    return [word for pair in pairs for word in ("--set", pair)]


TINY = setting(*SETTINGS)


def run(*arguments: str) -> int:
    """The exit code of `maskrt train` with these."""
    with pytest.raises(SystemExit) as stopped:
        train_module.main([*arguments])
    return int(stopped.value.code or 0)


def read(path: Path) -> Checkpoint:
    """One of maskrt's checkpoints."""
    return parse_checkpoint(*read_weights_file(path), str(path))


def weights(path: Path) -> dict[str, torch.Tensor]:
    """Its weights."""
    return read(path).state_dict


def logged(output: Path, name: str) -> list[float]:
    """The values of a column of the run's log."""
    with (output / "csv-01" / "metrics.csv").open(newline="") as stream:
        return [float(row[name]) for row in csv.DictReader(stream) if row.get(name)]
