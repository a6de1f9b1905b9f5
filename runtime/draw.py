"""Pictures of results: overlays that can be read at any image size, and colour splashes."""

from __future__ import annotations

import colorsys

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.instances import Instances

GOLDEN_RATIO = 0.618033988749895  # steps of it spread hues as evenly as can be for any number of classes
FILL_OPACITY = 0.45
# Of a heat map's best logit; the others are near or below zero. What is lower was not really found.
POINT_SCORE = 2.0


def class_colour(label: int) -> tuple[int, int, int]:
    """RGB of a class: the same in every image and every run."""
    r, g, b = colorsys.hsv_to_rgb((0.33 + label * GOLDEN_RATIO) % 1.0, 0.85, 1.0)
    return round(r * 255), round(g * 255), round(b * 255)


def draw(image: NDArray[np.uint8], result: Instances) -> NDArray[np.uint8]:
    """A copy of `image` (H, W, 3) RGB with the result drawn in; line and text sizes follow the image's."""
    canvas = image.copy()
    scale = max(min(image.shape[:2]) / 600, 0.35)
    thickness = max(1, round(1.5 * scale))
    if result.crops is None:
        for label, box in zip(result.labels, result.boxes, strict=True):
            corners = np.rint(box).astype(int).tolist()
            cv2.rectangle(canvas, corners[:2], corners[2:], class_colour(int(label)), thickness, cv2.LINE_AA)
    for label, crop in zip(result.labels, result.crops or (), strict=False):
        colour = np.array(class_colour(int(label)), np.float32)
        bits = np.ascontiguousarray(crop.bits).view(np.uint8)
        h, w = bits.shape
        if not bits.any():
            continue
        region = canvas[crop.top : crop.top + h, crop.left : crop.left + w]
        levels = np.arange(256)[:, None] * (1 - FILL_OPACITY) + colour * FILL_OPACITY
        blended = cv2.LUT(
            region, levels.astype(np.uint8)[None]
        )  # a table is quicker than arithmetic on pixels
        region[:] = cv2.copyTo(blended, bits, region.copy())
        contours, _ = cv2.findContours(
            bits, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=(crop.left, crop.top)
        )
        cv2.drawContours(canvas, contours, -1, class_colour(int(label)), thickness, cv2.LINE_AA)
    if result.keypoints is not None:
        _skeletons(canvas, result, thickness)
    # Labels last and from the least certain up, so that no mask and no weaker label hides a strong one.
    for i in reversed(range(len(result))):
        _label(canvas, result, i, scale)
    return canvas


def splash(image: NDArray[np.uint8], result: Instances) -> NDArray[np.uint8]:
    """A copy of `image` (H, W, 3) RGB that is grey but for the objects (Rec. 601 luma)."""
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    canvas = np.asarray(grey, np.uint8)
    for crop in result.crops or ():
        h, w = crop.bits.shape
        region = np.s_[crop.top : crop.top + h, crop.left : crop.left + w]
        canvas[region][crop.bits] = image[region][crop.bits]
    return canvas


def _skeletons(canvas: NDArray[np.uint8], result: Instances, thickness: int) -> None:
    """Points above `POINT_SCORE`, and the lines between two of them. Each object has a colour of its own."""
    assert result.keypoints is not None
    for number in reversed(range(len(result))):
        colour = class_colour(number)
        places = np.rint(result.keypoints[number, :, :2]).astype(int).tolist()
        shown = result.keypoints[number, :, 2] > POINT_SCORE
        for a, b in result.skeleton:
            if shown[a] and shown[b]:
                cv2.line(canvas, places[a], places[b], colour, thickness, cv2.LINE_AA)
        for place in (place for place, is_shown in zip(places, shown, strict=True) if is_shown):
            cv2.circle(canvas, place, 2 * thickness, colour, cv2.FILLED, cv2.LINE_AA)


def _label(canvas: NDArray[np.uint8], result: Instances, i: int, scale: float) -> None:
    text = f"{result.names[i]} {result.scores[i]:.0%}"
    font, size, weight = cv2.FONT_HERSHEY_SIMPLEX, 0.5 * scale, max(1, round(scale))
    (width, height), descent = cv2.getTextSize(text, font, size, weight)
    margin = max(1, round(2 * scale))
    x = int(np.clip(result.boxes[i, 0], 0, max(canvas.shape[1] - width - 2 * margin, 0)))
    box_height = height + descent + 2 * margin
    y = int(result.boxes[i, 1]) - box_height
    if y < 0:
        y = int(np.clip(result.boxes[i, 1], 0, max(canvas.shape[0] - box_height, 0)))
    colour = class_colour(int(result.labels[i]))
    cv2.rectangle(canvas, (x, y), (x + width + 2 * margin, y + box_height), colour, cv2.FILLED)
    # Rec. 601 luma decides whether black or white text is read more easily on the colour
    luma = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
    ink = (0, 0, 0) if luma > 128 else (255, 255, 255)
    cv2.putText(canvas, text, (x + margin, y + margin + height), font, size, ink, weight, cv2.LINE_AA)
