"""COCO AP of both models on the same images, and how sure their difference is.

On few images a change of a tenth of a point is no regression but chance. The interval is the percentile
bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13) over images, paired: each
replicate draws the same images for both models.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.errors import ParityError
from maskrt.runtime.tasks.instances.measure.coco import KINDS, coco_evaluation, coco_truth, silence

REPLICATES = 200  # the ends of a 95% interval are then its fifth values from either side
CONFIDENCE = 0.95


class Task:
    """Detections of both models over annotated images; `add` each image, then ask for the `difference`."""

    def __init__(self, ground_truth: dict[str, Any], task: str = "instance") -> None:
        """ground_truth: a COCO dictionary, with the images' file names; task: the models'."""
        self._truth, self._kinds = ground_truth, KINDS[task]
        self._ids = {image["file_name"].rsplit("/", 1)[-1]: image["id"] for image in ground_truth["images"]}
        self._seen: list[Any] = []
        self._rows: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])

    def image_id(self, file_name: str) -> Any:
        """The annotations' id of an image, None where it is not annotated."""
        return self._ids.get(file_name)

    def add(self, image_id: Any, reference: list[dict[str, Any]], candidate: list[dict[str, Any]]) -> None:
        """One image's COCO results, in pixels of the image itself."""
        self._seen.append(image_id)
        for rows, new in zip(self._rows, (reference, candidate), strict=True):
            rows += new

    def difference(self) -> dict[str, dict[str, float]]:
        """For "mask" and "box", or what else the models find: AP of the reference and the candidate, their
        difference, and the low and high end of its 95% interval.

        Raises ParityError where no image is annotated.
        """
        if not self._seen:
            raise ParityError(
                "none of the images is in the annotations (they are matched by file name), so no AP was "
                "measured. Give the images that the annotations name."
            )
        seen = set(self._seen)
        truth = coco_truth(
            self._truth
            | {
                "images": [image for image in self._truth["images"] if image["id"] in seen],
                "annotations": [one for one in self._truth["annotations"] if one["image_id"] in seen],
            }
        )
        return {name: self._of(truth, name) for name in self._kinds}

    def _of(self, truth: Any, name: str) -> dict[str, float]:
        sides = [_evaluated(truth, rows, name) for rows in self._rows]
        images = np.arange(len(self._seen))
        reference, candidate = (_average_precision(side, images) for side in sides)
        random = np.random.default_rng(0)  # so that a report can be made again
        draws = (random.choice(images, len(images)) for _ in range(REPLICATES))
        differences = [_average_precision(sides[1], d) - _average_precision(sides[0], d) for d in draws]
        low, high = np.quantile(differences, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        return {
            "reference": reference,
            "candidate": candidate,
            "difference": candidate - reference,
            "low": float(low),
            "high": float(high),
        }


def _evaluated(truth: Any, rows: list[dict[str, Any]], name: str) -> tuple[Any, list[Any]]:
    """A COCOeval over objects of all sizes, and its matches: per category, per image."""
    evaluation = coco_evaluation(truth, rows, name)
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
    evaluation.params.maxDets = [100]
    with silence():
        evaluation.evaluate()
    return evaluation, list(evaluation.evalImgs)


def _average_precision(side: tuple[Any, list[Any]], images: NDArray[np.intp]) -> float:
    """AP over IoU 0.50:0.95 of the images at these positions, each as often as it is named."""
    evaluation, matches = side
    count = len(evaluation.params.imgIds)
    evaluation.evalImgs = [
        matches[start + image] for start in range(0, len(matches), count) for image in images
    ]
    with silence():
        evaluation.accumulate()
    precision = evaluation.eval["precision"]
    return float(precision[precision > -1].mean()) if (precision > -1).any() else -1.0
