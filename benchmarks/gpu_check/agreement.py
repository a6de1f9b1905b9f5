"""Measures how far an engine agrees with the recorded answers, and judges it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.gpu_check.bundle import Form, Model, load_canvas
from maskrt.runtime.backends.open import Session
from maskrt.runtime.preprocess import Batch
from maskrt.runtime.tasks.instances.compare.flips import flips
from maskrt.runtime.tasks.instances.compare.match import match
from maskrt.runtime.tasks.instances.compare.paste import paste_alike
from maskrt.runtime.tasks.instances.compare.tolerances import BY_PRECISION, FP32
from maskrt.runtime.tasks.instances.result import Result

# Rounding decides on which side of a threshold a score or an overlap falls that is as near to it. On another
# GPU sums run in another order than anywhere they were measured: parity's own limit is a third of this.
AT_THRESHOLD = dataclasses.replace(FP32, flip_score=1e-4, flip_iou=1e-4)


@dataclass(frozen=True)
class Agreement:
    """Over all canvases: instances of the reference, those of them that are sure, and how they fared.

    Sure are those above the score from which the precision's tolerance counts them (runtime/parity/
    tolerances.py): above 0 in FP32, so all.
    """

    instances: int
    sure: int
    sure_matched: int
    missed: int  # this and the next: those at a threshold apart
    extra: int
    at_threshold: tuple[str, ...]  # instances that one side alone has, and that rounding explains
    mean_mask_iou: float | None  # of the sure pairs; None without masks
    least_mask_iou: float | None  # of all pairs
    keypoint_px: float | None  # between the points of the sure pairs, their mean; None without keypoints
    worst_score_difference: float
    worst_box_difference_px: float

    def passes(self, precision: str, *, trained: bool = True) -> bool:
        """True if it is the same model, in this precision.

        A reference that found nothing proves nothing. Only trained weights show what eight bits cost:
        of others it is enough that the engine was built of INT8 layers and runs.
        """
        limit = BY_PRECISION[precision]
        if precision == "int8" and not trained:
            return True
        if not self.sure or (self.keypoint_px or 0) > limit.keypoint_px:
            return False
        if limit.by_quantiles:
            mask_iou, found = self.mean_mask_iou, self.sure_matched >= limit.matched * self.sure
        else:
            mask_iou, found = self.least_mask_iou, self.missed == self.extra == 0
        return found and (mask_iou is None or mask_iou >= limit.mask_iou)


def agree(session: Session, model: Model, form: Form, folder: Path) -> Agreement:
    """Run the canvases that this form takes. Boxes and masks are compared in canvas pixels."""
    least_score = BY_PRECISION[form.precision].above_score
    pairs, sure, missed, extra, instances = [], 0, 0, 0, 0
    at_threshold: list[str] = []
    for index in range(model.canvases):
        images, image_sizes, reference = load_canvas(folder / model.canvas(index))
        if not model.takes(form, images.shape[:3]):
            continue
        outputs = session.infer(images, image_sizes)
        sizes = tuple((int(h), int(w)) for h, w in image_sizes)
        results = paste_alike(
            reference,
            outputs,
            Batch(images, image_sizes, sizes),
            session.contract,
            within_px=FP32.box_px,
        )
        for row, (expected, actual) in enumerate(zip(*results, strict=True)):
            matching = match(expected, actual)
            flipped = flips(expected, actual, matching, session.contract, AT_THRESHOLD)
            where = f"{model.canvas(index)}, image {row}"
            at_threshold += [f"{where}: missed {_named(expected, i)}" for i in flipped.missed]
            at_threshold += [f"{where}: extra {_named(actual, i)}" for i in flipped.extra]
            pairs += matching.pairs
            sure += int((expected.scores > least_score).sum())
            instances += len(expected)
            missed += len(matching.missed) - len(flipped.missed)
            extra += len(matching.extra) - len(flipped.extra)
    sure_pairs = [pair for pair in pairs if pair.score > least_score]
    sure_ious = [pair.mask_iou for pair in sure_pairs if pair.mask_iou is not None]
    all_ious = [float(pair.mask_iou) for pair in pairs if pair.mask_iou is not None]
    points_px = [pair.keypoint_px for pair in sure_pairs if pair.keypoint_px is not None]
    return Agreement(
        instances=instances,
        sure=sure,
        sure_matched=len(sure_pairs),
        missed=missed,
        extra=extra,
        at_threshold=tuple(at_threshold),
        mean_mask_iou=float(np.mean(sure_ious)) if sure_ious else None,
        least_mask_iou=min(all_ious, default=None),
        keypoint_px=float(np.mean(points_px)) if points_px else None,
        worst_score_difference=max((pair.score_difference for pair in pairs), default=0.0),
        worst_box_difference_px=max((pair.box_difference_px for pair in pairs), default=0.0),
    )


def _named(result: Result, row: int) -> str:
    return f"{result.classes[result.labels[row]].name} of score {result.scores[row]:.6f}"
