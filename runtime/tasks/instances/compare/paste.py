"""The masks of two models, pasted so that rounding is not taken for a difference of the masks.

Pasting by torchvision's rule truncates the corners of a box to whole pixels. A corner at 300.0000 on one side
and 299.9999 on the other moves the whole mask by a pixel, and the IoU of a thin object falls to a half. And a
pixel half-way between a cell that is surely object and one that is surely not has a probability of 0.5 but
for the last bit: torchvision's resampling and OpenCV's then decide by their rounding.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.backends.session import Outputs
from maskrt.runtime.contract import Contract
from maskrt.runtime.preprocess import Batch
from maskrt.runtime.tasks.instances.compare.boundary import on_one_plane
from maskrt.runtime.tasks.instances.decode import postprocess
from maskrt.runtime.tasks.instances.detections import Detections
from maskrt.runtime.tasks.instances.instances import MaskCrop
from maskrt.runtime.tasks.instances.options import TORCHVISION
from maskrt.runtime.tasks.instances.paste import paste_mask
from maskrt.runtime.tasks.instances.result import Result

Paste = Callable[[NDArray[np.float32], NDArray[np.float32], float], MaskCrop]


def paste_alike(
    reference: Outputs, candidate: Outputs, batch: Batch, contract: Contract, *, within_px: float
) -> tuple[list[Result], list[Result]]:
    """The results of both, an item per image; the candidate's by `pasted_like`."""
    theirs = pasted_like(reference, candidate, batch, contract, within_px=within_px)
    return postprocess(reference, batch, contract), theirs


def pasted_like(
    reference: Outputs, candidate: Outputs, batch: Batch, contract: Contract, *, within_px: float
) -> list[Result]:
    """The candidate's results, an item per image. Boxes are its own; a mask is pasted into the reference's
    box where no coordinate of the two differs by more than `within_px`."""
    own = postprocess(candidate, batch, contract)
    first, second = Detections(**reference), Detections(**candidate)
    boxes = second.boxes.copy()
    for row, (expected, found) in enumerate(zip(first.num_detections, second.num_detections, strict=True)):
        theirs, ours = _alike(
            *(first.boxes[row, :expected], first.labels[row, :expected]),
            *(second.boxes[row, :found], second.labels[row, :found]),
            within_px,
        )
        boxes[row, ours] = first.boxes[row, theirs]
    if np.array_equal(boxes, second.boxes):
        return own
    pasted = postprocess(Outputs(candidate | {"boxes": boxes}), batch, contract)
    return [dataclasses.replace(result, crops=other.crops) for result, other in zip(own, pasted, strict=True)]


def resolve_ties(
    reference: Result,
    candidate: Result,
    masks: tuple[NDArray[np.float32], NDArray[np.float32]],
    threshold: float,
    *,
    within_px: float,
    margin: float,
    rule: str = TORCHVISION,
    paste: Paste | None = None,
) -> Result:
    """The candidate with its undecided pixels as the reference has them.

    masks: of the reference and of the candidate, (D, M, M), or as `paste` takes them: a mask, its box in px
    of the results, and the threshold. Undecided are pixels whose probability is no further than `margin`
    from the threshold on both sides, in boxes that both have within `within_px`: a candidate that is unsure
    where the reference is sure has another mask.
    """
    if not margin or candidate.crops is None or reference.crops is None:
        return candidate
    crops, size = list(candidate.crops), (candidate.height_px, candidate.width_px)

    def in_box(mask: NDArray[np.float32], box: NDArray[np.float32], least: float) -> MaskCrop:
        return paste_mask(mask, box, *size, least, rule)

    alike = _alike(reference.boxes, reference.labels, candidate.boxes, candidate.labels, within_px)
    for expected, found in zip(*alike, strict=True):
        ours, box = reference.crops[expected], reference.boxes[expected]
        if np.array_equal(*on_one_plane(ours, crops[found])):
            continue
        theirs = crops[found]
        undecided = [
            _undecided(mask, box, threshold, margin, paste or in_box)
            for mask in (masks[0][expected], masks[1][found])
        ]
        if theirs.bits.shape != undecided[1].shape:  # not pasted by this runtime's rule
            continue
        resolved = np.where(undecided[0] & undecided[1], _inside(ours, theirs), theirs.bits)
        crops[found] = dataclasses.replace(theirs, bits=resolved)
    return dataclasses.replace(candidate, crops=tuple(crops))


def _undecided(
    mask: NDArray[np.float32], box: NDArray[np.float32], threshold: float, margin: float, paste: Paste
) -> NDArray[np.bool_]:
    """The pixels of a pasted mask that are as near to the threshold."""
    at_most, at_least = (paste(mask, box, threshold + side) for side in (-margin, margin))
    return at_most.bits != at_least.bits


def _alike(
    boxes: NDArray, labels: NDArray, other_boxes: NDArray, other_labels: NDArray, within_px: float
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of boxes (A, 4) and of others (B, 4) of equal class that are no further apart."""
    if not len(boxes) or not len(other_boxes):
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    apart_px = np.abs(other_boxes[:, None] - boxes[None]).max(axis=2)
    apart_px = np.where(other_labels[:, None] == labels[None], apart_px, np.inf)
    rows = np.flatnonzero(apart_px.min(axis=1) <= within_px)
    return apart_px.argmin(axis=1)[rows], rows


def _inside(crop: MaskCrop, frame: MaskCrop) -> NDArray[np.bool_]:
    """The pixels of a crop in another's frame."""
    plane = on_one_plane(crop, frame)[0]
    top = frame.top - min(crop.top, frame.top) + 1
    left = frame.left - min(crop.left, frame.left) + 1
    height, width = frame.bits.shape
    return plane[top : top + height, left : left + width]
