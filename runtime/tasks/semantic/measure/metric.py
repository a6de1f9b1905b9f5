"""Mean IoU as the metric of class maps, and what else one confusion matrix says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.contract import Contract
from maskrt.runtime.tasks.metric import Metric, Score
from maskrt.runtime.tasks.rows import jsonable
from maskrt.runtime.tasks.semantic.measure import matrix as counted
from maskrt.runtime.tasks.semantic.measure.matrix import Matrix, confusion
from maskrt.runtime.tasks.semantic.measure.page import page
from maskrt.runtime.tasks.semantic.measure.tables import class_table, figure_table
from maskrt.runtime.tasks.semantic.result import SemanticResult

NAMES = {
    "miou": "mIoU",
    "pixel_accuracy": "pixel accuracy",
    "mean_accuracy": "mean accuracy",
    "frequency_weighted_iou": "frequency-weighted IoU",
}


class SemanticMetric(Metric):
    """A part is an image's confusion matrix."""

    main = "miou"
    title = "mean IoU and accuracy"
    curves = tuple(NAMES)

    def __init__(self, contract: Contract) -> None:
        self._classes = contract.classes

    def part(self, sample: Any, result: SemanticResult) -> Matrix:
        """Count the image's pixels. sample: with a label map, `labels()`."""
        return confusion(sample.labels(), result.labels, len(self._classes))

    def figures(self, dataset: Any, parts: Sequence[Matrix]) -> dict[str, float]:
        """The four figures over all pixels; 0 where no pixel has a class."""
        return {name: float(np.nan_to_num(value)) for name, value in counted.figures(_sum(parts)).items()}

    def examine(self, dataset: Any, parts: Sequence[Matrix], min_score: float) -> dict[str, Any]:
        """The figures, those of each class ("per_class"), and the matrix ("confusion")."""
        matrix = _sum(parts)
        return {
            **jsonable(counted.figures(matrix)),
            "per_class": counted.per_class(matrix, self._classes),
            "confusion": {
                "rows": "class of the pixel",
                "columns": "class it was found as",
                "classes": [category.name for category in self._classes],
                "counts": matrix.tolist(),
            },
        }

    def tables(self, facts: dict[str, Any], title: str) -> list[Any]:
        """The figures, and those of each class."""
        shown = {named: facts[name] for name, named in NAMES.items()}
        return [figure_table(shown, title), class_table(facts["per_class"])]

    def page(self, facts: dict[str, Any]) -> str:
        """The figures, those of each class, and the matrix as a picture."""
        return page(facts, NAMES)

    def named(self, figure: str) -> str:
        """ "miou" is "mIoU"."""
        return NAMES[figure]

    def headline(self, figures: dict[str, float]) -> str:
        """Mean IoU and pixel accuracy."""
        return f"mIoU {figures['miou']:.3f}, pixel accuracy {figures['pixel_accuracy']:.3f}"

    def progress(self, figures: dict[str, float]) -> dict[str, float]:
        """The same two, by short names."""
        return {"mIoU": figures["miou"], "pixel": figures["pixel_accuracy"]}

    def scores(
        self, dataset: Any, images: Sequence[int], parts: Sequence[Sequence[Matrix]]
    ) -> dict[str, list[Score]]:
        """Mean IoU of each model: the matrices of the images drawn are summed."""
        return {"miou": [_score(np.stack(side)) for side in parts]}


def _sum(parts: Sequence[Matrix]) -> Matrix:
    return np.sum(np.stack(parts), axis=0)


def _score(matrices: NDArray[np.int64]) -> Score:
    return lambda images: float(np.nan_to_num(counted.figures(matrices[images].sum(axis=0))["miou"]))
