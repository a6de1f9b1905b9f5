"""Changes to an exported graph, by the names that every export has."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

from maskrt.runtime.contract import METADATA_KEY, PREFIX

Model = onnx.ModelProto
Change = Callable[[NDArray], NDArray]


def constant(model: Model, name: str) -> NDArray:
    """The values of an initializer."""
    return numpy_helper.to_array(next(one for one in model.graph.initializer if one.name == name))


def change_constant(model: Model, name: str, change: Change) -> None:
    """Put other values into an initializer, of the type that it has."""
    tensor = next(one for one in model.graph.initializer if one.name == name)
    old = numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(change(old.copy()).astype(old.dtype)), name))


def change_scalars(model: Model, value: float, to: float) -> None:
    """Every constant of one value and no axis."""
    names = [
        one.name
        for one in model.graph.initializer
        if not one.dims and np.isclose(float(numpy_helper.to_array(one)), value, rtol=1e-5, atol=0)
    ]
    assert names, f"no scalar {value} in the graph"
    for name in names:
        change_constant(model, name, lambda old: np.full_like(old, to))


def add_constant(model: Model, name: str, values: Any) -> str:
    """A new initializer."""
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
    return name


def behind(model: Model, tensor: str, make: Callable[[str, str], list[NodeProto]]) -> None:
    """What reads `tensor` reads what `make(tensor, new)` gives; an output of the graph is made of it too.

    A stage keeps its name, and so is seen as it was.
    """
    changed = f"{tensor}.changed"
    outputs = {value.name for value in model.graph.output}
    source = tensor
    if tensor in outputs and not tensor.startswith(PREFIX):
        source, changed = f"{tensor}.right", tensor
        for node in model.graph.node:
            node.output[:] = [source if name == tensor else name for name in node.output]
            node.input[:] = [source if name == tensor else name for name in node.input]
    else:
        for node in model.graph.node:
            node.input[:] = [changed if name == tensor else name for name in node.input]
    at = next((i for i, node in enumerate(model.graph.node) if source in node.output), -1)
    for place, node in enumerate(make(source, changed)):
        model.graph.node.insert(at + 1 + place, node)


def through(operator: str, *constants: Any, **attributes: Any) -> Callable[[str, str], list[NodeProto]]:
    """For `behind`: one node of this operator, with the tensor before these constants."""

    def make(tensor: str, new: str) -> list[NodeProto]:
        names = [f"{new}.given{i}" for i in range(len(constants))]
        nodes = [
            helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.asarray(value)))
            for name, value in zip(names, constants, strict=True)
        ]
        return [*nodes, helper.make_node(operator, [tensor, *names], [new], **attributes)]

    return make


def operators(model: Model, kind: str) -> list[NodeProto]:
    """The nodes of one operator, in order."""
    return [node for node in model.graph.node if node.op_type == kind]


def set_attribute(node: NodeProto, name: str, value: Any) -> None:
    """Another value of an attribute that the node has."""
    attribute = next(one for one in node.attribute if one.name == name)
    attribute.CopyFrom(helper.make_attribute(name, value))


def promise(model: Model, **changes: Any) -> None:
    """Other fields of the contract, by their path: **{"canvas.stride": 64}."""
    (entry,) = (one for one in model.metadata_props if one.key == METADATA_KEY)
    fields = json.loads(entry.value)
    for name, value in changes.items():
        *path, field = name.split(".")
        inner = fields
        for key in path:
            inner = inner[key]
        inner[field] = value
    entry.value = json.dumps(fields)


def in_bits(bits: int) -> Change:
    """Rounded to so many bits, a scale for each output channel, symmetric."""

    def change(values: NDArray) -> NDArray:
        axes = tuple(range(1, values.ndim))
        step = np.abs(values).max(axis=axes, keepdims=True) / (2 ** (bits - 1) - 1)
        return np.rint(values / np.maximum(step, 1e-12)) * step

    return change
