"""A fault goes in, a named failure comes out: matching and verdict on results made by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskrt.runtime.boxes import box_iou
from maskrt.runtime.contract import Category
from maskrt.runtime.parity.report import Report
from maskrt.runtime.tasks.instances.compare.comparison import InstancesComparison
from maskrt.runtime.tasks.instances.compare.match import Matching, crop_iou, match
from maskrt.runtime.tasks.instances.compare.tolerances import FP32
from maskrt.runtime.tasks.instances.instances import MaskCrop
from maskrt.runtime.tasks.instances.result import Result

CLASSES = (Category(1, "cat"), Category(2, "dog"))
BOXES = np.array([[0, 0, 40, 40], [60, 0, 100, 40], [0, 60, 40, 100], [60, 60, 100, 100]], np.float32)
SCORES = np.array([0.9, 0.8, 0.70005, 0.7], np.float32)  # the last two nearer than FP32's 1e-4: a tie
TIED = (2, 3)


def reference() -> Result:
    return Result(
        height_px=100,
        width_px=100,
        boxes=BOXES.copy(),
        scores=SCORES.copy(),
        labels=np.array([0, 1, 0, 1], np.int32),
        classes=CLASSES,
        crops=tuple(MaskCrop(int(y), int(x), np.ones((40, 40), bool)) for x, y in BOXES[:, :2]),
    )


def take(result: Result, rows: list[int]) -> Result:
    return dataclasses.replace(
        result,
        boxes=result.boxes[rows],
        scores=result.scores[rows],
        labels=result.labels[rows],
        crops=tuple(result.crops[r] for r in rows),
    )


def unchanged(result: Result) -> Result:
    return result


def reorder_a_tie(result: Result) -> Result:
    return take(result, [0, 1, *reversed(TIED)])


def shift_within_tolerance(result: Result) -> Result:
    return dataclasses.replace(result, boxes=result.boxes + np.float32(FP32.box_px / 2))


def reorder_beyond_a_tie(result: Result) -> Result:
    return take(result, [1, 0, 2, 3])


def move_the_first_behind_a_tie(result: Result) -> Result:
    return take(result, [0, 2, 3, 1])


def shift_a_box(result: Result) -> Result:
    result.boxes[1, 0] += 1
    return result


def move_a_box_away(result: Result) -> Result:
    result.boxes[1] += 25
    return result


def swap_two_labels(result: Result) -> Result:
    result.labels[[0, 1]] = result.labels[[1, 0]]
    return result


def change_a_score(result: Result) -> Result:
    result.scores[0] -= 0.001
    return result


def shift_a_mask(result: Result) -> Result:
    first = dataclasses.replace(result.crops[0], left=1)
    return dataclasses.replace(result, crops=(first, *result.crops[1:]))


def drop_the_last(result: Result) -> Result:
    return take(result, [0, 1, 2])


def repeat_one(result: Result) -> Result:
    return take(result, [0, 0, 1, 2, 3])


def find_nothing(result: Result) -> Result:
    return take(result, [])


def blank_a_box(result: Result) -> Result:
    result.boxes[1] = np.nan
    return result


def report(fault: Callable[[Result], Result]) -> Report:
    candidate = fault(reference())
    found = Report(InstancesComparison(FP32))
    found.results.add_matching("a.png", match(reference(), candidate), SCORES, candidate.scores)
    return found


@pytest.mark.parametrize("harmless", [unchanged, reorder_a_tie, shift_within_tolerance])
def test_passes(harmless: Callable[[Result], Result]) -> None:
    found = report(harmless)

    assert found.failures == []
    assert found.to_dict()["passed"] is True
    assert found.to_dict()["summary"]["instances"] == len(SCORES)


@pytest.mark.parametrize(
    ("fault", "failures"),
    [
        (reorder_beyond_a_tie, ["a.png: the same instances in another order"]),
        (move_the_first_behind_a_tie, ["a.png: the same instances in another order"]),
        (shift_a_box, ["a.png: box differs by 1 px, allowed 0.01 px"]),
        (
            move_a_box_away,
            ["a.png: 1 instances of the reference missed", "a.png: 1 instances the reference has not"],
        ),
        (
            swap_two_labels,
            ["a.png: 2 instances of the reference missed", "a.png: 2 instances the reference has not"],
        ),
        (change_a_score, ["a.png: score differs by 0.001, allowed 0.0001"]),
        (shift_a_mask, ["a.png: mask IoU 0.9512, at least 0.99 expected"]),  # 39 * 40 / (41 * 40)
        (drop_the_last, ["a.png: 1 instances of the reference missed"]),
        (repeat_one, ["a.png: 1 instances the reference has not"]),
        (find_nothing, ["a.png: 4 instances of the reference missed"]),
        (
            blank_a_box,
            ["a.png: 1 instances of the reference missed", "a.png: 1 instances the reference has not"],
        ),
    ],
)
def test_names_the_fault(fault: Callable[[Result], Result], failures: list[str]) -> None:
    found = report(fault)

    assert found.failures == failures
    assert found.to_dict()["passed"] is False


def test_pairs_say_how_far_apart_they_are() -> None:
    found = match(reference(), take(shift_a_box(reference()), [1, 3]))

    assert [(p.reference, p.candidate, p.box_difference_px) for p in found.pairs] == [(1, 0, 1), (3, 1, 0)]
    assert (found.missed, found.extra) == ((0, 2), ())


def test_the_assignment_is_best_as_a_whole() -> None:
    """Two of a class that overlap: the nearest first would leave the other without a partner."""
    boxes = np.array([[0, 0, 100, 10], [30, 0, 130, 10]], np.float32)
    shifted = np.array([[30, 0, 130, 10], [60, 0, 160, 10]], np.float32)
    pair = dataclasses.replace(take(reference(), [0, 2]), boxes=boxes)

    found = match(pair, dataclasses.replace(pair, boxes=shifted))

    assert [(p.reference, p.candidate) for p in found.pairs] == [(0, 0), (1, 1)]
    assert (found.missed, found.extra) == ((), ())
    assert match(find_nothing(pair), find_nothing(pair)) == Matching((), (), ())


box = st.tuples(*[st.floats(0, 50, width=32)] * 4).map(
    lambda b: [min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3])]
)


@given(st.lists(box, min_size=1, max_size=5), st.lists(box, min_size=1, max_size=5))
def test_box_iou_is_torchvision_s(a: list[list[float]], b: list[list[float]]) -> None:
    import torch
    from torchvision.ops import box_iou as theirs

    expected = theirs(torch.tensor(a).double(), torch.tensor(b).double()).nan_to_num(0).numpy()
    np.testing.assert_allclose(box_iou(np.float32(a), np.float32(b)), expected, atol=1e-12)  # float64


@pytest.mark.parametrize(
    ("left", "top", "expected"), [(0, 0, 1), (10, 0, 30 / 50), (40, 0, 0), (0, 40, 0), (-20, -20, 1 / 7)]
)
def test_crop_iou_of_shifted_squares(left: int, top: int, expected: float) -> None:
    square = np.ones((40, 40), bool)

    assert crop_iou(MaskCrop(0, 0, square), MaskCrop(top, left, square)) == pytest.approx(expected)


def test_crop_iou_of_empty_masks_is_one() -> None:
    empty = MaskCrop(3, 4, np.zeros((0, 5), bool))

    assert crop_iou(empty, MaskCrop(0, 0, np.zeros((4, 4), bool))) == 1
    assert crop_iou(empty, MaskCrop(0, 0, np.ones((4, 4), bool))) == 0
