"""How many images are enough: how far the ranges still move when the number of images doubles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from maskrt.calibration.measure.observers import Observer, percentile

FIRST = 4  # images, after which the ranges are noted for the first time
MOST = 0.95  # of the tensors are to have settled
# Of a range. One that is so much too wide has steps as much larger, which is 2 dB; one that is too narrow
# clips what an image in many has. Calibrated on 50 droplets (4.5% from 16 images to 32), on 40 drawn scenes
# (6.8%) and on CamVid's 123 pictures (18.9%) models lost nothing.
SETTLED = 0.25


@dataclass(frozen=True)
class Step:
    """After `images` images: 95% of the tensors' ranges moved by no more than `moved` since half as many."""

    images: int
    moved: float

    def __str__(self) -> str:
        return (
            f"ranges after {self.images} images: {MOST:.0%} of the tensors moved by at most "
            f"{self.moved:.1%} since {self.images // 2}"
        )


@dataclass
class Convergence:
    """The steps so far; `look` after every image. thresholds: at the last number of images that was noted."""

    steps: list[Step] = field(default_factory=list)
    thresholds: dict[str, float] = field(default_factory=dict)

    def look(self, images: int, observers: Mapping[str, Observer]) -> Step | None:
        """Note the ranges where the number of images has doubled. Returns the step, None of all others."""
        if images < FIRST or images & (images - 1):
            return None
        now = {name: percentile(seen) for name, seen in observers.items() if seen.batches}
        moved = [abs(now[name] - old) / max(now[name], old) for name, old in self.thresholds.items() if old]
        self.thresholds = now
        if not moved:
            return None
        self.steps.append(Step(images, float(np.quantile(moved, MOST))))
        return self.steps[-1]

    def to_dict(self) -> dict[str, Any]:
        """For the file of an interrupted run."""
        return asdict(self)

    @classmethod
    def of_dict(cls, stored: dict[str, Any]) -> Convergence:
        """Read it back. Raises TypeError or KeyError for anything else."""
        return cls([Step(**step) for step in stored["steps"]], dict(stored["thresholds"]))


def doubt(images: int, steps: Sequence[Step]) -> str:
    """Why so many images may be too few; empty where the ranges have settled."""
    if not steps:
        return f"calibrated on {images} images: too few to see whether the ranges have settled"
    last = steps[-1]
    if last.moved <= SETTLED:
        return ""
    return (
        f"calibrated on {images} images, and the ranges have not settled: {MOST:.0%} of the tensors moved by "
        f"up to {last.moved:.1%} from {last.images // 2} images to {last.images}, at most {SETTLED:.0%} is "
        "advised"
    )
