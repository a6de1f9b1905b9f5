"""Typed rows: the measures of a comparison of two models, which parity judges, prints and writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Judged = Literal["each", "mean", "quantiles"]
QUANTILES = {"min": 0.0, "p1": 0.01, "p10": 0.1, "median": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
MIDDLE, MOST = 0.5, 0.9  # of all things, the better half; nine of ten


Statistic = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True)
class Held:
    """A statistic of a row that is held to a limit. name: "median mask IoU".

    of: from values (V,) and draws of their weights (R, V) to the statistic of each draw (R,). says: the
    failure, of a value.
    """

    name: str
    limit: float
    at_least: bool
    of: Statistic
    says: Callable[[float], str]


@dataclass(frozen=True)
class Row:
    """One measure over all images of a comparison.

    name: "box difference"; unit: "px", empty where there is none. values: by image, one for each thing that
    was compared there, None where the models give no such thing (those of a mean may be in one tuple, which
    then counts as one image). limit: the largest that is allowed or, with `at_least`, the smallest; None:
    shown, and not judged. judged: each value by itself, their mean, or their quantiles: the median is held to
    `limit`, and nine of ten to `tail`. says: how a failure begins: "box differs", "mask IoU". listed: whether
    tables and summaries show it.
    """

    name: str
    unit: str
    values: tuple[tuple[float | None, ...], ...]
    limit: float | None
    judged: Judged
    at_least: bool = False
    says: str = ""
    listed: bool = True
    tail: float | None = None

    @property
    def key(self) -> str:
        """Its name in JSON: "box_difference_px"; "mask_iou"."""
        return "_".join([*self.name.lower().split(), *([self.unit] if self.unit else [])])

    @property
    def keys(self) -> str:
        """The name of an image's values in JSON: "box_differences_px"."""
        return "_".join([*f"{self.name.lower()}s".split(), *([self.unit] if self.unit else [])])

    @property
    def label(self) -> str:
        """For people, with its unit: "box difference (px)"."""
        return f"{self.name} ({self.unit})" if self.unit else self.name

    @property
    def there(self) -> list[float]:
        """The values of all images, but for those that are None."""
        return [value for image in self.values for value in image if value is not None]

    @property
    def mean(self) -> float:
        """Mean of all values; NaN if there are none."""
        return float(np.mean(self.there)) if self.there else float("nan")

    @property
    def spread(self) -> dict[str, float | None] | None:
        """Quantiles and mean of all values, None of none. What is no number is None, as JSON has it."""
        if not self.there:
            return None
        with np.errstate(invalid="ignore"):  # the boundary of a mask that is empty is infinitely far
            quantiles = np.quantile(self.there, list(QUANTILES.values()))
        spread = dict(zip(QUANTILES, map(float, quantiles), strict=True)) | {"mean": self.mean}
        return {name: jsonable(value) for name, value in spread.items()}

    @property
    def shown(self) -> tuple[str, str, str]:
        """Cells of a table: the median, the worst value (or the mean, or one in ten), and the limit."""
        tail = "p10" if self.at_least else "p90"
        other = {"mean": "mean", "quantiles": tail, "each": "min" if self.at_least else "max"}[self.judged]
        spread = self.spread or {}
        median, second = ("–" if (v := spread.get(k)) is None else f"{v:.3g}" for k in ("median", other))
        return median, second, self.allowed

    @property
    def allowed(self) -> str:
        """The limits, for people: "≥ 0.97; 0.88"."""
        limits = [limit for limit in (self.limit, self.tail) if limit is not None]
        least = "≥ " if self.at_least else ""
        return least + "; ".join(f"{limit:g}" for limit in limits) if limits else "–"

    @property
    def held(self) -> list[Held]:
        """The statistics over all values that have a limit; none where each value is judged by itself."""
        if self.limit is None or self.judged == "each":
            return []
        if self.judged == "mean":
            return [self._held(f"mean {self.label}", self.limit, _mean, "mean {}", " on average")]
        held = [
            self._held(f"median {self.label}", self.limit, self._quantile(MIDDLE), "median {}", " (median)")
        ]
        if self.tail is not None:
            name = f"{self.label} of nine in ten"
            held.append(
                self._held(name, self.tail, self._quantile(MOST), "{} of one in ten below", " in one of ten")
            )
        return held

    def _held(self, name: str, limit: float, of: Statistic, least: str, most: str) -> Held:
        def says(value: float) -> str:
            if self.at_least:
                return f"{least.format(self.says)} {value:.4f}, at least {limit:g} expected"
            unit = f" {self.unit}" if self.unit else ""
            return f"{self.says} by {value:.2g}{unit}{most}, allowed {limit:g}{unit}"

        return Held(name, limit, self.at_least, of, says)

    def _quantile(self, share: float) -> Statistic:
        """The worst value that the better `share` of all things has."""

        def quantile(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
            order = np.argsort(-values if self.at_least else values, kind="stable")
            reached = np.cumsum(weights[:, order], axis=1)
            enough = reached >= share * reached[:, -1:] * (1 - 1e-12)
            return values[order[np.argmax(enough, axis=1)]]

        return quantile

    def fault_in(self, image: int) -> str:
        """What is wrong in an image, by its number, where each value is judged; empty where nothing is."""
        if self.judged != "each" or self.limit is None:  # and may not have values image by image
            return ""
        values = [value for value in self.values[image] if value is not None]
        if not values:
            return ""
        # numpy's extremes are NaN where any value is; Python's keep or drop it depending on its place.
        value = float(np.min(values) if self.at_least else np.max(values))
        within = value >= self.limit if self.at_least else value <= self.limit
        return "" if within else self._sentence(value, self.limit)

    def _sentence(self, value: float, limit: float) -> str:
        if self.at_least:
            return f"{self.says} {value:.4f}, at least {limit:g} expected"
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.says} by {value:.2g}{unit}, allowed {limit:g}{unit}"


def _mean(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(weights @ values / weights.sum(axis=1))


@dataclass(frozen=True)
class Count(Row):
    """Things that were counted, one value an image: what one side lacks. says: the failure, `{:g}` the count.

    excused: how many more were counted that are no failure, and why: 2, "at a threshold". allowed: of all
    of them, for a table.
    """

    excused: int = 0
    excuse: str = ""
    allowed: str = "0"

    @property
    def total(self) -> int:
        """Over all images, the excused too."""
        return int(sum(self.there)) + self.excused

    @property
    def note(self) -> str:
        """The number of the excused, and why."""
        return f"{self.excused} {self.excuse}" if self.excused else ""

    def _sentence(self, value: float, limit: float) -> str:
        return self.says.format(value)


@dataclass(frozen=True)
class Share(Row):
    """A share of things for which something holds: values of 1 and 0, their mean is judged. says: of what
    ("of the instances matched"); detail: what is said of it besides."""

    detail: str = ""

    @property
    def allowed(self) -> str:
        """In percent."""
        return "–" if self.limit is None else f"{'≥' if self.at_least else '≤'} {self.limit:.0%}"

    @property
    def held(self) -> list[Held]:
        """The share itself."""
        limit = self.limit
        if limit is None:
            return []
        wanted = f"at least {limit:.1%} expected" if self.at_least else f"at most {limit:.1%} allowed"
        return [
            Held(
                self.name,
                limit,
                self.at_least,
                _mean,
                lambda value: f"{value:.1%} {self.says}{self.detail}, {wanted}",
            )
        ]


def jsonable(value: Any) -> Any:
    """JSON has no NaN and no infinity: None in its place, in lists and dictionaries too."""
    if isinstance(value, dict):
        return {key: jsonable(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(one) for one in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
