"""Borders of class maps: how well those of two maps lie on each other."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

WITHIN_PX = 2


def borders(labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(H, W): pixels whose right or lower neighbour is of another class."""
    border = np.zeros(labels.shape, bool)
    border[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    border[:-1] |= labels[:-1] != labels[1:]
    return border


def boundary_f(ours: NDArray[np.uint8], theirs: NDArray[np.uint8]) -> float:
    """F-score of two maps' borders: harmonic mean of the shares of either side's border pixels that have one
    of the other side within `WITHIN_PX` (Csurka et al., BMVC 2013, there per class). 1 where neither has any.
    """
    first, second = borders(ours), borders(theirs)
    if not first.any() and not second.any():
        return 1.0
    recall, precision = _near(first, second), _near(second, first)
    return 2 * recall * precision / (recall + precision) if recall + precision else 0.0


def _near(some: NDArray[np.bool_], others: NDArray[np.bool_]) -> float:
    """The share of `some` within `WITHIN_PX` of `others`; 1 of none."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * WITHIN_PX + 1,) * 2)
    around = cv2.dilate(others.astype(np.uint8), disc)
    return float(around[some].mean()) if some.any() else 1.0
