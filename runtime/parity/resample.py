"""The bootstrap over images: how sure a figure is that was measured on some of them.

Percentile bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13). On few images
its intervals are too narrow. They are widened by Student's t and √(n / (n − 1)): the "expanded percentile"
interval of T. Hesterberg (What Teachers Should Know about the Bootstrap, The American Statistician 69, 2015).
"""

from __future__ import annotations

from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

REPLICATES = 400
CONFIDENCE = 0.95


@lru_cache(maxsize=4)
def draws(images: int) -> NDArray[np.intp]:
    """(REPLICATES, images): places of images, drawn with replacement; for a number of images always the same,
    so that two models and all their figures see the same draws, and a report can be made again."""
    return np.random.default_rng(0).integers(images, size=(REPLICATES, images))


def interval(replicates: NDArray[np.float64], images: int) -> tuple[float, float]:
    """The ends of the 95% interval of a figure. replicates: its values over the draws, NaN where it has none.

    Of one image there is nothing to draw from: both ends are the figure itself.
    """
    there = replicates[np.isfinite(replicates)]
    if not there.size:
        return float("nan"), float("nan")
    if images < 2:
        return float(there[0]), float(there[0])
    end = NormalDist().cdf(-_student(images - 1) * np.sqrt(images / (images - 1)))
    low, high = np.quantile(there, [end, 1 - end])
    return float(low), float(high)


def _student(freedom: int) -> float:
    """The two-sided `CONFIDENCE` quantile of Student's t (Abramowitz and Stegun, 26.7.5)."""
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
