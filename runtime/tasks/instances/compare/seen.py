"""One image of both sides: its instances matched, and what that says of the outputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.boxes import Rows
from maskrt.runtime.contract import Contract
from maskrt.runtime.tasks.answers import OutputError
from maskrt.runtime.tasks.comparison import Seen
from maskrt.runtime.tasks.instances.compare.flips import Flips
from maskrt.runtime.tasks.instances.compare.marks import box_culprits, keypoint_culprits, mask_culprits
from maskrt.runtime.tasks.instances.compare.match import Matching
from maskrt.runtime.tasks.instances.compare.tolerances import Tolerance
from maskrt.runtime.tasks.instances.options import KEYPOINTS, MASKS
from maskrt.runtime.tasks.instances.result import Result

#: What NMS keeps, as a stage. What is pasted, and where the points are, are stages by their outputs' names.
DETECTIONS = "detections"
SUSPECTS = {
    DETECTIONS: "decoding, clamp, clipping, least side; score or NMS threshold; class index; number of rows",
    MASKS: "the paste: another frame, threshold, or interpolation; what follows the logits",
    KEYPOINTS: "the decoding: half a cell, another enlargement, the box of another detection",
}


@dataclass(frozen=True)
class SeenInstances(Seen):
    """Both sides' results, in pixels of the canvas, and which instance is which.

    contract: the reference's. masks: (D, M, M) probabilities of both sides, None without masks.
    """

    reference: Result
    candidate: Result
    matching: Matching
    flips: Flips
    limit: Tolerance
    contract: Contract
    masks: tuple[NDArray[np.float32] | None, NDArray[np.float32] | None] = (None, None)

    @property
    def errors(self) -> list[OutputError]:
        """The detections and what they bear; none where they are judged over all images."""
        limit, pairs = self.limit, self.matching.pairs
        if limit.by_quantiles:
            return []
        box_px = max((p.box_difference_px for p in pairs), default=0.0)
        rows = len(pairs) + max(len(self.matching.missed), len(self.matching.extra))
        compared = len(pairs) / rows if rows else 1.0
        errors = [OutputError(DETECTIONS, box_px, compared, self._fault_of_detections(box_px))]
        if ious := [p.mask_iou for p in pairs if p.mask_iou is not None]:
            iou = min(ious)
            below = (
                "" if iou >= limit.mask_iou else f"mask IoU {iou:.4f}, at least {limit.mask_iou:g} expected"
            )
            errors.append(OutputError(MASKS, 1 - iou, compared, below))
        if apart_px := [p.keypoint_px for p in pairs if p.keypoint_px is not None]:
            worst_px, allowed_px = max(apart_px), limit.keypoint_px
            reason = f"keypoints differ by {worst_px:.2g} px, allowed {allowed_px:g} px"
            reason = "" if worst_px <= allowed_px else reason
            errors.append(OutputError(KEYPOINTS, worst_px, compared, reason))
        return errors

    def _fault_of_detections(self, box_px: float) -> str:
        missed = len(self.matching.missed) - len(self.flips.missed)
        extra = len(self.matching.extra) - len(self.flips.extra)
        score = max((p.score_difference for p in self.matching.pairs), default=0.0)
        if missed or extra:
            return f"{missed} instances of the reference missed, {extra} extra"
        if not score <= self.limit.score:
            return f"score differs by {score:.2g}, allowed {self.limit.score:g}"
        if not box_px <= self.limit.box_px:
            return f"box differs by {box_px:.2g} px, allowed {self.limit.box_px:g} px"
        return ""

    def same_rows(self, within_px: float) -> Rows:
        """Matched instances whose boxes differ by no more."""
        return self.matching.same_rows(within_px)

    def causes(self, output: str) -> list[str]:
        """Marks that a fault leaves in the results; where there is none, what is known to go wrong."""
        both, limit = (self.reference, self.candidate), self.limit
        if output == DETECTIONS:
            found = box_culprits(*both, self.contract.options.nms_threshold, limit)
        elif output == MASKS:
            found = mask_culprits(*both, self.masks, limit)
        else:
            found = keypoint_culprits(*both, self.contract.options.keypoints, limit)
        return found or [f"possible: {SUSPECTS[output]}"]
