"""COCO average precision, by pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

from maskrt.runtime.errors import DataError, MissingDependencyError
from maskrt.runtime.packages import install

IOU_TYPES = {"mask": "segm", "box": "bbox", "keypoint": "keypoints"}
MASK_AND_BOX = ("mask", "box")
# The first of COCOeval.stats: over IoU 0.50:0.95, at 0.5, at 0.75, and by size of the object. For keypoints
# IoU is the object keypoint similarity (OKS, https://cocodataset.org/#keypoints-eval), and no size is small.
STATISTICS = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
COCO_POINTS = 17
KEYPOINT_STATISTICS = ("ap", "ap50", "ap75", "ap_medium", "ap_large")


def coco_metrics(
    ground_truth: dict[str, Any], predictions: list[dict[str, Any]], kinds: Sequence[str] = MASK_AND_BOX
) -> dict[str, float]:
    """{"mask_ap": …, "mask_ap50": …, "box_ap": …}, each in 0–1, or -1 where the data has no such object.

    ground_truth: a COCO dictionary; predictions: COCO results over the same image ids; kinds: of `IOU_TYPES`.
    """
    return statistics(coco_evaluations(ground_truth, predictions, kinds))


def coco_evaluations(
    ground_truth: dict[str, Any], predictions: list[dict[str, Any]], kinds: Sequence[str] = MASK_AND_BOX
) -> dict[str, Any]:
    """A pycocotools COCOeval, run and summed up, for each of the kinds (`IOU_TYPES`)."""
    truth = coco_truth(ground_truth)
    evaluations: dict[str, Any] = {}
    for name in kinds:
        evaluations[name] = coco_evaluation(truth, predictions, name)
        with silence():
            evaluations[name].evaluate()
            evaluations[name].accumulate()
            evaluations[name].summarize()
    return evaluations


def statistics(evaluations: dict[str, Any]) -> dict[str, float]:
    """The figures of `coco_evaluations`, as `coco_metrics` names them."""
    metrics: dict[str, float] = {}
    for name, evaluation in evaluations.items():
        names = KEYPOINT_STATISTICS if name == "keypoint" else STATISTICS
        metrics.update({f"{name}_{s}": float(v) for s, v in zip(names, evaluation.stats, strict=False)})
    return metrics


def coco_truth(ground_truth: dict[str, Any]) -> Any:
    """A COCO dictionary as pycocotools' COCO. Raises MissingDependencyError without pycocotools."""
    try:
        from pycocotools.coco import COCO
    except ImportError as error:
        raise MissingDependencyError(
            f"COCO metrics need pycocotools. Install it: {install('cpu')}"
        ) from error
    truth = COCO()
    truth.dataset = ground_truth
    with silence():
        truth.createIndex()
    return truth


def coco_evaluation(truth: Any, predictions: list[dict[str, Any]], name: str) -> Any:
    """A pycocotools COCOeval of predictions, still to be run; name: of `IOU_TYPES`."""
    from pycocotools.cocoeval import COCOeval

    # loadRes takes an object's size from its box where it has one; mask AP goes by the mask's, and keypoint
    # AP by that of the points' extent, as where a results file has nothing but points.
    hidden = set() if name == "box" else {"bbox"}
    if name == "keypoint":
        annotations = truth.dataset["annotations"]
        check_points({len(one["keypoints"]) // 3 for one in annotations if one.get("keypoints")})
    rows = [{k: v for k, v in row.items() if k not in hidden} for row in predictions]
    with silence():
        return COCOeval(truth, truth.loadRes(rows) if rows else _nothing(truth), IOU_TYPES[name])


def check_points(counts: set[int]) -> None:
    """OKS weighs each point by how well people agree on it, which is known of COCO's person alone.

    counts: the points that annotations have. Raises DataError for others than its 17.
    """
    if counts != {COCO_POINTS}:
        raise DataError(
            f"keypoint AP: the annotations have {sorted(counts) or 'no'} points an object, expected COCO's "
            f"{COCO_POINTS} of a person: how exactly others are to be met (OKS's sigmas) nobody has measured."
            " Go on without AP: leave --val out."
        )


def silence() -> contextlib.redirect_stdout[io.StringIO]:
    """pycocotools reports by printing."""
    return contextlib.redirect_stdout(io.StringIO())


def _nothing(truth: Any) -> Any:
    """No detections: pycocotools' loadRes does not take an empty list."""
    from pycocotools.coco import COCO

    empty = COCO()
    empty.dataset = {**truth.dataset, "annotations": []}
    with silence():
        empty.createIndex()
    return empty
