"""From a model's class maps to results in the original image's pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.backends.session import Outputs
from maskrt.runtime.contract import Contract
from maskrt.runtime.errors import ModelError
from maskrt.runtime.preprocess import Batch, corner
from maskrt.runtime.tasks.keep import EVERYTHING, Keep, labels_of
from maskrt.runtime.tasks.semantic.options import SEMANTIC
from maskrt.runtime.tasks.semantic.result import SemanticResult


def decode(
    outputs: Outputs, batch: Batch, contract: Contract, *, keep: Keep = EVERYTHING
) -> list[SemanticResult]:
    """One result per image of the batch. Of `keep` the classes count; a map has no scores.

    Raises ModelError for a label that no class has.
    """
    shown = None if keep.classes is None else tuple(labels_of(keep.classes, contract.classes))
    return [
        SemanticResult(
            height_px=size[0],
            width_px=size[1],
            labels=_checked(to_image(valid_area(outputs[SEMANTIC], batch, contract, row), size), contract),
            classes=contract.classes,
            shown=shown,
        )
        for row, size in enumerate(batch.original_sizes)
    ]


def valid_area(maps: NDArray, batch: Batch, contract: Contract, row: int = 0) -> NDArray:
    """The part of a map (N, H, W) over the canvas that an image covers: (h, w), a view."""
    height, width = (int(side) for side in batch.image_sizes[row])
    top, left = corner((height, width), maps.shape[1:], contract.canvas.placement)
    return maps[row, top : top + height, left : left + width]


def to_image(labels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """A class map (h, w) at another (height, width): each pixel takes the label under its centre, since
    between two labels there is none."""
    if labels.shape == size:
        return labels.copy()
    rows, columns = (
        (2 * np.arange(new) + 1) * old // (2 * new) for new, old in zip(size, labels.shape, strict=True)
    )
    return labels[rows[:, None], columns]


def _checked(labels: NDArray[np.uint8], contract: Contract) -> NDArray[np.uint8]:
    highest = int(labels.max(initial=0))
    if highest >= len(contract.classes):
        raise ModelError(
            f"output '{SEMANTIC}' holds {highest}, but the model names only {len(contract.classes)} classes. "
            "Export it again with all names: maskrt export CHECKPOINT --classes NAME,NAME,…"
        )
    return labels
