"""COCO AP over draws of the images, from matches that are made once.

As `COCOeval.accumulate` counts it, but each image's detections and objects weigh as often as the image is
drawn: precision and recall are sums of weights, so that a draw costs a few sums and not an evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.tasks.instances.measure.coco import coco_evaluation, silence
from maskrt.runtime.tasks.metric import Score

MOST_DETECTIONS = 100  # of a class in an image, as COCO counts them
IOUS = 10  # 0.50 to 0.95


@dataclass(frozen=True)
class ClassMatches:
    """One class's detections, sorted by score. true, false: (IoUs, D); image: (D,), where each was found;
    objects: (images,) that there are to find."""

    true: NDArray[np.float64]
    false: NDArray[np.float64]
    image: NDArray[np.intp]
    objects: NDArray[np.float64]


def score_over_draws(truth: Any, rows: list[dict[str, Any]], kind: str) -> Score:
    """AP over IoU 0.50:0.95, of objects of all sizes, by the images' weights.

    truth: pycocotools' COCO; rows: COCO results; kind: of `IOU_TYPES`. The score is -1 without objects.
    """
    evaluation = coco_evaluation(truth, rows, kind)
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
    evaluation.params.maxDets = [MOST_DETECTIONS]
    with silence():
        evaluation.evaluate()
    count = len(evaluation.params.imgIds)
    found = evaluation.evalImgs
    classes = [_of_class(found[start : start + count]) for start in range(0, len(found), count)]
    recalls = np.asarray(evaluation.params.recThrs)

    def average_precision(images: NDArray[np.intp]) -> float:
        """AP of the images at these positions, each as often as it is named."""
        weights = np.bincount(images, minlength=count).astype(float)
        of_classes = [ap for one in classes if (ap := _average_precision(one, weights, recalls)) is not None]
        return float(np.mean(of_classes)) if of_classes else -1.0

    return average_precision


def _of_class(found: list[dict[str, Any] | None]) -> ClassMatches:
    """What COCOeval matched of a class; None of an image that holds nothing of it on either side."""
    objects = np.array([0 if e is None else np.count_nonzero(np.asarray(e["gtIgnore"]) == 0) for e in found])
    there = [(i, e) for i, e in enumerate(found) if e is not None and e["dtScores"]]
    if not there:
        none = np.zeros((IOUS, 0))
        return ClassMatches(none, none, np.zeros(0, np.intp), objects.astype(float))
    scores = np.concatenate([e["dtScores"] for _, e in there])
    image = np.concatenate([np.full(len(e["dtScores"]), i) for i, e in there])
    matched, ignored = (
        np.concatenate([np.asarray(e[key]) for _, e in there], axis=1).astype(bool)
        for key in ("dtMatches", "dtIgnore")
    )
    order = np.argsort(-scores, kind="mergesort")  # the one that COCOeval takes
    true, false = (matched & ~ignored)[:, order], (~matched & ~ignored)[:, order]
    return ClassMatches(true.astype(float), false.astype(float), image[order], objects.astype(float))


def _average_precision(
    one: ClassMatches, weights: NDArray[np.float64], recalls: NDArray[np.float64]
) -> float | None:
    """The mean over IoUs and recalls; None where no object was drawn."""
    objects = float(one.objects @ weights)
    if not objects:
        return None
    drawn = np.flatnonzero(weights[one.image])
    each = weights[one.image[drawn]]
    true, false = (np.cumsum(side[:, drawn] * each, axis=1) for side in (one.true, one.false))
    recall = true / objects
    precision = true / np.maximum(true + false, np.spacing(1))
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    total = 0.0
    for reached, of_it in zip(recall, precision, strict=True):
        places = np.searchsorted(reached, recalls, side="left")
        total += float(of_it[places[places < len(of_it)]].sum())
    return total / (len(recall) * len(recalls))
