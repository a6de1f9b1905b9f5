"""The instances that differ most, as pictures with a title."""

from __future__ import annotations

import base64
import dataclasses

import cv2
import numpy as np
import pytest

from maskrt.runtime.tasks.instances.compare.flips import Flips
from maskrt.runtime.tasks.instances.compare.match import match
from maskrt.runtime.tasks.instances.compare.worst import (
    BOTH_RGB,
    CANDIDATE_RGB,
    KEPT,
    OPACITY,
    REFERENCE_RGB,
    SIDE_PX,
    WorstCases,
)
from maskrt.runtime.tasks.instances.instances import MaskCrop
from maskrt.runtime.tasks.instances.result import Result
from tests.runtime.conftest import CLASSES

GREY, JPEG_LEVELS = 100, 12  # what JPEG changes a plain colour by, at most
CANVAS = np.full((200, 400, 3), GREY, np.uint8)


def found(*boxes: tuple[int, int, int, int], masks: bool = True) -> Result:
    """A cat in each box, which its mask fills; scores 0.9, 0.8, …"""
    return Result(
        height_px=200,
        width_px=400,
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        scores=np.array([0.9 - i / 10 for i in range(len(boxes))], np.float32),
        labels=np.zeros(len(boxes), np.int32),
        classes=CLASSES,
        crops=tuple(MaskCrop(y1, x1, np.ones((y2 - y1, x2 - x1), bool)) for x1, y1, x2, y2 in boxes)
        if masks
        else None,
    )


def worst(reference: Result, candidate: Result, flips: Flips | None = None) -> WorstCases:
    cases = WorstCases()
    cases.add("a.jpg", CANVAS, reference, candidate, match(reference, candidate), flips or Flips())
    return cases


def picture(url: str) -> np.ndarray:
    """(H, W, 3) RGB."""
    data = base64.b64decode(url.removeprefix("data:image/jpeg;base64,"))
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1].astype(int)


def test_of_a_pair_the_title_says_how_far_it_is_apart() -> None:
    (case,) = worst(found((100, 40, 200, 140)), found((100, 40, 200, 120))).cases
    assert case.title == "a.jpg: cat 0.90, mask IoU 0.8000, box 20 px"
    assert case.badness == pytest.approx(0.2)


def test_without_masks_boxes_are_compared() -> None:
    (case,) = worst(found((100, 40, 200, 140), masks=False), found((100, 40, 200, 120), masks=False)).cases
    assert case.title == "a.jpg: cat 0.90, box IoU 0.8000, box 20 px"


def test_points_are_told_where_there_are_any() -> None:
    one, other = (
        dataclasses.replace(found((100, 40, 200, 140)), keypoints=np.full((1, 3, 3), x, np.float32))
        for x in (1, 4)
    )
    (case,) = worst(one, other).cases
    assert case.title == "a.jpg: cat 0.90, mask IoU 1.0000, box 0 px, keypoints 4.24 px"


def test_what_one_side_lacks_is_worse_the_surer_it_is() -> None:
    reference = found((0, 0, 40, 40), (100, 0, 140, 40))
    candidate = found((200, 0, 240, 40), (0, 0, 40, 40))
    cases = worst(reference, candidate).cases
    assert [case.title for case in cases] == [
        "a.jpg: cat 0.90, extra", "a.jpg: cat 0.80, missed", "a.jpg: cat 0.90, mask IoU 1.0000, box 0 px",
    ]  # fmt: skip
    assert [case.badness for case in cases] == pytest.approx([1.9, 1.8, 0])


def test_a_flip_is_no_case() -> None:
    reference, candidate = found((0, 0, 40, 40)), found((100, 0, 140, 40))
    assert worst(reference, candidate, Flips(missed=(0,), extra=(0,))).cases == []
    assert [case.title for case in worst(reference, candidate, Flips(missed=(0,))).cases] == [
        "a.jpg: cat 0.90, extra"
    ]


def test_the_worst_of_all_images_are_kept_and_equals_as_they_came() -> None:
    cases = WorstCases()
    for name, lower in (("a", 1), ("b", 20), ("c", 5), ("d", 20)):
        reference = found(*((50 * i, 0, 50 * i + 40, 40) for i in range(3)))
        candidate = found(*((50 * i, 0, 50 * i + 40, 40 - lower) for i in range(3)))
        cases.add(name, CANVAS, reference, candidate, match(reference, candidate), Flips())
    assert len(cases.cases) == KEPT == 8
    assert "".join(case.title[0] for case in cases.cases) == "bbbdddcc"


@pytest.mark.parametrize(
    ("box", "shown_px"),
    [
        ((100, 40, 200, 120), (151, 131)),
        ((0, 0, 20, 8), (26, 14)),
        ((300, 120, 400, 200), (125, 105)),
        ((200, 100, 206, 102), (11, 7)),
    ],
    ids=[
        "a quarter of the longer side around it",
        "upper left",
        "lower right",
        "small: two pixels around it",
    ],
)
def test_the_part_shown(box: tuple[int, int, int, int], shown_px: tuple[int, int]) -> None:
    """(width, height): from a margin before the box to a margin and a pixel behind it, within the image."""
    (case,) = worst(found(box), found()).cases
    scale = SIDE_PX / max(shown_px)
    expected = (round(shown_px[1] * scale), round(shown_px[0] * scale), 3)
    assert picture(case.reference).shape == picture(case.candidate).shape == expected


def colour_at(url: str, x: float, y: float) -> list[int]:
    """Of a picture, at fractions of its sides."""
    shown = picture(url)
    return shown[int(y * shown.shape[0]), int(x * shown.shape[1])].tolist()


def tinted(rgb: tuple[int, int, int]) -> object:
    return pytest.approx([GREY * (1 - OPACITY) + value * OPACITY for value in rgb], abs=JPEG_LEVELS)


@pytest.mark.parametrize("masks", [True, False])
def test_each_side_has_its_colour_and_what_both_have_another(masks: bool) -> None:
    """The reference's box reaches further to the left, the candidate's to the right."""
    reference, candidate = found((100, 20, 180, 120), masks=masks), found((120, 20, 200, 120), masks=masks)
    (case,) = worst(reference, candidate).cases
    left, middle, right, beside = 0.3, 0.5, 0.87, 0.05  # of what is shown: x from 75 to 206
    plain = pytest.approx([GREY] * 3, abs=JPEG_LEVELS)
    assert [colour_at(case.reference, x, 0.5) for x in (beside, left, middle, right)] == [
        plain, tinted(REFERENCE_RGB), tinted(REFERENCE_RGB), plain,
    ]  # fmt: skip
    assert [colour_at(case.candidate, x, 0.5) for x in (beside, left, middle, right)] == [
        plain, plain, tinted(CANDIDATE_RGB), tinted(CANDIDATE_RGB),
    ]  # fmt: skip
    assert [colour_at(case.difference, x, 0.5) for x in (beside, left, middle, right)] == [
        plain, tinted(REFERENCE_RGB), tinted(BOTH_RGB), tinted(CANDIDATE_RGB),
    ]  # fmt: skip
