"""Detections that one side alone has because a comparison with a threshold fell out otherwise.

A score of 0.050001 on one side and 0.049999 on the other is one number but for rounding, and yet a detection
on one side and none on the other. Such a flip is counted, and told from a loss. How near a threshold it must
be is the tolerance's (flip_score, flip_iou): in FP32 the rounding of float32, and no more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maskrt.runtime.boxes import box_iou
from maskrt.runtime.contract import Contract
from maskrt.runtime.tasks.instances.compare.match import Matching
from maskrt.runtime.tasks.instances.compare.tolerances import Tolerance
from maskrt.runtime.tasks.instances.result import Result


@dataclass(frozen=True)
class Flips:
    """Rows of a matching's `missed` and `extra` that lie at a threshold."""

    missed: tuple[int, ...] = ()
    extra: tuple[int, ...] = ()


def flips(
    reference: Result, candidate: Result, matching: Matching, contract: Contract, limit: Tolerance
) -> Flips:
    """Which missed and extra detections are flips: at the score threshold, at the last row, or at NMS."""
    return Flips(
        missed=tuple(i for i in matching.missed if _is_flip(reference, i, candidate, contract, limit)),
        extra=tuple(i for i in matching.extra if _is_flip(candidate, i, reference, contract, limit)),
    )


def _is_flip(side: Result, row: int, other: Result, contract: Contract, limit: Tolerance) -> bool:
    """True if `other` lacks the detection only because a score or overlap lies near a threshold.

    row: of the detection in `side`. Near: within `limit`'s tolerance for flips.
    """
    score = float(side.scores[row])
    options = contract.options
    if abs(score - options.score_threshold) <= limit.flip_score:
        return True
    if len(other) == options.max_detections and score - float(other.scores[-1]) <= limit.flip_score:
        return True
    better = np.flatnonzero((other.labels == side.labels[row]) & (other.scores >= score - limit.flip_score))
    overlap = box_iou(side.boxes[row : row + 1], other.boxes[better])[0]
    return bool((np.abs(overlap - options.nms_threshold) <= limit.flip_iou).any())
