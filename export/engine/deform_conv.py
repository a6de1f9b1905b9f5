"""Writes our deformable convolutions as ONNX's own.

ONNX Runtime takes them where it has a kernel, TensorRT's parser from 10.1 on. Before that the parser gets our
plugin, or the function body, whose GridSample it takes from 8.5 on (docs/operators.md of onnx-tensorrt at
8.5-GA, 8.6-GA, 10.0-GA and 10.1-GA).
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper

from maskrt.export.engine.for_8_6 import BEFORE_CAST
from maskrt.export.engine.values import Values, attributes
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


class HalfDeformConv(OnnxPass):
    """Lets our plugin read and write half precision where a file casts to float32 before it and back after.

    Body and ONNX's own operator have one type for all inputs. The plugin sums in float32 whatever its values
    have, so what comes out is the same, and two casts of a map are saved. Types must be inferred before.
    """

    def call(self, model: ModelProto) -> bool:
        """Connect the operators with the values before the Cast; a Cast behind one reads half then."""
        graph = model.graph
        waiting = list(_between_casts(graph))
        for node, before in waiting:
            (made,) = node.output
            node.input[0], node.output[0] = before.input[0], f"{made}{BEFORE_CAST}"
            for reader in (each for each in graph.node if made in each.input):
                reader.input[0] = node.output[0]
            for info in (each for each in graph.value_info if each.name == made):
                info.name, info.type.tensor_type.elem_type = node.output[0], TensorProto.FLOAT16
        return bool(waiting)

    def ensures(self, model: ModelProto) -> None:
        """None of ours is between two such Casts."""
        left = [node.name for node, _ in _between_casts(model.graph)]
        expect(not left, self, f"{left} are between casts")


def _between_casts(graph: GraphProto) -> Iterator[tuple[NodeProto, NodeProto]]:
    """Each of ours behind a Cast from half, read by nothing but Casts to half; with the Cast before it."""
    values, outputs = Values(graph), {output.name for output in graph.output}
    producers = {name: node for node in graph.node for name in node.output}
    for node in filter(_is_ours, graph.node):
        before = producers.get(node.input[0])
        readers = [reader for reader in graph.node if node.output[0] in reader.input]
        if before is None or not readers or node.output[0] in outputs:
            continue
        narrowed = all(_casts(each, values, TensorProto.FLOAT, TensorProto.FLOAT16) for each in readers)
        if narrowed and _casts(before, values, TensorProto.FLOAT16, TensorProto.FLOAT):
            yield node, before


def _casts(node: NodeProto, values: Values, given: int, to: int) -> bool:
    """True for a Cast from one type to another."""
    return (
        node.op_type == "Cast"
        and attributes(node)["to"] == to
        and values.element_type(node.input[0]) == given
    )


def read_native(model: str | bytes) -> bytes:
    """An ONNX file, or its bytes, serialised with ONNX's own DeformConv in place of ours."""
    read = onnx.load_model_from_string(model) if isinstance(model, bytes) else onnx.load(model)
    NativeDeformConv()(read)
    return read.SerializeToString()


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
