"""From a decoded image to the canvas that the model takes. The one preprocessing in the project.

Inference, calibration, evaluation, parity and training all call it, so they cannot differ.
Normalisation is not here: it is inside the exported graph.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.contract import PLACEMENTS, Canvas
from maskrt.runtime.errors import ImageError, ModelError
from maskrt.runtime.resize import resize

Empty = Callable[[tuple[int, ...], str], NDArray]


@dataclass(frozen=True)
class Batch:
    """Images on one canvas.

    images: (N, H, W, 3) uint8 or float32, RGB 0–255. image_sizes: (N, 2) float32, height and width of
    the valid area in canvas pixels. original_sizes: per image, (height, width) before resizing.
    """

    images: NDArray
    image_sizes: NDArray[np.float32]
    original_sizes: tuple[tuple[int, int], ...]


def resized_size(height: int, width: int, canvas: Canvas) -> tuple[int, int]:
    """(height, width) of an image of the given size once laid on the canvas.

    The rule is torchvision's GeneralizedRCNNTransform: one scale for both sides, results rounded as the
    canvas says. Of the placement "square" that of Matterport's resize_image, rounded to the nearest. "native"
    enlarges nothing, and has no short side to reach; "stretch" has a scale for each side.
    """
    if canvas.placement == "square":
        return _resized_for_square(height, width, canvas)
    if canvas.placement == "stretch":
        return canvas_size(height, width, canvas)
    enlarged = 1.0 if canvas.placement == "native" else canvas.min_size_px / min(height, width)
    scale = min(enlarged, canvas.max_size_px / max(height, width))
    size = _rounded(height * scale, width * scale, canvas.rounding)
    if canvas.rounding == "nearest_by_side" and canvas.placement == "corner":
        size = _short_side_first(height, width, canvas)
    fixed = canvas.height_px, canvas.width_px
    if fixed[0] is None or fixed[1] is None or (size[0] <= fixed[0] and size[1] <= fixed[1]):
        return size
    scale = min(scale, fixed[0] / height, fixed[1] / width)
    return _rounded(height * scale, width * scale, canvas.rounding)


def _rounded(height: float, width: float, rounding: str) -> tuple[int, int]:
    """At least 1 px. Up from a half, as MMDetection (mmcv's rescale_size) and Detectron2 have it, or to the
    even number, as Python's round() has it."""
    if rounding == "half_to_even":
        return max(1, round(height)), max(1, round(width))
    half = 0.0 if rounding == "down" else 0.5
    return max(1, math.floor(height + half)), max(1, math.floor(width + half))


def _short_side_first(height: int, width: int, canvas: Canvas) -> tuple[int, int]:
    """Detectron2's ResizeShortestEdge: the short side brought to its size, then both to the longest. Where a
    side ends in a half, the order of these decides in which way float64 rounds it (one size in 10 000)."""
    short = float(canvas.min_size_px)
    scale = short / min(height, width)
    sides = [short, scale * width] if height < width else [scale * height, short]
    if max(sides) > canvas.max_size_px:
        smaller = float(canvas.max_size_px) / max(sides)
        sides = [side * smaller for side in sides]
    return _rounded(sides[0], sides[1], canvas.rounding)


def _resized_for_square(height: int, width: int, canvas: Canvas) -> tuple[int, int]:
    scale = max(1.0, canvas.min_size_px / min(height, width))
    if round(max(height, width) * scale) > canvas.max_size_px:
        scale = canvas.max_size_px / max(height, width)
    if canvas.height_px is not None and canvas.width_px is not None:
        scale = min(scale, canvas.height_px / height, canvas.width_px / width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def canvas_size(height: int, width: int, canvas: Canvas) -> tuple[int, int]:
    """(height, width) of the canvas that an image of the given size has to itself.

    Images of one canvas size can share a batch and each see what it would see alone: the padding is part of
    what is computed.
    """
    if canvas.height_px is not None and canvas.width_px is not None:
        return canvas.height_px, canvas.width_px
    if canvas.placement in ("square", "stretch"):
        side = round_up(canvas.max_size_px, canvas.stride)
        return side, side
    resized = resized_size(height, width, canvas)
    return round_up(resized[0], canvas.stride), round_up(resized[1], canvas.stride)


def largest_canvas(canvas: Canvas) -> tuple[int, int]:
    """(height, width) of the canvas that the largest landscape picture has: what is exported, tuned and timed
    where no other is asked for."""
    if canvas.height_px is not None and canvas.width_px is not None:
        return canvas.height_px, canvas.width_px
    long = round_up(canvas.max_size_px, canvas.stride)
    whole = canvas.placement in ("square", "stretch")
    return long if whole else round_up(canvas.min_size_px, canvas.stride), long


def corner(size: tuple[int, int], canvas: tuple[int, ...], placement: str) -> tuple[int, int]:
    """(top, left) of a picture of `size` on a canvas, both (height, width), by the contract's placement."""
    return ((canvas[0] - size[0]) // 2, (canvas[1] - size[1]) // 2) if placement == "square" else (0, 0)


def check_image(image: NDArray[np.uint8]) -> tuple[int, int]:
    """(height, width) of an image. Raises ImageError for any array but (H, W, 3) uint8."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ImageError(
            f"image array is {image.dtype} {image.shape}, expected uint8 (H, W, 3) in RGB order. "
            "Read files with maskrt.runtime.inputs.images.read_image, which gives that."
        )
    return image.shape[0], image.shape[1]


def preprocess(images: list[NDArray[np.uint8]], canvas: Canvas, *, empty: Empty = np.empty) -> Batch:
    """Lay RGB images on one canvas, large enough for all of them where the canvas is not fixed.

    images: each (H, W, 3) uint8, RGB. empty: memory for the batch by shape and dtype, of any content, as a
    session has it (`Session.empty_canvas`). Raises ImageError for any other array.
    """
    for image in images:
        check_image(image)
    sizes = [resized_size(image.shape[0], image.shape[1], canvas) for image in images]
    own = [canvas_size(image.shape[0], image.shape[1], canvas) for image in images]
    height, width = max(h for h, _ in own), max(w for _, w in own)
    if canvas.placement not in PLACEMENTS:
        raise ModelError(
            f"canvas placement is {canvas.placement!r}, expected one of {PLACEMENTS}. Upgrade maskrt."
        )
    if canvas.dtype not in ("uint8", "float32"):
        raise ModelError(f"canvas dtype is {canvas.dtype!r}, expected 'uint8' or 'float32'.")
    out = empty((len(images), height, width, 3), canvas.dtype)
    for row, image, (h, w) in zip(out, images, sizes, strict=True):
        top, left = corner((h, w), (height, width), canvas.placement)
        row[:top] = row[top + h :] = row[top : top + h, :left] = row[top : top + h, left + w :] = 0
        resize(image, (h, w), canvas, out=row[top : top + h, left : left + w])
    return Batch(
        images=out,
        image_sizes=np.array(sizes, dtype=np.float32),
        original_sizes=tuple((image.shape[0], image.shape[1]) for image in images),
    )


def round_up(value: int, multiple: int) -> int:
    """Smallest multiple of `multiple` that is not below `value`."""
    return -(-value // multiple) * multiple
