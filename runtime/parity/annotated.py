"""Scores of both models on the same annotated images, with a confidence interval of their difference.

On few images a change of a tenth of a point is no regression but chance. The interval is the percentile
bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13) over images, paired: each
replicate draws the same images for both models.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from maskrt.runtime.errors import ParityError
from maskrt.runtime.tasks.metric import Metric, Score

REPLICATES = 200  # the ends of a 95% interval are then its fifth values from either side
CONFIDENCE = 0.95


class Annotated:
    """Results of both models over annotated images; `add` each image, then ask for the `difference`."""

    def __init__(self, dataset: Any, metric: Metric) -> None:
        """dataset: maskrt.training.data.Dataset, of the models' classes; metric: theirs."""
        self._dataset, self.metric = dataset, metric
        self._places = {sample.source.rsplit("/", 1)[-1]: place for place, sample in enumerate(dataset)}
        self._seen: list[int] = []
        self._parts: tuple[list[Any], list[Any]] = ([], [])

    def place(self, file_name: str) -> int | None:
        """Where an image is in the data set, None where it is not annotated."""
        return self._places.get(file_name)

    def add(self, place: int, reference: Any, candidate: Any) -> None:
        """One image's results, in pixels of the image itself."""
        self._seen.append(place)
        for parts, result in zip(self._parts, (reference, candidate), strict=True):
            parts.append(self.metric.part(self._dataset[place], result))

    def difference(self) -> dict[str, dict[str, float]]:
        """For each thing measured, such as "mask" and "box": the scores of the reference and the candidate,
        their difference, and the low and high end of its 95% interval.

        Raises ParityError where no image is annotated.
        """
        if not self._seen:
            raise ParityError(
                "none of the images is in the annotations (they are matched by file name), so no AP was "
                "measured. Give the images that the annotations name."
            )
        scores = self.metric.scores(self._dataset, self._seen, self._parts)
        return {kind: self._of(*sides) for kind, sides in scores.items()}

    def _of(self, ours: Score, theirs: Score) -> dict[str, float]:
        images = np.arange(len(self._seen))
        reference, candidate = ours(images), theirs(images)
        random = np.random.default_rng(0)  # so that a report can be made again
        draws = (random.choice(images, len(images)) for _ in range(REPLICATES))
        differences = [theirs(drawn) - ours(drawn) for drawn in draws]
        low, high = np.quantile(differences, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        return {
            "reference": reference,
            "candidate": candidate,
            "difference": candidate - reference,
            "low": float(low),
            "high": float(high),
        }
