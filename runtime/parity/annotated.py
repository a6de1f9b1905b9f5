"""Scores of both models on the same annotated images, with a confidence interval of their difference.

On few images a change of a tenth of a point is no regression but chance. The interval is the bootstrap over
images (resample.py), paired: each replicate draws the same images for both models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.errors import ParityError
from maskrt.runtime.parity.resample import carriers, draws, interval, left_out
from maskrt.runtime.tasks.metric import Metric


@dataclass(frozen=True)
class Scored:
    """What a model scores on the images, on each draw of them, and with some left out (`left_out`)."""

    value: float
    drawn: NDArray[np.float64]
    without: NDArray[np.float64]


class Side:
    """One model's results over annotated images: `add` each image, then ask for the `scores`."""

    def __init__(self, dataset: Any, metric: Metric) -> None:
        """dataset: maskrt.training.data.Dataset, of the model's classes; metric: its own."""
        self._dataset, self._metric = dataset, metric
        self._places: list[int] = []
        self._parts: list[Any] = []
        self._scores: dict[str, Scored] = {}

    def __len__(self) -> int:
        return len(self._places)

    @property
    def parts(self) -> list[Any]:
        """The metric's part of each image."""
        return self._parts

    def add(self, place: int, result: Any) -> None:
        """One image's result, in pixels of the image itself. place: in the data set."""
        self._places.append(place)
        self._parts.append(self._metric.part(self._dataset[place], result))
        self._scores = {}

    @property
    def scores(self) -> dict[str, Scored]:
        """For each thing measured, such as "mask" and "box"; the first is what a model is judged by."""
        if not self._scores:
            images = np.arange(len(self))
            found = self._metric.scores(self._dataset, self._places, [self._parts])
            for kind, (score,) in found.items():
                drawn, without = (
                    np.array([score(some) for some in sets])
                    for sets in (draws(len(self)), left_out(len(self)))
                )
                self._scores[kind] = Scored(score(images), drawn, without)
        return self._scores


class Annotated:
    """Both models over annotated images; `add` each image, then ask for the `difference`."""

    def __init__(self, dataset: Any, metric: Metric, reference: Side | None = None) -> None:
        """dataset: of the models' classes; metric: theirs. reference: a side that has its images already."""
        self._dataset, self.metric = dataset, metric
        names = {sample.source: place for place, sample in enumerate(dataset)}
        self._places = {name.rsplit("/", 1)[-1]: place for name, place in names.items()} | names
        self.reference = reference or Side(dataset, metric)
        self.candidate = Side(dataset, metric)

    def place(self, file_name: str) -> int | None:
        """Where an image is in the data set, by its whole name or by its file's; None where it is not."""
        return self._places.get(file_name, self._places.get(file_name.rsplit("/", 1)[-1]))

    def add(self, place: int, reference: Any, candidate: Any) -> None:
        """One image's results, in pixels of the image itself."""
        self.reference.add(place, reference)
        self.candidate.add(place, candidate)

    def difference(self) -> dict[str, dict[str, float]]:
        """For each thing measured, such as "mask" and "box": the scores of the reference and the candidate,
        their difference, the low and high end of its 95% interval, and how many images make it (`carriers`).

        Raises ParityError where no image is annotated.
        """
        if not len(self.candidate):
            raise ParityError(
                "none of the images is in the annotations (they are matched by file name), so no AP was "
                "measured. Give the images that the annotations name."
            )
        return _differences(self.reference.scores, self.candidate.scores, len(self.candidate))


def _differences(
    reference: Mapping[str, Scored], candidate: Mapping[str, Scored], images: int
) -> dict[str, dict[str, float]]:
    found = {}
    for kind, theirs in candidate.items():
        ours = reference[kind]
        apart = theirs.value - ours.value
        without = theirs.without - ours.without
        low, high = interval(theirs.drawn - ours.drawn, images, apart, without)
        found[kind] = {
            "reference": ours.value,
            "candidate": theirs.value,
            "difference": apart,
            "low": low,
            "high": high,
            "carriers": carriers(without),
        }
    return found
