"""Observes the values of a tensor batch by batch, and chooses the range that eight bits should cover.

A range is one threshold on the absolute value; both signs are clipped to it. All five methods read the same
observation, so the images run through the model once for all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

BINS = 4096  # over [0, edge); the edge is at most twice the largest value, so at least 2048 are in use
SAMPLES = 1 << 17  # values of one batch that go into the histogram, evenly spread; extremes are of all values
MOMENTUM = 0.9  # of the moving average
LEVELS = 128  # of |x| in symmetric int8, with zero
PERCENTILE = 99.99
KL_STRIDE = 16  # bins between the thresholds that `entropy` tries
MSE_CANDIDATES = 128


@dataclass
class Observer:
    """Extremes, their moving average, and a histogram of |x|.

    Exact zeros are left out of the histogram: every scale holds them without error, and after a ReLU they
    would outnumber everything else.
    """

    minimum: float = np.inf
    maximum: float = -np.inf
    average_minimum: float = 0.0
    average_maximum: float = 0.0
    batches: int = 0
    edge: float = 0.0  # of the histogram, a power of two; 0 until a value other than 0 was seen
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))

    def observe(self, values: NDArray[np.float32]) -> None:
        """Observe one batch, of any shape; an empty one (no detections) is skipped."""
        if not values.size:
            return
        low, high = float(values.min()), float(values.max())
        self.minimum, self.maximum = min(self.minimum, low), max(self.maximum, high)
        keep = MOMENTUM if self.batches else 0.0
        self.average_minimum = keep * self.average_minimum + (1 - keep) * low
        self.average_maximum = keep * self.average_maximum + (1 - keep) * high
        self.batches += 1
        if peak := max(-low, high):
            self._widen(peak)
            # An odd stride, so that it does not meet the same columns of every row.
            magnitudes = np.abs(values.ravel()[:: values.size // SAMPLES | 1])
            magnitudes = magnitudes[magnitudes > 0]
            bins = np.minimum((magnitudes * (BINS / self.edge)).astype(np.int64), BINS - 1)
            self.counts += np.bincount(bins, minlength=BINS)

    def _widen(self, peak: float) -> None:
        """Double the edge until the peak fits; two bins become one each time, and no count is lost."""
        if not self.edge:
            self.edge = float(2.0 ** np.ceil(np.log2(peak)))
        while peak > self.edge:
            merged = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts = np.concatenate([merged, np.zeros(BINS // 2, np.int64)])
            self.edge *= 2

    @property
    def peak(self) -> float:
        """The largest absolute value seen; 0 of a tensor that was always empty."""
        return max(-self.minimum, self.maximum) if self.batches else 0.0

    def range(self, threshold: float) -> tuple[float, float]:
        """(lowest, highest) value observed, clipped to ±threshold."""
        if not self.batches:
            return 0.0, 0.0
        return max(self.minimum, -threshold), min(self.maximum, threshold)


def minmax(seen: Observer) -> float:
    """The largest absolute value observed."""
    return seen.peak


def moving_average(seen: Observer) -> float:
    """The exponential moving average of the extremes of a batch (arXiv:1712.05877, section 3.1)."""
    return max(-seen.average_minimum, seen.average_maximum)


def percentile(seen: Observer) -> float:
    """The magnitude that `PERCENTILE` per cent of the values other than 0 do not exceed."""
    if not seen.counts.any():
        return seen.peak
    total = np.cumsum(seen.counts)
    reached = int(np.searchsorted(total, total[-1] * PERCENTILE / 100))
    return min((reached + 1) * seen.edge / BINS, seen.peak)


def entropy(seen: Observer) -> float:
    """The threshold of least Kullback-Leibler divergence between the clipped values and their 128 levels.

    After S. Migacz, "8-bit Inference with TensorRT", GTC 2017: what lies beyond the threshold is counted in
    the last bin of the clipped distribution, but not in the quantised one.
    """
    used = int(np.flatnonzero(seen.counts)[-1]) + 1 if seen.counts.any() else 0
    if used <= LEVELS:
        return seen.peak
    clips = np.unique([*range(LEVELS, used, KL_STRIDE), used])
    best = clips[np.argmin(_divergences(seen.counts[:used].astype(np.float64), clips))]
    return min(float(best) * seen.edge / BINS, seen.peak)


def _divergences(counts: NDArray[np.float64], clips: NDArray[np.intp]) -> NDArray[np.float64]:
    """KL divergence of `counts`, clipped to so many bins, from their means over each of the levels; for each
    of `clips`.

    With c the clipped counts, N their sum, m the mean of a level's occupied bins and M the sum of the means,
    it is Σ c log (c / m) / N + log (M / N): of a level, the sum of its counts is all that is asked for.
    """
    last, total = clips - 1, counts.sum()
    tails = total - np.cumsum(counts)[last]
    clipped = counts[last] + tails  # the last bin
    own = np.append(0, np.cumsum(_times_log(counts)))[last] + _times_log(clipped)
    edges = np.arange(LEVELS + 1) * clips[:, None] // LEVELS
    sums, holders = (
        np.diff(np.append(0, np.cumsum(each))[edges], axis=1) for each in (counts, (counts > 0) * 1.0)
    )
    logs = np.log(np.divide(sums, holders, out=np.ones_like(sums), where=sums > 0))
    theirs = (sums * logs).sum(axis=1) + tails * logs[:, -1]
    held = sums.sum(axis=1)
    found = (own - theirs) / total + np.log(np.where(held > 0, held, total) / total)
    # Of a last bin that was empty, values that were observed would have probability 0.
    return np.where((counts[last] == 0) & (clipped > 0), np.inf, found)


def _times_log(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values * np.log(np.where(values > 0, values, 1))


def mean_squared_error(seen: Observer) -> float:
    """The threshold whose 8-bit rounding and clipping cost the least squared error (arXiv:1810.05723)."""
    if not seen.counts.any():
        return seen.peak
    filled = np.flatnonzero(seen.counts)
    centres, weights = (filled + 0.5) * seen.edge / BINS, seen.counts[filled]

    def error(threshold: float) -> float:
        step = threshold / (LEVELS - 1)
        rounded = np.minimum(np.rint(centres / step), LEVELS - 1) * step
        return float(weights @ (centres - rounded) ** 2)

    thresholds = seen.peak * np.arange(MSE_CANDIDATES // 16, MSE_CANDIDATES + 1) / MSE_CANDIDATES
    return float(min(thresholds, key=error))


METHODS: dict[str, Callable[[Observer], float]] = {
    "minmax": minmax,
    "moving-average": moving_average,
    "percentile": percentile,
    "entropy": entropy,
    "mse": mean_squared_error,
}
