"""Interface that a comparison needs of an original implementation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from maskrt.runtime.backends.open import Outputs
from maskrt.runtime.contract import Category
from maskrt.runtime.tasks.instances.instances import crop_mask
from maskrt.runtime.tasks.instances.result import Result


class Original(ABC):
    """A model built by another project's own code, from its own configuration."""

    model: Any  # a torch.nn.Module

    @abstractmethod
    def file(self, weights: dict[str, Tensor]) -> tuple[str, dict[str, Any]]:
        """The suffix and the content of a checkpoint of this project with the given weights."""

    @abstractmethod
    def infer(self, image: NDArray[np.uint8], detections: int) -> Outputs:
        """A batch of one (H, W, 3) RGB picture, at its own size; boxes in its pixels, masks in their boxes.

        detections: rows of the outputs.
        """

    @abstractmethod
    def photograph(
        self, path: Path, short_px: int, long_px: int, square: bool, classes: tuple[Category, ...]
    ) -> Result:
        """What its own inference API gives for a file, resized by it to these sides.

        square: every picture is padded to a square of long_px, by the project's own setting for that.
        """


def outputs_of(boxes: Tensor, scores: Tensor, labels: Tensor, masks: Tensor | None, rows: int) -> Outputs:
    """boxes (K, 4), scores (K,), labels (K,) and masks (K, M, M), if there are any, in a batch of one."""

    def padded(values: Tensor) -> NDArray:
        rest = [(0, 0)] * (values.dim() - 1)
        return np.pad(values.numpy(), [(0, rows - len(values)), *rest])[None]

    found = Outputs(
        num_detections=np.array([len(scores)], np.int32),
        boxes=padded(boxes),
        scores=padded(scores),
        labels=padded(labels).astype(np.int32),
    )
    return found if masks is None else Outputs(found | {"masks": padded(masks)})


def result_of(
    boxes: NDArray, scores: NDArray, labels: NDArray, masks: NDArray, classes: tuple[Category, ...]
) -> Result:
    """boxes (K, 4), scores (K,), labels (K,) and masks (K, H, W) bool of an image, as maskrt has results."""
    return Result(
        height_px=masks.shape[1],
        width_px=masks.shape[2],
        boxes=boxes.astype(np.float32),
        scores=scores.astype(np.float32),
        labels=labels.astype(np.int32),
        classes=classes,
        crops=tuple(crop_mask(mask) for mask in masks),
    )
