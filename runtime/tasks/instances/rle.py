"""COCO's compressed run-length encoding, straight from a crop: no full-size mask is ever made.

Format: column-major runs, alternately of zeros and ones, beginning with zeros; each run from the fourth
on is stored as its difference to the run before the last, in groups of five bits, low first, with a
continuation bit, offset by 48 into printable ASCII (as read by cocoapi's maskApi).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SHIFTS = 5 * np.arange(12)
BOUNDS = 16 << SHIFTS  # a number whose magnitude is below the n-th is written in n characters


def encode_crop(crop: NDArray[np.bool_], top: int, left: int, height: int, width: int) -> dict:
    """RLE of a (height, width) mask that is `crop` (h, w) at row `top`, column `left`, and zero elsewhere.

    Quickest where the crop lies in memory column by column, as `paste_mask` makes it.
    Returns {"size": [height, width], "counts": str}, as pycocotools takes it.
    """
    h, w = crop.shape
    columns = np.zeros(
        (w + 1, h + 1), dtype=bool
    )  # a zero above each column, so that every run ends in its own
    columns[:-1, 1:] = crop.T
    flat = columns.ravel()
    inside = np.flatnonzero(flat[1:] != flat[:-1])  # where runs of ones start and end, in turn
    bounds = np.empty(len(inside) + 2, np.int64)  # of all runs
    bounds[0], bounds[-1] = 0, height * width
    edges = bounds[1:-1]
    np.floor_divide(inside, h + 1, out=edges)
    edges *= height - h - 1
    edges += inside + (left * height + top)
    # A run that reaches the image's bottom goes on at the top of the next column.
    apart = edges[2::2] != edges[1:-1:2]
    if not apart.all():
        bounds = bounds[np.concatenate([[True, True], np.repeat(apart, 2), [True, True]])]
    runs = bounds[1:] - bounds[:-1]
    if len(inside) and not runs[-1]:
        runs = runs[:-1]
    return {"size": [height, width], "counts": compress(runs)}


def compress(runs: NDArray[np.int64]) -> str:
    """Runs (as in uncompressed COCO RLE) to the compressed string."""
    values = runs.copy()
    values[3:] -= runs[1:-2]
    magnitudes = values ^ (values >> 63)  # of a negative number its complement, as two's complement goes
    places = 1 + int(np.searchsorted(BOUNDS, magnitudes.max(), side="right"))
    goes_on = magnitudes[:, None] >= BOUNDS[:places]
    characters = ((values[:, None] >> SHIFTS[:places]) & 0x1F).astype(np.uint8)
    characters += np.uint8(48)
    characters += goes_on.view(np.uint8) << np.uint8(5)
    written = np.ones_like(goes_on)
    written[:, 1:] = goes_on[:, :-1]
    return characters[written].tobytes().decode("ascii")
