"""A fault behind the heads leaves its mark in detections, masks or points, and is named by it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from maskrt.runtime.contract import Category, Keypoints
from maskrt.runtime.tasks.instances.compare.marks import box_culprits, keypoint_culprits, mask_culprits
from maskrt.runtime.tasks.instances.compare.tolerances import FP32
from maskrt.runtime.tasks.instances.instances import MaskCrop
from maskrt.runtime.tasks.instances.result import Result

CLASSES = tuple(Category(i, f"class {i}") for i in range(1, 8))
NMS = 0.5
SIDE_PX = 40
POINTS = Keypoints(("nose", "left_ear", "right_ear"), ())
Plant = Callable[[Result], Result]

random = np.random.default_rng(5)
#: No turn, mirror or neighbour of one of them is another.
PROBABILITIES = random.uniform(0.05, 0.95, (5, 8, 8)).astype(np.float32)


def found(*rows: tuple[float, float, int]) -> Result:
    """Boxes of 40 x 40 px in a row. rows: where in the row, score, label."""
    places, scores, labels = (np.array(values) for values in zip(*rows, strict=True))
    left = 50 * places
    boxes = np.stack([left, 0 * left, left + SIDE_PX, 0 * left + SIDE_PX], axis=1).astype(np.float32)
    bits = random.random((SIDE_PX, SIDE_PX)) > 0.5
    ears = boxes[:, None, :2] + np.array([[20, 10], [12, 20], [28, 20]])
    return Result(
        height_px=100,
        width_px=1000,
        boxes=boxes,
        scores=scores.astype(np.float32),
        labels=labels.astype(np.int32),
        classes=CLASSES,
        crops=tuple(MaskCrop(10, int(x), bits) for x in left),
        keypoints=np.concatenate([ears, np.full((len(rows), 3, 1), 9.0)], axis=2).astype(np.float32),
    )


FIVE = found(*((i, 0.9 - i / 10, i % 2) for i in range(5)))


def kept(result: Result, rows: Sequence[int]) -> Result:
    return result[np.array(rows, int)]


def relabelled(step: int, rows: Sequence[int]) -> Result:
    labels = FIVE.labels.copy()
    labels[list(rows)] += step
    return dataclasses.replace(FIVE, labels=labels)


def moved(by_px: float, rows: Sequence[int], by_score: float = 0.0) -> Result:
    boxes, scores = FIVE.boxes.copy(), FIVE.scores.copy()
    boxes[list(rows), 2:] += by_px
    scores[list(rows)] -= by_score
    return dataclasses.replace(FIVE, boxes=boxes, scores=scores)


def with_box(result: Result, box: tuple[float, ...], score: float, label: int) -> Result:
    """One detection more, where its score belongs."""
    row = int(np.count_nonzero(result.scores > score))
    crops = [*(result.crops or ())]
    crops.insert(row, crops[0])
    return dataclasses.replace(
        result,
        boxes=np.insert(result.boxes, row, box, axis=0).astype(np.float32),
        scores=np.insert(result.scores, row, score),
        labels=np.insert(result.labels, row, label),
        crops=tuple(crops),
        keypoints=None,
    )


def said(candidate: Result, reference: Result = FIVE) -> str:
    return " | ".join(box_culprits(reference, candidate, NMS, FP32))


@pytest.mark.parametrize(
    ("candidate", "expected"),
    [
        (FIVE, ""),
        (kept(FIVE, []), ""),
        (relabelled(+1, range(5)), "the same boxes, but labels off by +1: class index"),
        (relabelled(+2, range(4)), "the same boxes, but labels off by +2: class index"),
        (relabelled(+1, range(3)), ""),
        (moved(1, range(3)), "scores as the reference's, boxes not; possible: deltas decoded with other weights, "
         "or clipped otherwise"),
        (moved(1, range(2)), ""),
        (moved(FP32.box_px / 2, range(5)), ""),
        (moved(1, range(5), by_score=0.01), ""),
    ],
    ids=["same", "nothing", "labels", "most labels", "some labels", "boxes", "some boxes", "rounding",
         "scores as well"],
)  # fmt: skip
def test_labels_and_boxes(candidate: Result, expected: str) -> None:
    assert said(candidate) == expected


def test_boxes_of_one_half_are_not_most() -> None:
    four = kept(FIVE, range(4))
    boxes = four.boxes.copy()
    boxes[:2, 2:] += 1
    assert said(dataclasses.replace(four, boxes=boxes), four) == ""


CUT = (
    "the 2 {verb} are those of the lowest scores, up to 0.6, and all others are on both sides; possible: "
    "a score threshold between 0.6 and 0.7, or 3 rows at most"
)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [([0, 1, 2], CUT), ([0, 1, 3, 4], ""), ([0, 2, 3], "")],
    ids=["the best are there", "one between is missing", "best and worst are missing"],
)
def test_one_side_ends_early(rows: list[int], expected: str) -> None:
    assert said(kept(FIVE, rows)) == expected.format(verb="missed")
    assert said(FIVE, kept(FIVE, rows)) == expected.format(verb="extra")


def test_of_equal_scores_any_may_be_the_last() -> None:
    equal = dataclasses.replace(FIVE, scores=np.full(5, 0.5, np.float32))
    assert "a score threshold between 0.5 and 0.5, or 3 rows at most" in said(kept(equal, [0, 1, 2]), equal)


def test_rows_missed_and_others_extra_are_no_cut() -> None:
    other = with_box(kept(FIVE, range(4)), (600, 0, 640, 40), 0.85, 0)
    assert said(other) == ""


def half(place: int, share: float = 0.5) -> tuple[float, ...]:
    """A box whose overlap with the one at that place is `share` of it."""
    return (50.0 * place, 0.0, 50 * place + SIDE_PX * share, float(SIDE_PX))


@pytest.mark.parametrize(
    ("box", "label", "expected"),
    [
        (half(0, 0.75), 0, "1 of 1 extra detections overlap a better one of their class by IoU up to 0.75, "
         "above the NMS threshold 0.5: NMS with a higher threshold"),
        (half(0, 0.5), 0, ""),
        (half(0, 0.75), 1, ""),
    ],
    ids=["above the threshold", "at the threshold", "of another class"],
)  # fmt: skip
def test_nms_let_one_through(box: tuple[float, ...], label: int, expected: str) -> None:
    assert said(with_box(FIVE, box, 0.75, label)) == expected


def test_nms_let_most_of_the_extra_through() -> None:
    candidate = FIVE
    for place in range(4):
        candidate = with_box(candidate, half(place, 0.75), 0.55, place % 2)
    candidate = with_box(candidate, (600, 0, 640, 40), 0.65, 0)
    assert said(candidate) == (
        "4 of 5 extra detections overlap a better one of their class by IoU up to 0.75, above the NMS "
        "threshold 0.5; possible: NMS with a higher threshold"
    )
    assert said(with_box(candidate, (700, 0, 740, 40), 0.66, 0)) == "", "4 of 6 are not most"


LOST = (
    "1 detections missed that overlap a better one of their class by IoU down to {:.2f}, below the NMS "
    "threshold 0.5, and none kept does: NMS with a lower threshold"
)


@pytest.mark.parametrize(
    ("lost", "others", "expected"),
    [
        (half(0, 0.25), [], LOST.format(0.25)),
        (half(0, 0.5), [], LOST.format(0.5)),
        (half(0, 0.25), [half(2, 0.25)], LOST.format(0.25)),
        (half(0, 0.25), [half(2, 0.375)], ""),
        (half(0, 0.75), [], ""),
        ((600, 0, 640, 40), [], ""),
    ],
    ids=["below the threshold", "at the threshold", "as much as one kept", "less than one kept", "above",
         "no overlap"],
)  # fmt: skip
def test_nms_dropped_one_too_many(lost: tuple[float, ...], others: list[Any], expected: str) -> None:
    candidate = FIVE
    for box in others:
        candidate = with_box(candidate, box, 0.55, 0)
    assert said(candidate, with_box(candidate, lost, 0.75, 0)) == expected


def pasted(crops: Sequence[MaskCrop], masks: NDArray | None = PROBABILITIES) -> str:
    """The marks of a candidate's crops and output masks, beside FIVE's."""
    candidate = dataclasses.replace(FIVE, crops=tuple(crops))
    return " | ".join(mask_culprits(FIVE, candidate, (PROBABILITIES, masks), FP32))


def crops_moved(dx: int, dy: int, count: int = 5) -> list[MaskCrop]:
    crops = list(FIVE.crops or ())
    return [
        dataclasses.replace(crop, left=crop.left + dx * (i < count), top=crop.top + dy * (i < count))
        for i, crop in enumerate(crops)
    ]


@pytest.mark.parametrize("dy", [-1, 0, 1])
@pytest.mark.parametrize("dx", [-1, 0, 1])
def test_masks_pasted_beside_their_place(dx: int, dy: int) -> None:
    assert pasted(crops_moved(dx, dy)) == (f"pasted ({dx:+d}, {dy:+d}) px off" if dx or dy else "")


def test_a_shift_is_named_that_mends_most_of_the_wrong_masks() -> None:
    crops = crops_moved(1, 0)
    crops[4] = dataclasses.replace(crops[4], bits=~crops[4].bits)
    assert pasted(crops) == "pasted (+1, +0) px off", "4 of 5"
    crops[3] = dataclasses.replace(crops[3], bits=~crops[3].bits)
    assert pasted(crops) == ""


def test_masks_over_a_canvas_need_not_be_square() -> None:
    """Once they were compared with their own transpose, which has another shape."""
    wide = np.concatenate([PROBABILITIES, PROBABILITIES], axis=2)
    flipped = [dataclasses.replace(crop, bits=~crop.bits) for crop in FIVE.crops or ()]
    candidate = dataclasses.replace(FIVE, crops=tuple(flipped))
    (cause,) = mask_culprits(FIVE, candidate, (wide, wide[:, ::-1]), FP32)
    assert cause.endswith("before any paste: upside down")


def test_a_model_without_masks_has_no_marks_of_them() -> None:
    bare = dataclasses.replace(FIVE, crops=None)
    assert mask_culprits(FIVE, bare, (PROBABILITIES, None), FP32) == []
    assert mask_culprits(bare, FIVE, (None, PROBABILITIES), FP32) == []


BEFORE = "the output masks themselves differ, before any paste"


@pytest.mark.parametrize(
    ("made", "what"),
    [
        (PROBABILITIES.transpose(0, 2, 1), ": transposed"),
        (PROBABILITIES[:, ::-1], ": upside down"),
        (PROBABILITIES[:, :, ::-1], ": mirrored"),
        (PROBABILITIES[:, ::-1, ::-1], ": turned by 180°"),
        (1 - PROBABILITIES, ": object and background exchanged"),
        (np.log(PROBABILITIES / (1 - PROBABILITIES)), ": logits, not probabilities"),
        (1 / (1 + np.exp(-PROBABILITIES)), ": the sigmoid of the probabilities"),
        (0 * PROBABILITIES, ": empty"),
        ((PROBABILITIES > 0.5).astype(np.float32), ": cut to 0 and 1"),
        (np.roll(PROBABILITIES, 1, axis=2), ": moved by (+1, +0) cells"),
        (np.roll(PROBABILITIES, -1, axis=1), ": moved by (+0, -1) cells"),
        (np.roll(PROBABILITIES, (1, -1), axis=(1, 2)), ": moved by (-1, +1) cells"),
        (PROBABILITIES[[1, 2, 3, 4, 0]], ": of the detection +1 rows on"),
        (PROBABILITIES[[4, 0, 1, 2, 3]], ": of the detection -1 rows on"),
        (0.25 * PROBABILITIES, ": 0.25 times the reference's"),
        (PROBABILITIES**3, "; possible: another activation, or rows of other detections"),
        (PROBABILITIES[:, ::2, ::2], ": (4, 4) values each, the reference's (8, 8)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_was_done_to_the_output_masks(made: NDArray, what: str) -> None:
    assert pasted(crops_moved(3, 3), made) == BEFORE + what


def test_output_masks_are_looked_at_where_the_pasted_ones_are_wrong() -> None:
    """Of the others any difference is within what the mask's tolerance allows."""
    masks = PROBABILITIES.copy()
    masks[1:] = 0
    assert pasted(crops_moved(1, 1, count=1), masks) == "pasted (+1, +1) px off"
    masks[0] = 0
    assert pasted(crops_moved(1, 1, count=1), masks) == f"{BEFORE}: empty"


