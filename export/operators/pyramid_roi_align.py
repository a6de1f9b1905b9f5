"""PyramidRoiAlign: RoIAlign over all levels of a feature pyramid, in its three faces."""

from __future__ import annotations

import math
from typing import Any

import onnx
import torch
from onnx import FunctionProto
from torch import Tensor

from export.operators.schema import DOMAIN, OPSET, PLUGIN_ATTRIBUTES, AttrType, operator
from training.models.roi_features import LEVEL_EPSILON, pool_pyramid


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
) -> Tensor:
    """RoIAlign (arXiv:1703.06870, section 3) of each RoI from the FPN level that its size calls for.

    rois: (R, 4) float32, x1 y1 x2 y2 in canvas pixels. batch_indices: (R,) int32. features: a tensor a
    level, (N, C, H_l, W_l), whose strides (powers of two) are `strides`. aligned: subtract half a pixel
    (Detectron2) or not (torchvision). Returns (R, C, output_height, output_width) of the features' type;
    coordinates and sums are float32 whatever that is.
    """
    return pool_pyramid(
        features,
        rois,
        batch_indices,
        (output_height, output_width),
        strides=strides,
        sampling_ratio=sampling_ratio,
        aligned=aligned,
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


def pyramid_roi_align_body(levels: int, aligned: bool, half: bool) -> FunctionProto:
    """Gather each level's RoIs, pool them once, concatenate, un-permute.

    Scaling the RoIs by 1/stride (exact: a power of two) in place of RoiAlign's spatial_scale attribute
    lets `strides` stay an attribute of the node, where the plugin reads it. half: the features are float16;
    ONNX's RoiAlign takes RoIs of the features' type alone, so each level is raised to float32.
    """
    features = [f"feature_{i}" for i in range(levels)]
    pooled_from = [f"{feature}_float" if half else feature for feature in features]
    mode = "half_pixel" if aligned else "output_half_pixel"
    pool = "\n".join(
        f"""
        index_{i} = Constant <value_int = {i}> ()
        stride_{i} = Gather <axis = 0> (float_strides, index_{i})
        level_{i} = Gather <axis = 0> (stride_levels, index_{i})
        here_{i} = Equal (level, level_{i})
        where_{i} = NonZero (here_{i})
        rows_{i} = Squeeze (where_{i}, axis_0)
        canvas_rois_{i} = Gather <axis = 0> (rois, rows_{i})
        level_rois_{i} = Div (canvas_rois_{i}, stride_{i})
        images_{i} = Gather <axis = 0> (image, rows_{i})
        {f"{pooled_from[i]} = Cast <to = 1> ({features[i]})" if half else ""}
        pooled_{i} = RoiAlign <
            output_height: int = @output_height, output_width: int = @output_width,
            sampling_ratio: int = @sampling_ratio, mode = "avg", spatial_scale = 1.0,
            coordinate_transformation_mode = "{mode}"
        > ({pooled_from[i]}, level_rois_{i}, images_{i})
        """
        for i in range(levels)
    )
    return onnx.parser.parse_function(
        f"""
        <domain: "{DOMAIN}", opset_import: ["" : {OPSET}]>
        PyramidRoiAlign <
            output_height, output_width, sampling_ratio, aligned, mode, canonical_scale, canonical_level,
            strides, plugin_namespace, plugin_version
        > (rois, batch_indices, {", ".join(features)}) => (pooled)
        {{
            axis_0 = Constant <value_ints = [0]> ()
            axis_1 = Constant <value_ints = [1]> ()
            ln_2 = Constant <value_float = {math.log(2.0)}> ()
            epsilon = Constant <value_float = {LEVEL_EPSILON}> ()
            int_strides = Constant <value_ints: ints = @strides> ()
            float_strides = Cast <to = 1> (int_strides)
            stride_logs = Log (float_strides)
            stride_log2 = Div (stride_logs, ln_2)
            stride_levels = Round (stride_log2)
            lowest = ReduceMin <keepdims = 0> (stride_levels)
            highest = ReduceMax <keepdims = 0> (stride_levels)
            corner_1, corner_2 = Split <axis = 1, num_outputs = 2> (rois)
            sides = Sub (corner_2, corner_1)
            area = ReduceProd <keepdims = 0> (sides, axis_1)
            side = Sqrt (area)
            scale_0 = Constant <value_float: float = @canonical_scale> ()
            base_level_int = Constant <value_int: int = @canonical_level> ()
            base_level = Cast <to = 1> (base_level_int)
            ratio = Div (side, scale_0)
            log_ratio = Log (ratio)
            log2_ratio = Div (log_ratio, ln_2)
            raised = Add (base_level, log2_ratio)
            nudged = Add (raised, epsilon)
            floored = Floor (nudged)
            level = Clip (floored, lowest, highest)
            image = Cast <to = 7> (batch_indices)
            {pool}
            order = Concat <axis = 0> ({", ".join(f"rows_{i}" for i in range(levels))})
            {"by_level_float" if half else "by_level"} =
                Concat <axis = 0> ({", ".join(f"pooled_{i}" for i in range(levels))})
            {"by_level = Cast <to = 10> (by_level_float)" if half else ""}
            count = Shape (level)
            count_0 = Squeeze (count)
            zero = Constant <value_int = 0> ()
            one = Constant <value_int = 1> ()
            ranks = Range (zero, count_0, one)
            empty = Sub (ranks, ranks)
            inverse = ScatterElements <axis = 0> (empty, order, ranks)
            pooled = Gather <axis = 0> (by_level, inverse)
        }}
        """
    )


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
) -> Any:
    """The translation of the torch operator into its ONNX node, for the exporter."""
    onnx_node = operator(
        "PyramidRoiAlign",
        {"rois": "tensor(float)", "batch_indices": "tensor(int32)"}
        | {f"feature_{level}": "T" for level in range(len(strides))},
        {"pooled": "T"},
        output_height=AttrType.INT,
        output_width=AttrType.INT,
        sampling_ratio=AttrType.INT,
        aligned=AttrType.INT,
        mode=AttrType.STRING,
        canonical_scale=AttrType.FLOAT,
        canonical_level=AttrType.INT,
        strides=AttrType.INTS,
    )
    return onnx_node(
        rois,
        batch_indices,
        *features,
        output_height=output_height,
        output_width=output_width,
        sampling_ratio=sampling_ratio,
        aligned=int(aligned),
        mode="avg",
        canonical_scale=canonical_scale,
        canonical_level=canonical_level,
        strides=list(strides),
        **PLUGIN_ATTRIBUTES,
    )
