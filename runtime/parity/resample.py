"""The bootstrap over images: how sure a figure is that was measured on some of them.

Bias-corrected and accelerated (BCa; Efron and Tibshirani, An Introduction to the Bootstrap, 1993, ch. 14),
since losses are skewed: most images lose nothing, a few lose much. On few images bootstrap intervals are too
narrow; they are widened by Student's t and √(n / (n − 1)), as in the "expanded percentile" interval of
T. Hesterberg (What Teachers Should Know about the Bootstrap, The American Statistician 69, 2015).
"""

from __future__ import annotations

from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

REPLICATES = 400
# Of skewed losses on 30 to 100 images an interval for 98% holds the truth in 94% to 97% (docs/precision.md),
# one for 95% in 91% to 94%. It is called by what it does: a 95% interval.
NOMINAL = 0.98
GROUPS = 100  # of images that are left out by turns; of fewer images each by itself
NORMAL = NormalDist()


@lru_cache(maxsize=4)
def draws(images: int) -> NDArray[np.intp]:
    """(REPLICATES, images): places of images, drawn with replacement; for a number of images always the same,
    so that two models and all their figures see the same draws, and a report can be made again."""
    return np.random.default_rng(0).integers(images, size=(REPLICATES, images))


def left_out(images: int) -> list[NDArray[np.intp]]:
    """The places of all images but one group, for each group (the jackknife)."""
    groups = np.array_split(np.random.default_rng(0).permutation(images), min(images, GROUPS))
    return [np.setdiff1d(np.arange(images), group) for group in groups] if images > 1 else []


def carriers(without: NDArray[np.float64]) -> float:
    """About how many images make a figure: k where k count alike and others not at all, 0 where none does.

    without: its values over `left_out`. (Σd²)² / Σd⁴ of the images' weights d: a third of the images where
    these are normally distributed.
    """
    apart = without.mean() - without if len(without) else without
    fourth = float(np.sum(apart**4))
    return float(np.sum(apart**2)) ** 2 / fourth if fourth else 0.0


def interval(
    replicates: NDArray[np.float64],
    images: int,
    value: float | None = None,
    without: NDArray[np.float64] | None = None,
) -> tuple[float, float]:
    """The ends of the 95% interval of a figure. replicates: its values over the draws, NaN where it has none.

    value, without: the figure itself and its values over `left_out`, which tell its bias and its skewness;
    without them the interval is that of the percentiles. Of one image there is nothing to draw from: both
    ends are the figure.
    """
    there = replicates[np.isfinite(replicates)]
    if not there.size:
        return float("nan"), float("nan")
    if images < 2:
        return float(there[0]), float(there[0])
    z = _student(images - 1) * np.sqrt(images / (images - 1))
    bias, skew = 0.0, 0.0
    if value is not None and without is not None:
        below = np.mean(there < value) + np.mean(there == value) / 2
        bias = NORMAL.inv_cdf(float(np.clip(below, 1 / len(there), 1 - 1 / len(there))))
        apart = without.mean() - without
        if squares := float(np.sum(apart**2)):
            skew = float(np.sum(apart**3)) / (6 * squares**1.5)
    low, high = np.quantile(there, [_share(-z, bias, skew), _share(z, bias, skew)])
    return float(low), float(high)


def _share(z: float, bias: float, skew: float) -> float:
    """The share of the replicates below the end at z (Efron and Tibshirani, equation 14.10)."""
    shrunk = 1 - skew * (bias + z)
    return NORMAL.cdf(bias + (bias + z) / shrunk) if shrunk > 0 else float(z > 0)


def _student(freedom: int) -> float:
    """The two-sided `NOMINAL` quantile of Student's t (Abramowitz and Stegun, 26.7.5)."""
    z = NORMAL.inv_cdf((1 + NOMINAL) / 2)
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
