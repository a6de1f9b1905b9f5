"""Looks up values of an ONNX graph: constants, element types, shapes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto

STANDARD = ("", "ai.onnx")  # names of ONNX's own domain
WEIGHT_BYTES = 4096  # above it an initializer is no scale and no threshold


class Values:
    """Constants and types of a graph's values by name. Create it again after a change of the graph."""

    def __init__(self, graph: GraphProto) -> None:
        self._constants: dict[str, TensorProto | NodeProto] = {t.name: t for t in graph.initializer}
        self._constants |= {n.output[0]: n for n in graph.node if n.op_type == "Constant"}
        self._info = {v.name: v.type.tensor_type for v in [*graph.input, *graph.value_info, *graph.output]}

    def constant(self, name: str) -> NDArray | None:
        """The value of a constant; None for an input or a computed value."""
        found = self._constants.get(name)
        if isinstance(found, NodeProto):
            return value_of_constant_node(found)
        return None if found is None else onnx.numpy_helper.to_array(found)

    def element_type(self, name: str) -> int:
        """ONNX's number of the element type; TensorProto.UNDEFINED where it is not known."""
        found = self._constants.get(name)
        if isinstance(found, TensorProto):
            return found.data_type
        if isinstance(found, NodeProto):
            return onnx.helper.np_dtype_to_tensor_dtype(value_of_constant_node(found).dtype)
        return self._info[name].elem_type if name in self._info else TensorProto.UNDEFINED

    def rank(self, name: str) -> int | None:
        """Number of axes; None where it is not known."""
        info = self._info.get(name)
        return len(info.shape.dim) if info is not None and info.HasField("shape") else None

    def extent(self, name: str, axis: int) -> int | None:
        """Size along an axis; None where it is not known before running."""
        dims = self._info[name].shape.dim if name in self._info else []
        if not -len(dims) <= axis < len(dims) or not dims[axis].HasField("dim_value"):
            return None
        return int(dims[axis].dim_value)


def value_of_constant_node(node: NodeProto) -> NDArray:
    """The value of a Constant node, whichever of its attributes holds it."""
    attribute = node.attribute[0]
    value = onnx.helper.get_attribute_value(attribute)
    if attribute.type == onnx.AttributeProto.TENSOR:
        return onnx.numpy_helper.to_array(value)
    floats = attribute.type in (onnx.AttributeProto.FLOAT, onnx.AttributeProto.FLOATS)
    return np.asarray(value, np.float32 if floats else np.int64)


@contextmanager
def without_weights(model: ModelProto) -> Iterator[dict[str, bytes]]:
    """Remove the values of large initializers from a model until the context ends; gives them by name.

    onnx's own passes serialise the whole model twice; types and shapes do not depend on weights.
    """
    kinds = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT8)
    initializers = (t for t in model.graph.initializer if t.data_type in kinds)
    heavy = [t for t in initializers if len(t.raw_data) > WEIGHT_BYTES]
    values = {tensor.name: tensor.raw_data for tensor in heavy}
    for tensor in heavy:
        tensor.ClearField("raw_data")
    try:
        yield values
    finally:
        for tensor in heavy:
            tensor.raw_data = values[tensor.name]


def label(node: NodeProto) -> str:
    """How a message names a node."""
    return f"node '{node.name or node.output[0]}' ({node.op_type})"


def attributes(node: NodeProto) -> dict[str, Any]:
    """Attributes by name."""
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


def standard_nodes(graph: GraphProto) -> Iterator[NodeProto]:
    """Nodes of ONNX's own operators."""
    return (node for node in graph.node if node.domain in STANDARD)
