"""DeformConv: a convolution whose samples are moved and weighed (Deformable ConvNets v2, arXiv:1811.11168),
in its three forms.
"""

from __future__ import annotations

from typing import Any

import onnx
import torch
from onnx import FunctionProto
from torch import Tensor
from torchvision.ops import deform_conv2d

from maskrt.models.operators.schema import (
    DOMAIN,
    OPSET,
    PLUGIN_ATTRIBUTES,
    AttrType,
    float_constant,
    operator,
)


@torch.library.custom_op("maskrt::deform_conv", mutates_args=())
def deform_conv(
    values: Tensor,
    offsets: Tensor,
    mask: Tensor,
    weight: Tensor,
    bias: Tensor,
    kernel: int,
    stride: int,
    padding: int,
) -> Tensor:
    """torchvision's `deform_conv2d` of one group, in float32, its kernel square and not dilated.

    values: (N, C, H, W). offsets: (N, 2K, h, w), dy and dx in px of each of the K = kernel² samples; mask:
    (N, K, h, w), what each counts. weight: (O, C, kernel, kernel); bias: (O,). Returns (N, O, h, w).
    Samples are bilinear, and zero beyond the map.
    """
    return deform_conv2d(values, offsets, weight, bias, stride=stride, padding=padding, mask=mask)


@deform_conv.register_fake
def _(
    values: Tensor,
    offsets: Tensor,
    mask: Tensor,
    weight: Tensor,
    bias: Tensor,
    kernel: int,
    stride: int,
    padding: int,
) -> Tensor:
    return values.new_empty((values.shape[0], weight.shape[0], *offsets.shape[2:]))


def deform_conv_body() -> FunctionProto:
    """Body: all samples by one GridSample, on a grid of K · h rows, then a 1×1 convolution of them.

    A place p px from the map's first pixel is (2p + 1) / side - 1 for GridSample, whose -1 and 1 are the
    map's edges.
    """
    return onnx.parser.parse_function(
        f"""
        <domain: "{DOMAIN}", opset_import: ["" : {OPSET}]>
        DeformConv <
            kernel, stride, padding, plugin_namespace, plugin_version
        > (x, offsets, mask, weight, bias) => (y)
        {{
            zero = Constant <value_int = 0> ()
            one = Constant <value_int = 1> ()
            unit = {float_constant(1.0)}
            twice = {float_constant(2.0)}
            axis_0 = Constant <value_ints = [0]> ()
            axis_1 = Constant <value_ints = [1]> ()
            axis_last = Constant <value_ints = [-1]> ()
            last_two = Constant <value_ints = [1, 2]> ()
            same = Constant <value_ints = [0]> ()
            same_twice = Constant <value_ints = [0, 0]> ()
            rest = Constant <value_ints = [-1]> ()
            rest_two = Constant <value_ints = [-1, 2]> ()
            pair = Constant <value_ints = [2]> ()
            pointwise = Constant <value_ints = [0, -1, 1, 1]> ()
            side = Constant <value_int: int = @kernel> ()
            step = Constant <value_int: int = @stride> ()
            border = Constant <value_int: int = @padding> ()
            x_shape = Shape (x)
            height_index = Constant <value_int = 2> ()
            width_index = Constant <value_int = 3> ()
            height_in = Gather <axis = 0> (x_shape, height_index)
            width_in = Gather <axis = 0> (x_shape, width_index)
            height_x = Cast <to = 1> (height_in)
            width_x = Cast <to = 1> (width_in)
            shape = Shape (offsets)
            height = Gather <axis = 0> (shape, height_index)
            width = Gather <axis = 0> (shape, width_index)
            height_1 = Unsqueeze (height, axis_0)
            width_1 = Unsqueeze (width, axis_0)
            taps = Mul (side, side)
            tap = Range (zero, taps, one)
            tap_row = Div (tap, side)
            tap_rows = Mul (tap_row, side)
            tap_column = Sub (tap, tap_rows)
            row = Range (zero, height, one)
            row_px = Mul (row, step)
            row_first = Sub (row_px, border)
            column = Range (zero, width, one)
            column_px = Mul (column, step)
            column_first = Sub (column_px, border)
            tap_row_3 = Unsqueeze (tap_row, last_two)
            tap_column_3 = Unsqueeze (tap_column, last_two)
            row_2 = Unsqueeze (row_first, axis_1)
            row_at = Add (tap_row_3, row_2)
            column_at = Add (tap_column_3, column_first)
            row_0 = Cast <to = 1> (row_at)
            column_0 = Cast <to = 1> (column_at)
            apart = Concat <axis = 0> (same, rest_two, height_1, width_1)
            moved = Reshape (offsets, apart)
            dy = Gather <axis = 2> (moved, zero)
            dx = Gather <axis = 2> (moved, one)
            row_px_at = Add (row_0, dy)
            column_px_at = Add (column_0, dx)
            row_twice = Mul (row_px_at, twice)
            row_middle = Add (row_twice, unit)
            row_share = Div (row_middle, height_x)
            grid_y = Sub (row_share, unit)
            column_twice = Mul (column_px_at, twice)
            column_middle = Add (column_twice, unit)
            column_share = Div (column_middle, width_x)
            grid_x = Sub (column_share, unit)
            grid_x_5 = Unsqueeze (grid_x, axis_last)
            grid_y_5 = Unsqueeze (grid_y, axis_last)
            grid_5 = Concat <axis = -1> (grid_x_5, grid_y_5)
            grid_shape = Concat <axis = 0> (same, rest, width_1, pair)
            grid = Reshape (grid_5, grid_shape)
            sampled = GridSample <mode = "bilinear", padding_mode = "zeros", align_corners = 0> (x, grid)
            taps_apart = Concat <axis = 0> (same_twice, rest, height_1, width_1)
            by_tap = Reshape (sampled, taps_apart)
            counts = Unsqueeze (mask, axis_1)
            weighed = Mul (by_tap, counts)
            columns_shape = Concat <axis = 0> (same, rest, height_1, width_1)
            columns = Reshape (weighed, columns_shape)
            flat_weight = Reshape (weight, pointwise)
            y = Conv (columns, flat_weight, bias)
        }}
        """
    )


def deform_conv_node(
    values: Any, offsets: Any, mask: Any, weight: Any, bias: Any, kernel: int, stride: int, padding: int
) -> Any:
    """Translate the torch operator into its ONNX node, for the exporter."""
    names = ("x", "offsets", "mask", "weight", "bias")
    onnx_node = operator(
        "DeformConv",
        dict.fromkeys(names, "tensor(float)"),
        {"y": "tensor(float)"},
        kernel=AttrType.INT,
        stride=AttrType.INT,
        padding=AttrType.INT,
    )
    return onnx_node(
        *(values, offsets, mask, weight, bias),
        kernel=kernel,
        stride=stride,
        padding=padding,
        **PLUGIN_ATTRIBUTES,
    )
