"""Which detection of the candidate is which of the reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.boxes import Rows, box_iou
from maskrt.runtime.errors import MissingDependencyError
from maskrt.runtime.packages import install
from maskrt.runtime.tasks.instances.compare.boundary import boundary_distance_px, on_one_plane
from maskrt.runtime.tasks.instances.compare.tolerances import MATCH_IOU
from maskrt.runtime.tasks.instances.instances import MaskCrop
from maskrt.runtime.tasks.instances.result import Result


@dataclass(frozen=True)
class Pair:
    """A matched instance: its rows on both sides, and how far they differ."""

    reference: int
    candidate: int
    score_difference: float
    box_difference_px: float  # largest of the four coordinates, in pixels of the canvas
    mask_iou: float | None  # this and the next: None without masks
    boundary_px: float | None  # see boundary_distance_px
    label: int
    score: float  # the reference's
    keypoint_px: float | None = None  # between the points of both, their mean; None without keypoints


@dataclass(frozen=True)
class Matching:
    """All pairs of one image, the reference's rows that have none (missed) and the candidate's (extra)."""

    pairs: tuple[Pair, ...]
    missed: tuple[int, ...]
    extra: tuple[int, ...]

    def same_rows(self, within_px: float) -> Rows:
        """Rows of pairs whose boxes differ by no more."""
        alike = [p for p in self.pairs if p.box_difference_px <= within_px]
        return (
            np.array([p.reference for p in alike], np.intp),
            np.array([p.candidate for p in alike], np.intp),
        )

    def same_order(self, scores: NDArray[np.float32], tie: float) -> bool:
        """True if the candidate lists the matched instances in the reference's order.

        scores: the reference's. Two of them closer than `tie` are in no order that could be kept.
        """
        lowest = np.inf
        for pair in sorted(self.pairs, key=lambda pair: pair.candidate):
            if scores[pair.reference] > lowest + tie:
                return False
            lowest = min(lowest, float(scores[pair.reference]))
        return True


def match(reference: Result, candidate: Result) -> Matching:
    """The assignment of greatest total overlap between instances of equal class (Hungarian method).

    Overlap is box IoU, at least `MATCH_IOU`. Both results must be of the same canvas.
    """
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError as error:
        raise MissingDependencyError(
            f"matching instances needs scipy. Install it: {install('cpu')}"
        ) from error
    overlap = box_iou(reference.boxes, candidate.boxes)
    overlap[reference.labels[:, None] != candidate.labels[None]] = 0
    overlap[overlap < MATCH_IOU] = 0
    rows, columns = linear_sum_assignment(overlap, maximize=True)
    pairs = tuple(
        Pair(
            reference=int(r),
            candidate=int(c),
            score_difference=abs(float(reference.scores[r]) - float(candidate.scores[c])),
            box_difference_px=float(np.abs(reference.boxes[r] - candidate.boxes[c]).max()),
            mask_iou=_of_crops(crop_iou, reference, candidate, r, c),
            boundary_px=_of_crops(boundary_distance_px, reference, candidate, r, c),
            label=int(reference.labels[r]),
            score=float(reference.scores[r]),
            keypoint_px=_apart_px(reference, candidate, r, c),
        )
        for r, c in zip(rows, columns, strict=True)
        if overlap[r, c] > 0
    )
    return Matching(
        pairs=pairs,
        missed=tuple(sorted(set(range(len(reference))) - {p.reference for p in pairs})),
        extra=tuple(sorted(set(range(len(candidate))) - {p.candidate for p in pairs})),
    )


def _apart_px(reference: Result, candidate: Result, r: int, c: int) -> float | None:
    if reference.keypoints is None or candidate.keypoints is None:
        return None
    apart = reference.keypoints[r, :, :2] - candidate.keypoints[c, :, :2]
    return float(np.linalg.norm(apart, axis=1).mean())


def _of_crops(
    measure: Callable[[MaskCrop, MaskCrop], float], reference: Result, candidate: Result, r: int, c: int
) -> float | None:
    if reference.crops is None or candidate.crops is None:
        return None
    return measure(reference.crops[r], candidate.crops[c])


def crop_iou(a: MaskCrop, b: MaskCrop) -> float:
    """IoU of two masks kept as crops; 1 where both are empty."""
    full = on_one_plane(a, b)
    union = np.count_nonzero(full[0] | full[1])
    return np.count_nonzero(full[0] & full[1]) / union if union else 1.0
