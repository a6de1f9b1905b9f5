"""GroupedNms: greedy non-maximum suppression within groups, in its three forms."""

from __future__ import annotations

from typing import Any

import onnx
import torch
from onnx import FunctionProto
from torch import Tensor
from torchvision.ops import nms

from maskrt.models.operators.schema import (
    DOMAIN,
    OPSET,
    PLUGIN_ATTRIBUTES,
    AttrType,
    float_constant,
    operator,
)


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


def grouped_nms_body() -> FunctionProto:
    """Body: a standard NMS with a class a group, its kept rows ranked by score.

    ONNX's NonMaxSuppression lists what it keeps by class. Scattering that into a mask and taking the top k of
    the masked scores restores the order; ONNX's TopK breaks ties as the definition does. Offsetting the boxes
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
            lowest = {float_constant(-3.4028234663852886e38)}
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


def grouped_nms_node(
    boxes: Any,
    scores: Any,
    groups: Any,
    iou_threshold: float,
    score_threshold: float,
    max_output: int,
    num_groups: int,
) -> Any:
    """Translate the torch operator into its ONNX node, for the exporter."""
    onnx_node = operator(
        "GroupedNms",
        {"boxes": "tensor(float)", "scores": "tensor(float)", "groups": "tensor(int32)"},
        {"indices": "tensor(int32)", "counts": "tensor(int32)"},
        iou_threshold=AttrType.FLOAT,
        score_threshold=AttrType.FLOAT,
        max_output=AttrType.INT,
        num_groups=AttrType.INT,
    )
    return onnx_node(
        boxes,
        scores,
        groups,
        iou_threshold=iou_threshold,
        score_threshold=score_threshold,
        max_output=max_output,
        num_groups=num_groups,
        **PLUGIN_ATTRIBUTES,
    )
