"""What is counted of matched instances: rows with their limits, and all of it as one loss."""

from __future__ import annotations

import numpy as np
import pytest

from maskrt.runtime.tasks.instances.compare.flips import Flips
from maskrt.runtime.tasks.instances.compare.match import Matching, Pair
from maskrt.runtime.tasks.instances.compare.measured import Measured, counterparts, loss, matched, measured
from maskrt.runtime.tasks.instances.compare.tolerances import Tolerance

LIMIT = Tolerance(score=0.01, box_px=0.5, mask_iou=0.9, keypoint_px=0.25)


def pair(
    score: float = 0.0, box_px: float = 0.0, iou: float | None = None, points: float | None = None
) -> Pair:
    return Pair(0, 0, score, box_px, iou, None, 0, 0.9, points)


def image(*pairs: Pair, missed: int = 0, extra: int = 0, flips: tuple[int, int] = (0, 0)) -> Measured:
    return Measured("a.jpg", pairs, (0.8,) * missed, (0.7,) * extra, *flips, same_order=True)


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        ([image(pair(iou=1.0))], 0),
        ([image(pair(0.02, iou=0.7)), image(pair(0.04, iou=0.9))], 0.03 + 0.2),
        ([image(pair(iou=1.0), missed=1, extra=3)], 0.75),
        ([image(missed=2)], 1),
        ([image()], 0),
        # Without masks: a box or a point as far off as is allowed counts like a mask that is, a tenth.
        ([image(pair(box_px=0.5))], 0.1),
        ([image(pair(box_px=1.0))], 0.2),
        ([image(pair(box_px=0.5, points=0.25))], 0.2),
        ([image(pair(points=0.75))], 0.3),
    ],
)
def test_the_loss_of_a_model(images: list[Measured], expected: float) -> None:
    assert loss(images, LIMIT) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("images", "share"),
    [
        ([image()], 1),
        ([image(pair(), pair(), pair(), missed=1)], 0.75),
        ([image(pair()), image(extra=1)], 0.5),
    ],
)
def test_the_share_that_is_matched_is_of_the_side_with_fewer(images: list[Measured], share: float) -> None:
    assert matched(images) == share


def test_a_flip_is_no_failure_of_an_image() -> None:
    rows = counterparts([image(missed=3, extra=2, flips=(1, 2)), image(missed=1, flips=(1, 0))], LIMIT)

    values = {row.name: [value for (value,) in row.values] for row in rows}
    assert values == {"missed": [2, 0], "extra": [0, 0], "in another order": [0, 0]}


def test_what_both_sides_score_below_the_limit_is_not_looked_at() -> None:
    limit = Tolerance(score=0.01, box_px=0.5, mask_iou=0.9, above_score=0.5)
    pairs = tuple(Pair(i, i, 0.0, 0.0, 1.0, None, 0, 0.5) for i in range(4))
    found = measured(
        "a.jpg",
        Matching(pairs, missed=(4, 5), extra=(4, 5)),
        np.array([0.6, 0.5, 0.4, 0.4, 0.5, 0.4]),
        np.array([0.4, 0.4, 0.5, 0.4, 0.5, 0.4]),
        limit,
        Flips((4, 5), (4, 5)),
    )

    assert [one.reference for one in found.pairs] == [0, 1, 2]
    assert (found.missed_scores, found.extra_scores) == ((0.5,), (0.5,))
    assert (found.missed_at_threshold, found.extra_at_threshold, found.instances) == (1, 1, 4)
