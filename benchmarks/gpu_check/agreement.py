"""How far an engine agrees with the recorded answers, and whether that is enough."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.gpu_check.bundle import Model, load_canvas
from runtime.parity.match import match
from runtime.parity.paste import paste_alike
from runtime.parity.tolerances import FP32
from runtime.preprocess import Batch
from runtime.session import Session

# FP32 finds the same instances, with the same masks up to a few border pixels (runtime/parity/tolerances.py).
# FP16 moves scores by some 1e-3, and an instance at a threshold falls on either side of it: what is surely
# there is to be found again, with nearly the same mask.
FP32_MASK_IOU = FP32.mask_iou
FP16_SURE_SCORE, FP16_MATCHED_SHARE, FP16_MEAN_MASK_IOU = 0.3, 0.99, 0.98


@dataclass(frozen=True)
class Agreement:
    """Over all canvases: instances of the reference, those of them that are sure, and how they fared."""

    instances: int
    sure: int
    sure_matched: int
    missed: int
    extra: int
    mean_mask_iou: float  # of the sure pairs
    least_mask_iou: float  # of all pairs
    worst_score_difference: float
    worst_box_difference_px: float

    def passes(self, precision: str) -> bool:
        """Whether it is the same model, in this precision. A reference that found nothing proves nothing."""
        if not self.sure:
            return False
        if precision == "fp32":
            return self.missed == self.extra == 0 and self.least_mask_iou >= FP32_MASK_IOU
        return (
            self.sure_matched >= FP16_MATCHED_SHARE * self.sure and self.mean_mask_iou >= FP16_MEAN_MASK_IOU
        )


def agree(session: Session, model: Model, shape: str, folder: Path) -> Agreement:
    """Run the canvases that this form takes. Boxes and masks are compared in canvas pixels."""
    pairs, sure, missed, extra, instances = [], 0, 0, 0, 0
    for index in range(model.canvases):
        images, image_sizes, reference = load_canvas(folder / model.canvas(index))
        if shape == "static" and images.shape[:3] != model.usual:
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
        for expected, actual in zip(*results, strict=True):
            matching = match(expected, actual)
            scores = expected.scores.tolist()
            pairs += [(scores[pair.reference], pair) for pair in matching.pairs]
            sure += sum(score > FP16_SURE_SCORE for score in scores)
            instances += len(expected)
            missed, extra = missed + len(matching.missed), extra + len(matching.extra)
    sure_ious = [pair.mask_iou for score, pair in pairs if score > FP16_SURE_SCORE]
    return Agreement(
        instances=instances,
        sure=sure,
        sure_matched=len(sure_ious),
        missed=missed,
        extra=extra,
        mean_mask_iou=float(np.mean(sure_ious or [0])),
        least_mask_iou=float(min((pair.mask_iou for _, pair in pairs), default=0.0)),
        worst_score_difference=max((pair.score_difference for _, pair in pairs), default=0.0),
        worst_box_difference_px=max((pair.box_difference_px for _, pair in pairs), default=0.0),
    )
