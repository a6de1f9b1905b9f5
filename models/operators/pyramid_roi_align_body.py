"""PyramidRoiAlign in standard ONNX operators, as ONNX Runtime and OpenVINO run it."""

from __future__ import annotations

import math

import onnx
from onnx import FunctionProto

from maskrt.models.operators.schema import DOMAIN, OPSET, float_constant
from maskrt.models.parts.roi_features import LEVEL_EPSILON, Pooling, crop_steps


def pyramid_roi_align_body(levels: int, pooling: Pooling, half: bool) -> FunctionProto:
    """Gather each level's RoIs, pool them once, concatenate, un-permute.

    Scaling the RoIs by 1/stride (exact: a power of two) in place of RoiAlign's spatial_scale attribute
    lets `strides` stay an attribute of the node, where the plugin reads it. half: the features are float16;
    ONNX's RoiAlign takes RoIs of the features' type alone, so each level is raised to float32.

    A RoI inverted in one axis has no size and so no level: it takes the row after the last, of zeros.
    """
    features = [f"feature_{i}" for i in range(levels)]
    pool = "\n".join(_pool_level(i, pooling, half, single=levels == 1) for i in range(levels))
    return onnx.parser.parse_function(
        f"""
        <domain: "{DOMAIN}", opset_import: ["" : {OPSET}]>
        PyramidRoiAlign <
            output_height, output_width, sampling_ratio, aligned, method, mode, canonical_scale,
            canonical_level, strides, {"".join(f"{name}, " for name in sizes_for_body(pooling, 0, 0))}
            plugin_namespace, plugin_version
        > (rois, batch_indices, {", ".join(features)}) => (pooled)
        {{
            axis_0 = Constant <value_ints = [0]> ()
            axis_1 = Constant <value_ints = [1]> ()
            zero = Constant <value_int = 0> ()
            one = Constant <value_int = 1> ()
            int_strides = Constant <value_ints: ints = @strides> ()
            float_strides = Cast <to = 1> (int_strides)
            image = Cast <to = 7> (batch_indices)
            {_LEVEL_OF_EACH_ROI if levels > 1 else ""}
            {pool}
            {_in_the_order_of_the_rois(levels) if levels > 1 else "in_order = Identity (pooled_0)"}
            pooled = {"Cast <to = 10>" if half else "Identity"} (in_order)
        }}
        """
    )


def sizes_for_body(pooling: Pooling, height: int, width: int) -> dict[str, int | list[int]]:
    """The output's size in the terms of the body's own operators: attributes of the node for its body alone,
    so that one body serves nodes of any size."""
    if pooling.method == "pool":
        return {"pooled_shape": [height, width]}
    if pooling.method == "crop":
        return {"crop_steps": crop_steps(height, width)}
    if pooling.mode == "max":
        samples = pooling.sampling_ratio
        return {"grid_height": height * samples, "grid_width": width * samples}
    return {}


# (R,) float32, -1 for a RoI of no size: said, since OpenVINO clips the NaN that its root is to a level.
_LEVEL_OF_EACH_ROI = f"""
    ln_2 = {float_constant(math.log(2.0))}
    epsilon = {float_constant(LEVEL_EPSILON)}
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
    clipped = Clip (floored, lowest, highest)
    nothing = {float_constant(0.0)}
    none = {float_constant(-1.0)}
    sized = GreaterOrEqual (area, nothing)
    level = Where (sized, clipped, none)
"""


def _in_the_order_of_the_rois(levels: int) -> str:
    rows, pooled = ([f"{name}_{i}" for i in range(levels)] for name in ("rows", "pooled"))
    return f"""
        row_shape = Shape <start = 1> (pooled_0)
        no_level_shape = Concat <axis = 0> (axis_1, row_shape)
        no_level = ConstantOfShape (no_level_shape)
        order = Concat <axis = 0> ({", ".join(rows)})
        by_level = Concat <axis = 0> ({", ".join(pooled)}, no_level)
        order_shape = Shape (order)
        count = Squeeze (order_shape)
        ranks = Range (zero, count, one)
        rows_shape = Shape (batch_indices)
        last = Expand (count, rows_shape)
        inverse = ScatterElements <axis = 0> (last, order, ranks)
        in_order = Gather <axis = 0> (by_level, inverse)
    """


