"""Marks that a fault leaves in the detections and in their pasted masks."""

from __future__ import annotations

import dataclasses
from itertools import product

import numpy as np

from runtime.contract import Keypoints
from runtime.parity.match import Matching, box_iou, crop_iou, match
from runtime.parity.stages import same_boxes
from runtime.parity.tolerances import Tolerance
from runtime.results import Result

MOST = 0.8  # the share of instances that must bear a mark


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
            "scores as the reference's, boxes not: deltas decoded with other weights, or clipped otherwise"
        ]
    return _nms_culprits(reference, candidate, matching, nms_threshold)


def _nms_culprits(
    reference: Result, candidate: Result, matching: Matching, nms_threshold: float
) -> list[str]:
    overlap = _largest_overlap(candidate)
    let_through = [i for i in matching.extra if overlap[i] > nms_threshold]
    if let_through and len(let_through) >= MOST * len(matching.extra):
        return [
            f"{len(let_through)} detections overlap a better one of their class by IoU up to "
            f"{overlap[let_through].max():.2f}, above the NMS threshold {nms_threshold:g}: "
            "NMS with a higher threshold"
        ]
    overlap = _largest_overlap(reference)
    lost = [i for i in matching.missed if 0 < overlap[i] <= nms_threshold]
    if lost and len(lost) >= MOST * len(matching.missed):
        return [
            f"{len(lost)} detections missed that overlap a better one of their class by IoU down to "
            f"{overlap[lost].min():.2f}, below the NMS threshold {nms_threshold:g}: "
            "NMS with a lower threshold"
        ]
    return []


def _largest_overlap(result: Result) -> np.ndarray:
    """(D,) the IoU of each detection with the better one of its class that it overlaps most."""
    overlap = np.tril(box_iou(result.boxes, result.boxes), k=-1)  # rows come by descending score
    overlap[result.labels[:, None] != result.labels[None]] = 0
    return overlap.max(axis=1, initial=0)


def mask_culprits(reference: Result, candidate: Result, limit: Tolerance) -> list[str]:
    """Marks of a fault in pasting."""
    ours, theirs = reference.crops, candidate.crops
    if ours is None or theirs is None:
        return []
    pairs = match(reference, candidate).pairs
    wrong = [p for p in pairs if p.mask_iou is not None and p.mask_iou < limit.mask_iou]
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
