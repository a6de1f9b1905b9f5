"""Overlays of videos: an object's colour from frame to frame."""

from __future__ import annotations

import dataclasses

import numpy as np

from maskrt.runtime.inputs.frames import Frame
from maskrt.runtime.tasks.colours import class_colour
from maskrt.runtime.tasks.instances.drawing.overlay import WAITED_FOR, Overlay
from maskrt.runtime.tasks.instances.result import Result
from maskrt.runtime.tasks.style import Style
from tests.runtime.instances.test_draw import objects, of_one_class, plain

SIZE = (200, 400)
STARTS = [(20.0 + 70 * i, 40.0) for i in range(5)]
Colour = tuple[int, ...]


class Clip:
    """A video of squares, each known by its number; what colour each has in a frame."""

    def __init__(self, style: Style | None = None) -> None:
        self._overlay = Overlay(dataclasses.replace(style or Style(), labels=False, alpha=1))
        self._index = 0

    def colours(
        self, shown: list[int], moved_px: float = 0, *, name: str = "a.mp4", still: bool = False
    ) -> dict[int, Colour]:
        """The squares in the order given: of the surest first."""
        boxes = [
            (x + moved_px, y + moved_px, x + moved_px + 40, y + moved_px + 40)
            for x, y in (STARTS[i] for i in shown)
        ]
        result: Result = of_one_class(objects(SIZE, boxes))
        frame = Frame(name, plain(*SIZE), None if still else self._index)
        self._index += 1
        drawn = self._overlay(frame, result)
        return {
            number: tuple(drawn[int(y1) + 20, int(x1) + 20].tolist())
            for number, (x1, y1, *_) in zip(shown, boxes, strict=True)
        }


def test_objects_that_move_a_little_keep_their_colours_in_whatever_order_they_come() -> None:
    clip = Clip()
    first = clip.colours([0, 1, 2, 3, 4])

    assert len(set(first.values())) == 5
    for step in range(1, 10):
        order = np.random.default_rng(step).permutation(5).tolist()
        assert clip.colours(order, moved_px=6.0 * step) == first


def test_one_that_is_missed_for_some_frames_has_its_colour_again() -> None:
    clip = Clip()
    first = clip.colours([0, 1, 2])

    for _ in range(WAITED_FOR):
        clip.colours([0, 2])

    assert clip.colours([2, 1, 0]) == first


def test_one_that_is_gone_for_long_is_forgotten() -> None:
    clip = Clip()
    clip.colours([3, 0, 1])

    for _ in range(WAITED_FOR + 2):
        clip.colours([])

    assert clip.colours([0, 1, 3]) == Clip().colours([0, 1, 3])


def test_another_video_and_a_still_begin_anew() -> None:
    clip, fresh = Clip(), Clip().colours([3, 2, 1])
    clip.colours([1, 2, 3])

    assert clip.colours([3, 2, 1], still=True) == fresh
    assert clip.colours([3, 2, 1], name="b.mp4") == fresh


def test_by_class_the_colour_is_the_class_s() -> None:
    assert set(Clip(Style("class")).colours([0, 1]).values()) == {class_colour(0)}
