"""What probes are made of: boxes on a canvas, sweeps over a threshold, borders, and marks of wrong RoIs."""

from __future__ import annotations

import numpy as np
import pytest

from maskrt.models.rcnn.parity.probes.setting import around, centres_of, places, sizes_of, there
from maskrt.models.rcnn.parity.probes.sweeps import border_cause, ious_to_try, pairs, turning_point
from maskrt.models.rcnn.parity.rois import fpn_levels, pooling_culprits
from maskrt.runtime.parity.inside.stages import Aligned
from maskrt.runtime.tasks.instances.compare.match import box_iou


@pytest.mark.parametrize("count", [1, 5, 12, 100])
def test_places_are_apart_and_inside(count: int) -> None:
    found = places(count, 200, 400)

    assert found.shape == (count, 2)
    assert found.min() > 0
    assert (found < (400, 200)).all()
    apart = np.abs(found[:, None] - found[None]).max(axis=2) + 1000 * np.eye(count)
    assert apart.min() >= 0.6 * np.sqrt(200 * 400 / count) or count == 1


def test_boxes_around_places() -> None:
    boxes = around(np.array([[10.0, 20.0], [30.0, 40.0]]), np.array([4.0, 6.0]), 2.0)

    assert boxes.tolist() == [[8, 19, 12, 21], [27, 39, 33, 41]]
    assert sizes_of(boxes).tolist() == [[4, 2], [6, 2]]
    assert centres_of(boxes).tolist() == [[10, 20], [30, 40]]


def test_a_box_is_there_within_a_twentieth_of_a_pixel() -> None:
    wanted = np.array([[0.0, 0, 10, 10], [20, 0, 30, 10], [0, 20, 10, 30]])
    found = wanted[[1, 0]] + np.array([[0.04, 0, 0, 0], [0, 0, 0, 0.06]])

    assert there(wanted, found).tolist() == [False, True, False]
    assert there(wanted, np.zeros((0, 4))).tolist() == [False] * 3


@pytest.mark.parametrize(
    ("kept", "where"),
    [
        ([0, 0, 1, 1], "between 0.2 and 0.3"),
        ([1, 0, 0, 0], "between 0.1 and 0.2"),
        ([0, 1, 0, 1], "between 0.1 and 0.4"),
        ([1, 1, 1, 1], "nowhere from 0.1 to 0.4"),
        ([0, 0, 0, 0], "everywhere from 0.1 to 0.4"),
    ],
)
def test_a_threshold_lies_where_answers_turn(kept: list[int], where: str) -> None:
    values, expected = np.array([0.1, 0.2, 0.3, 0.4]), np.array([True, True, True, False])

    assert turning_point(values, expected, np.array(kept, bool)) == (
        f"{where}, the reference's between 0.3 and 0.4"
    )
    assert turning_point(values, expected, expected) == ""
    backwards = turning_point(values[::-1], expected[::-1], np.array(kept, bool)[::-1])
    if len(set(kept)) == 2:
        assert backwards == f"{where}, the reference's between 0.3 and 0.4"


@pytest.mark.parametrize(("pairs_at_most", "room", "count"), [(500, 500, 96), (40, 500, 40), (500, 61, 30)])
def test_as_many_overlaps_are_tried_as_there_is_room_for(pairs_at_most: int, room: int, count: int) -> None:
    ious = ious_to_try(pairs_at_most, room)

    assert (len(ious), ious[0], ious[-1]) == (count, 0.025, pytest.approx(0.975))


def test_pairs_overlap_as_they_are_asked_to_and_no_others() -> None:
    ious = np.linspace(0.1, 0.9, 9)

    outer, inner = pairs(ious, (256, 512), 30.0)

    overlap = box_iou(outer, inner)
    np.testing.assert_allclose(np.diag(overlap), ious, atol=1e-6)
    assert not (overlap - np.diag(np.diag(overlap))).any()
    assert not (box_iou(outer, outer) - np.eye(9)).any()
    assert outer.min() >= 0
    assert (outer[:, 2:] <= (512, 256)).all()


def test_a_wrong_border_is_named() -> None:
    boxes = np.array([[-10.0, 20, 30, 40], [80, 50, 120, 70], [40, -5, 60, 90]])
    clipped = np.clip(boxes, 0, [100, 80, 100, 80])
    wider = np.clip(boxes, 0, [110, 85, 110, 85])

    assert border_cause(boxes, clipped, clipped[::-1], "boxes") == ""
    assert border_cause(boxes, clipped, boxes, "boxes") == "boxes are not clipped to the picture"
    assert border_cause(boxes, clipped, wider, "proposals") == (
        "proposals are clipped to x 0.0 to 110.0 px and y 0.0 to 85.0 px, the reference's to x 0.0 to 100.0 px "
        "and y 0.0 to 80.0 px"
    )


@pytest.mark.parametrize(
    ("side_px", "level"), [(1, 2), (111, 2), (112, 3), (223, 3), (224, 4), (447, 4), (448, 5), (2000, 5)]
)
def test_levels_of_rois_are_the_paper_s(side_px: float, level: int) -> None:
    """Feature Pyramid Networks, arXiv:1612.03144, eq. 1: 224 px belong to level 4, and each doubling to the next."""
    assert fpn_levels(np.array([[5.0, 5, 5 + side_px, 5 + side_px]]), (4, 8, 16, 32)).tolist() == [level]


@pytest.mark.parametrize(
    ("wrong", "strides_px", "said"),
    [
        ([], (4, 8, 16, 32), ""),
        ([0, 4], (4, 8, 16, 32), "wrong for 2 of 8 RoIs, those that belong to P2; "),
        ([0, 4, 1, 5], (4, 8, 16, 32), "wrong for 4 of 8 RoIs, those that belong to P2, P3; "),
        ([0, 1, 2, 3, 4, 5, 6, 7], (4, 8, 16, 32), "wrong for RoIs of every size; "),
        ([0, 4], (16,), "wrong for RoIs of every size; "),  # one map: there is no other level
    ],
)
def test_rois_that_were_pooled_wrongly_are_told_by_their_level(
    wrong: list[int], strides_px: tuple[int, ...], said: str
) -> None:
    sides = np.array([60, 120, 240, 460] * 2, np.float32)[:, None]
    boxes = np.hstack([0 * sides, 0 * sides, sides, sides])
    expected = np.ones((8, 4, 7, 7), np.float32)
    found = expected.copy()
    found[wrong] *= 1.5

    culprits = pooling_culprits(Aligned(expected, found, np.arange(8), compared=1.0), boxes, strides_px)

    assert [one[: len(said)] for one in culprits] == ([said] if said else [])
