"""RoI feature extraction from a pyramid, for training and as the definition of the ONNX operator."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import MultiScaleRoIAlign, roi_align
from torchvision.ops.poolers import LevelMapper

# Where in the pyramid a RoI belongs: Feature Pyramid Networks, arXiv:1612.03144, section 4.2.
CANONICAL_SCALE_PX, CANONICAL_LEVEL = 224.0, 4
LEVEL_EPSILON = 1e-6  # torchvision's LevelMapper adds it, so that an exact power of two is not rounded down


class RoiPooler(MultiScaleRoIAlign):
    """torchvision's MultiScaleRoIAlign and, on request, RoIAlign with the half pixel (`aligned`)."""

    def __init__(
        self,
        feature_names: Sequence[str],
        strides: Sequence[int],
        output_size: int,
        *,
        sampling_ratio: int,
        aligned: bool,
    ) -> None:
        """feature_names: of the maps to pool from, finest first; strides: theirs, powers of two."""
        super().__init__(list(feature_names), output_size, sampling_ratio)
        self.strides, self.aligned = tuple(strides), aligned
        # Left alone, torchvision guesses the strides from the first image it sees, its valid area against the
        # padded maps, and keeps the guess: wrong where an image fills less than about 70% of its canvas.
        self.scales = [1 / stride for stride in strides]
        lowest, highest = strides[0].bit_length() - 1, strides[-1].bit_length() - 1
        self.map_levels = LevelMapper(lowest, highest, int(CANONICAL_SCALE_PX), CANONICAL_LEVEL)

    def forward(
        self, x: dict[str, Tensor], boxes: list[Tensor], image_shapes: list[tuple[int, int]]
    ) -> Tensor:
        """x: maps (N, C, h, w) by name; boxes: (R_i, 4) of each image, canvas pixels → (ΣR_i, C, h, w).

        What torchvision has is left to it: a reference for the exported graph must not be of our making.
        """
        if not self.aligned:
            return super().forward(x, boxes, image_shapes)
        return pool_pyramid(
            [x[name] for name in self.featmap_names],
            torch.cat(boxes),
            torch.cat([torch.full((len(rows),), i, device=rows.device) for i, rows in enumerate(boxes)]),
            self.output_size,
            strides=self.strides,
            sampling_ratio=self.sampling_ratio,
            aligned=self.aligned,
        )


def pool_pyramid(
    features: Sequence[Tensor],
    rois: Tensor,
    image: Tensor,
    output_size: Sequence[int],
    *,
    strides: Sequence[int],
    sampling_ratio: int,
    aligned: bool,
    canonical_scale: float = CANONICAL_SCALE_PX,
    canonical_level: int = CANONICAL_LEVEL,
) -> Tensor:
    """Each RoI pooled from the level that its size calls for; differentiable in the features.

    features: (N, C, H_l, W_l) a level, whose strides are `strides`; rois: (R, 4) float, x1 y1 x2 y2 in canvas
    pixels; image: (R,) integer. Returns (R, C, *output_size) of the features' type; coordinates and sums are
    of the RoIs' type, whatever that is.

    Of several levels none is that of a RoI inverted in one axis, which has no size: it is pooled to zeros,
    as torchvision does. A single level serves every RoI.
    """
    numbered = torch.cat([image[:, None].to(rois.dtype), rois], dim=1)
    if len(features) == 1:
        return _pool_level(features[0], numbered, output_size, strides[0], sampling_ratio, aligned)
    levels = assign_levels(
        rois,
        canonical_scale=canonical_scale,
        canonical_level=canonical_level,
        lowest=strides[0].bit_length() - 1,
        highest=strides[-1].bit_length() - 1,
    )
    pooled = features[0].new_zeros((rois.shape[0], features[0].shape[1], *output_size))
    for feature, stride in zip(features, strides, strict=True):
        here = torch.where(levels == stride.bit_length() - 1)[0]
        pooled = pooled.index_put(
            (here,), _pool_level(feature, numbered[here], output_size, stride, sampling_ratio, aligned)
        )
    return pooled


def _pool_level(
    feature: Tensor, rois: Tensor, output_size: Sequence[int], stride: int, sampling_ratio: int, aligned: bool
) -> Tensor:
    """rois: (R, 5), the image before the box."""
    size = (output_size[0], output_size[1])
    return roi_align(feature.to(rois.dtype), rois, size, 1.0 / stride, sampling_ratio, aligned).to(
        feature.dtype
    )


def assign_levels(
    boxes: Tensor, *, canonical_scale: float, canonical_level: int, lowest: int, highest: int
) -> Tensor:
    """FPN level of each box (Feature Pyramid Networks, arXiv:1612.03144, eq. 1).

    boxes: (R, 4) float32, x1 y1 x2 y2 in canvas pixels. Returns (R,) float32, whole numbers in
    [lowest, highest], or NaN where a box inverted in one axis has no size.
    """
    side = torch.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
    epsilon = torch.tensor(LEVEL_EPSILON, dtype=boxes.dtype)
    level = torch.floor(canonical_level + torch.log2(side / canonical_scale) + epsilon)
    return torch.clamp(level, min=lowest, max=highest)
