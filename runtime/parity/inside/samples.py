"""What is kept of a stage to compare another model with: all of it, or a sample fit for a file.

A stage of one image is rows of values: a row a proposal or a detection, and one row for a whole map.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.contract import Stages

# Of each stage, in a file: enough values that a mean over them is the stage's to a percent, enough rows that
# each pyramid level has some, and half a megabyte an image before compression.
SAMPLED_VALUES, SAMPLED_ROWS = 4096, 64


@dataclass(frozen=True)
class Sample:
    """Values of a stage whose whole shape is `shape`, with the rows and the positions in a row they are of.

    values: (rows, positions), or `shape` where rows and positions are None: all.
    """

    values: NDArray[np.float32]
    shape: tuple[int, ...]
    rows: NDArray[np.intp] | None = None
    positions: NDArray[np.intp] | None = None

    @classmethod
    def whole(cls, values: NDArray[np.float32]) -> Sample:
        """All of a stage."""
        return cls(values, values.shape)

    @classmethod
    def drawn(cls, kind: str, values: NDArray[np.float32]) -> Sample:
        """The part of a stage that goes into a file; always the same for one shape. kind: of its tap."""
        rows = _as_rows(kind, values)
        if kind == "boxes":  # all, since other rows are matched by them
            kept, positions = np.arange(rows.shape[0]), np.arange(rows.shape[1])
        else:
            kept = _spread(rows.shape[0], SAMPLED_ROWS)
            positions = draw_positions(rows.shape[1], SAMPLED_VALUES // max(len(kept), 1))
        return cls(rows[kept][:, positions].astype(np.float32), values.shape, kept, positions)

    def pair(
        self, kind: str, candidate: NDArray[np.float32], ours: NDArray[np.intp], theirs: NDArray[np.intp]
    ) -> tuple[NDArray, NDArray, NDArray[np.intp]]:
        """This and the candidate's values at the same places, and the rows of the reference that they are of.

        ours, theirs: rows that are the same box on both sides; a map's only row is 0 on both.
        """
        if self.rows is None or self.positions is None:
            if kind == "map":
                return self.values, candidate, ours
            return self.values[ours], candidate[theirs], ours
        place = np.searchsorted(self.rows, ours).clip(max=max(len(self.rows) - 1, 0))
        here = self.rows[place] == ours if len(self.rows) else np.zeros(len(ours), bool)
        found = _as_rows(kind, candidate)[theirs[here]][:, self.positions]
        return self.values[place[here]], found, ours[here]


def whole_samples(stages: Stages) -> dict[str, Sample]:
    """All of every stage."""
    return {name: Sample.whole(values) for name, values in stages.items()}


def draw_positions(size: int, count: int) -> NDArray[np.intp]:
    """`count` of `size` positions, or all, in order; the same for the same numbers.

    Drawn at random: evenly spaced ones would see the same columns of every row of a map.
    """
    if size <= count:
        return np.arange(size)
    return np.unique(np.random.default_rng(size).integers(0, size, count))


def _spread(size: int, count: int) -> NDArray[np.intp]:
    return np.arange(size) if size <= count else np.linspace(0, size - 1, count).astype(np.intp)


def _as_rows(kind: str, values: NDArray) -> NDArray:
    if kind == "map":
        return values.reshape(1, -1)
    return values.reshape(len(values), -1 if len(values) else int(np.prod(values.shape[1:])))
