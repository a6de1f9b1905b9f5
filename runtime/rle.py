"""COCO's compressed run-length encoding, straight from a crop: no full-size mask is ever made.

Format: column-major runs, alternately of zeros and ones, beginning with zeros; each run from the fourth
on is stored as its difference to the run before the last, in groups of five bits, low first, with a
continuation bit, offset by 48 into printable ASCII (as read by cocoapi's maskApi).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def encode_crop(crop: NDArray[np.bool_], top: int, left: int, height: int, width: int) -> dict:
    """RLE of a (height, width) mask that is `crop` (h, w) at row `top`, column `left`, and zero elsewhere.

    Returns {"size": [height, width], "counts": str}, as pycocotools takes it.
    """
    h, w = crop.shape
    padded = np.zeros((w, h + 2), dtype=np.int8)  # a row a column of the image, zero at both ends
    padded[:, 1:-1] = crop.T
    steps = np.diff(padded, axis=1)
    columns, starts = np.nonzero(steps == 1)
    _, ends = np.nonzero(steps == -1)
    offset = (columns + left) * height + top
    starts, ends = starts + offset, ends + offset
    # A run that reaches the image's bottom goes on at the top of the next column.
    apart = starts[1:] != ends[:-1]
    starts, ends = (
        np.concatenate([starts[:1], starts[1:][apart]]),
        np.concatenate([ends[:-1][apart], ends[-1:]]),
    )
    edges = np.stack([starts, ends], axis=1).ravel()
    runs = np.diff(np.concatenate([[0], edges, [height * width]]))
    if len(edges) and edges[-1] == height * width:
        runs = runs[:-1]
    return {"size": [height, width], "counts": compress(runs)}


def compress(runs: NDArray[np.int64]) -> str:
    """Runs (as in uncompressed COCO RLE) to the compressed string."""
    values = runs.astype(np.int64)
    values[3:] -= runs[1:-2]
    digits, present = [], []
    more = np.ones(len(values), dtype=bool)
    while more.any():
        digit = values & 0x1F
        values = values >> 5
        present.append(more)
        sign_done = np.where(digit & 0x10, values == -1, values == 0)
        digits.append(digit | np.where(sign_done, 0, 0x20))
        more = more & ~sign_done
    grid = np.stack(digits, axis=1) + 48
    return grid[np.stack(present, axis=1)].astype(np.uint8).tobytes().decode("ascii")
