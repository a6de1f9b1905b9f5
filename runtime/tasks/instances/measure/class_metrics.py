"""What COCO's evaluation says of each class: AP, and precision over recall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.contract import Category

CURVES_AT = {"iou50": 0.5, "iou75": 0.75}  # the IoUs that curves are given at
ALL_SIZES, MOST = 0, -1  # of COCOeval's tables: objects of any size, the largest number of detections


def class_metrics(evaluation: Any, classes: Sequence[Category]) -> list[dict[str, Any]]:
    """A row a class: id, name, instances; ap, ap50, ap75, and ar, the largest recall.

    ap and ar are means over IoU 0.50:0.95. evaluation: a COCOeval that was accumulated. What the data has no
    object for is None.
    """
    counts = dict.fromkeys(evaluation.params.catIds, 0)
    for truth in evaluation.cocoGt.dataset["annotations"]:
        counts[truth["category_id"]] += not truth.get("iscrowd")
    rows = []
    for category in classes:
        precision, recall = _of_class(evaluation, category.id)
        at = {name: _mean(precision[_row(evaluation, iou)]) for name, iou in CURVES_AT.items()}
        rows.append(
            {
                "id": category.id,
                "name": category.name,
                "instances": counts[category.id],
                "ap": _mean(precision),
                "ap50": at["iou50"],
                "ap75": at["iou75"],
                "ar": _mean(recall),
            }
        )
    return rows


def curves(evaluation: Any, classes: Sequence[Category]) -> dict[str, Any]:
    """Precision over 101 recalls from 0 to 1: {"recall": [...], "iou50": {class id: [...]}, "iou75": …}.

    As COCO counts it: the highest precision at that recall or a higher one. Classes without objects have no
    curve.
    """
    found: dict[str, Any] = {"recall": [float(r) for r in evaluation.params.recThrs]}
    for name, iou in CURVES_AT.items():
        found[name] = {}
        for category in classes:
            values = _of_class(evaluation, category.id)[0][_row(evaluation, iou)]
            if (values > -1).all():
                found[name][str(category.id)] = [round(float(v), 4) for v in values]
    return found


def mean_curve(curves_of_classes: Mapping[str, Sequence[float]]) -> list[float]:
    """The mean of classes' curves, whose mean is their AP at that IoU; empty without classes."""
    return [float(v) for v in np.mean(list(curves_of_classes.values()), 0)] if curves_of_classes else []


def _of_class(evaluation: Any, category_id: int) -> tuple[NDArray, NDArray]:
    """Precision (IoUs, recalls) and recall (IoUs,) of a class; -1 where there is nothing to find."""
    number = evaluation.params.catIds.index(category_id)
    tables = evaluation.eval
    return (
        tables["precision"][:, :, number, ALL_SIZES, MOST],
        tables["recall"][:, number, ALL_SIZES, MOST],
    )


def _row(evaluation: Any, iou: float) -> int:
    return int(np.flatnonzero(np.isclose(evaluation.params.iouThrs, iou))[0])


def _mean(values: NDArray) -> float | None:
    there = values[values > -1]
    return float(there.mean()) if there.size else None