def _pool_level(i: int, pooling: Pooling, half: bool, *, single: bool) -> str:
    """Pool the RoIs of a level from feature_i → pooled_i, float32."""
    choose = f"""
        level_{i} = Gather <axis = 0> (stride_levels, index_{i})
        here_{i} = Equal (level, level_{i})
        where_{i} = NonZero (here_{i})
        rows_{i} = Squeeze (where_{i}, axis_0)
        canvas_rois_{i} = Gather <axis = 0> (rois, rows_{i})
        images_{i} = Gather <axis = 0> (image, rows_{i})
    """
    every = f"""
        canvas_rois_{i} = Identity (rois)
        images_{i} = Identity (image)
    """
    return f"""
        index_{i} = Constant <value_int = {i}> ()
        {every if single else choose}
        stride_{i} = Gather <axis = 0> (float_strides, index_{i})
        level_rois_{i} = Div (canvas_rois_{i}, stride_{i})
        {_PLACE[pooling.method](i) if pooling.method in _PLACE else ""}
        map_{i} = {"Cast <to = 1>" if half else "Identity"} (feature_{i})
        {_pool(i, pooling)}
    """


def _with_round_corners(i: int) -> str:
    """Round halves away from zero, where ONNX's own Round takes them to even; in operators that every
    TensorRT takes."""
    return f"""
        minus_{i} = {float_constant(-1.0)}
        nothing_{i} = {float_constant(0.0)}
        half_{i} = {float_constant(0.5)}
        negated_{i} = Mul (level_rois_{i}, minus_{i})
        magnitude_{i} = Max (level_rois_{i}, negated_{i})
        whole_{i} = Floor (magnitude_{i})
        rest_{i} = Sub (magnitude_{i}, whole_{i})
        up_{i} = GreaterOrEqual (rest_{i}, half_{i})
        one_up_{i} = Cast <to = 1> (up_{i})
        rounded_{i} = Add (whole_{i}, one_up_{i})
        opposite_{i} = Mul (rounded_{i}, minus_{i})
        negative_{i} = Less (level_rois_{i}, nothing_{i})
        placed_rois_{i} = Where (negative_{i}, opposite_{i}, rounded_{i})
"""


def _on_the_grid(i: int) -> str:
    """Operations of maskrt.models.parts.roi_features.crop_region, one by one."""
    return f"""
        corners_{i} = Constant <value_ints = [3, 2, 3, 2]> ()
        shape_{i} = Shape (feature_{i})
        int_cells_{i} = Gather <axis = 0> (shape_{i}, corners_{i})
        cells_{i} = Cast <to = 1> (int_cells_{i})
        one_cell_{i} = {float_constant(1.0)}
        steps_on_map_{i} = Sub (cells_{i}, one_cell_{i})
        part_{i} = Div (steps_on_map_{i}, cells_{i})
        on_map_{i} = Mul (level_rois_{i}, part_{i})
        first_{i}, last_{i} = Split <axis = 1, num_outputs = 2> (on_map_{i})
        length_{i} = Sub (last_{i}, first_{i})
        int_steps_{i} = Constant <value_ints: ints = @crop_steps> ()
        steps_{i} = Cast <to = 1> (int_steps_{i})
        margin_{i} = Div (length_{i}, steps_{i})
        middle_{i} = {float_constant(0.5)}
        before_{i} = Sub (first_{i}, margin_{i})
        after_{i} = Add (last_{i}, margin_{i})
        from_{i} = Add (before_{i}, middle_{i})
        to_{i} = Add (after_{i}, middle_{i})
        placed_rois_{i} = Concat <axis = 1> (from_{i}, to_{i})
"""


_PLACE = {"warp": _with_round_corners, "crop": _on_the_grid}


def _pool(i: int, pooling: Pooling) -> str:
    """ONNX's RoiAlign with mode = "max" would be another maximum: that of the four weighted cells around each
    sample, not of their sum. So each sample is made the only one of a bin of its own."""
    if pooling.method == "pool":
        return f"""
            column_{i} = Unsqueeze (images_{i}, axis_1)
            float_column_{i} = Cast <to = 1> (column_{i})
            numbered_{i} = Concat <axis = 1> (float_column_{i}, level_rois_{i})
            pooled_{i} = MaxRoiPool <pooled_shape: ints = @pooled_shape> (map_{i}, numbered_{i})
        """
    rois = f"{'placed' if pooling.method in _PLACE else 'level'}_rois_{i}"
    crop = pooling.method == "crop"
    transformation = "half_pixel" if pooling.aligned or crop else "output_half_pixel"
    attributes = f'mode = "avg", spatial_scale = 1.0, coordinate_transformation_mode = "{transformation}"'
    if pooling.mode == "avg":
        return f"""
            pooled_{i} = RoiAlign <
                output_height: int = @output_height, output_width: int = @output_width,
                {"sampling_ratio = 1" if crop else "sampling_ratio: int = @sampling_ratio"}, {attributes}
            > (map_{i}, {rois}, images_{i})
        """
    window = [pooling.sampling_ratio] * 2
    return f"""
        samples_{i} = RoiAlign <
            output_height: int = @grid_height, output_width: int = @grid_width, sampling_ratio = 1,
            {attributes}
        > (map_{i}, {rois}, images_{i})
        pooled_{i} = MaxPool <kernel_shape = {window}, strides = {window}> (samples_{i})
    """
