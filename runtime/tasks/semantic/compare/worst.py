"""The images that differ most, as pictures: taken when they are seen, so that no image must be kept."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.reports.html_page import jpeg_url
from maskrt.runtime.tasks.answers import Case
from maskrt.runtime.tasks.semantic.compare.seen import SeenMaps
from maskrt.runtime.tasks.semantic.drawing import palette

KEPT = 8
SIDE_PX = 240  # of a picture, at most
WINDOW, LEAST_PX = 0.4, 32  # of an image's shorter side, what is shown around its differences; at least
OPACITY = 0.55
SURE_RGB, TIED_RGB = (235, 64, 52), (255, 190, 30)


@dataclass
class WorstCases:
    """The `KEPT` worst images."""

    cases: list[Case] = field(default_factory=list)

    def add(self, name: str, canvas: NDArray, seen: SeenMaps) -> None:
        """Look at one image. canvas: (H, W, 3), RGB 0–255; the maps are of its upper left part."""
        badness = seen.differing + (seen.surely_differing or 0.0)
        least = self.cases[-1].badness if len(self.cases) == KEPT else 0.0
        if badness <= least:
            return
        part = _window(seen.differs)
        image = canvas[: seen.ours.shape[0], : seen.ours.shape[1]][part].astype(np.uint8)
        ours, theirs = (_tinted(image, palette(255)[labels[part]]) for labels in (seen.ours, seen.theirs))
        marks = np.where(seen.sure[part][:, :, None], SURE_RGB, TIED_RGB)
        differs = np.where(seen.differs[part][:, :, None], marks, image // 2 + 64).astype(np.uint8)
        title = f"{name}: {seen.differing:.3%} of the pixels differ"
        if seen.surely_differing is not None:
            title += f" (yellow: ties), {seen.surely_differing:.3%} surely (red)"
        self.cases.append(
            Case(badness, title, *(jpeg_url(picture, SIDE_PX) for picture in (ours, theirs, differs)))
        )
        self.cases = sorted(self.cases, key=lambda case: -case.badness)[:KEPT]


def _window(differs: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The part of an image where most pixels differ."""
    height, width = differs.shape
    side = min(max(round(WINDOW * min(height, width)), LEAST_PX), height, width)
    most = cv2.blur(differs.astype(np.float32), (side, side), borderType=cv2.BORDER_CONSTANT)
    y, x = np.unravel_index(int(most.argmax()), most.shape)
    top, left = (int(np.clip(v - side // 2, 0, end - side)) for v, end in ((y, height), (x, width)))
    return slice(top, top + side), slice(left, left + side)


def _tinted(image: NDArray[np.uint8], colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.addWeighted(image, 1 - OPACITY, colours, OPACITY, 0), np.uint8)
