"""Sinks of a run of instances, as `maskrt infer` opens them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from maskrt.runtime.outputs.open import Outcome
from maskrt.runtime.outputs.sinks import Sink
from maskrt.runtime.tasks.instances.task import TASK
from maskrt.runtime.tasks.style import Wanted


def open_sinks(
    folder: Path, sources: list[Any], pictures: list[str], *, video: Path | None = None, **wanted: bool
) -> list[Sink]:
    """wanted: `masks` and `contours`."""
    return Outcome(folder, sources, pictures, video, TASK.files(Wanted(**wanted)), TASK.record).open()
