"""What a user gets of an image: from its file on, each model laying it on a canvas as its own contract says.

Inside, both models are compared on one canvas. Where the contracts lay an image differently that canvas is
the candidate's, and no comparison on it can tell that its users are given something else.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.backends.session import Outputs, Session
from maskrt.runtime.contract import Canvas, Contract
from maskrt.runtime.preprocess import preprocess
from maskrt.runtime.tasks.instances.compare.match import match
from maskrt.runtime.tasks.instances.compare.paste import results_of
from maskrt.runtime.tasks.instances.result import Result


def own_canvas(reference: Contract, candidate: Contract) -> Canvas:
    """How the reference lays an image, of the size and type that were chosen for the candidate."""
    chosen = {name: getattr(candidate.canvas, name) for name in ("height_px", "width_px", "dtype")}
    return dataclasses.replace(reference.canvas, **chosen)


def laid_otherwise(reference: Session, candidate: Session, name: str, image: NDArray[np.uint8]) -> list[str]:
    """A sentence on what users of the candidate get otherwise, none where both lay an image alike.

    In pixels of the image itself, (H, W, 3).
    """
    canvas = own_canvas(reference.contract, candidate.contract)
    if canvas == candidate.contract.canvas:
        return []
    ours, theirs = _result(reference, image, canvas), _result(candidate, image, candidate.contract.canvas)
    matching = match(ours, theirs)
    moved_px = max((pair.box_difference_px for pair in matching.pairs), default=0.0)
    return [
        f"{name}: each contract laying the image by itself, boxes differ by up to {moved_px:.3g} px, "
        f"{len(matching.missed)} of {len(ours)} instances missed, {len(matching.extra)} extra"
    ]


def _result(session: Session, image: NDArray[np.uint8], canvas: Canvas) -> Result:
    batch = preprocess([image], canvas)
    copies = session.contract.batch or 1
    outputs = session.infer(
        np.repeat(batch.images, copies, axis=0), np.repeat(batch.image_sizes, copies, axis=0)
    )
    first = Outputs(**{key: values[:1] for key, values in outputs.arrays().items()})
    return results_of(session, first, batch)[0]
