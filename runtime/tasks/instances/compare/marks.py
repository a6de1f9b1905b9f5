"""Marks that a fault leaves in the detections and in their pasted masks."""

from __future__ import annotations

import dataclasses
from itertools import product

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.boxes import box_iou, same_boxes
from maskrt.runtime.contract import Keypoints
from maskrt.runtime.tasks.instances.compare.match import Matching, Pair, crop_iou, match
from maskrt.runtime.tasks.instances.compare.tolerances import Tolerance
from maskrt.runtime.tasks.instances.instances import MaskCrop
from maskrt.runtime.tasks.instances.result import Result

MOST = 0.8  # the share of instances that must bear a mark
# Float32 moves a probability of a saturated mask by less (see Tolerance.tied_probability).
SAME_PROBABILITY = 5e-4
EXPLAINED = 1e-2  # of the error's power is left where a guess explains it


def box_culprits(reference: Result, candidate: Result, nms_threshold: float, limit: Tolerance) -> list[str]:
    """Marks of a fault between the box head's tensors and the kept detections."""
    if not len(reference) or not len(candidate):
        return []
    ours, theirs = same_boxes(reference.boxes, candidate.boxes, limit.box_px)
    offsets, counts = np.unique(candidate.labels[theirs] - reference.labels[ours], return_counts=True)
    if len(offsets) and offsets[counts.argmax()] and counts.max() >= MOST * len(ours):
        return [f"the same boxes, but labels off by {offsets[counts.argmax()]:+d}: class index"]
    matching = match(reference, candidate)
    alike = [p for p in matching.pairs if p.score_difference <= limit.score]
    moved = [p for p in alike if p.box_difference_px > limit.box_px]
    if len(moved) > len(matching.pairs) / 2:
        return [
            "scores as the reference's, boxes not; possible: deltas decoded with other weights, or "
            "clipped otherwise"
        ]
    return _cut_culprits(reference, candidate, matching) or _nms_culprits(
        reference, candidate, matching, nms_threshold
    )


def _cut_culprits(reference: Result, candidate: Result, matching: Matching) -> list[str]:
    """Where one side has the best of the other's instances and no more."""
    for more, lacking, verb in ((reference, matching.missed, "missed"), (candidate, matching.extra, "extra")):
        kept = [i for i in range(len(more)) if i not in lacking]
        other = matching.extra if verb == "missed" else matching.missed
        if not lacking or not kept or other:
            continue
        highest, lowest = float(more.scores[list(lacking)].max()), float(more.scores[kept].min())
        if highest > lowest:
            continue
        fewer = candidate if verb == "missed" else reference
        return [
            f"the {len(lacking)} {verb} are those of the lowest scores, up to {highest:.4g}, and all "
            "others are on "
            f"both sides; possible: a score threshold between {highest:.4g} and {lowest:.4g}, or "
            f"{len(fewer)} rows "
            "at most"
        ]
    return []


def _nms_culprits(
    reference: Result, candidate: Result, matching: Matching, nms_threshold: float
) -> list[str]:
    """NMS with another threshold, where one threshold explains every instance: those kept and those not."""
    overlap = _largest_overlap(candidate)
    let_through = overlap[list(matching.extra)]
    above = let_through > nms_threshold
    if len(above) and above.mean() >= MOST:
        return [
            f"{np.count_nonzero(above)} of {len(above)} extra detections overlap a better one of their class "
            f"by IoU up to {let_through.max():.2f}, above the NMS threshold {nms_threshold:g}"
            f"{':' if above.all() and not matching.missed else '; possible:'} NMS with a higher threshold"
        ]
    overlap = _largest_overlap(reference)
    lost = overlap[list(matching.missed)]
    kept = overlap[[p.reference for p in matching.pairs]]
    if (
        len(lost)
        and not matching.extra
        and 0 < lost.min() <= nms_threshold
        and lost.min() >= kept.max(initial=0)
    ):
        return [
            f"{len(lost)} detections missed that overlap a better one of their class by IoU down to "
            f"{lost.min():.2f}, below the NMS threshold {nms_threshold:g}, and none kept does: "
            "NMS with a lower threshold"
        ]
    return []


def _largest_overlap(result: Result) -> np.ndarray:
    """(D,) the IoU of each detection with the better one of its class that it overlaps most."""
    overlap = np.tril(box_iou(result.boxes, result.boxes), k=-1)  # rows come by descending score
    overlap[result.labels[:, None] != result.labels[None]] = 0
    return overlap.max(axis=1, initial=0)


