"""Objects found in one image, as arrays: what drawing, metrics and records work on."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from runtime.contract import Category


@dataclass(frozen=True)
class MaskCrop:
    """A binary mask kept as the part inside its box: `bits` (h, w) at row `top`, column `left`."""

    top: int
    left: int
    bits: NDArray[np.bool_]


def crop_mask(mask: NDArray[np.bool_]) -> MaskCrop:
    """The part of a full (H, W) mask that holds all of its object."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return MaskCrop(0, 0, np.zeros((0, 0), bool))
    top, left = int(rows[0]), int(columns[0])
    return MaskCrop(top, left, mask[top : rows[-1] + 1, left : columns[-1] + 1])


@dataclass(frozen=True)
class Instances:
    """Detections of one image, by descending score, in pixels of the original image.

    boxes (D, 4) float32, x1 y1 x2 y2; scores (D,) float32; labels (D,) int32, index into `classes`;
    crops: a mask each, pasted into the full image by `masks` when asked for; None of a model without masks.
    keypoints: (D, K, 3) float32, x y in pixels and the logit of the heat map there; None of a model without.
    image: (H, W, 3) uint8, RGB, the picture itself, not copied.
    """

    height_px: int
    width_px: int
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int32]
    classes: tuple[Category, ...]
    crops: tuple[MaskCrop, ...] | None
    keypoints: NDArray[np.float32] | None = None
    skeleton: tuple[tuple[int, int], ...] = ()  # pairs of keypoints that a line joins
    image: NDArray[np.uint8] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        count = len(self.scores)
        masks = count if self.crops is None else len(self.crops)
        if self.boxes.shape != (count, 4) or self.labels.shape != (count,) or masks != count:
            raise ValueError(
                f"boxes {self.boxes.shape}, labels {self.labels.shape}, {masks} masks for {count} scores"
            )

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def names(self) -> list[str]:
        """Class name of each detection."""
        return [self.classes[label].name for label in self.labels]

    @property
    def masks(self) -> NDArray[np.bool_]:
        """(D, H, W) bool, made anew at each call: H·W bytes a detection. Raises ValueError where the model
        gives none."""
        if self.crops is None:
            raise ValueError("this result has no masks: its model finds none (contract.task)")
        full = np.zeros((len(self), self.height_px, self.width_px), dtype=bool)
        for mask, crop in zip(full, self.crops, strict=True):
            h, w = crop.bits.shape
            mask[crop.top : crop.top + h, crop.left : crop.left + w] = crop.bits
        return full
