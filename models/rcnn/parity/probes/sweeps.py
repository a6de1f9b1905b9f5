"""Sweeps a made input over a range of values: a threshold, border or limit is where the answers change."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maskrt.models.rcnn.parity.probes.setting import around, places, there

STEP = 0.25  # of a delta


def turning_point(values: NDArray, expected: NDArray[np.bool_], found: NDArray[np.bool_]) -> str:
    """Says between which values each side turns from kept to dropped; empty where both turn alike."""
    if np.array_equal(expected, found):
        return ""
    return f"{_turn(values, found)}, the reference's {_turn(values, expected)}"


def _turn(values: NDArray, kept: NDArray[np.bool_]) -> str:
    steps = np.flatnonzero(kept[1:] != kept[:-1])
    if not len(steps):
        return f"{'nowhere' if kept[0] else 'everywhere'} from {values[0]:.3g} to {values[-1]:.3g}"
    first, last = values[steps[0]], values[steps[-1] + 1]
    return f"between {min(first, last):.4g} and {max(first, last):.4g}"


def ious_to_try(pairs_at_most: int, room: int) -> NDArray[np.float64]:
    """IoUs from 0.025 to 0.975, as finely spaced as there is room for."""
    return np.linspace(0.025, 0.975, min(96, pairs_at_most, room // 2))


def pairs(ious: NDArray, canvas_px: tuple[int, int], box_px: float) -> tuple[NDArray, NDArray]:
    """Boxes (R, 4) that do not overlap, and for each a narrower box inside it with that IoU."""
    centres = places(len(ious), *canvas_px)
    side_px = min(box_px, 0.8 * float(np.sqrt(np.prod(canvas_px) / len(ious))))
    return around(centres, side_px, side_px), around(centres, side_px * ious, side_px)


def border_cause(boxes: NDArray, expected: NDArray, found: NDArray, what: str) -> str:
    """Says what is wrong with the clipping of boxes (R, 4) beyond the borders. expected: in their order."""
    if there(expected, found).all():
        return ""
    if len(found) >= len(boxes) and there(boxes, found).sum() > there(boxes, expected).sum():
        return f"{what} are not clipped to the picture"
    low, high = found.reshape(-1, 2, 2).min(axis=(0, 1)), found.reshape(-1, 2, 2).max(axis=(0, 1))
    ours = expected.reshape(-1, 2, 2)
    return (
        f"{what} are clipped to x {low[0]:.1f} to {high[0]:.1f} px and y {low[1]:.1f} to "
        f"{high[1]:.1f} px, the "
        f"reference's to x {ours[..., 0].min():.1f} to {ours[..., 0].max():.1f} px and "
        f"y {ours[..., 1].min():.1f} to {ours[..., 1].max():.1f} px"
    )
