"""A fault before the heads leaves its mark in the proposals, and is named by it."""

from __future__ import annotations

import numpy as np
import pytest

from maskrt.models.rcnn.parity.rois import SAME_OBJECT_IOU, proposal_culprits

WITHIN_PX = 0.01
#: Four boxes of 40 x 20 px, far from each other.
BOXES = np.array([[x, 100, x + 40, 120] for x in (100, 200, 300, 400)], np.float64)
KEPT = (
    "most boxes are the reference's, but {} are kept where it keeps 4; possible: another NMS threshold, or number "
    "kept; anchors of one level; the least side, or clipping"
)
MOVED = "boxes of the same size, moved by ({}, {}) px (median); possible: anchors off by a part of a stride"
SIZED = "boxes of another size, {} times (median); possible: anchor sizes, delta weights"


def moved(dx: float, dy: float, wider: float = 1.0, rows: int = 4) -> np.ndarray:
    boxes = BOXES.copy()
    boxes[:rows, 2:] = boxes[:rows, :2] + wider * (boxes[:rows, 2:] - boxes[:rows, :2])
    boxes[:rows] += (dx, dy, dx, dy)
    return boxes


@pytest.mark.parametrize(
    ("candidate", "said"),
    [
        (BOXES[:0], ""),
        (BOXES[:3], KEPT.format(3)),
        (np.vstack([BOXES, BOXES + 1000]), KEPT.format(8)),
        (moved(3, 0, rows=2), KEPT.format(4)),
        (moved(WITHIN_PX / 2, 0), KEPT.format(4)),
        (moved(3, -2), MOVED.format("3.0", "-2.0")),
        (moved(3, -2, rows=3), MOVED.format("3.0", "-2.0")),
        (moved(0.9, 0, wider=np.array([1.005, 1.0])), MOVED.format("1.0", "0.0")),
        (moved(0, 0, wider=1.02), SIZED.format("1.02")),
        (moved(0, 0, wider=0.75), SIZED.format("0.75")),
        (moved(0, 0, wider=np.array([1.5, 1.0])), SIZED.format("1.25")),
        (BOXES + 1000, ""),
    ],
    ids=["none", "fewer", "more", "half of them moved", "rounding", "moved", "most moved", "a little larger",
         "larger", "smaller", "wider", "elsewhere"],
)  # fmt: skip
def test_proposals(candidate: np.ndarray, said: str) -> None:
    assert proposal_culprits(BOXES, candidate, WITHIN_PX) == ([said] if said else [])


def test_a_reference_without_proposals_has_no_marks() -> None:
    assert proposal_culprits(BOXES[:0], BOXES, WITHIN_PX) == []


def test_a_box_that_overlaps_enough_is_the_same_object() -> None:
    """A shift along x by s leaves an IoU of (40 - s) / (40 + s)."""
    shift = 40 * (1 - SAME_OBJECT_IOU) / (1 + SAME_OBJECT_IOU)
    assert proposal_culprits(BOXES, moved(shift - 0.01, 0), WITHIN_PX) == [
        MOVED.format(f"{shift - 0.01:.1f}", "0.0")
    ]
    assert proposal_culprits(BOXES, moved(shift + 0.01, 0), WITHIN_PX) == []
