"""One image of both sides: which output is out of tolerance first, by how much, and what may have caused it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from maskrt.runtime.tasks.answers import OutputError
from maskrt.runtime.tasks.instances.compare.flips import Flips, flips
from maskrt.runtime.tasks.instances.compare.match import match
from maskrt.runtime.tasks.instances.compare.seen import SUSPECTS, SeenInstances
from maskrt.runtime.tasks.instances.compare.tolerances import Tolerance
from maskrt.runtime.tasks.instances.instances import MaskCrop
from maskrt.runtime.tasks.instances.result import Result
from tests.runtime.conftest import CLASSES, WITH_POINTS, make_contract

CONTRACT = make_contract(score_threshold=0.5, nms_threshold=0.5, max_detections=4)
LIMIT = Tolerance(
    score=0.125, box_px=2.0, mask_iou=0.75, keypoint_px=1.5, flip_score=0.0625, flip_iou=0.03125
)
SIDE_PX = 64


def found(*scores: float, places: list[int] | None = None) -> Result:
    """Cats of 64 x 64 px in a row, each with a full mask and three points."""
    left = 100.0 * np.array(range(len(scores)) if places is None else places)
    corners = np.stack([left, 0 * left], axis=1)
    return Result(
        height_px=100,
        width_px=1000,
        boxes=np.hstack([corners, corners + SIDE_PX]).astype(np.float32),
        scores=np.array(scores, np.float32),
        labels=np.zeros(len(scores), np.int32),
        classes=CLASSES,
        crops=tuple(MaskCrop(0, int(x), np.ones((SIDE_PX, SIDE_PX), bool)) for x in left),
        keypoints=np.repeat(np.pad(corners, ((0, 0), (0, 1)))[:, None], 3, axis=1).astype(np.float32),
    )


def seen(reference: Result, candidate: Result, **changes: Any) -> SeenInstances:
    matching, limit = match(reference, candidate), dataclasses.replace(LIMIT, **changes)
    near = flips(reference, candidate, matching, CONTRACT, limit)
    return SeenInstances(reference, candidate, matching, near, limit, CONTRACT)


def wider(by_px: float) -> Result:
    result = found(0.9, 0.8)
    result.boxes[1, 2] += by_px
    return result


def masked(rows: int) -> Result:
    """The second mask ends after so many rows."""
    result = found(0.9, 0.8)
    assert result.crops is not None
    result.crops[1].bits[rows:] = False
    return result


def pointed(dx: float) -> Result:
    result = found(0.9, 0.8)
    assert result.keypoints is not None
    result.keypoints[1, :, 0] += dx
    return result


def errors(candidate: Result, **changes: Any) -> list[OutputError]:
    return seen(found(0.9, 0.8), candidate, **changes).errors


@pytest.mark.parametrize(
    ("candidate", "largest", "compared", "reason"),
    [
        (found(0.9, 0.8), 0.0, 1.0, ""),
        (found(0.9), 0.0, 0.5, "1 instances of the reference missed, 0 extra"),
        (found(0.9, 0.8, 0.7), 0.0, 2 / 3, "0 instances of the reference missed, 1 extra"),
        (found(0.9, 0.8, places=[0, 5]), 0.0, 0.5, "1 instances of the reference missed, 1 extra"),
        (found(0.9, 0.8, 0.55), 0.0, 2 / 3, ""),
        (found(0.9, 0.675), 0.0, 1.0, ""),
        (found(0.9, 0.65), 0.0, 1.0, "score differs by 0.15, allowed 0.125"),
        (wider(2), 2.0, 1.0, ""),
        (wider(2.5), 2.5, 1.0, "box differs by 2.5 px, allowed 2 px"),
    ],
    ids=[
        "same",
        "missed",
        "extra",
        "another",
        "a flip",
        "score at the limit",
        "score",
        "box at the limit",
        "box",
    ],
)
def test_detections(candidate: Result, largest: float, compared: float, reason: str) -> None:
    error, *_ = errors(candidate)
    assert (error.output, error.reason) == ("detections", reason)
    assert (error.max_error, error.compared) == pytest.approx((largest, compared))


def test_a_score_that_is_no_number_is_out_of_tolerance() -> None:
    reference, candidate = found(0.9), found(0.9)
    matching = match(reference, candidate)
    (pair,) = matching.pairs
    for name, reason in (
        ("score_difference", "score differs by nan"),
        ("box_difference_px", "box differs by nan px"),
    ):
        broken = dataclasses.replace(matching, pairs=(dataclasses.replace(pair, **{name: float("nan")}),))
        both = SeenInstances(reference, candidate, broken, Flips(), LIMIT, CONTRACT)
        assert both.errors[0].reason.startswith(reason)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [(48, ""), (47, "mask IoU 0.7344, at least 0.75 expected")],
    ids=["at the limit", "below"],
)
def test_masks(rows: int, reason: str) -> None:
    assert errors(masked(rows))[1] == OutputError("masks", 1 - rows / 64, 1.0, reason)


@pytest.mark.parametrize(
    ("dx", "reason"),
    [(1.5, ""), (1.75, "keypoints differ by 1.8 px, allowed 1.5 px")],
    ids=["at the limit", "above"],
)
def test_points(dx: float, reason: str) -> None:
    assert errors(pointed(dx))[2] == OutputError("keypoints", dx, 1.0, reason)


def test_nothing_on_either_side_is_compared_whole() -> None:
    assert seen(found(), found()).errors == [OutputError("detections", 0.0, 1.0, "")]


def test_what_is_judged_by_its_mean_is_not_judged_by_image() -> None:
    assert errors(wider(9), by_quantiles=True) == []


@pytest.mark.parametrize(
    ("output", "candidate", "cause"),
    [
        ("detections", dataclasses.replace(found(0.9, 0.8), labels=np.ones(2, np.int32)),
         "the same boxes, but labels off by +1: class index"),
        ("detections", wider(9), f"possible: {SUSPECTS['detections']}"),
        ("masks", masked(20), f"possible: {SUSPECTS['masks']}"),
        ("keypoints", pointed(9), "all points (+9.0, +0.0) px off"),
    ],
    ids=["labels", "a box", "a mask", "points"],
)  # fmt: skip
def test_what_may_have_caused_it(output: str, candidate: Result, cause: str) -> None:
    both = dataclasses.replace(seen(found(0.9, 0.8), candidate), contract=make_contract(**WITH_POINTS))
    assert both.causes(output) == [cause]


@pytest.mark.parametrize(
    ("scores", "other", "is_flip"),
    [
        ([0.9, 0.5625], [0.9], True),
        ([0.9, 0.58], [0.9], False),
        ([0.9, 0.8, 0.75, 0.7, 0.65], [0.9, 0.8, 0.75, 0.7], True),
        ([0.9, 0.8, 0.75, 0.7, 0.77], [0.9, 0.8, 0.75, 0.7], False),
        ([0.9, 0.8, 0.7, 0.65], [0.9, 0.8, 0.7], False),
    ],
    ids=["as near to the threshold as is allowed", "further", "the last of as many as there may be",
         "surer than the last", "there was room"],
)  # fmt: skip
def test_a_flip_of_the_score(scores: list[float], other: list[float], is_flip: bool) -> None:
    reference, candidate = found(*scores), found(*other)
    missed = seen(reference, candidate).flips.missed
    assert bool(missed) is is_flip


@pytest.mark.parametrize(
    ("right", "label", "is_flip"),
    [(32, 0, True), (34, 0, True), (35, 0, False), (32, 1, False)],
    ids=["at NMS' threshold", "as near as is allowed", "further", "of another class"],
)
def test_a_flip_of_nms(right: int, label: int, is_flip: bool) -> None:
    """A box within the first, whose overlap with it is right / 64; NMS' threshold is 0.5."""
    reference = found(0.9, 0.8)
    reference.boxes[1] = [0, 0, right, 64]
    reference.labels[1] = label
    assert seen(reference, found(0.9)).flips == (Flips(missed=(1,)) if is_flip else Flips())
