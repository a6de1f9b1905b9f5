"""Finds why a stage is out of tolerance: by marks in its tensors, else by what is known to go wrong there.

Faults leave their marks: BGR for RGB is the reference with its channels reversed, a mean or std is a straight
line a channel, an anchor off by half a stride is a shift of every proposal. Each mark is looked for in the
numbers; only where none is found are the usual suspects of the stage listed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.contract import CANVAS
from maskrt.runtime.parity.inside.evidence import Evidence
from maskrt.runtime.parity.inside.knowledge import knowledge_of
from maskrt.runtime.parity.inside.stages import StageError

LARGEST_HALF = 65504.0  # of IEEE 754 binary16
# A mark counts as found where it explains all but a thousandth of the error.
EXPLAINED = 1e-3


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
    if error.stage in {one.output for one in evidence.seen.errors}:
        return evidence.seen.causes(error.stage)
    if error.stage == CANVAS:
        return canvas_culprits(evidence) or ["possible: another resize, or pixels not scaled to 0–1"]
    known = knowledge_of(evidence.contracts[0])
    return known.causes(error.stage, evidence) or [f"possible: {known.possible(error.stage)}"]


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
    mean, std = (
        np.array(x, np.float32)[:, None, None] for x in (contract.normalise.mean, contract.normalise.std)
    )
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
    """True if the candidate is the guess, and is nowhere near so much the reference."""
    left, before = (float(np.square(candidate - x, dtype=np.float64).sum()) for x in (guess, reference))
    return before > 0 and left <= EXPLAINED**2 * before
