"""Labels of an overlay: off one another, off the other objects where that can be, and inside the picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskrt.runtime.contract import Category
from maskrt.runtime.tasks.instances.drawing.label_places import Map, Place
from maskrt.runtime.tasks.instances.instances import Instances, MaskCrop

HEIGHT, WIDTH = 300, 400
LABEL = (40, 14)  # width, height
CELL = 2  # of the map of a picture this large: what is between two labels is known to the cell

Box = tuple[int, int, int, int]


def discs(*boxes: Box) -> Instances:
    def disc(box: Box) -> MaskCrop:
        x1, y1, x2, y2 = box
        y, x = np.mgrid[: y2 - y1, : x2 - x1]
        inside = ((x + 0.5) / (x2 - x1) - 0.5) ** 2 + ((y + 0.5) / (y2 - y1) - 0.5) ** 2 < 0.25
        return MaskCrop(y1, x1, inside)

    return Instances(
        height_px=HEIGHT,
        width_px=WIDTH,
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        scores=np.linspace(0.99, 0.5, len(boxes), dtype=np.float32),
        labels=np.zeros(len(boxes), np.int32),
        classes=(Category(1, "disc"),),
        crops=tuple(disc(box) for box in boxes),
    )


def covered(instances: Instances, row: int, place: Place, size: tuple[int, int] = LABEL) -> int:
    """Pixels of other objects under a label."""
    x, y = place
    others = np.delete(instances.masks, row, axis=0).any(axis=0) & ~instances.masks[row]
    return int(others[y : y + size[1], x : x + size[0]].sum())


def overlap(one: Place, other: Place, size: tuple[int, int] = LABEL) -> bool:
    return all(abs(a - b) < side for a, b, side in zip(one, other, size, strict=True))


def packed(columns: int, rows: int, side: int) -> Instances:
    """Discs that touch."""
    return discs(
        *((side * c, side * r, side * c + side, side * r + side) for r in range(rows) for c in range(columns))
    )


def test_a_label_alone_stands_on_the_left_upper_corner() -> None:
    assert Map(discs((100, 100, 160, 160))).place([LABEL]) == ([(100, 100 - LABEL[1])], True)


@pytest.mark.parametrize(("beyond_px", "stays"), [(0, True), (-1, False)], ids=["touches it", "covers it"])
def test_a_label_makes_room_for_what_its_last_column_would_cover(beyond_px: int, stays: bool) -> None:
    (x, y), other_y = (20, 60), 30
    other_x = x + LABEL[0] + beyond_px
    boxes = discs((x, y, 50, 90), (other_x, other_y, 100, y - 2))
    in_cells_of_a_pixel = replace(boxes, height_px=150, width_px=150, crops=None)

    places, _ = Map(in_cells_of_a_pixel).place([LABEL, LABEL])

    assert (places[0] == (x, y - LABEL[1])) == stays


def test_nothing_found_needs_no_place() -> None:
    assert Map(discs()).place([]) == ([], True)


def test_a_label_goes_round_the_object_above_it() -> None:
    scene = discs((100, 100, 160, 160), (90, 40, 170, 98))

    (place, _), clear = Map(scene).place([LABEL] * 2)

    assert place is not None
    assert covered(scene, 0, place) <= CELL * sum(LABEL)
    assert clear


def test_in_a_crowd_labels_stand_inside_their_own_objects() -> None:
    scene = packed(8, 6, 50)
    inner = [8 * row + column for row in range(1, 5) for column in range(1, 7)]

    places, clear = Map(scene).place([LABEL] * 48)

    assert clear
    assert len(inner) == 24
    for row in inner:
        (x, y), (x1, y1, x2, y2) = places[row] or (-1, -1), scene.boxes[row]
        assert x1 <= x <= x2 - LABEL[0]
        assert y1 <= y <= y2 - LABEL[1]


@pytest.mark.parametrize("side", [20, 30, 50])
def test_no_label_covers_another_however_crowded(side: int) -> None:
    scene = packed(8, 6, side)

    places, _ = Map(scene).place([LABEL] * 48)

    shown = [place for place in places if place is not None]
    assert len(shown) > 5
    assert not any(overlap(a, b) for i, a in enumerate(shown) for b in shown[:i])


def test_the_surest_has_its_place_first_and_a_weak_one_may_have_none() -> None:
    scene = discs(*[(100, 100, 130, 130)] * 40)

    places, clear = Map(scene).place([LABEL] * 40)

    assert places[0] == (100, 100 - LABEL[1])
    assert places[-1] is None
    assert not clear


def test_it_is_said_where_labels_hide_other_objects() -> None:
    wide = (120, 14)

    _, clear = Map(packed(8, 6, 50)).place([wide] * 48)

    assert not clear


@given(
    x=st.integers(-50, WIDTH + 50),
    y=st.integers(-50, HEIGHT + 50),
    width=st.integers(1, 200),
    height=st.integers(1, 200),
)
def test_a_label_lies_in_the_picture_wherever_its_box_is(x: int, y: int, width: int, height: int) -> None:
    scene = discs((100, 100, 110, 110))
    scene.boxes[0] = x, y, x + width, y + height

    ((place,), _) = Map(scene).place([LABEL])

    assert place is not None
    assert 0 <= place[0] <= WIDTH - LABEL[0]
    assert 0 <= place[1] <= HEIGHT - LABEL[1]
