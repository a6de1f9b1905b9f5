from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskrt.runtime.contract import Category
from maskrt.runtime.errors import OptionError
from maskrt.runtime.tasks.colours import class_colour, instance_colours
from maskrt.runtime.tasks.instances.drawing.draw import POINT_SCORE, draw
from maskrt.runtime.tasks.instances.instances import MaskCrop
from maskrt.runtime.tasks.instances.result import Result
from maskrt.runtime.tasks.style import Style

CLASSES = tuple(Category(i, name) for i, name in enumerate(["cat", "toothbrush", "traffic light"]))
GREY = 90
# Of a label's height to the image's shorter side: lower is not legible, higher hides the picture.
LEGIBLE = (0.02, 0.08)
# Summed over the channels: the nearest two of a dozen class colours, still plainly told apart.
COLOUR_DISTANCE = 60


def plain(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), GREY, np.uint8)


def objects(
    size: tuple[int, int],
    boxes: list[tuple[float, float, float, float]],
    labels: list[int] | None = None,
    masked: bool = True,
) -> Result:
    labels = labels or [0] * len(boxes)
    return Result(
        height_px=size[0],
        width_px=size[1],
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        scores=np.linspace(0.99, 0.5, len(boxes), dtype=np.float32),
        labels=np.array(labels, np.int32),
        classes=CLASSES,
        crops=tuple(
            MaskCrop(int(y1), int(x1), np.full((int(y2) - int(y1), int(x2) - int(x1)), masked))
            for x1, y1, x2, y2 in boxes
        ),
    )


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return (before != after).any(axis=2)


def test_colours_are_used_alike_whoever_has_some_already() -> None:
    """26 objects that are no neighbours, of which three have one colour already and eleven the others."""
    corners = np.arange(26, dtype=np.float32)[:, None] * 100
    known = {row: max(row - 2, 0) for row in range(14)}

    places = instance_colours(np.hstack([corners, corners, corners + 9, corners + 9]), known)

    assert places[:14] == [0, 0, 0, *range(1, 12)]
    assert {places.count(place) for place in range(12)} == {2, 3}


def test_a_dozen_colours_are_told_apart() -> None:
    colours = [np.array(class_colour(label)) for label in range(12)]

    assert min(np.abs(a - b).sum() for a, b in itertools.combinations(colours, 2)) >= COLOUR_DISTANCE


@given(label=st.integers(0, 10_000))
def test_a_colour_is_three_bytes(label: int) -> None:
    colour = class_colour(label)

    assert colour == class_colour(label)
    assert all(isinstance(c, int) and 0 <= c <= 255 for c in colour)


@pytest.mark.parametrize("others", [[], [0], [2, 0]])
def test_a_class_has_its_colour_in_any_company(others: list[int]) -> None:
    image = plain(200, 300)
    boxes = [(100.0, 60.0, 180.0, 140.0), *[(20.0, 150.0, 60.0, 190.0)] * len(others)]

    inside = draw(image, objects((200, 300), boxes, [1, *others]))[100, 140].astype(float)

    expected = GREY * (1 - Style.alpha) + np.array(class_colour(1)) * Style.alpha
    assert np.abs(inside - expected).max() <= 1, "truncated to whole grey levels"


def test_the_image_given_stays_as_it_was() -> None:
    image = plain(100, 100)

    after = draw(image, objects((100, 100), [(10, 40, 60, 90)]))

    assert changed(plain(100, 100), after).any()
    np.testing.assert_array_equal(image, plain(100, 100))


def test_nothing_found_is_nothing_drawn() -> None:
    np.testing.assert_array_equal(draw(plain(50, 50), objects((50, 50), [])), plain(50, 50))


def test_draws_the_mask_and_nothing_far_from_it() -> None:
    image = plain(400, 600)
    result = objects((400, 600), [(200, 200, 320, 300)])
    result.crops[0].bits[40:60, 40:80] = False  # a hole

    touched = changed(image, draw(image, result))

    assert touched[200:300, 200:320][result.crops[0].bits].all()
    assert not touched[245:255, 250:270].any(), "the hole is seen through"
    ys, xs = np.nonzero(touched)
    assert ys.max() <= 305
    assert ys.min() >= 200 - 0.08 * 400, "a label's height above the box"
    assert 195 <= xs.min() < xs.max() <= 325


