"""The confusion matrix of class maps, and the figures that are made of it.

They are those of Long, Shelhamer, Darrell (arXiv:1411.4038, section 5): n_ij pixels of class i are taken for
class j, t_i is the sum of row i. One matrix is summed over all images; figures of images are never averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.contract import Category

Matrix = NDArray[np.int64]  # (classes, classes): a row a class in truth, a column what it was taken for


def confusion(truth: NDArray[np.uint8], found: NDArray[np.uint8], classes: int) -> Matrix:
    """Count two maps of one shape. Pixels of the truth with no class of these (IGNORED) are left out."""
    known = truth < classes
    pairs = truth[known].astype(np.int64) * classes + found[known]
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def figures(matrix: Matrix) -> dict[str, float]:
    """The four figures, 0 to 1; NaN where no pixel has a class.

    A class that is in neither truth nor prediction is left out of the means; one that is predicted alone has
    an IoU of 0, and no accuracy.
    """
    right, of_truth, _ = _sums(matrix)
    iou = ious(matrix)
    return {
        "miou": _mean(iou),
        "pixel_accuracy": _share(right.sum(), matrix.sum()),
        "mean_accuracy": _mean(accuracies(matrix)),
        "frequency_weighted_iou": _share(np.nansum(of_truth * iou), of_truth.sum()),
    }


def ious(matrix: Matrix) -> NDArray[np.float64]:
    """(classes,): pixels of a class that were found, of all that are of it or were taken for it; else NaN."""
    right, of_truth, found = _sums(matrix)
    return _ratio(right, of_truth + found - right)


def accuracies(matrix: Matrix) -> NDArray[np.float64]:
    """(classes,): pixels of a class that were found, of all of it; NaN of a class that is not in truth."""
    right, of_truth, _ = _sums(matrix)
    return _ratio(right, of_truth)


def per_class(matrix: Matrix, classes: Sequence[Category]) -> list[dict[str, Any]]:
    """A row a class, for JSON: its pixels in truth, IoU, accuracy (recall) and precision, None of none."""
    right, of_truth, found = _sums(matrix)
    columns = {"iou": ious(matrix), "accuracy": accuracies(matrix), "precision": _ratio(right, found)}
    return [
        {"id": category.id, "name": category.name, "pixels": int(of_truth[label])}
        | {name: _known(values[label]) for name, values in columns.items()}
        for label, category in enumerate(classes)
    ]


def _sums(matrix: Matrix) -> tuple[Matrix, Matrix, Matrix]:
    return np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)


def _ratio(some: Matrix, of_all: Matrix) -> NDArray[np.float64]:
    return np.divide(some, of_all, out=np.full(len(some), np.nan), where=of_all > 0)


def _mean(values: NDArray[np.float64]) -> float:
    there = values[~np.isnan(values)]
    return float(there.mean()) if len(there) else float("nan")


def _share(some: float, of_all: float) -> float:
    return float(some / of_all) if of_all else float("nan")


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
