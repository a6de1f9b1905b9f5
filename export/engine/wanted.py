"""Finds the layers of a TensorRT 8.6 network that the ONNX file has in float32, by the parser's names."""

from __future__ import annotations

import re

from onnx import ModelProto, TensorProto

from maskrt.export.engine.values import Values


class Float32:
    """The layers and tensors that the prepared file has in float32, by name.

    The parser names a layer after its node, or after the node's first output where the node has no name. A
    node's second layer has a number behind that name, or none of the file's names at all: the first half of a
    Clip has none. The tensor that a node ends in is named after the ONNX value. (onnx-tensorrt at 8.6,
    ImporterContext::registerLayer and registerTensor; seen on its binary.)
    """

    def __init__(self, model: ModelProto) -> None:
        values = Values(model.graph)
        self._layers: dict[str, bool] = {}
        self._tensors = {v.name: v.type.tensor_type.elem_type == TensorProto.FLOAT for v in model.graph.input}
        for node in model.graph.node:
            of_output = {name: values.element_type(name) == TensorProto.FLOAT for name in node.output if name}
            # A comparison and an NMS give no float32 and yet work in it. Only the first input counts:
            # a Resize of halves has its scales in float32.
            reads = bool(node.input) and values.element_type(node.input[0]) == TensorProto.FLOAT
            self._layers[node.name or node.output[0]] = reads or any(of_output.values())
            self._tensors |= of_output

    def layer(self, name: str, inputs: list[str], outputs: list[str]) -> bool:
        """True if a layer belongs to a node in float32. Ask in the network's order.

        inputs, outputs: names of its tensors. A layer without a name of the file has the type of the tensors
        that it reads; if the file does not know these either, it is left free.
        """
        found = self._layers.get(name)
        if found is None:
            found = self._any(outputs)
        if found is None:
            found = self._layers.get(re.sub(r"_\d+$", "", name))
        if found is None:
            found = self._any(inputs)
        for tensor in filter(None, outputs):
            self._tensors.setdefault(tensor, bool(found))
        return bool(found)

    def _any(self, tensors: list[str]) -> bool | None:
        known = [self._tensors[tensor] for tensor in tensors if tensor in self._tensors]
        return any(known) if known else None
