"""The masks of two models, pasted so that rounding in a box is not taken for a difference of the masks.

Pasting truncates the corners of a box to whole pixels, as torchvision does. A corner at 300.0000 on one side
and 299.9999 on the other moves the whole mask by a pixel, and the IoU of a thin object falls to a half.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from runtime.contract import Contract
from runtime.postprocess import postprocess
from runtime.preprocess import Batch
from runtime.protocol import Outputs, Session
from runtime.results import Result


def results_of(session: Session, outputs: Outputs, batch: Batch) -> list[Result]:
    """The session's outputs as results in the images' pixels, with masks as its own users paste them."""
    return session.repaste(postprocess(outputs, batch, session.contract), outputs)


def paste_alike(
    reference: Outputs, candidate: Outputs, batch: Batch, contract: Contract, *, within_px: float
) -> tuple[list[Result], list[Result]]:
    """The results of both, an item per image. Boxes are each model's own; a mask of the candidate is pasted
    into the reference's box where no coordinate of the two differs by more than `within_px`."""
    boxes = candidate.boxes.copy()
    for row, (expected, found) in enumerate(
        zip(reference.num_detections, candidate.num_detections, strict=True)
    ):
        if not expected:
            continue
        theirs, ours = reference.boxes[row, :expected], boxes[row, :found]
        apart_px = np.abs(ours[:, None] - theirs[None]).max(axis=2)
        same_class = candidate.labels[row, :found, None] == reference.labels[row, None, :expected]
        apart_px = np.where(same_class, apart_px, np.inf)
        alike = apart_px.min(axis=1) <= within_px
        ours[alike] = theirs[apart_px.argmin(axis=1)[alike]]
    own = postprocess(candidate, batch, contract)
    pasted = postprocess(dataclasses.replace(candidate, boxes=boxes), batch, contract)
    return postprocess(reference, batch, contract), [
        dataclasses.replace(result, crops=other.crops) for result, other in zip(own, pasted, strict=True)
    ]
