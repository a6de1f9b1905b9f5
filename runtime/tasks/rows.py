"""Typed rows: the measures of a comparison of two models, which parity judges, prints and writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Judged = Literal["each", "mean"]
QUANTILES = {"min": 0.0, "p1": 0.01, "p10": 0.1, "median": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}


@dataclass(frozen=True)
class Row:
    """One measure over all images of a comparison.

    name: "box difference"; unit: "px", empty where there is none. values: by image, one for each thing that
    was compared there, None where the models give no such thing (those of a mean may be in one tuple). limit:
    the largest that is allowed or, with `at_least`, the smallest; None: shown, and not judged. judged: each
    value by itself, or their mean. says: how a failure begins: "box differs", "mask IoU". listed: whether
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
        quantiles = np.quantile(self.there, list(QUANTILES.values()))
        spread = dict(zip(QUANTILES, map(float, quantiles), strict=True)) | {"mean": self.mean}
        return {name: jsonable(value) for name, value in spread.items()}

    @property
    def shown(self) -> tuple[str, str, str]:
        """Cells of a table: the median, the worst value or the mean, and the limit."""
        worst = "mean" if self.judged == "mean" else "min" if self.at_least else "max"
        spread = self.spread or {}
        median, other = ("–" if (v := spread.get(k)) is None else f"{v:.3g}" for k in ("median", worst))
        allowed = "–" if self.limit is None else f"{'≥ ' if self.at_least else ''}{self.limit:g}"
        return median, other, allowed

    @property
    def averaged(self) -> tuple[str, str, str]:
        """Cells of a table of means: name, mean and limit."""
        allowed = f"{'≥ ' if self.at_least else ''}{self.limit:g}"
        return f"mean {self.label}", f"{self.mean:.{2 if self.unit else 4}f}", allowed

    def fault_in(self, image: int) -> str:
        """What is wrong in an image, by its number, where each value is judged; empty where nothing is."""
        if self.judged == "mean":  # and may not have values image by image
            return ""
        values = [value for value in self.values[image] if value is not None]
        if not values:
            return ""
        # numpy's extremes are NaN where any value is; Python's keep or drop it depending on its place.
        return self._fault(float(np.min(values) if self.at_least else np.max(values)))

    @property
    def fault(self) -> str:
        """Sentence on the mean, if that is judged and out of tolerance; else empty."""
        return self._fault(self.mean) if self.judged == "mean" and self.there else ""

    def _fault(self, value: float) -> str:
        limit = self.limit
        if limit is None or (value >= limit if self.at_least else value <= limit):
            return ""
        return self._sentence(value, limit)

    def _sentence(self, value: float, limit: float) -> str:
        if self.at_least:
            mean = "mean " if self.judged == "mean" else ""
            return f"{mean}{self.says} {value:.4f}, at least {limit:g} expected"
        unit, average = f" {self.unit}" if self.unit else "", " on average" if self.judged == "mean" else ""
        return f"{self.says} by {value:.2g}{unit}{average}, allowed {limit:g}{unit}"


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
    """A share of things for which something holds: values of 1 and 0. says: of what ("of the instances
    matched"); detail: what is said of it besides."""

    detail: str = ""

    @property
    def averaged(self) -> tuple[str, str, str]:
        """The same in percent."""
        return self.name, f"{self.mean:.1%}", f"≥ {self.limit:.0%}"

    def _sentence(self, value: float, limit: float) -> str:
        return f"{value:.1%} {self.says}{self.detail}, at least {limit:.1%} expected"


def jsonable(value: Any) -> Any:
    """JSON has no NaN and no infinity: None in its place, in lists and dictionaries too."""
    if isinstance(value, dict):
        return {key: jsonable(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(one) for one in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
