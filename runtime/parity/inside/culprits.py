"""Why a stage is out of tolerance: what its tensors tell, and what else is known to go wrong there.

Faults leave their marks: BGR for RGB is the reference with its channels reversed, a mean or std is a straight
line a channel, an anchor off by half a stride is a shift of every proposal. Each mark is looked for in the
numbers; only where none is found are the usual suspects of the stage listed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskrt.models.rcnn.parity.rois import pooling_culprits, proposal_culprits
from maskrt.runtime.contract import Contract
from maskrt.runtime.parity.inside.samples import Sample
from maskrt.runtime.parity.inside.stages import DETECTIONS, KEYPOINTS, MASKS, Aligned, StageError
from maskrt.runtime.parity.tolerances import Tolerance
from maskrt.runtime.stages import (
    BOX_FEATURES,
    CANVAS,
    KEYPOINT_FEATURES,
    KEYPOINT_LOGITS,
    MASK_FEATURES,
    MASK_LOGITS,
    PROPOSALS,
    Stages,
    layout_of,
)
from maskrt.runtime.tasks.instances.compare.marks import box_culprits, keypoint_culprits, mask_culprits
from maskrt.runtime.tasks.instances.result import Result

LARGEST_HALF = 65504.0  # of IEEE 754 binary16
# A mark counts as found where it explains all but a thousandth of the error.
EXPLAINED = 1e-3
WEIGHTS = "other weights: a stale file, a transposed layer, a batch norm folded otherwise"
ROI_ALIGN = (
    "RoIAlign: half a pixel (aligned), its sampling ratio, RoIs grown or of another level, a stale plugin"
)
SUSPECTS = {
    CANVAS: "another resize, or pixels not scaled to 0–1",
    "stem": WEIGHTS,
    "C": WEIGHTS,
    "P": f"{WEIGHTS}; a pyramid that is upsampled otherwise",
    "rpn": WEIGHTS,
    PROPOSALS: "anchors, decoding, clipping, least side; NMS threshold; number kept, a level or in all",
    BOX_FEATURES: ROI_ALIGN,
    "class_logits": f"{WEIGHTS}; features flattened in another order",
    "box_deltas": f"{WEIGHTS}; features flattened in another order",
    DETECTIONS: "decoding, clamp, clipping, least side; score or NMS threshold; class index; number of rows",
    MASK_FEATURES: ROI_ALIGN,
    MASK_LOGITS: f"the mask of another class is taken; {WEIGHTS} of the mask head",
    KEYPOINT_FEATURES: ROI_ALIGN,
    KEYPOINT_LOGITS: f"{WEIGHTS} of the keypoint head; heat maps enlarged otherwise",
    KEYPOINTS: "the decoding: half a cell, another enlargement, the box of another detection",
    MASKS: "the paste: another frame, threshold, or interpolation; what follows the logits",
}


@dataclass(frozen=True)
class Evidence:
    """What is known of one image. Pairs are of the reference and the candidate; results are on the canvas."""

    aligned: dict[str, Aligned]
    samples: dict[str, Sample]  # the reference's stages
    stages: Stages  # the candidate's
    results: tuple[Result, Result]
    contracts: tuple[Contract, Contract]
    limit: Tolerance
    # (D, M, M) probabilities of both sides, None without masks.
    masks: tuple[NDArray[np.float32] | None, NDArray[np.float32] | None] = (None, None)
    measured: Callable[[str], list[str]] = lambda stage: []  # causes found without an image


def culprits(error: StageError, evidence: Evidence) -> list[str]:
    """Sentences on why `error.stage` is out of tolerance, the likeliest first; at least one."""
    if found := evidence.measured(error.stage):
        return found
    if error.not_finite:
        largest = float(np.abs(evidence.aligned[error.stage].reference).max(initial=0))
        return [
            f"overflow: float16 holds {LARGEST_HALF:g} at most, and the reference's largest value here is "
            f"{largest:.3g}; leave the layers before it in float32",
            *found,
        ]
    marks = _MARKS.get(error.stage)
    if marks is not None:
        found += marks(evidence)
    return found or [suspects(error.stage)]


def suspects(stage: str) -> str:
    """What is known to go wrong at a stage."""
    key = max((key for key in SUSPECTS if stage.startswith(key)), key=len)
    return f"possible: {SUSPECTS[key]}"


def canvas_culprits(evidence: Evidence) -> list[str]:
    """Marks of wrong preprocessing in the normalised canvas, (3, H, W) on both sides."""
    ours, theirs = evidence.aligned[CANVAS].reference, evidence.aligned[CANVAS].candidate
    contract = evidence.contracts[0]
    if ours.shape != theirs.shape:
        (h, w), (height, width) = ours.shape[1:], theirs.shape[1:]
        if height >= h and width >= w and _explains(theirs[:, :h, :w], ours, np.zeros_like(ours)):
            return [
                f"padded to {height}x{width}, beyond the reference's {h}x{w}, which changes what is computed"
            ]
        return []
    if not np.abs(theirs - ours)[:, ours.any(axis=0)].any():
        return ["the padding is not zero after normalisation"]
    mean, std = (np.array(x, np.float32)[:, None, None] for x in (contract.mean, contract.std))
    lit = ours.any(axis=0)
    pixels, seen = ((x * std + mean)[:, lit] for x in (ours, theirs))
    if _explains(seen, pixels[::-1], pixels):
        return ["the channels are reversed: BGR where RGB is expected"]
    lines = [np.polyfit(x, y, 1) for x, y in zip(ours[:, lit], theirs[:, lit], strict=True)]
    fitted = np.stack([a * x + b for (a, b), x in zip(lines, ours[:, lit], strict=True)])
    if _explains(theirs[:, lit], fitted, ours[:, lit]):
        return ["each channel is the reference's but for scale and offset: another mean or std"]
    return []


def _explains(candidate: NDArray, guess: NDArray, reference: NDArray) -> bool:
    """Whether the candidate is the guess, and is nowhere near so much the reference."""
    left, before = (float(np.square(candidate - x, dtype=np.float64).sum()) for x in (guess, reference))
    return before > 0 and left <= EXPLAINED**2 * before


def _strides_px(evidence: Evidence) -> tuple[int, ...]:
    return layout_of(evidence.contracts[0].config).pooled_strides_px


_MARKS: dict[str, Callable[[Evidence], list[str]]] = {
    CANVAS: canvas_culprits,
    PROPOSALS: lambda e: proposal_culprits(e.samples[PROPOSALS].values, e.stages[PROPOSALS], e.limit),
    BOX_FEATURES: lambda e: pooling_culprits(
        e.aligned[BOX_FEATURES], e.samples[PROPOSALS].values, _strides_px(e)
    ),
    DETECTIONS: lambda e: box_culprits(*e.results, e.contracts[0].nms_threshold, e.limit),
    MASK_FEATURES: lambda e: pooling_culprits(e.aligned[MASK_FEATURES], e.results[0].boxes, _strides_px(e)),
    KEYPOINT_FEATURES: lambda e: pooling_culprits(
        e.aligned[KEYPOINT_FEATURES], e.results[0].boxes, _strides_px(e)
    ),
    KEYPOINTS: lambda e: keypoint_culprits(*e.results, e.contracts[0].keypoints, e.limit),
    MASKS: lambda e: mask_culprits(*e.results, e.masks, e.limit),
}
