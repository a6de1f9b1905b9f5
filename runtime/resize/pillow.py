"""Pillow's bilinear filter on uint8: an axis at a time, smoothing where it shrinks, rounded to whole levels.

Pillow does it where it is installed. Where not, the same arithmetic is here (src/libImaging/Resample.c):
weights of a triangle as wide as the step between source pixels, at least one, as integers of 22 binary
places. Sums of such integers are exact in float64, so matrices multiply them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BINARY_PLACES = 22
ROWS = 16  # of a band: few enough that its matrix has few zeros, enough to be worth a call


def by_pillow(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """(h, w, 3) uint8 of an image (H, W, 3), size: (height, width)."""
    try:
        from PIL import Image
    except ImportError:
        return by_matrices(image, size)
    resized = Image.fromarray(np.ascontiguousarray(image)).resize(size[::-1], Image.Resampling.BILINEAR)
    return np.asarray(resized)


def by_matrices(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """`by_pillow` without Pillow. A side that stays is not touched; width goes first or, as in Pillow 13, the
    height where it loses more than twice the pixels: of a picture that keeps its shape, one of over 2 : 1."""
    height, width = size
    lost = image.shape[0] - height
    axes = (0, 1) if lost > 0 and lost > 2 * (image.shape[1] - width) else (1, 0)
    for axis in axes:
        if image.shape[axis] != size[axis]:
            image = _along_first_axis(image.swapaxes(0, axis), size[axis]).swapaxes(0, axis)
    return image


def _along_first_axis(image: NDArray[np.uint8], target: int) -> NDArray[np.uint8]:
    first, weights = _weights(image.shape[0], target)
    source = np.ascontiguousarray(image, np.float64).reshape(image.shape[0], -1)
    out = np.empty((target, source.shape[1]), np.uint8)
    half = float(1 << (BINARY_PLACES - 1))
    for row in range(0, target, ROWS):
        begin, band = first[row], weights[row : row + ROWS]
        places = first[row : row + ROWS, None] - begin + np.arange(weights.shape[1])
        matrix = np.zeros((len(band), places.max() + 1))
        np.put_along_axis(matrix, places, band, axis=1)
        rows = source[begin : begin + matrix.shape[1]]
        sums = matrix[:, : len(rows)] @ rows  # beyond the last row weights are zero
        out[row : row + ROWS] = np.clip(np.floor((sums + half) / (1 << BINARY_PLACES)), 0, 255)
    return out.reshape(target, *image.shape[1:])


def _weights(source: int, target: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """(target,) first source pixel and (target, taps) whole weights of each pixel, zero beyond the last."""
    step = source / target
    support = max(step, 1.0)
    centres = (np.arange(target) + 0.5) * step
    first = np.maximum((centres - support + 0.5).astype(np.intp), 0)
    last = np.minimum((centres + support + 0.5).astype(np.intp), source)
    taps = np.arange((last - first).max())
    distance = (taps + first[:, None] - centres[:, None] + 0.5) * (1.0 / support)
    heights = np.where(taps < (last - first)[:, None], np.maximum(1.0 - np.abs(distance), 0.0), 0.0)
    total = np.add.accumulate(heights, axis=1)[:, -1:]  # one by one, as it is summed there
    return first, np.floor(heights / total * (1 << BINARY_PLACES) + 0.5)
