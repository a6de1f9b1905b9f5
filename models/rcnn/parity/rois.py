"""Marks that a fault leaves in proposals, and in what is pooled for a box."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.boxes import box_iou, same_boxes
from maskrt.runtime.parity.inside.stages import Aligned

SAME_OBJECT_IOU = 0.3  # a box shifted by half a stride of its level still overlaps itself by as much
# Sizes of boxes that only moved agree to this; those decoded with other weights or anchors do not.
SAME_SIZE = 0.01
# A row of pooled features is the reference's below this share of its power: far above rounding, and a
# hundredth of what another pyramid level's values differ by.
SAME_POOLED = 1e-2
# Shifted by half a pixel, all RoIs are wrong but those on blank ground.
MOST_ROIS = 0.75
CANONICAL_SCALE_PX, CANONICAL_LEVEL = 224.0, 4  # arXiv:1612.03144, section 4.2


def proposal_culprits(reference: NDArray, candidate: NDArray, within_px: float) -> list[str]:
    """reference (A, 4), candidate (B, 4): proposals in canvas pixels; the same box within `within_px`."""
    if not len(reference) or not len(candidate):
        return []
    same, _ = same_boxes(reference, candidate, within_px)
    if len(same) >= min(len(reference), len(candidate)) / 2:
        return [
            f"most boxes are the reference's, but {len(candidate)} are kept where it keeps "
            f"{len(reference)}; possible: "
            "another NMS threshold, or number kept; anchors of one level; the least side, or clipping"
        ]
    overlap = box_iou(reference, candidate)
    rows = np.flatnonzero(overlap.max(axis=1) >= SAME_OBJECT_IOU)
    if not len(rows):
        return []
    ours, theirs = reference[rows], candidate[overlap.argmax(axis=1)[rows]]
    moved = (theirs[:, :2] + theirs[:, 2:] - ours[:, :2] - ours[:, 2:]) / 2
    sizes = (theirs[:, 2:] - theirs[:, :2]) / np.maximum(ours[:, 2:] - ours[:, :2], 1e-3)
    dx, dy = np.median(moved, axis=0)
    if np.abs(np.median(sizes, axis=0) - 1).max() <= SAME_SIZE:
        return [
            f"boxes of the same size, moved by ({dx:.1f}, {dy:.1f}) px (median); possible: "
            "anchors off by a part of a stride"
        ]
    return [
        f"boxes of another size, {np.median(sizes):.2f} times (median); possible: anchor sizes, delta weights"
    ]


def pooling_culprits(pooled: Aligned, boxes: NDArray, strides_px: Sequence[int]) -> list[str]:
    """Which RoIs were pooled wrongly: those of a pyramid level, or all. boxes: (R, 4), the reference's;
    strides_px: of the maps that RoIs are pooled from."""
    if not len(pooled.rows):
        return []
    expected, found = pooled.reference, pooled.candidate
    axes = tuple(range(1, expected.ndim))
    power = np.square(expected).sum(axis=axes)
    wrong = np.square(found - expected).sum(axis=axes) > SAME_POOLED**2 * power
    if not wrong.any():
        return []
    levels = fpn_levels(boxes[pooled.rows], strides_px)
    whole_level = any(not wrong[levels == level].any() for level in np.unique(levels))
    if len(strides_px) > 1 and (whole_level or wrong.mean() < MOST_ROIS):
        names = ", ".join(f"P{level}" for level in np.unique(levels[wrong]))
        return [
            f"wrong for {np.count_nonzero(wrong)} of {len(wrong)} RoIs, those that belong to {names}; "
            "possible: "
            "pooled from another level of the pyramid"
        ]
    return [
        "wrong for RoIs of every size; possible: RoIAlign shifted by half a pixel (aligned) or "
        "sampled otherwise, "
        "RoIs of another size, levels exchanged"
    ]


def fpn_levels(boxes: NDArray, strides_px: Sequence[int]) -> NDArray[np.intp]:
    """The pyramid level of boxes (R, 4) in canvas pixels (arXiv:1612.03144, eq. 1), of those that are there:
    log2 of their strides."""
    area = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3), axis=1)
    level = np.floor(CANONICAL_LEVEL + np.log2(np.sqrt(area) / CANONICAL_SCALE_PX) + 1e-6)
    lowest, highest = strides_px[0].bit_length() - 1, strides_px[-1].bit_length() - 1
    return np.clip(level, lowest, highest).astype(np.intp)
