"""PyramidRoiAlign: RoI features over all levels of a pyramid. Its ONNX body is in a file of its own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from maskrt.models.operators.pyramid_roi_align_body import sizes_for_body
from maskrt.models.operators.schema import PLUGIN_ATTRIBUTES, AttrType, operator
from maskrt.models.parts.roi_features import Pooling, pool_pyramid


@torch.library.custom_op("maskrt::pyramid_roi_align", mutates_args=())
def pyramid_roi_align(
    rois: Tensor,
    batch_indices: Tensor,
    features: list[Tensor],
    output_height: int,
    output_width: int,
    sampling_ratio: int,
    aligned: bool,
    canonical_scale: float,
    canonical_level: int,
    strides: list[int],
    method: str = "align",
    mode: str = "avg",
) -> Tensor:
    """Features of each RoI from the FPN level that its size calls for: `pool_pyramid` as an operator.

    rois: (R, 4) float32, x1 y1 x2 y2 in canvas pixels. batch_indices: (R,) int32. features: a tensor a
    level, (N, C, H_l, W_l), whose strides (powers of two) are `strides`. sampling_ratio, aligned, method and
    mode: `models.parts.roi_features.Pooling`. Returns (R, C, output_height, output_width) of the features'
    type; coordinates and sums are float32 whatever that is.
    """
    return pool_pyramid(
        features,
        rois,
        batch_indices,
        (output_height, output_width),
        strides,
        Pooling(method, mode, sampling_ratio, aligned),
        canonical_scale=canonical_scale,
        canonical_level=canonical_level,
    )


@pyramid_roi_align.register_fake
def _(
    rois: Tensor,
    batch_indices: Tensor,
    features: list[Tensor],
    output_height: int,
    output_width: int,
    *args: Any,
) -> Tensor:
    return features[0].new_empty((rois.shape[0], features[0].shape[1], output_height, output_width))


def pyramid_roi_align_node(
    rois: Any,
    batch_indices: Any,
    features: Any,
    output_height: int,
    output_width: int,
    sampling_ratio: int,
    aligned: bool,
    canonical_scale: float,
    canonical_level: int,
    strides: list[int],
    method: str = "align",
    mode: str = "avg",
) -> Any:
    """Translate the torch operator into its ONNX node, for the exporter."""
    sizes = sizes_for_body(Pooling(method, mode, sampling_ratio, aligned), output_height, output_width)
    onnx_node = operator(
        "PyramidRoiAlign",
        {"rois": "tensor(float)", "batch_indices": "tensor(int32)"}
        | {f"feature_{level}": "T" for level in range(len(strides))},
        {"pooled": "T"},
        output_height=AttrType.INT,
        output_width=AttrType.INT,
        sampling_ratio=AttrType.INT,
        aligned=AttrType.INT,
        method=AttrType.STRING,
        mode=AttrType.STRING,
        canonical_scale=AttrType.FLOAT,
        canonical_level=AttrType.INT,
        strides=AttrType.INTS,
        **{name: AttrType.INTS if isinstance(size, list) else AttrType.INT for name, size in sizes.items()},
    )
    return onnx_node(
        rois,
        batch_indices,
        *features,
        output_height=output_height,
        output_width=output_width,
        sampling_ratio=sampling_ratio,
        aligned=int(aligned),
        method=method,
        mode=mode,
        canonical_scale=canonical_scale,
        canonical_level=canonical_level,
        strides=list(strides),
        **sizes,
        **PLUGIN_ATTRIBUTES,
    )
