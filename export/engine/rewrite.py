"""Passes that write a graph as every TensorRT's parser takes it, without changing what it computes."""

from __future__ import annotations

import onnx
from onnx import ModelProto, TensorProto, helper

from maskrt.export.engine.values import value_of_constant_node
from maskrt.runtime.onnx_pass import OnnxPass, expect, replace_nodes

REARRANGING = ("Identity", "Reshape", "Slice", "Transpose")  # their output has their first input's type


class DropFunctions(OnnxPass):
    """Removes the function bodies, so that the parser must take our operators as plugins.

    Types around the operators must be inferred before: the bodies are what they follow from.
    """

    def call(self, model: ModelProto) -> bool:
        """Remove all functions."""
        modified = bool(model.functions)
        del model.functions[:]
        return modified

    def ensures(self, model: ModelProto) -> None:
        """No function is left."""
        expect(not model.functions, self, "functions are left")


class HoldConstants(OnnxPass):
    """Makes an initializer of every Constant node.

    The parser of TensorRT 8.6 reads a Constant's `value_int` as 0 and its `value_ints` as an empty list, and
    says nothing (seen on its binary). Every version reads initializers.
    """

    def call(self, model: ModelProto) -> bool:
        """Move the values; the initializers are named after the nodes' outputs."""
        constants = [node for node in model.graph.node if node.op_type == "Constant"]
        for node in constants:
            tensor = onnx.numpy_helper.from_array(value_of_constant_node(node), node.output[0])
            model.graph.initializer.append(tensor)
        if constants:
            replace_nodes(model.graph, (node for node in model.graph.node if node.op_type != "Constant"))
        return bool(constants)

    def ensures(self, model: ModelProto) -> None:
        """The graph holds no Constant node."""
        expect(all(node.op_type != "Constant" for node in model.graph.node), self, "a Constant node is left")


class CastBytesFirst(OnnxPass):
    """Makes every uint8 input float32 before anything else.

    Rearranging bytes and converting them afterwards is the same; but TensorRT takes uint8 for network inputs
    alone, and the first layer must convert it (NvInferRuntimeBase.h, DataType::kUINT8).
    """

    def call(self, model: ModelProto) -> bool:
        """Put a Cast behind each uint8 input; what rearranges its output becomes float32."""
        waiting = [value for value in _byte_inputs(model) if not _is_cast(model, value.name)]
        for value in waiting:
            self._cast(model.graph, value)
        return bool(waiting)

    def ensures(self, model: ModelProto) -> None:
        """Nothing but its Cast reads a uint8 input."""
        for value in _byte_inputs(model):
            readers = [node.op_type for node in model.graph.node if value.name in node.input]
            expect(readers == ["Cast"], self, f"the uint8 input '{value.name}' is read by {readers}")

    def _cast(self, graph: onnx.GraphProto, value: onnx.ValueInfoProto) -> None:
        wide = _wide(value.name)
        for node in graph.node:
            node.input[:] = [wide if name == value.name else name for name in node.input]
        cast = helper.make_node("Cast", [value.name], [wide], name=f"{value.name}/cast", to=TensorProto.FLOAT)
        replace_nodes(graph, [cast, *graph.node])
        info = graph.value_info.add()
        info.CopyFrom(value)
        info.name = wide
        rearranged = {wide}
        for node in graph.node:
            if node.op_type in REARRANGING and node.input[0] in rearranged:
                rearranged.add(node.output[0])
        for info in graph.value_info:
            if info.name in rearranged:
                info.type.tensor_type.elem_type = TensorProto.FLOAT


def _wide(name: str) -> str:
    return f"{name}/float32"


def _byte_inputs(model: ModelProto) -> list[onnx.ValueInfoProto]:
    return [v for v in model.graph.input if v.type.tensor_type.elem_type == TensorProto.UINT8]


def _is_cast(model: ModelProto, name: str) -> bool:
    return any(_wide(name) in node.output for node in model.graph.node)