def test_an_outline_is_smooth_all_round_also_where_it_begins() -> None:
    """A bump of one pixel is the noise of a large mask; an outline begins at the topmost pixel."""
    image, result = plain(2400, 2400), objects((2400, 2400), [(1000, 999, 1400, 1400)])
    result.crops[0].bits[0] = False
    result.crops[0].bits[0, 180:184] = True

    drawn = changed(image, draw(image, result, Style(labels=False, alpha=0.0)))

    assert len(set(drawn[:, 1050:1350].argmax(axis=0))) == 1


def with_points(*points: tuple[float, float, float]) -> Result:
    """A person without a box's or a mask's lines; each point is x, y and a logit, and joined to the first."""
    return dataclasses.replace(
        objects((200, 300), [(100, 60, 180, 140)], masked=False),
        keypoints=np.array([points], np.float32),
        skeleton=tuple((0, i) for i in range(1, len(points))),
    )


def test_points_are_drawn_with_the_lines_between_them() -> None:
    image, result = plain(200, 300), with_points((60, 100, 9.0), (160, 100, 9.0), (60, 180, 9.0))

    drawn = changed(image, draw(image, result, Style(labels=False)))

    assert drawn[100, [60, 110, 160]].all()
    assert drawn[[140, 180], 60].all()
    assert not drawn[150, 120], "no line of the skeleton"


def test_a_point_is_drawn_whose_logit_is_above_the_limit() -> None:
    least = float(np.nextafter(np.float32(POINT_SCORE), np.float32(9)))
    image, result = plain(200, 300), with_points((60, 100, 9.0), (160, 100, POINT_SCORE), (60, 180, least))

    drawn = changed(image, draw(image, result, Style(labels=False)))

    assert drawn[[140, 180], 60].all()
    assert not drawn[100, [110, 160]].any(), "neither the point nor a line to it"


@pytest.mark.parametrize("size", [(1, 1), (32, 32), (50, 20000), (4000, 3000)])
def test_draws_at_any_size(size: tuple[int, int]) -> None:
    h, w = size
    image = plain(h, w)
    result = objects(size, [(0, 0, w, h), (w / 4, h / 4, w / 2, h / 2)], [1, 2])

    after = draw(image, result)

    assert (after.shape, after.dtype) == (image.shape, np.uint8)
    assert changed(image, after).mean() > 0.9


@pytest.mark.parametrize("size", [(300, 400), (480, 640), (1080, 1920), (4000, 3000)])
def test_labels_are_legible_at_any_size(size: tuple[int, int]) -> None:
    image, (h, w) = plain(*size), size
    label = changed(image, draw(image, objects(size, [(w / 3, h / 2, w / 2, h / 1.5)], masked=False)))

    height = np.flatnonzero(label.any(axis=1)).size

    assert LEGIBLE[0] <= height / min(size) <= LEGIBLE[1]


