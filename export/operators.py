"""The custom operators: for each its PyTorch definition, its ONNX node, and its body in standard ONNX.

One operator, three faces. PyTorch runs the definition, ONNX Runtime inlines the body, TensorRT takes the
plugin of the same name (export/plugins), so what each means is written here once. TensorRT's parser
dispatches on the op type alone and ignores the domain: the names must be unlike any built-in.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import onnx
import torch
from onnx import FunctionProto, ModelProto
from onnx.defs import OpSchema
from onnxscript import opset18
from onnxscript.values import Op, Opset
from torch import Tensor
from torchvision.ops import nms, roi_align

DOMAIN = "maskrt"
VERSION = 1
OPSET = 18  # of the bodies, and of the exported graph
PLUGIN_ATTRIBUTES = {"plugin_namespace": DOMAIN, "plugin_version": str(VERSION)}
LEVEL_EPSILON = 1e-6  # torchvision's LevelMapper adds it, so that an exact power of two is not rounded down


_Type = OpSchema.AttrType


def _schema(name: str, inputs: dict[str, str], outputs: dict[str, str], **attributes: _Type) -> OpSchema:
    """An operator's schema: names and ONNX types of its inputs and outputs, types of its attributes."""
    attributes |= dict.fromkeys(PLUGIN_ATTRIBUTES, _Type.STRING)
    return OpSchema(
        name,
        DOMAIN,
        VERSION,
        inputs=[OpSchema.FormalParameter(n, t) for n, t in inputs.items()],
        outputs=[OpSchema.FormalParameter(n, t) for n, t in outputs.items()],
        type_constraints=[("T", ["tensor(float)", "tensor(float16)"], "features")],
        attributes=[OpSchema.Attribute(n, t) for n, t in attributes.items()],
    )


def _op(schema: OpSchema) -> Op:
    return Op(Opset(DOMAIN, VERSION), schema.name, schema)


# --- PyramidRoiAlign ---------------------------------------------------------------------------------


