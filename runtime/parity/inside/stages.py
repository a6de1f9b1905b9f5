"""How far a candidate is from its reference at each stage inside (`Contract.inside`) of one image.

Rows of boxes inside and of detections are compared where both sides have the same box: an instance that
only one of them kept says nothing of how well the other pools it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.backends.session import Outputs
from maskrt.runtime.boxes import same_boxes
from maskrt.runtime.contract import Contract, Stages, Tap
from maskrt.runtime.parity.inside.samples import Sample
from maskrt.runtime.parity.tolerances import StageTolerance
from maskrt.runtime.tasks import task_of
from maskrt.runtime.tasks.comparison import Seen

IDENTICAL_DB = 200.0  # of equal tensors; float32's own rounding is at about 150 dB

NAN = float("nan")


@dataclass(frozen=True)
class StageError:
    """A stage of one image. `reason` says why it is out of tolerance, and is empty where it is not.

    snr_db: 10 log10 of the reference's power over the error's, `IDENTICAL_DB` at most. max_error: absolute;
    relative_error: the same over the reference's range. compared: the share of rows that both sides have.
    not_finite: values of the candidate that are NaN or infinite. For boxes the errors are in px.
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

    compared: the share of rows that both sides have; boxes: whether the rows are boxes, which are judged by
    that; tied: of boxes, the share that nothing but rounding chooses, and that the other side need not have.
    """

    reference: NDArray[np.float32]
    candidate: NDArray[np.float32]
    rows: NDArray[np.intp]
    compared: float
    boxes: bool = False
    tied: float = 0.0


def order_of(contract: Contract) -> tuple[str, ...]:
    """Taps and results in the order in which an error travels."""
    stages = task_of(contract).stages
    first, *others = results_of(contract)
    names = (stages.get(name, name) for name in contract.inside.order)
    inside = (name for name in names if name not in others)
    return tuple(dict.fromkeys((*inside, first, *others)))


def results_of(contract: Contract) -> tuple[str, ...]:
    """The outputs as stages, in the order of the computation."""
    return tuple(dict.fromkeys(task_of(contract).stages.values()))


def first_image(stages: Stages, outputs: Outputs, contract: Contract) -> Stages:
    """The stages of a batch's first image, float32: maps (C, h, w), a row a box inside, a row a detection."""
    first: Stages = {}
    for tap in contract.inside.taps:
        values = stages[tap.name]
        if tap.kind == "map":
            first[tap.name] = values[0]
        elif tap.kind == "boxes":
            first[tap.name] = values[0, : _count(tap, stages, outputs, contract)]
        elif tap.kind != "counts":
            first[tap.name] = values[: _count(tap, stages, outputs, contract)]
    return {name: values.astype(np.float32, copy=False) for name, values in first.items()}


def _count(tap: Tap, stages: Stages, outputs: Outputs, contract: Contract) -> int:
    """Rows of a batch's first image that are filled."""
    counted_by = {tensor.name: tensor.counted_by for tensor in contract.outputs}
    counted_by |= {boxes.name: boxes.rows_of for boxes in contract.inside.taps if boxes.kind == "boxes"}
    name = counted_by[tap.name if tap.kind == "boxes" else tap.rows_of or ""] or ""
    return int((stages[name] if name in stages else outputs[name])[0])


def align(
    reference: dict[str, Sample],
    candidate: Stages,
    seen: Seen,
    limit: StageTolerance,
    contract: Contract,
    tied: float = 0.0,
) -> dict[str, Aligned]:
    """Every stage of one image, of both sides at the same places.

    candidate: of `first_image`; seen: the results of both. limit: how far two boxes may be apart and
    be the same; tied: the share of the reference's boxes inside that only rounding chooses.
    """
    taps = {tap.name: tap for tap in contract.inside.taps}
    same_inside = {
        name: same_boxes(reference[name].values, candidate[name], limit.rows_px)
        for name, tap in taps.items()
        if tap.kind == "boxes" and name in reference
    }
    detections = seen.same_rows(limit.rows_px)
    one_row = np.zeros(1, np.intp), np.zeros(1, np.intp)
    aligned = {}
    for name in order_of(contract):
        if name not in reference:  # an output, or counts
            continue
        tap, sample, found = taps[name], reference[name], candidate[name]
        is_map, is_boxes = tap.kind == "map", tap.kind == "boxes"
        skip = 0 if is_map else 1  # the number of rows is no part of a shape
        if sample.shape[skip:] != found.shape[skip:]:
            aligned[name] = Aligned(sample.values, found, np.zeros(0, np.intp), 0.0)
            continue
        rows = one_row if is_map else same_inside.get(tap.rows_of or "", detections)
        if is_boxes:
            rows = same_boxes(sample.values, found, limit.proposals_px)
        most = 1 if is_map else max(sample.shape[0], found.shape[0])
        pair = sample.pair(tap.kind, found, *rows)
        compared = len(rows[0]) / most if most else 1.0
        aligned[name] = Aligned(*pair, compared=compared, boxes=is_boxes, tied=tied if is_boxes else 0.0)
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
        if both.boxes:  # judged by how many there are: the boxes that are the same differ by nothing
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