def mask_culprits(
    reference: Result,
    candidate: Result,
    masks: tuple[NDArray[np.float32] | None, NDArray[np.float32] | None],
    limit: Tolerance,
) -> list[str]:
    """Marks of a fault behind the mask logits. masks: (D, M, M) probabilities of both sides."""
    ours, theirs = reference.crops, candidate.crops
    if ours is None or theirs is None:
        return []
    pairs = match(reference, candidate).pairs
    wrong = [p for p in pairs if p.mask_iou is not None and p.mask_iou < limit.mask_iou]
    if masks[0] is not None and masks[1] is not None and wrong:
        rows = [p.reference for p in wrong], [p.candidate for p in wrong]
        expected, found = (side[chosen] for side, chosen in zip(masks, rows, strict=True) if side is not None)
        if found.shape != expected.shape or np.abs(found - expected).max() > SAME_PROBABILITY:
            return [_output_cause(expected, found)]
    return _paste_culprits(ours, theirs, wrong, limit)


def _output_cause(expected: NDArray, found: NDArray) -> str:
    """What was done to probabilities (R, M, M) that the logits do not have."""
    what = "the output masks themselves differ, before any paste"
    if found.shape != expected.shape:
        return f"{what}: {found.shape[1:]} values each, the reference's {expected.shape[1:]}"
    logits = np.log(np.clip(expected, 1e-7, 1) / np.clip(1 - expected, 1e-7, 1))
    for name, guess in (
        ("transposed", expected.transpose(0, 2, 1)),
        ("upside down", expected[:, ::-1]),
        ("mirrored", expected[:, :, ::-1]),
        ("turned by 180°", expected[:, ::-1, ::-1]),
        ("object and background exchanged", 1 - expected),
        ("logits, not probabilities", logits),
        ("the sigmoid of the probabilities", 1 / (1 + np.exp(-expected))),
        ("empty", np.zeros_like(expected)),
        ("cut to 0 and 1", (expected > 0.5).astype(expected.dtype)),
        *(
            (f"moved by ({dx:+d}, {dy:+d}) cells", np.roll(expected, (dy, dx), axis=(1, 2)))
            for dx, dy in product((-1, 0, 1), repeat=2)
            if dx or dy
        ),
        *((f"of the detection {step:+d} rows on", np.roll(expected, -step, axis=0)) for step in (-1, 1)),
    ):
        # Of masks that are no squares, as those over a canvas, none is another transposed.
        if guess.shape == found.shape and _power(found - guess) <= EXPLAINED * _power(found - expected):
            return f"{what}: {name}"
    ratio = float(np.vdot(found, expected) / max(np.vdot(expected, expected), 1e-12))
    if _power(found - ratio * expected) <= EXPLAINED * _power(found - expected):
        return f"{what}: {ratio:.3g} times the reference's"
    return f"{what}; possible: another activation, or rows of other detections"


def _power(values: NDArray) -> float:
    return float(np.square(values, dtype=np.float64).sum())


def _paste_culprits(
    ours: tuple[MaskCrop, ...], theirs: tuple[MaskCrop, ...], wrong: list[Pair], limit: Tolerance
) -> list[str]:
    for dx, dy in product((-1, 0, 1), repeat=2):
        mended = [
            crop_iou(
                ours[p.reference],
                dataclasses.replace(
                    theirs[p.candidate],
                    left=theirs[p.candidate].left - dx,
                    top=theirs[p.candidate].top - dy,
                ),
            )
            >= limit.mask_iou
            for p in wrong
        ]
        if wrong and sum(mended) >= MOST * len(wrong):
            return [f"pasted ({dx:+d}, {dy:+d}) px off"]
    return []


def keypoint_culprits(
    reference: Result, candidate: Result, layout: Keypoints | None, limit: Tolerance
) -> list[str]:
    """Marks of a fault in what the points are called, or where in their cell they are placed."""
    ours, theirs = reference.keypoints, candidate.keypoints
    pairs = match(reference, candidate).pairs
    wrong = [p for p in pairs if p.keypoint_px is not None and p.keypoint_px > limit.keypoint_px]
    if ours is None or theirs is None or layout is None or not wrong:
        return []
    expected, found = ours[[p.reference for p in wrong], :, :2], theirs[[p.candidate for p in wrong], :, :2]
    swapped = np.linalg.norm(expected - found[:, list(layout.mirrored)], axis=2).mean(axis=1)
    if (swapped <= limit.keypoint_px).mean() >= MOST:
        return ["left and right are swapped: the points are another side's"]
    dx, dy = np.median((found - expected).reshape(-1, 2), axis=0)
    still = np.linalg.norm(found - expected - (dx, dy), axis=2).mean(axis=1)
    if (still <= limit.keypoint_px).mean() >= MOST:
        return [f"all points ({dx:+.1f}, {dy:+.1f}) px off"]
    return []
