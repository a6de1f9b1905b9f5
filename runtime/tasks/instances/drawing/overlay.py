"""What the pipeline draws of a frame: overlays whose colours stay with their objects, and colour splashes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.inputs.frames import Frame
from maskrt.runtime.tasks.colours import PALETTE, instance_colours
from maskrt.runtime.tasks.instances.drawing.draw import by_instance, draw, splash
from maskrt.runtime.tasks.instances.result import Result
from maskrt.runtime.tasks.style import Style

# Of its shorter side: how far a box's edges move from one frame to where its object is found again.
MOVED = 0.5
# Frames for which an object that is not found keeps its colour: near the limit of scores it comes and goes.
WAITED_FOR = 15


class Overlay:
    """Draws results in a style. In a video, where each object has its own colour, it keeps that from frame to
    frame, as long as boxes lie where they lay: nothing is tracked, so two that swap places swap colours."""

    def __init__(self, style: Style) -> None:
        self._style = style
        self._video: str | None = None
        self._forget()

    def __call__(self, frame: Frame, result: Result) -> NDArray[np.uint8]:
        """The overlay, (H, W, 3) RGB."""
        if frame.index is None or not by_instance(self._style, result):
            return draw(frame.image, result, self._style)
        if frame.name != self._video:
            self._video = frame.name
            self._forget()
        places = instance_colours(result.boxes, self._found_again(result.boxes))
        self._remember(result.boxes, places)
        return draw(frame.image, result, self._style, [PALETTE[place] for place in places])

    def _forget(self) -> None:
        self._boxes = np.zeros((0, 4), np.float32)
        self._places: list[int] = []
        self._missed = np.zeros(0, np.int64)  # frames since each was found

    def _found_again(self, boxes: NDArray[np.float32]) -> dict[int, int]:
        """The colours of boxes that lie where one lay, by row, the nearest pairs first."""
        sides = np.maximum((boxes[:, 2:] - boxes[:, :2]).min(axis=1), 1)
        moved = np.abs(boxes[:, None] - self._boxes[None]).max(axis=2) / sides[:, None]
        near = np.argwhere(moved < MOVED)
        known: dict[int, int] = {}
        used: set[int] = set()
        for row, before in near[np.argsort(moved[tuple(near.T)], kind="stable")].tolist():
            if row not in known and before not in used:
                known[row] = self._places[before]
                used.add(before)
        self._missed += 1
        self._missed[list(used)] = WAITED_FOR + 1  # its new box takes its place
        return known

    def _remember(self, boxes: NDArray[np.float32], places: list[int]) -> None:
        kept = np.flatnonzero(self._missed <= WAITED_FOR)
        self._boxes = np.concatenate([boxes, self._boxes[kept]])
        self._places = places + [self._places[row] for row in kept]
        self._missed = np.concatenate([np.zeros(len(boxes), np.int64), self._missed[kept]])


def paint_splash(frame: Frame, result: Result) -> NDArray[np.uint8]:
    """The frame in grey but for the objects, (H, W, 3) RGB."""
    return splash(frame.image, result)
