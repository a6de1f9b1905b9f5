"""Colours of what is drawn: one a class, or one an instance that none of its neighbours has."""

from __future__ import annotations

import colorsys
from collections import Counter
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]  # RGB

GOLDEN_RATIO = 0.618033988749895  # steps of it spread hues as evenly as can be, for any number
#: A dozen that are distinct on skin, sky, metal and under a microscope, and in print.
PALETTE: tuple[Colour, ...] = (
    (235, 64, 52),
    (48, 140, 255),
    (255, 190, 30),
    (46, 190, 96),
    (186, 85, 235),
    (0, 205, 215),
    (255, 115, 180),
    (165, 215, 40),
    (255, 130, 30),
    (95, 95, 240),
    (190, 130, 75),
    (20, 140, 130),
)
NEAR = 0.1  # of its sides: so far from a box a neighbour may lie


def class_colour(label: int) -> Colour:
    """RGB of a class: the same in every image and every run, of the palette as far as that goes."""
    if label < len(PALETTE):
        return PALETTE[label]
    r, g, b = colorsys.hsv_to_rgb(label * GOLDEN_RATIO % 1.0, 0.75, 0.95)
    return round(r * 255), round(g * 255), round(b * 255)


def instance_colours(boxes: NDArray[np.float32], known: Mapping[int, int] | None = None) -> list[int]:
    """A place in PALETTE for each box (D, 4): of those that no neighbour has, the one that is used least.

    known: places that some boxes have already, by row; they keep them. Where more neighbours than colours
    touch a box, it shares one.
    """
    places: dict[int, int] = dict(known or {})
    used = Counter(places.values())
    near = _near(boxes)
    for row in range(len(boxes)):
        if row in places:
            continue
        taken = {places[other] for other in np.flatnonzero(near[row]).tolist() if other in places}
        free = [place for place in range(len(PALETTE)) if place not in taken] or range(len(PALETTE))
        places[row] = min(free, key=lambda place: used[place])
        used[places[row]] += 1
    return [places[row] for row in range(len(boxes))]


def _near(boxes: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(D, D): whether a box, grown by NEAR, meets another."""
    margin = (boxes[:, 2:] - boxes[:, :2]) * NEAR
    low, high = boxes[:, None, :2] - margin[:, None], boxes[:, None, 2:] + margin[:, None]
    meets = (low <= boxes[None, :, 2:]) & (boxes[None, :, :2] <= high)
    return np.asarray(meets.all(axis=2))
