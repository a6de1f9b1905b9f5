"""Draws scenes to try the toolkit without data: textured shapes that occlude one another, on grey clutter.

They have properties of real images: several classes, sizes, rotation, texture, occlusion, objects cut by the
border, blur and sensor noise. A small Mask R-CNN still learns them in minutes: like parts on a belt, the
objects are coloured, each class around its own colour, and the background is grey.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

OBJECTS = (2, 7)  # in an image, both included
DIAMETER = (0.14, 0.44)  # of the circle around a shape, in parts of the image's short side
MIN_VISIBLE = 0.5  # part of a shape's area; a shape with less is not drawn, so nothing seen lacks a label
COLOURS = ((205, 65, 55), (60, 165, 75), (70, 95, 215), (225, 175, 45))  # RGB, by class
COLOUR_SPREAD = 40.0  # of a shape's main colour around its class's, and of its second colour, each channel
TINT = 10.0  # of the background around grey, each channel
NOISE = (2.0, 6.0)  # standard deviation, grey levels
ATTEMPTS = 200  # to place the shapes; a handful is enough but on images of a few pixels
SUPERSAMPLING = 4

Size = tuple[int, int]  # height, width
Mask = NDArray[np.bool_]
Float = NDArray[np.float32]


def _corners(radii: list[float]) -> NDArray[np.float64]:
    """Outline with a corner at each of `radii`, evenly spaced in angle. (N, 2), x y, unit circle."""
    angles = np.arange(len(radii)) * (2 * math.pi / len(radii))
    return np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.array(radii)[:, None]


SHAPES = {
    "disc": _corners([1.0] * 48),
    "square": _corners([1.0] * 4),
    "triangle": _corners([1.0] * 3),
    "star": _corners([1.0, 0.42] * 5),
}
OUTLINES = tuple(SHAPES.values())


@dataclass(frozen=True)
class _Shape:
    """Shape placed on the image. cover: the share of each pixel of `window` that it covers, 0 to 1.

    area_px: of the whole shape, including what lies outside the image.
    """

    label: int
    window: tuple[slice, slice]
    cover: Float
    area_px: float


def draw_scene(rng: Generator, size: Size) -> tuple[NDArray[np.uint8], list[tuple[int, Mask]]]:
    """Draw an image (H, W, 3) uint8, RGB; returns it with its objects, front to back.

    An object is its label and its visible mask (H, W) bool.
    """
    ground = (rng.uniform(50, 200) + rng.uniform(-TINT, TINT, 3)).astype(np.float32)
    image = _background(rng, ground, size)
    shapes, masks = _arrange(rng, size)
    for shape in reversed(shapes):
        patch = image[shape.window]
        patch += (_texture(rng, shape.label, patch.shape[:2]) - patch) * shape.cover[:, :, None]
    if rng.random() < 0.5:
        cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 0.9), dst=image)
    image += rng.standard_normal(image.shape, dtype=np.float32) * np.float32(rng.uniform(*NOISE))
    objects = [(shape.label, mask) for shape, mask in zip(shapes, masks, strict=True)]
    return np.clip(image, 0, 255).astype(np.uint8), objects


def _arrange(rng: Generator, size: Size) -> tuple[list[_Shape], list[Mask]]:
    """Arrange shapes front to back, each with its visible mask: what the shapes in front leave of it."""
    wanted = rng.integers(*OBJECTS, endpoint=True)
    shapes: list[_Shape] = []
    masks: list[Mask] = []
    free = np.ones(size, dtype=bool)
    for _ in range(ATTEMPTS):
        if len(shapes) == wanted:
            break
        shape = _place(rng, size)
        visible = (shape.cover > 0.5) & free[shape.window]
        if visible.sum() >= MIN_VISIBLE * shape.area_px:
            mask = np.zeros(size, dtype=bool)
            mask[shape.window] = visible
            free &= ~mask
            shapes.append(shape)
            masks.append(mask)
    return shapes, masks


def _place(rng: Generator, size: Size) -> _Shape:
    height, width = size
    label = int(rng.integers(len(OUTLINES)))
    radius = rng.uniform(*DIAMETER) * min(size) / 2
    x, y = rng.uniform(0, width), rng.uniform(0, height)
    turn = rng.uniform(0, 2 * math.pi)
    rotation = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    left, top = math.floor(x - radius), math.floor(y - radius)
    side = math.ceil(2 * radius) + 1
    outline = OUTLINES[label] @ rotation * radius + (x - left, y - top)
    canvas = np.zeros((side * SUPERSAMPLING, side * SUPERSAMPLING), dtype=np.uint8)
    cv2.fillPoly(canvas, [np.rint(outline * SUPERSAMPLING - 0.5).astype(np.int32)], 255)
    cover = np.float32(1 / 255) * cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA)
    window = (
        slice(max(top, 0), min(top + side, height)),
        slice(max(left, 0), min(left + side, width)),
    )
    inside = cover[
        window[0].start - top : window[0].stop - top, window[1].start - left : window[1].stop - left
    ]
    return _Shape(label, window, inside, float(cover.sum()))


def _texture(rng: Generator, label: int, size: Size) -> Float:
    """Draw (h, w, 3): stripes, a gradient or blotches between two shades of the class's colour."""
    spread = rng.uniform(-COLOUR_SPREAD, COLOUR_SPREAD, (2, 3)).astype(np.float32)
    first = np.array(COLOURS[label], np.float32) + spread[0]
    second = first + spread[1]
    kind = rng.integers(3)
    mix: Any
    if kind == 0:
        mix = _enlarged(rng.random((5, 5)), size)
    else:
        direction = rng.uniform(0, 2 * math.pi)
        y, x = np.ogrid[: size[0], : size[1]]
        along = (x * math.cos(direction) + y * math.sin(direction)).astype(np.float32)
        if kind == 1:
            mix = along % np.float32(rng.uniform(6, 16)) < 3
        else:
            mix = (along - along.min()) / (np.ptp(along) + 1)
    return first + mix[:, :, None] * (second - first)


def _background(rng: Generator, ground: Float, size: Size) -> Float:
    """Draw (H, W, 3): large and small blotches, and lines that are not objects."""
    large = (rng.random((4, 4, 1)) - 0.5) * rng.uniform(12, 30, 3)
    small = (rng.random((40, 40, 1)) - 0.5) * rng.uniform(6, 16, 3)
    image = _enlarged(_enlarged(large, (40, 40)) + small + ground, size)
    for _ in range(rng.integers(3, 10)):
        start, end = (rng.uniform(0, 1, (2, 2)) * (size[1], size[0])).astype(int).tolist()
        colour = (ground + rng.uniform(-35, 35) + rng.uniform(-TINT, TINT, 3)).tolist()
        cv2.line(image, start, end, colour, int(rng.integers(1, 4)), cv2.LINE_AA)
    return image


def _enlarged(coarse: NDArray[np.floating], size: Size) -> Float:
    """Interpolate a small grid of values smoothly to (h, w) or (h, w, 3)."""
    fine = cv2.resize(coarse.astype(np.float32), (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray(fine, dtype=np.float32)
