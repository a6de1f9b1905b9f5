"""Custom operators: for each its PyTorch definition, its ONNX node, and its body in standard ONNX.

Each operator has three forms. PyTorch runs the definition, ONNX Runtime inlines the body, TensorRT takes the
plugin of the same name (export/plugins); their common meaning is written here once. TensorRT's parser
dispatches on the op type alone and ignores the domain, so the names must differ from every built-in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from onnx import FunctionProto, ModelProto, NodeProto, TensorProto, helper
from onnxscript import opset18

from maskrt.models.operators.deform_conv import deform_conv, deform_conv_body, deform_conv_node
from maskrt.models.operators.grouped_nms import grouped_nms, grouped_nms_body, grouped_nms_node
from maskrt.models.operators.pyramid_roi_align import pyramid_roi_align, pyramid_roi_align_node
from maskrt.models.operators.pyramid_roi_align_body import pyramid_roi_align_body
from maskrt.models.operators.schema import DOMAIN, OPSET, PLUGIN_ATTRIBUTES, VERSION
from maskrt.models.parts.roi_features import Pooling

__all__ = [
    "DOMAIN",
    "OPSET",
    "PLUGIN_ATTRIBUTES",
    "TRANSLATIONS",
    "VERSION",
    "attach_bodies",
    "deform_conv",
    "grouped_nms",
    "pyramid_roi_align",
]


def _floor_divide_node(dividend: Any, divisor: Any) -> Any:
    """Integers in our graphs (positions in flattened maps) are never negative: there ONNX's truncating Div
    is floor division, while the exporter's own translation spends eight nodes on the sign."""
    return opset18.Div(dividend, divisor)


#: For `torch.onnx.export(custom_translation_table=...)`.
TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.maskrt.pyramid_roi_align.default: pyramid_roi_align_node,
    torch.ops.maskrt.grouped_nms.default: grouped_nms_node,
    torch.ops.maskrt.deform_conv.default: deform_conv_node,
    torch.ops.aten.floor_divide.default: _floor_divide_node,
}


#: Of operators whose body is the same whatever their attributes.
BODIES: dict[str, Callable[[], FunctionProto]] = {
    "DeformConv": deform_conv_body,
    "GroupedNms": grouped_nms_body,
}


def attach_bodies(model: ModelProto) -> None:
    """Add to an exported model, in place, the body of each custom operator that it uses.

    Raises ValueError where two PyramidRoiAlign nodes would need different bodies (levels, pooling, type).
    """
    values = (*model.graph.input, *model.graph.value_info)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    bodies: dict[str, FunctionProto] = {}
    for node in model.graph.node:
        if node.domain != DOMAIN:
            continue
        if node.op_type == "PyramidRoiAlign":
            body = pyramid_roi_align_body(
                levels=len(node.input) - 2,
                pooling=_pooling(node),
                half=types[node.input[2]] == TensorProto.FLOAT16,
            )
        else:
            body = BODIES[node.op_type]()
        if bodies.setdefault(node.op_type, body) != body:
            raise ValueError(f"two {node.op_type} nodes of one graph need different function bodies")
    model.functions.extend(bodies.values())


def _pooling(node: NodeProto) -> Pooling:
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    return Pooling(
        given["method"].decode(), given["mode"].decode(), given["sampling_ratio"], bool(given["aligned"])
    )
