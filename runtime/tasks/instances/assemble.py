"""Masks put together out of prototypes that a whole picture shares (YOLACT, arXiv:1904.02689, section 3).

A mask is the sigmoid of the prototypes' sum, weighted by the object's coefficients; cells that its box does
not reach are none of it. It is put together within the box alone, and of the rows alone that a user is
given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.tasks.instances.instances import MaskCrop

CROP_PADDING = np.float32(1)  # cells that a mask reaches past its box, to either side


@dataclass(frozen=True)
class Window:
    """Part of a mask over the whole canvas: `values` (h, w), probabilities of the cells from row `top` and
    column `left` on; all other cells are 0."""

    top: int
    left: int
    values: NDArray[np.float32]

    def whole(self, height: int, width: int) -> NDArray[np.float32]:
        """The mask of all cells, (height, width)."""
        cells = np.zeros((height, width), np.float32)
        h, w = self.values.shape
        cells[self.top : self.top + h, self.left : self.left + w] = self.values
        return cells


def put_together(
    prototypes: NDArray[np.float32], coefficients: NDArray[np.float32], box: NDArray[np.float32]
) -> Window:
    """The mask of one object.

    prototypes: (K, h, w); coefficients: (K,); box: x1 y1 x2 y2 in cells. A column x is in the mask where
    x1 - 1 ≤ x < x2 + 1, a row alike; a box without area has none.
    """
    (top, bottom), (left, right) = (
        _span(box[axis], box[axis + 2], prototypes.shape[2 - axis]) for axis in (1, 0)
    )
    logits = np.tensordot(coefficients, prototypes[:, top:bottom, left:right], axes=1)
    return Window(top, left, _sigmoid(logits))


def cut_out(mask: NDArray[np.float32], box: NDArray[np.float32]) -> Window:
    """What a mask (h, w) over the whole canvas has in a box, x1 y1 x2 y2 in cells, and around it; as
    `put_together`."""
    (top, bottom), (left, right) = (_span(box[axis], box[axis + 2], mask.shape[1 - axis]) for axis in (1, 0))
    return Window(top, left, mask[top:bottom, left:right])


@dataclass(frozen=True)
class Frame:
    """Where masks over the whole canvas lie in an image.

    cells: (height, width) of a mask; cells_a_px: how many of them a pixel of the image has, along the
    height and the width; size: (height, width) of the image in px.
    """

    cells: tuple[int, int]
    cells_a_px: tuple[float, float]
    size: tuple[int, int]

    def in_cells(self, box: NDArray[np.float32]) -> NDArray[np.float32]:
        """A box x1 y1 x2 y2, of image pixels."""
        along_y, along_x = self.cells_a_px
        return box * np.array([along_x, along_y] * 2, np.float32)

    def pasted(self, window: Window, threshold: float) -> MaskCrop:
        """A mask in the image's pixels, where it is above `threshold`.

        Bilinear with half-pixel centres, as torch's `interpolate` of the whole mask with align_corners=False.
        """
        (top, rows), (left, columns) = (
            _weights(first, count, *along)
            for first, count, along in zip(
                (window.top, window.left),
                window.values.shape,
                zip(self.cells, self.cells_a_px, self.size, strict=True),
                strict=True,
            )
        )
        # Transposed: the crop then lies in memory column by column, the order of its run-length encoding.
        bits = columns @ window.values.T @ rows.T > threshold
        return MaskCrop(top=top, left=left, bits=bits.T)


def _span(first: np.float32, last: np.float32, cells: int) -> tuple[int, int]:
    """The cells from the first to before the last that a mask may have along an axis."""
    if not last > first:
        return 0, 0
    start, end = (math.ceil(edge) for edge in (first - CROP_PADDING, last + CROP_PADDING))
    return min(max(start, 0), cells), max(min(end, cells), 0)


def _weights(
    first: int, count: int, cells: int, cells_a_px: float, size: int
) -> tuple[int, NDArray[np.float32]]:
    """Along an axis: the first pixel that cells `first` to `first + count` reach, and what each gives to each
    pixel from there on, (pixels, count)."""
    if not count:
        return 0, np.zeros((0, 0), np.float32)
    start, end = (round(edge / cells_a_px - 0.5) for edge in (first - 0.5, first + count + 0.5))
    start, end = max(start - 1, 0), min(end + 2, size)
    pixels = np.arange(start, max(start, end), dtype=np.float32)
    places = np.clip((pixels + np.float32(0.5)) * np.float32(cells_a_px) - np.float32(0.5), 0, cells - 1)
    apart = np.abs(places[:, None] - np.arange(first, first + count, dtype=np.float32))
    return start, np.maximum(1 - apart, 0)


def _sigmoid(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Without overflow of the exponential."""
    small = np.exp(-np.abs(values))
    return np.where(values >= 0, 1, small) / (1 + small)
