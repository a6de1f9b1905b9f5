"""Finds where a run stopped, and checks that it is the same run."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskrt.models.checkpoint import read_weights_file
from maskrt.runtime.errors import CheckpointError
from maskrt.training.config import TrainConfig
from maskrt.training.loop.saving import RECORD

# May change from one part of a run to the next: they alter what is to come, or nothing.
FREE = ("epochs", "workers", "logger", "save_every_iterations", "best")


@dataclass(frozen=True)
class Position:
    """Number of epochs done, and of batches that each process has done in the next."""

    epoch: int = 0
    batches_done: int = 0


def find_position(output: Path, expected: dict[str, Any], config: TrainConfig) -> Position:
    """Find where the run in `output` stopped. expected: this run's `saving.record`.

    Raises CheckpointError unless it is a run of this model, data and settings with steps left to do.
    """
    last = output / "last.ckpt"
    if not last.is_file():
        raise CheckpointError(f"{last}: nothing to resume from. Start afresh: leave out --resume.")
    content, _ = read_weights_file(last)
    recorded = content.get(RECORD)
    if not isinstance(recorded, dict):
        raise CheckpointError(f"{last}: written by another maskrt. Start afresh in another folder: -o FOLDER")
    if differs := _difference(recorded, expected):
        raise CheckpointError(
            f"{last}: a run with other {differs}. Repeat its command as it was, or start afresh in another "
            "folder: -o FOLDER"
        )
    step = config.batch * config.devices * config.nodes
    batches = expected["images"] // step or math.ceil(expected["images"] / config.batch)
    epoch, iterations = divmod(content["global_step"], math.ceil(batches / config.accumulate))
    if epoch >= config.epochs:
        raise CheckpointError(f"{last}: already at epoch {epoch} of {config.epochs}. For more: --epochs")
    return Position(epoch, iterations * config.accumulate)


def _difference(recorded: dict[str, Any], expected: dict[str, Any]) -> str:
    """Describe the differences of two records; empty where they are equal."""
    for key, words in (
        ("classes", "classes"),
        ("model", "model settings"),
        ("images", "images"),
        ("qat", "precision"),
    ):
        if _plain(recorded[key]) != _plain(expected[key]):
            return words
    was, now = recorded["run"], expected["run"]
    was = _plain(dataclasses.asdict(TrainConfig())) | was  # of an earlier version's run, what it had not
    changed = [name for name in now if name not in FREE and _plain(was[name]) != _plain(now[name])]
    return f"settings ({', '.join(f'{name} was {was.get(name)}' for name in changed)})" if changed else ""


def _plain(value: Any) -> Any:
    """Convert tuples to lists, as writing and reading a record does."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value
