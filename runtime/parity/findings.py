"""What is held to a limit over a set of images: the figure, how sure it is, and the answer that follows.

Images are drawn at random from all that a user has, so a figure measured on some of them is known to an
interval alone. Where that lies within the limit, the limit holds; where it lies beyond, the model loses too
much; where the limit lies in it, these images cannot tell. How many would is estimated: an interval shrinks
with √n.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from maskrt.runtime.parity.resample import draws, interval
from maskrt.runtime.tasks.rows import Held, Row, jsonable

Answer = Literal["holds", "loses", "open"]
MAX_DROP = 0.3  # points, of the figure that a model is judged by
# Draws know nothing of an image that is not there. What no image has, a share of less than 3/n of all images
# has, with 95% certainty (the rule of three; B. Jovanovic and P. Levy, A Look at the Rule of Three, The
# American Statistician 51, 1997). Of fewer images than these no score is said to hold: of rare losses that
# would be wrong in over five of a hundred (measured, docs/precision.md).
FEWEST_IMAGES = 100
CERTAIN = 3
# Images that make a loss: of one or two the interval tells nothing.
FEWEST_CARRIERS = 3
AT_ONCE = 50  # draws whose weights are in memory at a time
MOST_IMAGES = 1_000_000  # no more are asked for


@dataclass(frozen=True)
class Finding:
    """One figure and its limit. low, high: the ends of its 95% interval over `images` images.

    fault: the sentence on the value, where it is beyond the limit or may be. carriers: of what an annotated
    set is scored, how many images make the value (`resample.carriers`).
    """

    name: str
    value: float
    low: float
    high: float
    limit: float
    at_least: bool
    images: int
    fault: str
    carriers: float | None = None

    @property
    def beyond(self) -> bool:
        """True if the value itself is beyond the limit; what is no number is within none."""
        return not (self.value >= self.limit if self.at_least else self.value <= self.limit)

    @property
    def answer(self) -> Answer:
        """Whether the limit holds, so far as these images tell."""
        if math.isnan(self.value):
            return "loses"
        outside = self.high < self.limit if self.at_least else self.low > self.limit
        hidden = self._of_few or self._rare_unseen
        return "loses" if outside else "holds" if self._within and not hidden else "open"

    @property
    def _within(self) -> bool:
        return self.low >= self.limit if self.at_least else self.high <= self.limit

    @property
    def _of_few(self) -> bool:
        return self.carriers is not None and 0 < self.carriers < FEWEST_CARRIERS

    @property
    def _rare_unseen(self) -> bool:
        return self.carriers is not None and self.images < FEWEST_IMAGES

    @property
    def images_wanted(self) -> int | None:
        """About how many images would tell; None where no number would, the figure being its limit."""
        end = self.low if self.beyond != self.at_least else self.high
        apart = abs(self.value - self.limit)
        if not apart:
            return None
        wanted = self.images * (abs(end - self.value) / apart) ** 2
        if self.carriers and self._of_few:
            wanted = max(wanted, self.images * FEWEST_CARRIERS / self.carriers)
        fewest = 0 if self.carriers is None or self.beyond else FEWEST_IMAGES  # what is beyond is soon told
        return _rounded(max(wanted, self.images + 1, fewest)) if wanted < MOST_IMAGES else None

    @property
    def doubt(self) -> str:
        """The sentence of an open answer."""
        few = ", by one or two of them" if self._of_few else ""
        unseen = ""
        if self._within and self._rare_unseen:
            share = min(1.0, CERTAIN / self.images)
            unseen = f", and up to {share:.0%} of all images may lose more than these show"
        wanted = self.images_wanted
        would = f"about {wanted} would" if wanted else "no number of images would: it is at its limit"
        return (
            f"these {self.images} images cannot tell: {self.fault} (95% interval {self.low:.3g} to "
            f"{self.high:.3g}{few}){unseen}; {would}"
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        fields = ("name", "value", "low", "high", "limit", "at_least", "images", "answer")
        found = {name: getattr(self, name) for name in fields}
        return dict(
            jsonable(found | {"images_wanted": self.images_wanted if self.answer == "open" else None})
        )


def of_rows(rows: list[Row]) -> list[Finding]:
    """Every statistic of the rows that has a limit, and values."""
    return [_of_row(row, held) for row in rows if row.there for held in row.held]


def of_score(name: str, score: Mapping[str, float], max_drop: float, images: int) -> Finding:
    """The points that a score falls by (`Annotated.difference`). name: "mask AP"; max_drop: in points."""
    lost, low, high = (0.0 - 100 * score[key] for key in ("difference", "high", "low"))  # never "-0.00"
    fault = f"{name} falls by {lost:.2f} points, allowed {max_drop:g} (--max-ap-drop)"
    made_by = score.get("carriers")
    return Finding(f"{name} lost (points)", lost, low, high, max_drop, False, images, fault, made_by)


def _of_row(row: Row, held: Held) -> Finding:
    pairs = [(v, i) for i, image in enumerate(row.values) for v in image if v is not None]
    values, places = np.array([v for v, _ in pairs], float), np.array([i for _, i in pairs], int)
    count = len(row.values)
    once = np.ones((1, len(values)))
    value = float("nan") if np.isnan(values).any() else float(held.of(values, once)[0])
    low = high = value
    if count > 1 and not math.isnan(value):
        times = [np.bincount(drawn, minlength=count)[places].astype(float) for drawn in draws(count)]
        there = [weights for weights in times if weights.any()]
        parts = [there[start : start + AT_ONCE] for start in range(0, len(there), AT_ONCE)]
        low, high = interval(np.concatenate([held.of(values, np.stack(part)) for part in parts]), count)
    return Finding(held.name, value, low, high, held.limit, held.at_least, count, held.says(value))


def _rounded(number: float) -> int:
    """Two digits: no estimate is better."""
    digits = 10 ** max(0, math.floor(math.log10(number)) - 1)
    return int(math.ceil(number / digits) * digits)
