"""Pictures of results: overlays that can be read at any image size, and colour splashes."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.tasks.colours import PALETTE, Colour, class_colour, instance_colours
from maskrt.runtime.tasks.instances.drawing.labels import draw_labels
from maskrt.runtime.tasks.instances.instances import Instances
from maskrt.runtime.tasks.style import Style

# Of a heat map's best logit; the others are near or below zero. What is lower was not really found.
POINT_SCORE = 2.0
ROUNDING = 0.25  # of an outline's thickness: so far may it lie beside the border's pixels


def by_instance(style: Style, instances: Instances) -> bool:
    """True if each object has a colour of its own."""
    return style.color_by == "instance" or (style.color_by == "auto" and len(instances.classes) == 1)


def colours_of(style: Style, instances: Instances) -> list[Colour]:
    """Colour of each object."""
    if by_instance(style, instances):
        return [PALETTE[place] for place in instance_colours(instances.boxes)]
    return [class_colour(int(label)) for label in instances.labels]


def draw(
    image: NDArray[np.uint8],
    instances: Instances,
    style: Style | None = None,
    colours: Sequence[Colour] | None = None,
) -> NDArray[np.uint8]:
    """A copy of `image` (H, W, 3) RGB with the result drawn in; line and text sizes follow the image's.

    colours: RGB of each object, in place of the style's.
    """
    style = style or Style()
    colours = colours or colours_of(style, instances)
    canvas = image.copy()
    scale = max(min(image.shape[:2]) / 600, 0.35)
    thickness = max(1, round(1.5 * scale))
    for crop, colour in zip(instances.crops or (), colours, strict=False):
        _fill(canvas, crop.top, crop.left, crop.bits, colour, style.alpha)
    # Outlines after all the fills: no neighbour's fill lies on them.
    for crop, colour in zip(instances.crops or (), colours, strict=False):
        # Of every pixel of a border it would be slow, and as ragged as the pixels are.
        outlines = [cv2.approxPolyDP(outline, thickness * ROUNDING, True) for outline in crop.polygons()]
        cv2.drawContours(canvas, outlines, -1, colour, thickness, cv2.LINE_AA)
    if style.boxes if style.boxes is not None else instances.crops is None:
        beyond = np.array([image.shape[1], image.shape[0]] * 2) + thickness  # OpenCV's numbers end somewhere
        for box, colour in zip(instances.boxes, colours, strict=True):
            corners = np.rint(np.clip(box, -thickness, beyond)).astype(int).tolist()
            cv2.rectangle(canvas, corners[:2], corners[2:], colour, thickness, cv2.LINE_AA)
    if instances.keypoints is not None:
        _skeletons(canvas, instances, colours, thickness)
    if style.labels:
        draw_labels(canvas, instances, colours, scale)
    return canvas


def splash(image: NDArray[np.uint8], instances: Instances) -> NDArray[np.uint8]:
    """A copy of `image` (H, W, 3) RGB that is grey but for the objects (Rec. 601 luma)."""
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    canvas = np.asarray(grey, np.uint8)
    for crop in instances.crops or ():
        h, w = crop.bits.shape
        region = np.s_[crop.top : crop.top + h, crop.left : crop.left + w]
        canvas[region][crop.bits] = image[region][crop.bits]
    return canvas


def _fill(
    canvas: NDArray[np.uint8], top: int, left: int, bits: NDArray[np.bool_], colour: Colour, alpha: float
) -> None:
    h, w = bits.shape
    if not bits.any():
        return
    region = canvas[top : top + h, left : left + w]
    levels = np.arange(256)[:, None] * (1 - alpha) + np.array(colour, np.float32) * alpha
    blended = cv2.LUT(region, levels.astype(np.uint8)[None])  # a table is quicker than arithmetic on pixels
    cv2.copyTo(blended, np.ascontiguousarray(bits).view(np.uint8), region)


def _skeletons(
    canvas: NDArray[np.uint8], instances: Instances, colours: Sequence[Colour], thickness: int
) -> None:
    """Points above `POINT_SCORE`, and the lines between two of them."""
    assert instances.keypoints is not None
    for number in reversed(range(len(instances))):
        places = np.rint(instances.keypoints[number, :, :2]).astype(int).tolist()
        shown = instances.keypoints[number, :, 2] > POINT_SCORE
        for a, b in instances.skeleton:
            if shown[a] and shown[b]:
                cv2.line(canvas, places[a], places[b], colours[number], thickness, cv2.LINE_AA)
        for place in (place for place, is_shown in zip(places, shown, strict=True) if is_shown):
            cv2.circle(canvas, place, 2 * thickness, colours[number], cv2.FILLED, cv2.LINE_AA)
