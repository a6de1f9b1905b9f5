"""How far two models may differ and still be the same, by precision of the candidate."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerance:
    """Largest differences allowed of any matched instance, and whether every instance must be matched."""

    score: float
    box_px: float
    mask_iou: float  # smallest allowed


# float32 on another backend sums in another order: rounding of about 1e-7 relative to values that a network
# of a hundred layers amplifies a hundredfold. A prototype on 345 detections of R50-FPN measured 5.5e-6 in
# score, 9.5e-4 px, and IoU 0.9990 (a few border pixels of small masks): these limits are ten times that,
# and a hundred times below what any real fault (a shifted RoIAlign, a swapped channel) causes.
FP32 = Tolerance(score=1e-4, box_px=0.01, mask_iou=0.99)

BY_PRECISION = {"fp32": FP32}

# Two detections are compared as one instance from this mask IoU on: far below any tolerance, so that a
# wrong mask is reported as such and not as a missed and an extra detection.
MATCH_IOU = 0.5
