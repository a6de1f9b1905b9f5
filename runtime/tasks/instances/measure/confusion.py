"""The confusion matrix of a detector: which class was found where which class is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.contract import Category

MATCH_IOU = 0.5  # of boxes


@dataclass
class Confusion:
    """Counts over images at one score. `counts` is (C + 1, C + 1) int64.

    Row: the class of an object; the last: none there. Column: the class it was found as; the last: missed.
    """

    classes: Sequence[Category]
    min_score: float
    counts: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self.counts = np.zeros((len(self.classes) + 1,) * 2, np.int64)

    def to_dict(self) -> dict[str, Any]:
        """As JSON: the matrix by rows, and how it was counted."""
        return {
            "min_score": self.min_score,
            "iou": MATCH_IOU,
            "rows": "class of the object, last: none there",
            "columns": "class it was found as, last: missed",
            "classes": [category.name for category in self.classes],
            "counts": self.counts.tolist(),
        }


def confusion(
    truth: dict[str, Any], rows: list[dict[str, Any]], classes: Sequence[Category], *, min_score: float
) -> Confusion:
    """Count detections above min_score against the annotations of a COCO dictionary.

    rows: COCO results with boxes. Pairs have a box IoU of at least `MATCH_IOU`, each object and detection one
    at most; those of one class are taken first, then the others, each by IoU. So an object that was found as
    what it is counts as found, and a second class at the same place as found where nothing is. Detections on
    a crowd count as nothing.
    """
    found = Confusion(classes, min_score)
    label = {category.id: number for number, category in enumerate(classes)}
    objects, detections = defaultdict(list), defaultdict(list)
    for annotation in truth["annotations"]:
        objects[annotation["image_id"]].append(annotation)
    for row in rows:
        if row["score"] > min_score:
            detections[row["image_id"]].append(row)
    for image_id in objects.keys() | detections.keys():
        _count(found.counts, objects[image_id], detections[image_id], label)
    return found


def _count(
    counts: NDArray[np.int64],
    annotations: list[dict[str, Any]],
    detections: list[dict[str, Any]],
    label: dict[int, int],
) -> None:
    none = len(counts) - 1
    crowds = [a for a in annotations if a.get("iscrowd")]
    objects = [a for a in annotations if not a.get("iscrowd")]
    actual = np.array([label[a["category_id"]] for a in objects], np.int64)
    said = np.array([label[d["category_id"]] for d in detections], np.int64)
    iou = _overlap(objects, detections, of_detection=False)
    partner = np.full(len(detections), -1)
    free = np.ones(len(objects), bool)
    for same in (True, False):
        candidates = np.argwhere((iou >= MATCH_IOU) & (np.equal.outer(actual, said) == same))
        for i, j in sorted(candidates.tolist(), key=lambda pair: -iou[pair[0], pair[1]]):
            if free[i] and partner[j] < 0:
                free[i], partner[j] = False, i
    in_crowd = np.any(_overlap(crowds, detections, of_detection=True) >= MATCH_IOU, axis=0)
    for j, i in enumerate(partner):
        if i >= 0:
            counts[actual[i], said[j]] += 1
        elif not in_crowd[j]:
            counts[none, said[j]] += 1
    for missed in actual[free]:
        counts[missed, none] += 1


def _overlap(
    objects: list[dict[str, Any]], detections: list[dict[str, Any]], *, of_detection: bool
) -> NDArray:
    """(G, D) IoU of boxes; of_detection: the share of the detection that is on the object, as for crowds."""
    a = np.array([o["bbox"] for o in objects], float).reshape(-1, 1, 4)
    b = np.array([d["bbox"] for d in detections], float).reshape(1, -1, 4)
    low, high = (
        np.maximum(a[..., :2], b[..., :2]),
        np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:]),
    )
    shared = np.clip(high - low, 0, None).prod(-1)
    own = b[..., 2:].prod(-1)
    whole = own if of_detection else a[..., 2:].prod(-1) + own - shared
    return shared / np.maximum(np.broadcast_to(whole, shared.shape), 1e-12)
