"""Marks that a fault leaves in a class map: another crop, other labels, a resize of the labels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

REACH_PX = 4  # how far maps are moved against each other
STRETCHES_PX = (-8, -4, -2, 2, 4, 8)  # by how much a side is longer
EXPLAINS = 0.5  # of the differing pixels: what a mark must make right
BETWEEN = 0.2  # of the differing pixels: labels that no neighbour has
Labels = NDArray[np.uint8]


def culprits(ours: Labels, theirs: Labels) -> Iterator[str]:
    """Sentences on what makes the candidate's map another one, the likeliest first. Both (H, W)."""
    left = int((ours != theirs).sum()) * (1 - EXPLAINS)  # of the differing pixels, where a mark explains them
    yield from _renumbered(ours, theirs, left)
    yield from _moved(ours, theirs, left)
    yield from _stretched(ours, theirs, left)
    yield from _between(ours, theirs)


def _renumbered(ours: Labels, theirs: Labels, left: float) -> Iterator[str]:
    """Every pixel of one class is of another: classes numbered otherwise, such as without the background."""
    table = np.arange(256, dtype=np.uint8)
    there = np.unique(ours).tolist()
    for label in there:
        table[label] = np.bincount(theirs[ours == label]).argmax()
    if int((table[ours] != theirs).sum()) >= left:
        return
    steps = {int(table[label]) - label for label in there[:-1]}  # the highest may begin again at 0
    if len(steps) == 1 and (by := steps.pop()):
        yield f"labels are {abs(by)} {'higher' if by > 0 else 'lower'}: a background counted or not"
        return
    swaps = ", ".join(f"{table[label]} for {label}" for label in there if table[label] != label)
    yield f"classes are numbered otherwise ({swaps}): the order of the last layer's channels"


def _moved(ours: Labels, theirs: Labels, left: float) -> Iterator[str]:
    """The same map some pixels away: a crop that is off, or padding on one side alone."""
    steps = range(-REACH_PX, REACH_PX + 1)
    apart = {(down, across): _apart(ours, theirs, down, across) for down in steps for across in steps}
    down, across = at = min(apart, key=lambda step: apart[step])
    if at != (0, 0) and apart[at] < left:
        lower, right = "lower" if down >= 0 else "higher", "right" if across >= 0 else "left"
        place = f"{abs(down)} px {lower} and {abs(across)} px further {right}"
        yield f"the map lies {place}: a crop, or padding, is off"


def _apart(ours: Labels, theirs: Labels, down: int, across: int) -> int:
    """Differing pixels where both are, if the candidate is moved back by so much."""
    height, width = ours.shape
    mine = ours[max(-down, 0) : height - max(down, 0), max(-across, 0) : width - max(across, 0)]
    other = theirs[max(down, 0) : height - max(-down, 0), max(across, 0) : width - max(-across, 0)]
    return int((mine != other).sum())


def _stretched(ours: Labels, theirs: Labels, left: float) -> Iterator[str]:
    """Alike in the middle, moved outwards or inwards at the edges: corners aligned, or not."""
    apart = {}
    for pixels in STRETCHES_PX:
        rows, columns = (
            np.clip(np.rint(np.linspace(-pixels / 2, side - 1 + pixels / 2, side)), 0, side - 1).astype(int)
            for side in ours.shape
        )
        apart[pixels] = int((ours[rows[:, None], columns] != theirs).sum())
    best = min(apart, key=lambda pixels: apart[pixels])
    if apart[best] < left:
        what = "shrunk" if best > 0 else "enlarged"
        yield f"the map is {what} by about {abs(best)} px: align_corners of a resize is another"


def _between(ours: Labels, theirs: Labels) -> Iterator[str]:
    """Along borders labels that no neighbour has: the map was resized by interpolation between labels."""
    near = np.stack([_around(ours, down, across) for down in range(-2, 3) for across in range(-2, 3)])
    between = (theirs > near.min(axis=0)) & (theirs < near.max(axis=0))
    strange = between & ~(near == theirs).any(axis=0)
    if strange.sum() > BETWEEN * (ours != theirs).sum():
        yield "between two classes lie labels of neither: the map was interpolated, not by nearest pixel"


def _around(values: Labels, down: int, across: int) -> Labels:
    """The values so many pixels away; at the edge those of the edge."""
    rows, columns = (
        np.clip(np.arange(side) + step, 0, side - 1)
        for side, step in zip(values.shape, (down, across), strict=True)
    )
    return values[rows[:, None], columns]
