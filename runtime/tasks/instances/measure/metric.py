"""COCO AP as the metric of instances: of boxes, and of what else a model finds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from maskrt.runtime.contract import Contract
from maskrt.runtime.tasks.instances.measure import coco, page
from maskrt.runtime.tasks.instances.measure.class_metrics import class_metrics, curves
from maskrt.runtime.tasks.instances.measure.confusion import confusion
from maskrt.runtime.tasks.instances.measure.resampled import score_over_draws
from maskrt.runtime.tasks.instances.measure.tables import ap_table, class_table
from maskrt.runtime.tasks.instances.result import Result
from maskrt.runtime.tasks.metric import Metric, Score

Rows = list[dict[str, Any]]  # COCO results


def kinds_of(contract: Contract) -> tuple[str, ...]:
    """Kinds of AP for a model, from what its outputs hold; it is judged by the first."""
    if contract.options.masks is not None:
        return ("mask", "box")
    return ("keypoint", "box") if contract.options.keypoints is not None else ("box",)


class InstancesMetric(Metric):
    """AP over a data set. A part is an image's COCO results."""

    title = "COCO AP"
    curves = ("mask_ap", "mask_ap50", "mask_ap75", "keypoint_ap", "keypoint_ap50", "box_ap")

    def __init__(self, contract: Contract) -> None:
        self.kinds, self._classes = kinds_of(contract), contract.classes
        self.main = f"{self.kinds[0]}_ap"

    def part(self, sample: Any, result: Result) -> Rows:
        """Its COCO results, under the sample's image id."""
        return result.to_coco(sample.image_id)

    def figures(self, dataset: Any, parts: Sequence[Rows]) -> dict[str, float]:
        """Compute `coco.coco_metrics`."""
        return coco.coco_metrics(dataset.to_coco(), _joined(parts), self.kinds)

    def examine(self, dataset: Any, parts: Sequence[Rows], min_score: float) -> dict[str, Any]:
        """Compute AP by class too: "per_class" and "curves" by kind, and the "confusion" above min_score."""
        truth, rows = dataset.to_coco(), _joined(parts)
        evaluations = coco.coco_evaluations(truth, rows, self.kinds)
        matrix = confusion(truth, rows, self._classes, min_score=min_score)
        return {
            **coco.statistics(evaluations),
            "per_class": {kind: class_metrics(one, self._classes) for kind, one in evaluations.items()},
            "curves": {kind: curves(one, self._classes) for kind, one in evaluations.items()},
            "confusion": matrix.to_dict(),
        }

    def tables(self, facts: dict[str, Any], title: str) -> list[Any]:
        """AP, and where there are several classes that of each."""
        classes = [class_table(facts["per_class"])] if len(self._classes) > 1 else []
        return [ap_table(facts, self.kinds, title), *classes]

    def page(self, facts: dict[str, Any]) -> str:
        """Figures of each class, precision over recall, and what is taken for what."""
        return page.page(facts)

    def named(self, figure: str) -> str:
        """ "mask" and "mask_ap" are "mask AP"."""
        return f"{figure.removesuffix('_ap')} AP"

    def headline(self, figures: dict[str, float]) -> str:
        """The AP that the model is judged by, and that at IoU 0.5."""
        ap, ap50 = self.progress(figures).values()
        return f"{self.named(self.main)} {ap:.3f}, AP50 {ap50:.3f}"

    def progress(self, figures: dict[str, float]) -> dict[str, float]:
        """The AP that the model is judged by, and that at IoU 0.5, by short names."""
        return {"mAP": figures[self.main], "mAP50": figures[f"{self.main}50"]}

    def scores(
        self, dataset: Any, images: Sequence[int], parts: Sequence[Sequence[Rows]]
    ) -> dict[str, list[Score]]:
        """AP of each kind, by each model."""
        truth, seen = dataset.to_coco(), {dataset[place].image_id for place in images}
        known = coco.coco_truth(
            truth
            | {
                "images": [image for image in truth["images"] if image["id"] in seen],
                "annotations": [one for one in truth["annotations"] if one["image_id"] in seen],
            }
        )
        return {kind: [score_over_draws(known, _joined(side), kind) for side in parts] for kind in self.kinds}


def _joined(parts: Sequence[Rows]) -> Rows:
    return [row for rows in parts for row in rows]
