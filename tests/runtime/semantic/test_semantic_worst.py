"""The images whose class maps differ most, as pictures of the part where they do."""

from __future__ import annotations

import base64

import cv2
import numpy as np
import pytest

from maskrt.runtime.tasks.semantic.compare.seen import SeenMaps
from maskrt.runtime.tasks.semantic.compare.tolerances import FP32
from maskrt.runtime.tasks.semantic.compare.worst import (
    KEPT,
    OPACITY,
    SIDE_PX,
    SURE_RGB,
    TIED_RGB,
    WorstCases,
)
from maskrt.runtime.tasks.semantic.drawing import palette

HEIGHT_PX, WIDTH_PX, GREY, JPEG_LEVELS = (
    200,
    300,
    100,
    14,
)  # the last: what JPEG changes a plain colour by, at most
CANVAS = np.full((HEIGHT_PX + 8, WIDTH_PX + 16, 3), GREY, np.uint8)  # padded


def seen(y: int, x: int, side: int, margin: float | None = 1.0) -> SeenMaps:
    """Class 1 everywhere; the candidate has class 2 in a square."""
    ours = np.ones((HEIGHT_PX, WIDTH_PX), np.uint8)
    theirs = ours.copy()
    theirs[y : y + side, x : x + side] = 2
    margins = None if margin is None else np.full(ours.shape, margin, np.float32)
    return SeenMaps(ours, theirs, margins, FP32)


def cases(*images: SeenMaps) -> WorstCases:
    worst = WorstCases()
    for number, image in enumerate(images):
        worst.add(f"{number}.jpg", CANVAS, image)
    return worst


def picture(url: str) -> np.ndarray:
    """(H, W, 3) RGB."""
    data = base64.b64decode(url.removeprefix("data:image/jpeg;base64,"))
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1].astype(int)


def about(colour: object) -> object:
    return pytest.approx(np.array(colour, float).tolist(), abs=JPEG_LEVELS)


def test_the_title_says_how_much_differs() -> None:
    (sure,) = cases(seen(0, 0, 30)).cases
    assert sure.title == "0.jpg: 1.500% of the pixels differ (yellow: ties), 1.500% surely (red)"
    assert sure.badness == pytest.approx(0.03)
    (tied,) = cases(seen(0, 0, 30, margin=0.0)).cases
    assert tied.title == "0.jpg: 1.500% of the pixels differ (yellow: ties), 0.000% surely (red)"
    assert tied.badness == pytest.approx(0.015)
    (unknown,) = cases(seen(0, 0, 30, margin=None)).cases
    assert unknown.title == "0.jpg: 1.500% of the pixels differ"
    assert unknown.badness == pytest.approx(0.015)


def test_the_worst_are_kept_and_what_is_the_same_is_none() -> None:
    sides = (3, 0, 9, 5, 7, 1, 2, 4, 6, 8)
    worst = cases(*(seen(50, 50, side) for side in sides))
    assert len(worst.cases) == KEPT == 8
    assert [int(case.title[0]) for case in worst.cases] == [2, 9, 4, 8, 3, 7, 0, 6]


@pytest.mark.parametrize(("y", "x"), [(0, 0), (90, 140), (160, 260)])
@pytest.mark.parametrize(("margin", "mark"), [(1.0, SURE_RGB), (0.0, TIED_RGB)])
def test_the_part_that_differs_is_shown_in_the_classes_colours(
    y: int, x: int, margin: float, mark: tuple[int, int, int]
) -> None:
    """A square of two fifths of the shorter side, 80 px; half of that differs."""
    (case,) = cases(seen(y, x, 40, margin)).cases
    ours, theirs, differs = (picture(url) for url in (case.reference, case.candidate, case.difference))
    assert ours.shape == theirs.shape == differs.shape == (SIDE_PX, SIDE_PX, 3)
    one, two = (GREY * (1 - OPACITY) + palette(255)[label] * OPACITY for label in (1, 2))
    marked = np.abs(differs - np.array(mark)).max(axis=2) <= JPEG_LEVELS
    assert marked.mean() == pytest.approx(0.25, abs=0.02)
    assert theirs[marked].mean(axis=0).tolist() == about(two)
    assert theirs[~marked].mean(axis=0).tolist() == about(one)
    assert ours.reshape(-1, 3).mean(axis=0).tolist() == about(one)
    assert differs[~marked].mean(axis=0).tolist() == about([GREY // 2 + 64] * 3)
