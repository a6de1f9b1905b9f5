"""torch's bilinear interpolation (`align_corners=False`, no antialiasing) of float32 pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def by_torch(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.float32]:
    """(h, w, 3) float32 of an image (H, W, 3): torch's arithmetic, source coordinates in float32 included.

    It costs several times what OpenCV's filter does.
    """
    height, width = size
    rows_low, rows_high, rows_weight = _source_positions(image.shape[0], height)
    cols_low, cols_high, cols_weight = _source_positions(image.shape[1], width)
    wx = cols_weight[None, :, None]
    wy = rows_weight[:, None, None]

    def along_width(rows: NDArray[np.intp]) -> NDArray[np.float32]:
        line = image[rows]
        return (1 - wx) * line[:, cols_low].astype(np.float32) + wx * line[:, cols_high].astype(np.float32)

    return (1 - wy) * along_width(rows_low) + wy * along_width(rows_high)


def _source_positions(
    source: int, target: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Neighbours and the second one's weight. Multiplied and subtracted with one rounding, as a processor
    with fused multiply-add does: in float64 the product of two float32 is exact."""
    scale = np.float64(np.float32(source) / np.float32(target))
    position = (scale * (np.arange(target) + 0.5) - 0.5).astype(np.float32)
    position = np.maximum(position, np.float32(0))
    low = position.astype(np.intp)
    return low, np.minimum(low + 1, source - 1), position - low.astype(np.float32)