@pytest.mark.parametrize("size", [(300, 400), (1080, 1920)])
@pytest.mark.parametrize("x", [-0.1, 0.0, 0.97, 1.0])
@pytest.mark.parametrize("y", [-0.1, 0.0, 0.01, 0.97, 1.0])
def test_labels_lie_inside_the_image(size: tuple[int, int], x: float, y: float) -> None:
    """As many pixels of text at the border as in the middle: none is cut off."""
    h, w = size
    image = plain(h, w)

    def pixels(x1: float, y1: float) -> int:
        result = objects(size, [(x1, y1, x1 + 9, y1 + 9)], [2], masked=False)
        after = draw(image, result)
        return int((changed(image, after) & changed(np.full_like(image, class_colour(2)), after)).sum())

    assert pixels(x * w, y * h) == pixels(w // 2, h // 2) > 0


def test_a_weaker_detection_s_label_leaves_a_stronger_one_s_where_it_was() -> None:
    image, box = plain(300, 400), (100.0, 100.0, 200.0, 200.0)
    strong = draw(image, objects((300, 400), [box], [0], masked=False))

    both = draw(image, objects((300, 400), [box, box], [0, 1], masked=False))

    label = changed(image, strong)
    np.testing.assert_array_equal(both[label], strong[label])
    assert (changed(image, both) & ~label).sum() > 0.5 * label.sum(), "the weaker one has its label beside it"


def of_one_class(result: Result) -> Result:
    return dataclasses.replace(result, classes=CLASSES[:1], labels=np.zeros(len(result), np.int32))


def colours_inside(result: Result, style: Style) -> list[tuple[int, ...]]:
    """In the middle of each object, without labels, masks opaque."""
    drawn = draw(
        plain(result.height_px, result.width_px), result, dataclasses.replace(style, labels=False, alpha=1)
    )
    middles = ((result.boxes[:, :2] + result.boxes[:, 2:]) / 2).astype(int)
    return [tuple(drawn[y, x].tolist()) for x, y in middles]


SIX_IN_A_ROW = objects((100, 660), [(100.0 * i + 30, 20, 100.0 * i + 130, 80) for i in range(6)], [0, 1] * 3)


@pytest.mark.parametrize(
    ("result", "color_by", "colours"),
    [
        (SIX_IN_A_ROW, "auto", 2),
        (SIX_IN_A_ROW, "class", 2),
        (SIX_IN_A_ROW, "instance", 6),
        (of_one_class(SIX_IN_A_ROW), "auto", 6),
        (of_one_class(SIX_IN_A_ROW), "class", 1),
    ],
)
def test_colours_tell_classes_apart_or_instances(result: Result, color_by: str, colours: int) -> None:
    assert len(set(colours_inside(result, Style(color_by)))) == colours


def test_of_fifty_that_touch_no_two_neighbours_have_one_colour() -> None:
    boxes = [
        (60.0 * (i % 10), 60.0 * (i // 10), 60.0 * (i % 10) + 60, 60.0 * (i // 10) + 60) for i in range(50)
    ]
    result = of_one_class(objects((300, 600), boxes))

    grid = np.array(colours_inside(result, Style())).reshape(5, 10, 3)

    assert (grid[1:] != grid[:-1]).any(axis=2).all()
    assert (grid[:, 1:] != grid[:, :-1]).any(axis=2).all()
    assert (grid[1:, 1:] != grid[:-1, :-1]).any(axis=2).all()


def test_boxes_are_drawn_where_there_are_no_masks_or_where_asked_for() -> None:
    image, size, box = plain(200, 300), (200, 300), (100.0, 60.0, 180.0, 140.0)
    masked = objects(size, [box])
    masked.crops[0].bits[:20, :20] = False  # so that the box's corner is not the mask's
    bare = dataclasses.replace(masked, crops=None)

    def has_corner(result: Result, boxes: bool | None) -> bool:
        drawn = draw(image, result, Style(labels=False, boxes=boxes))
        return bool(changed(image, drawn)[58:64, 98:104].any())

    assert [has_corner(bare, boxes) for boxes in (None, True, False)] == [True, True, False]
    assert [has_corner(masked, boxes) for boxes in (None, True, False)] == [False, True, False]


def test_without_labels_nothing_is_written() -> None:
    image, result = plain(200, 300), objects((200, 300), [(100, 60, 180, 140)], masked=False)

    assert not changed(image, draw(image, result, Style(labels=False))).any()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"color_by": "colour"}, "color_by is 'colour', expected one of auto, class, instance"),
        ({"alpha": 1.5}, "alpha is 1.5, expected a number from 0 to 1"),
        ({"alpha": float("nan")}, "alpha is nan"),
        ({"alpha": "half"}, "alpha is 'half'"),
    ],
)
def test_names_a_style_that_cannot_be(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        Style(**wrong)


def test_boxes_far_outside_are_drawn_up_to_the_border() -> None:
    image = plain(100, 100)
    far = dataclasses.replace(objects((100, 100), [(20, 20, 60, 60)]), crops=None)
    far.boxes[0] = [20, -3e9, 4e9, 60]

    drawn = changed(image, draw(image, far, Style(labels=False)))

    assert drawn[10, 20]
    assert drawn[60, 90]
