"""Pictures of class maps: overlays with a legend, and colour splashes."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.inputs.frames import Frame
from maskrt.runtime.tasks.colours import Colour, class_colour
from maskrt.runtime.tasks.lettering import Lettering
from maskrt.runtime.tasks.semantic.borders import borders
from maskrt.runtime.tasks.semantic.class_map import ClassMap
from maskrt.runtime.tasks.semantic.options import IGNORED
from maskrt.runtime.tasks.style import Style

#: Names of classes that are no thing to see: overlays leave their pixels as they are.
GROUNDS = ("background", "void", "unlabelled", "unlabeled", "ignore")
LEGEND_SHARE = 0.5  # of a picture's height that a legend may take


def palette(classes: int) -> NDArray[np.uint8]:
    """(256, 3) RGB by label; black past the classes."""
    colours = np.zeros((IGNORED + 1, 3), np.uint8)
    colours[:classes] = [class_colour(label) for label in range(classes)]
    return colours


def visible(result: ClassMap) -> NDArray[np.bool_]:
    """(256,): by label whether its pixels are tinted: those shown, but for a background that nobody named."""
    seen = np.zeros(IGNORED + 1, bool)
    for label, category in enumerate(result.classes):
        ground = category.name.lower() in GROUNDS
        seen[label] = not ground if result.shown is None else label in result.shown
    return seen


def draw(image: NDArray[np.uint8], result: ClassMap, style: Style | None = None) -> NDArray[np.uint8]:
    """A copy of `image` (H, W, 3) RGB in the colours of its classes, with the borders between them, and a
    legend of the largest ones."""
    style = style or Style()
    tinted = visible(result)[result.labels]
    colours = palette(len(result.classes))[result.labels]
    blend = cv2.addWeighted(image, 1 - style.alpha, colours, style.alpha, 0)
    canvas = np.where(tinted[:, :, None], blend, image)
    border = borders(result.labels) & tinted
    canvas[border] = colours[border]
    if style.labels:
        _legend(canvas, result)
    return canvas


def splash(image: NDArray[np.uint8], result: ClassMap) -> NDArray[np.uint8]:
    """A copy of `image` (H, W, 3) RGB that is grey but for the classes shown (Rec. 601 luma)."""
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return np.where(visible(result)[result.labels][:, :, None], image, np.asarray(grey, np.uint8))


def paint_splash(frame: Frame, result: ClassMap) -> NDArray[np.uint8]:
    """`splash` of a frame."""
    return splash(frame.image, result)


class Overlay:
    """Draws results in a style. A class has one colour, in every frame of a video too."""

    def __init__(self, style: Style) -> None:
        self._style = style

    def __call__(self, frame: Frame, result: ClassMap) -> NDArray[np.uint8]:
        """The overlay, (H, W, 3) RGB."""
        return draw(frame.image, result, self._style)


def _legend(canvas: NDArray[np.uint8], result: ClassMap) -> None:
    """Name and share of each class in its colour, from the upper left corner down, as many as have room."""
    lettering = Lettering(max(min(canvas.shape[:2]) / 600, 0.35))
    seen, top = visible(result), 0
    for one in result.found:
        if not seen[one.label]:
            continue
        colour: Colour = class_colour(one.label)
        text = f"{one.name} {one.share:.0%}"
        height = lettering.extent(text)[1]
        if top + height > LEGEND_SHARE * canvas.shape[0]:
            break
        lettering.write(canvas, text, (0, top), colour)
        top += height
