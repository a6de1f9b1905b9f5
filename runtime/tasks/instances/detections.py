"""A model's outputs of the task "instances", as named arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Detections:
    """The arrays of a batch: `Detections(**outputs)`. Rows past num_detections are zero.

    num_detections (N,) int32; boxes (N, D, 4) float32, x1 y1 x2 y2 in canvas pixels; scores (N, D) float32,
    descending; labels (N, D) int32, index into the contract's classes. And of a model that has them: masks
    (N, D, M, M) float32, or (N, D, h, w) over the whole canvas; keypoints (N, D, K, 3) float32, x y in canvas
    pixels and the logit of the heat map; coefficients (N, D, P) and prototypes (N, P, h, w) float32.
    """

    num_detections: NDArray[np.int32]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int32]
    masks: NDArray[np.float32] | None = None
    keypoints: NDArray[np.float32] | None = None
    coefficients: NDArray[np.float32] | None = None
    prototypes: NDArray[np.float32] | None = None
