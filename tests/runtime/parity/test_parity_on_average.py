"""FP16 and INT8 move instances across thresholds: they are judged by counts and quantiles, and still judged."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from maskrt.runtime.parity.report import Report
from maskrt.runtime.tasks.instances.compare.comparison import InstancesComparison
from maskrt.runtime.tasks.instances.compare.match import Matching, Pair
from maskrt.runtime.tasks.instances.compare.tolerances import FP16, INT8, Tolerance

INSTANCES = 100
SCORES = np.linspace(0.99, 0.6, INSTANCES).astype(np.float32)


def report(
    tolerance: Tolerance,
    *,
    missed: int = 0,
    extra: int = 0,
    images: int = 1,
    scores: np.ndarray = SCORES,
    **differences: float,
) -> Report:
    """A hundred instances in each image, all with the same differences, the last few without a counterpart."""
    same = {"score_difference": 0.0, "box_difference_px": 0.0, "mask_iou": 1.0, "boundary_px": 0.0}
    pairs = tuple(
        Pair(i, i, **{**same, "label": 0, "score": float(scores[i]), **differences})
        for i in range(INSTANCES - max(missed, extra))
    )
    lost = tuple(range(INSTANCES - missed, INSTANCES)), tuple(range(INSTANCES - extra, INSTANCES))
    found = Report(InstancesComparison(tolerance))
    for _ in range(images):
        found.results.add_matching("a.png", Matching(pairs, *lost), scores, scores)
    return found


@pytest.mark.parametrize(("tolerance", "allowed"), [(FP16, 1), (INT8, 2)])
@pytest.mark.parametrize("side", ["missed", "extra"])
def test_a_share_of_the_instances_may_come_and_go(tolerance: Tolerance, allowed: int, side: str) -> None:
    assert report(tolerance, **{side: allowed}).failures == []
    (failure,) = report(tolerance, **{side: allowed + 1}).failures
    assert f"{allowed + 1} {side}" in failure


@pytest.mark.parametrize("tolerance", [FP16, INT8])
@pytest.mark.parametrize(
    ("field", "limit", "beyond", "said"),
    [
        ("score_difference", "score", 1.01, "score differs"),
        ("box_difference_px", "box_px", 1.01, "box differs"),
        ("mask_iou", "mask_iou", 0.999, "median mask IoU"),
    ],
)
def test_medians_have_limits(tolerance: Tolerance, field: str, limit: str, beyond: float, said: str) -> None:
    allowed = getattr(tolerance, limit)
    assert report(tolerance, **{field: allowed * (1 + (1 - beyond) * 1e-3)}).failures == []
    (failure,) = report(tolerance, **{field: allowed * beyond}).failures
    assert failure.startswith(said)
    median, most = report(tolerance, **{field: math.nan}).failures
    assert median.startswith(said), "what is no number is within no limit"
    assert "one" in most


@pytest.mark.parametrize(("tolerance", "allowed"), [(FP16, 1), (INT8, 2)])
def test_the_share_is_over_the_instances_of_all_images(tolerance: Tolerance, allowed: int) -> None:
    assert report(tolerance, images=2, missed=allowed).failures == []
    (failure,) = report(tolerance, images=2, missed=allowed + 1).failures
    assert f"({2 * (allowed + 1)} missed, 0 extra)" in failure


def test_what_both_sides_score_low_is_not_looked_at() -> None:
    low = np.full(INSTANCES, INT8.above_score - 0.01, np.float32)
    low[:50] = 0.9
    assert report(INT8, missed=50, scores=low).failures == []
    assert report(dataclasses.replace(INT8, above_score=0.0), missed=50, scores=low).failures


def test_finding_nothing_at_all_fails() -> None:
    assert "0.0% of the instances matched" in report(INT8, missed=INSTANCES).failures[0]


def test_masks_are_compared_in_each_model_s_own_boxes() -> None:
    """A box that is off by less than its tolerance must not get a mask pasted into the better box."""
    assert (FP16.rounding_px, INT8.rounding_px) == (0, 0)