def assign_levels(
    boxes: Tensor, *, canonical_scale: float, canonical_level: int, lowest: int, highest: int
) -> Tensor:
    """FPN level of each box (Feature Pyramid Networks, arXiv:1612.03144, eq. 1).

    boxes: (R, 4) float32, x1 y1 x2 y2 in canvas pixels. Returns (R,) float32, whole numbers in
    [lowest, highest].
    """
    side = torch.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
    epsilon = torch.tensor(LEVEL_EPSILON, dtype=boxes.dtype)
    level = torch.floor(canonical_level + torch.log2(side / canonical_scale) + epsilon)
    return torch.clamp(level, min=lowest, max=highest)


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
    (Detectron2) or not (torchvision). Returns (R, C, output_height, output_width).
    """
    levels = assign_levels(
        rois,
        canonical_scale=canonical_scale,
        canonical_level=canonical_level,
        lowest=strides[0].bit_length() - 1,
        highest=strides[-1].bit_length() - 1,
    )
    numbered = torch.cat([batch_indices[:, None].to(rois.dtype), rois], dim=1)
    pooled = features[0].new_zeros((rois.shape[0], features[0].shape[1], output_height, output_width))
    for feature, stride in zip(features, strides, strict=True):
        here = torch.where(levels == stride.bit_length() - 1)[0]
        pooled[here] = roi_align(
            feature, numbered[here], (output_height, output_width), 1.0 / stride, sampling_ratio, aligned
        )
    return pooled


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


def _pyramid_roi_align_body(levels: int, aligned: bool) -> FunctionProto:
    """Gather each level's RoIs, pool them once, concatenate, un-permute.

    Scaling the RoIs by 1/stride (exact: a power of two) in place of RoiAlign's spatial_scale attribute
    lets `strides` stay an attribute of the node, where the plugin reads it.
    """
    features = [f"feature_{i}" for i in range(levels)]
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
        pooled_{i} = RoiAlign <
            output_height: int = @output_height, output_width: int = @output_width,
            sampling_ratio: int = @sampling_ratio, mode = "avg", spatial_scale = 1.0,
            coordinate_transformation_mode = "{mode}"
        > (feature_{i}, level_rois_{i}, images_{i})
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
            by_level = Concat <axis = 0> ({", ".join(f"pooled_{i}" for i in range(levels))})
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


def _pyramid_roi_align_node(
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
    schema = _schema(
        "PyramidRoiAlign",
        {"rois": "tensor(float)", "batch_indices": "tensor(int32)"}
        | {f"feature_{level}": "T" for level in range(len(strides))},
        {"pooled": "T"},
        output_height=_Type.INT,
        output_width=_Type.INT,
        sampling_ratio=_Type.INT,
        aligned=_Type.INT,
        mode=_Type.STRING,
        canonical_scale=_Type.FLOAT,
        canonical_level=_Type.INT,
        strides=_Type.INTS,
    )
    return _op(schema)(
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


# --- GroupedNms --------------------------------------------------------------------------------------


@torch.library.custom_op("maskrt::grouped_nms", mutates_args=())
def grouped_nms(
    boxes: Tensor,
    scores: Tensor,
    groups: Tensor,
    iou_threshold: float,
    score_threshold: float,
    max_output: int,
    num_groups: int,
) -> tuple[Tensor, Tensor]:
    """Greedy non-maximum suppression within groups (classes or FPN levels), a fixed number of rows out.

    boxes: (N, R, 4) float32. scores: (N, R) float32. groups: (N, R) int32 in [0, num_groups). A box is
    dropped if its IoU with a kept one of its group is above iou_threshold; rows whose score is not above
    score_threshold are never kept. Returns indices (N, max_output) int32 by descending score (ties: the
    lower index first), zero past the count, and counts (N,) int32. Needs max_output <= R.
    """
    indices = boxes.new_zeros((boxes.shape[0], max_output), dtype=torch.int32)
    counts = boxes.new_zeros((boxes.shape[0],), dtype=torch.int32)
    for image in range(boxes.shape[0]):
        candidates = torch.where(scores[image] > score_threshold)[0]
        kept = torch.zeros_like(scores[image], dtype=torch.bool)
        for group in range(num_groups):
            rows = candidates[groups[image][candidates] == group]
            kept[rows[nms(boxes[image][rows], scores[image][rows], iou_threshold)]] = True
        rows = torch.where(kept)[0]
        order = rows[torch.sort(scores[image][rows], descending=True, stable=True)[1]][:max_output]
        indices[image, : len(order)] = order.to(torch.int32)
        counts[image] = len(order)
    return indices, counts


@grouped_nms.register_fake
def _(
    boxes: Tensor,
    scores: Tensor,
    groups: Tensor,
    iou_threshold: float,
    score_threshold: float,
    max_output: int,
    num_groups: int,
) -> tuple[Tensor, Tensor]:
    rows = boxes.shape[0]
    return boxes.new_empty((rows, max_output), dtype=torch.int32), boxes.new_empty((rows,), dtype=torch.int32)


def _grouped_nms_body() -> FunctionProto:
    """A standard NMS with a class a group, its kept rows ranked by score.

    ONNX's NonMaxSuppression lists what it keeps by class; scattering that into a mask and taking the top k
    of the masked scores restores the order, whose ties ONNX's TopK breaks as we do. Offsetting the boxes
    of each group instead, as is common, rounds their coordinates and changes an IoU now and then.
    """
    return onnx.parser.parse_function(
        f"""
        <domain: "{DOMAIN}", opset_import: ["" : {OPSET}]>
        GroupedNms <
            iou_threshold, score_threshold, max_output, num_groups, plugin_namespace, plugin_version
        > (boxes, scores, groups) => (indices, counts)
        {{
            axis_1 = Constant <value_ints = [1]> ()
            column = Constant <value_ints = [1, -1, 1]> ()
            batch_and_box = Constant <value_ints = [0, 2]> ()
            lowest = Constant <value_float = -3.4028234663852886e38> ()
            zero = Constant <value_int = 0> ()
            one = Constant <value_int = 1> ()
            count_max = Constant <value_int: int = @max_output> ()
            k = Reshape (count_max, axis_1)
            group_count = Constant <value_int: int = @num_groups> ()
            iou = Constant <value_float: float = @iou_threshold> ()
            score = Constant <value_float: float = @score_threshold> ()
            group_range = Range (zero, group_count, one)
            group_range_32 = Cast <to = 6> (group_range)
            group_column = Reshape (group_range_32, column)
            group_row = Unsqueeze (groups, axis_1)
            member = Equal (group_row, group_column)
            score_row = Unsqueeze (scores, axis_1)
            group_scores = Where (member, score_row, lowest)
            selected = NonMaxSuppression (boxes, group_scores, k, iou, score)
            cells = Gather <axis = 1> (selected, batch_and_box)
            groups_64 = Cast <to = 7> (groups)
            nothing = Sub (groups_64, groups_64)
            selected_shape = Shape <start = 0, end = 1> (selected)
            ones = Expand (one, selected_shape)
            marks = ScatterND (nothing, cells, ones)
            kept = Cast <to = 9> (marks)
            ranked = Where (kept, scores, lowest)
            top_scores, top = TopK <axis = 1, largest = 1, sorted = 1> (ranked, k)
            total = ReduceSum <keepdims = 1> (marks, axis_1)
            count_64 = Min (total, k)
            ranks = Range (zero, count_max, one)
            valid = Less (ranks, count_64)
            filled = Where (valid, top, zero)
            indices = Cast <to = 6> (filled)
            count_flat = Squeeze (count_64, axis_1)
            counts = Cast <to = 6> (count_flat)
        }}
        """
    )


def _grouped_nms_node(
    boxes: Any,
    scores: Any,
    groups: Any,
    iou_threshold: float,
    score_threshold: float,
    max_output: int,
    num_groups: int,
) -> Any:
    schema = _schema(
        "GroupedNms",
        {"boxes": "tensor(float)", "scores": "tensor(float)", "groups": "tensor(int32)"},
        {"indices": "tensor(int32)", "counts": "tensor(int32)"},
        iou_threshold=_Type.FLOAT,
        score_threshold=_Type.FLOAT,
        max_output=_Type.INT,
        num_groups=_Type.INT,
    )
    return _op(schema)(
        boxes,
        scores,
        groups,
        iou_threshold=iou_threshold,
        score_threshold=score_threshold,
        max_output=max_output,
        num_groups=num_groups,
        **PLUGIN_ATTRIBUTES,
    )


# --- What the exporter needs -------------------------------------------------------------------------


def _floor_divide_node(dividend: Any, divisor: Any) -> Any:
    """Integers in our graphs (positions in flattened maps) are never negative: there ONNX's truncating Div
    is floor division, while the exporter's own translation spends eight nodes on the sign."""
    return opset18.Div(dividend, divisor)


#: For `torch.onnx.export(custom_translation_table=...)`.
TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.maskrt.pyramid_roi_align.default: _pyramid_roi_align_node,
    torch.ops.maskrt.grouped_nms.default: _grouped_nms_node,
    torch.ops.aten.floor_divide.default: _floor_divide_node,
}


def attach_bodies(model: ModelProto) -> None:
    """Add to an exported model, in place, the body of each custom operator that it uses.

    Raises ValueError where two PyramidRoiAlign nodes would need different bodies (levels or `aligned`).
    """
    bodies: dict[str, FunctionProto] = {}
    for node in model.graph.node:
        if node.domain != DOMAIN:
            continue
        if node.op_type == "PyramidRoiAlign":
            aligned = next(bool(a.i) for a in node.attribute if a.name == "aligned")
            body = _pyramid_roi_align_body(levels=len(node.input) - 2, aligned=aligned)
        else:
            body = _grouped_nms_body()
        if bodies.setdefault(node.op_type, body) != body:
            raise ValueError(f"two {node.op_type} nodes of one graph need different function bodies")
    model.functions.extend(bodies.values())