def points_moved(dx: float, dy: float, rows: Sequence[int] = range(5)) -> NDArray:
    assert FIVE.keypoints is not None
    points = FIVE.keypoints.copy()
    points[list(rows), :, :2] += (dx, dy)
    return points


def swapped(rows: Sequence[int]) -> NDArray:
    points = points_moved(0, 0)
    points[list(rows)] = points[list(rows)][:, [0, 2, 1]]
    return points


def beside(points: NDArray) -> NDArray:
    """One object's points each moved to another side: no one shift explains it."""
    points[0, :, 0] += (9, -9, 9)
    return points


SWAPPED = "left and right are swapped: the points are another side's"


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        (points_moved(0, 0), ""),
        (swapped(range(5)), SWAPPED),
        (swapped([3]), SWAPPED),
        (points_moved(1, -0.5), "all points (+1.0, -0.5) px off"),
        (points_moved(0, 2, [4]), "all points (+0.0, +2.0) px off"),
        (points_moved(FP32.keypoint_px, 0), ""),
        (beside(points_moved(0, 3)), "all points (+0.0, +3.0) px off"),
        (beside(points_moved(0, 3, [0, 1, 2, 3])), ""),
        (beside(swapped([1, 2, 3, 4])), SWAPPED),
        (beside(swapped([1, 2, 3])), ""),
    ],
    ids=["same", "swapped", "one swapped", "moved", "one moved", "as far as allowed", "most moved", "three of four",
         "most swapped", "three of four swapped"],
)  # fmt: skip
def test_points(points: NDArray, expected: str) -> None:
    candidate = dataclasses.replace(FIVE, keypoints=points)
    assert " | ".join(keypoint_culprits(FIVE, candidate, POINTS, FP32)) == expected


def test_a_model_without_points_has_no_marks_of_them() -> None:
    bare = dataclasses.replace(FIVE, keypoints=None)
    candidate = dataclasses.replace(FIVE, keypoints=swapped(range(5)))
    assert keypoint_culprits(bare, candidate, POINTS, FP32) == []
    assert keypoint_culprits(FIVE, bare, POINTS, FP32) == []
    assert keypoint_culprits(FIVE, candidate, None, FP32) == []
