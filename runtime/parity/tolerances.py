"""Tolerances of the tensors inside two models, by precision of the candidate. Those of the results are their
task's (`Task.compare`)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StageTolerance:
    """What a tensor inside may differ by: smallest signal-to-noise ratio over all its values, largest single
    error over the reference's range, and the smallest share of proposals that both sides must have.

    proposals_px: proposals that differ by no more are one, for that share. rows_px: those that differ by no
    more are compared in what is pooled for them, and so are detections. judged: a stage out of tolerance is a
    failure by itself; otherwise it names where a failure of the results begins.
    """

    snr_db: float
    relative_error: float
    proposals: float
    proposals_px: float = 0.01
    rows_px: float = 0.01
    judged: bool = True


# FP32: the smallest SNR at any stage was 108 dB (R18 with random weights), 109 dB (R18 trained on droplets)
# and 94 dB (C5 of an R50 trained on droplets, 11 images), the largest error 2.3e-5 of the range. A layer one
# percent off has 40 dB. Rounding decides a tie of the proposals' NMS now and then: one in 300 differed. Of
# anchors half a stride off next to none is the same.
STAGES_FP32 = StageTolerance(snr_db=80.0, relative_error=1e-4, proposals=0.95)
# FP16: each layer of depth costs some. R18 had 60 dB at the worst stage and 0.0017 of the range, the R50
# 36 dB (C5) and 0.02. On a GPU sums are in half too, so 30 dB and twice the error. Half rounds the deltas of
# a box of 300 px by some tenths of a pixel: of the R50's proposals 8% to 80% were the same within 0.1 px, 97%
# within 1 px, which is half of what half a stride of the finest level moves them by.
STAGES_FP16 = StageTolerance(snr_db=30.0, relative_error=0.05, proposals=0.9, proposals_px=1.0, rows_px=0.1)
# INT8 (min-max, four images): R18 trained on droplets had 20 dB, 0.42 of the range, 80% of the proposals.
# What rounding costs is judged by the results, as maskrt calibrate does: what passes there passes here.
STAGES_INT8 = StageTolerance(
    snr_db=12.0, relative_error=1.0, proposals=0.5, proposals_px=1.5, rows_px=1.5, judged=False
)
STAGES_BY_PRECISION = {"fp32": STAGES_FP32, "fp16": STAGES_FP16, "int8": STAGES_INT8}
