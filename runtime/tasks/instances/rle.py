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

    Quickest where the crop lies in memory column by column, as `paste_mask` makes it.
    Returns {"size": [height, width], "counts": str}, as pycocotools takes it.
    """
    h, w = crop.shape
    columns = np.zeros(
        (w + 1, h + 1), dtype=bool
    )  # a zero above each column, so that every run ends in its own
    columns[:-1, 1:] = crop.T
    flat = columns.ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1])  # where runs of ones start and end, in turn
    edges += edges // (h + 1) * (height - h - 1) + left * height + top
    # A run that reaches the image's bottom goes on at the top of the next column.
    apart = edges[2::2] != edges[1:-1:2]
    edges = edges[np.concatenate([[True], np.repeat(apart, 2), [True]])] if len(edges) else edges
    runs = np.diff(edges, prepend=0, append=height * width)
    if len(edges) and edges[-1] == height * width:
        runs = runs[:-1]
    return {"size": [height, width], "counts": compress(runs)}


def compress(runs: NDArray[np.int64]) -> str:
    """Runs (as in uncompressed COCO RLE) to the compressed string."""
    values = runs.copy()
    values[3:] -= runs[1:-2]
    places = 1
    while not ((values >= -(16 << 5 * (places - 1))) & (values < 16 << 5 * (places - 1))).all():
        places += 1
    characters = np.empty((len(values), places), np.uint8)
    written = np.empty((len(values), places), bool)
    more = np.ones(len(values), bool)
    for place in range(places):
        rest = values >> 5 * place
        last = (rest >= -16) & (rest < 16)  # five bits in two's complement hold it
        characters[:, place] = (rest & 0x1F) + np.where(last, 48, 48 + 0x20)
        written[:, place] = more
        more = more & ~last
    return characters[written].tobytes().decode("ascii")
