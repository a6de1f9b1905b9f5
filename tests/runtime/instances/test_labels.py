"""The lettering of labels: sizes, and ink that can be read on its ground."""

from __future__ import annotations

import numpy as np
import pytest

from maskrt.runtime.tasks.lettering import Lettering

BLACK, WHITE = 0, 255


@pytest.mark.parametrize(
    ("ground", "ink"),
    [
        ((255, 255, 255), BLACK),
        ((0, 0, 0), WHITE),
        ((255, 255, 0), BLACK),
        ((0, 255, 255), BLACK),
        ((0, 255, 0), BLACK),
        ((255, 0, 255), WHITE),
        ((255, 0, 0), WHITE),
        ((0, 0, 255), WHITE),
        ((129, 129, 129), BLACK),
        ((127, 127, 127), WHITE),
    ],
)
def test_ink_is_black_on_light_grounds_and_white_on_dark_ones(ground: tuple[int, int, int], ink: int) -> None:
    """By Rec. 601's luma, to which green gives most and blue least."""
    canvas = np.full((40, 80, 3), 77, np.uint8)

    Lettering(1.5).write(canvas, "H", (5, 5), ground)

    drawn = {tuple(pixel) for pixel in canvas[5:30, 5:20].reshape(-1, 3).tolist()}
    assert ground in drawn
    assert (ink, ink, ink) in drawn
    assert (BLACK + WHITE - ink,) * 3 not in drawn - {ground}


def test_a_text_stays_on_its_ground_and_the_ground_is_as_large_as_is_said() -> None:
    canvas, lettering = np.full((60, 200, 3), 77, np.uint8), Lettering(2.0)

    lettering.write(canvas, "glasses 93%", (10, 12), (0, 0, 0))

    rows, columns = np.nonzero((canvas != 77).any(axis=2))
    width, height = lettering.extent("glasses 93%")
    assert (columns.min(), rows.min()) == (10, 12)
    assert (columns.max() - 10, rows.max() - 12) == (width, height)


@pytest.mark.parametrize(
    ("scale", "size", "weight", "margin"), [(0.2, 0.1, 1, 1), (1, 0.5, 1, 2), (3, 1.5, 3, 6)]
)
def test_letters_grow_with_the_picture(scale: float, size: float, weight: int, margin: int) -> None:
    lettering = Lettering(scale)

    assert (lettering.size, lettering.weight, lettering.margin) == (pytest.approx(size), weight, margin)
