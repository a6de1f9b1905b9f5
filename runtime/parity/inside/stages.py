"""How far a candidate is from its reference at each stage inside (maskrt.runtime.stages) of one image.

Rows of proposals and detections are compared where both sides have the same box: an instance that only one
of them kept says nothing of how well the other pools it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.backends.session import Outputs
from maskrt.runtime.boxes import same_boxes
from maskrt.runtime.parity.inside.samples import Sample
from maskrt.runtime.parity.tolerances import StageTolerance
from maskrt.runtime.stages import (
    LAYOUTS,
    MAPS,
    PER_DETECTION,
    PER_PROPOSAL,
    PROPOSAL_COUNTS,
    PROPOSALS,
    Stages,
)
from maskrt.runtime.tasks.task import Seen

# The outputs, as stages: what NMS keeps, what is pasted, where the points are.
DETECTIONS, MASKS, KEYPOINTS = "detections", "masks", "keypoints"
_LEVELS = sorted({name for layout in LAYOUTS for name in layout.levels if name.startswith("P")}, reverse=True)
#: A pyramid is computed from its top, P5, down; P6 is pooled from the top.
_TOP_DOWN = (*(name for name in _LEVELS if name != "P6"), "P6")
_BEFORE = tuple(name for name in MAPS if name not in _LEVELS and not name.startswith("rpn_"))
#: The order in which an error travels.
ORDER = (
    *_BEFORE,
    *_TOP_DOWN,
    *(name for name in MAPS if name.startswith("rpn_")),
    PROPOSALS,
    *PER_PROPOSAL,
    DETECTIONS,
    *PER_DETECTION,
    MASKS,
    KEYPOINTS,
)
IDENTICAL_DB = 200.0  # of equal tensors; float32's own rounding is at about 150 dB

NAN = float("nan")


@dataclass(frozen=True)
class StageError:
    """A stage of one image. `reason` says why it is out of tolerance, and is empty where it is not.

    snr_db: 10 log10 of the reference's power over the error's, `IDENTICAL_DB` at most. max_error: absolute;
    relative_error: the same over the reference's range. compared: the share of rows that both sides have.
    not_finite: values of the candidate that are NaN or infinite. For proposals the errors are in px.
    """

    stage: str
    snr_db: float = NAN
    cosine: float = NAN
    max_error: float = NAN
    mean_error: float = NAN
    relative_error: float = NAN
    compared: float = 1.0
    not_finite: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Aligned:
    """A stage of both sides at the same places, and which rows of the reference they are of.

    compared: the share of rows that both sides have; tied: of proposals, the share that nothing but rounding
    chooses, and that the other side need not have.
    """

    reference: NDArray[np.float32]
    candidate: NDArray[np.float32]
    rows: NDArray[np.intp]
    compared: float
    tied: float = 0.0


def first_image(stages: Stages, outputs: Outputs) -> Stages:
    """The stages of a batch's first image, float32: maps (C, h, w), a row a proposal, a row a detection."""
    proposals, detections = int(stages[PROPOSAL_COUNTS][0]), int(outputs.num_detections[0])
    first = {name: values[0] for name, values in stages.items() if name in MAPS}
    first[PROPOSALS] = stages[PROPOSALS][0, :proposals]
    first |= {name: stages[name][:proposals] for name in PER_PROPOSAL}
    first |= {name: stages[name][:detections] for name in PER_DETECTION if name in stages}
    return {name: values.astype(np.float32, copy=False) for name, values in first.items()}


def align(
    reference: dict[str, Sample],
    candidate: Stages,
    seen: Seen,
    limit: StageTolerance,
    tied: float = 0.0,
) -> dict[str, Aligned]:
    """Every stage of one image, of both sides at the same places.

    candidate: of `first_image`; seen: the results of both. limit: how far two boxes may be apart and
    be the same; tied: the share of the reference's boxes inside that only rounding chooses.
    """
    boxes = reference[PROPOSALS].values
    shared = same_boxes(boxes, candidate[PROPOSALS], limit.proposals_px)
    proposals = same_boxes(boxes, candidate[PROPOSALS], limit.rows_px)
    detections = seen.same_rows(limit.rows_px)
    one_row = np.zeros(1, np.intp), np.zeros(1, np.intp)
    aligned = {}
    for name in ORDER:
        if name not in reference:  # an output, or of another kind of model
            continue
        sample, found = reference[name], candidate[name]
        skip = 0 if name in MAPS else 1  # the number of rows is no part of a shape
        if sample.shape[skip:] != found.shape[skip:]:
            aligned[name] = Aligned(sample.values, found, np.zeros(0, np.intp), 0.0)
            continue
        rows = one_row
        if name not in MAPS:
            rows = shared if name == PROPOSALS else detections if name in PER_DETECTION else proposals
        most = 1 if name in MAPS else max(sample.shape[0], found.shape[0])
        pair = sample.pair(name, found, *rows)
        compared = len(rows[0]) / most if most else 1.0
        aligned[name] = Aligned(*pair, compared=compared, tied=tied if name == PROPOSALS else 0.0)
    return aligned


def compare_stages(
    aligned: dict[str, Aligned],
    candidate: Stages,
    limits: StageTolerance | Callable[[str], StageTolerance],
) -> list[StageError]:
    """Every stage of one image, in the order of the computation. candidate: of `first_image`, for its NaN;
    limits: of every stage, or of each."""
    errors = []
    for name, both in aligned.items():
        if bad := int(np.count_nonzero(~np.isfinite(candidate[name]))):
            errors.append(StageError(name, not_finite=bad, reason=f"{bad} values are NaN or infinite"))
            continue
        limit = limits if isinstance(limits, StageTolerance) else limits(name)
        error = measure(name, both.reference, both.candidate, limit)
        if name == PROPOSALS:  # judged by how many there are: the boxes that are the same differ by nothing
            expected = limit.proposals * (1 - both.tied)
            short = both.compared < expected
            reason = f"{both.compared:.1%} are on both sides, at least {expected:.0%} expected"
            error = dataclasses.replace(error, reason=reason if short else "")
        errors.append(dataclasses.replace(error, compared=both.compared))
    return errors


def measure(stage: str, reference: NDArray, candidate: NDArray, limit: StageTolerance) -> StageError:
    """Two tensors of one shape, of which the second should be the first. Both finite."""
    if reference.shape != candidate.shape:
        reason = f"its shape is {candidate.shape}, the reference's {reference.shape}"
        return StageError(stage, reason=reason)
    if not reference.size:  # no box is on both sides, or there is none: nothing can be said
        return StageError(stage)
    ours, theirs = reference.ravel(), candidate.ravel()
    error = theirs - ours
    signal, noise = float(np.dot(ours, ours)), float(np.dot(error, error))
    snr_db = min(10 * np.log10(signal / noise), IDENTICAL_DB) if noise and signal else IDENTICAL_DB
    if noise and not signal:
        snr_db = -IDENTICAL_DB
    norms = np.sqrt(signal) * np.linalg.norm(theirs)
    cosine = float(np.dot(ours, theirs) / norms) if norms else float(signal == noise)
    np.abs(error, out=error)
    largest = float(error.max())
    spread = float(ours.max() - ours.min())
    relative = largest / spread if spread else float(largest > 0)
    reason = ""
    if snr_db < limit.snr_db:
        reason = f"SNR {snr_db:.1f} dB, at least {limit.snr_db:g} dB expected"
    elif relative > limit.relative_error:
        reason = f"largest error {relative:.2g} of the range, allowed {limit.relative_error:g}"
    return StageError(stage, float(snr_db), cosine, largest, float(error.mean()), relative, reason=reason)
