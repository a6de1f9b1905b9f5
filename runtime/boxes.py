"""Boxes as arrays, x1 y1 x2 y2: how much two overlap, and which are the same."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rows = tuple[NDArray[np.intp], NDArray[np.intp]]  # of the reference, of the candidate, which are the same box


def box_iou(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """IoU of each box of a (A, 4) with each of b (B, 4), x1 y1 x2 y2. Returns (A, B); 0 for empty boxes."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    intersection = np.prod(np.maximum(high - low, 0), axis=2)
    area_a, area_b = (np.prod(x[:, 2:] - x[:, :2], axis=1) for x in (a, b))
    union = area_a[:, None] + area_b[None] - intersection
    return np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)


def same_boxes(reference: NDArray, candidate: NDArray, within_px: float) -> Rows:
    """Rows of boxes (A, 4) and (B, 4) that are the same box: each row of the reference with its nearest of
    the candidate's, where no coordinate differs by more than `within_px`."""
    if not len(reference) or not len(candidate):
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    apart_px = np.abs(reference[:, None] - candidate[None]).max(axis=2)
    nearest = apart_px.argmin(axis=1)
    rows = np.flatnonzero(apart_px[np.arange(len(reference)), nearest] <= within_px)
    return rows, nearest[rows]
