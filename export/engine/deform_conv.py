"""Writes our deformable convolutions as ONNX's own, which TensorRT's parser takes from 10.1 on.

Before that its parser gets their function body, whose GridSample it takes from 8.5 on (docs/operators.md of
onnx-tensorrt at 8.5-GA, 8.6-GA, 10.0-GA and 10.1-GA).
"""

from __future__ import annotations

import onnx.inliner
from onnx import ModelProto, NodeProto, helper

from maskrt.export.engine.values import attributes
from maskrt.runtime.onnx_pass import OnnxPass, expect

NAME = "DeformConv"
SINCE = (10, 1)  # of TensorRT
OPSET = 19  # the first that has the operator; it changes no other of ours


class NativeDeformConv(OnnxPass):
    """Makes ONNX's DeformConv of each of ours."""

    def call(self, model: ModelProto) -> bool:
        """Rewrite the nodes in place, and raise the opset of the model and of its functions."""
        ours = [node for node in model.graph.node if _is_ours(node)]
        for node in ours:
            _make_native(node)
        if ours:
            kept = [function for function in model.functions if function.name != NAME]
            del model.functions[:]
            model.functions.extend(kept)
            for opset in (each for part in (model, *model.functions) for each in part.opset_import):
                if opset.domain == "":
                    opset.version = max(opset.version, OPSET)
        return bool(ours)

    def ensures(self, model: ModelProto) -> None:
        """None of ours is left."""
        expect(not any(map(_is_ours, model.graph.node)), self, f"a {NAME} of ours is left")


def inlined(model: ModelProto) -> ModelProto:
    """A copy with the body of each deformable convolution in its place."""
    domain = next((node.domain for node in model.graph.node if _is_ours(node)), None)
    if domain is None:
        return model
    return onnx.inliner.inline_selected_functions(model, [(domain, NAME)])


def _is_ours(node: NodeProto) -> bool:
    return bool(node.op_type == NAME and node.domain)


def _make_native(node: NodeProto) -> None:
    given = attributes(node)
    values, offsets, mask, weight, bias = node.input
    side, stride, border = (int(given[name]) for name in ("kernel", "stride", "padding"))
    native = helper.make_node(
        NAME,
        [values, weight, offsets, bias, mask],
        list(node.output),
        name=node.name,
        kernel_shape=[side, side],
        strides=[stride, stride],
        pads=[border] * 4,
    )
    node.CopyFrom(native)
