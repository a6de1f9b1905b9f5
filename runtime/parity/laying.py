"""What a user gets of an image: from its file on, each model laying it on a canvas as its own contract says.

Inside, both models are compared on one canvas. Where the contracts lay an image differently that canvas is
the candidate's, and no comparison on it can tell that its users are given something else.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.backends.session import Session
from maskrt.runtime.contract import Canvas, Contract
from maskrt.runtime.parity.judge import answer
from maskrt.runtime.preprocess import preprocess
from maskrt.runtime.tasks.comparison import Comparison


def own_canvas(reference: Contract, candidate: Contract) -> Canvas:
    """How the reference lays an image, of the size and type that were chosen for the candidate."""
    chosen = {name: getattr(candidate.canvas, name) for name in ("height_px", "width_px", "dtype")}
    return dataclasses.replace(reference.canvas, **chosen)


def laid_otherwise(
    reference: Session, candidate: Session, name: str, image: NDArray[np.uint8], results: Comparison
) -> list[str]:
    """A sentence on what users of the candidate get otherwise, none where both lay an image alike.

    In pixels of the image itself, (H, W, 3).
    """
    canvas = own_canvas(reference.contract, candidate.contract)
    if canvas == candidate.contract.canvas:
        return []
    both = ((reference, canvas), (candidate, candidate.contract.canvas))
    ours, theirs = (answer(session, preprocess([image], laid)).result for session, laid in both)
    return [f"{name}: each contract laying the image by itself, {results.apart(ours, theirs)}"]
