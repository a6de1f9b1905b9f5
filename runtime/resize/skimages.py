"""skimage's bilinear resize, as Matterport's `utils.resize` calls it: nothing smoothed, black around it.

The arithmetic is scipy.ndimage.zoom's, to which skimage (0.19 on) hands it, in its order, since what comes
out is cut off to whole levels: 100.0 and 99.99… differ.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ROWS = 8  # of a band: what is worked out in turn stays in the processor's cache


def by_skimage(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """(h, w, 3) uint8 of an image (H, W, 3), size: (height, width): as `by_skimage_in_float`, cut off."""
    return by_skimage_in_float(image, size).astype(np.uint8)


def by_skimage_in_float(image: NDArray, size: tuple[int, int]) -> NDArray[np.float64]:
    """(h, w, …) float64 of (H, W, …): beyond the border is zero, but no value leaves the image's range."""
    bordered = np.pad(image, [(1, 1), (1, 1), *[(0, 0)] * (image.ndim - 2)])
    vertical, horizontal = (_weights(*sides) for sides in zip(image.shape[:2], size, strict=True))
    shape = (1, -1, *[1] * (image.ndim - 2))
    columns = [(place, share.reshape(shape)) for place, share in horizontal]
    out = np.zeros((*size, *image.shape[2:]))
    for row in range(0, size[0], ROWS):
        band = out[row : row + ROWS]
        for places, weights in vertical:
            lines = bordered[places[row : row + ROWS]]
            lines = lines * weights[row : row + ROWS].reshape(-1, *[1] * (image.ndim - 1))
            for place, share in columns:
                band += np.take(lines, place, axis=1) * share
    return np.clip(out, image.min(), image.max(), out=out)


def _weights(source: int, target: int) -> tuple[tuple[NDArray[np.intp], NDArray[np.float64]], ...]:
    """The pixel before and the pixel after each, in a picture with a border of one, and their weights."""
    position = (np.arange(target) + 0.5) * (source / target) - 0.5
    before = np.floor(position)
    share = position - before
    place = before.astype(np.intp) + 1
    return (place, 1.0 - share), (place + 1, share)
