"""Reads a model file's types, weights and operator attributes, without running it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from maskrt.export.stages import cut_into_parts
from maskrt.runtime.contract import PREFIX
from maskrt.runtime.errors import ModelError

LAYERS = {"Conv": 1, "ConvTranspose": 1, "Gemm": 1, "MatMul": 1}  # by operator: which input is the weights
PASSING = ("Cast", "Transpose", "Reshape", "Identity", "Unsqueeze", "Squeeze", "Gather", "Flatten")
PRECISIONS = ("int8", "fp16", "fp32")  # the coarsest first
TYPES: dict[int, str] = {TensorProto.FLOAT: "fp32", TensorProto.FLOAT16: "fp16", TensorProto.DOUBLE: "fp32"}
QUANTISED = "/quantised"  # what calibration adds to the name of a weight that it rounds


@dataclass(frozen=True)
class Weight:
    """A constant of a file in float32, as its layer computes with it.

    precision: as it is stored. step: of eight bits, in the values' shape; None of a float.
    """

    name: str
    values: NDArray[np.float32]
    precision: str
    step: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Examined:
    """stages: the coarsest precision of what each stage and output is computed from. parts:
    of what lies in each part (`Contract.inside`). operators: the attributes of each custom operator,
    in the order of the graph, with the names of what it makes."""

    weights: tuple[Weight, ...]
    stages: dict[str, str]
    parts: dict[str, str]
    operators: tuple[tuple[str, str, dict[str, Any]], ...]


def examine(path: Path) -> Examined:
    """Examine the ONNX file at `path`, with its external data."""
    found = examine_model(onnx.load(path))
    try:
        parts = cut_into_parts(path)
    except ModelError:  # without stages there are no parts
        return found
    inside = {name: examine_model(onnx.ModelProto.FromString(part)) for name, part in parts.items()}
    coarsest = {
        name: min(one.stages.values(), key=PRECISIONS.index, default=PRECISIONS[-1])
        for name, one in inside.items()
    }
    return dataclasses.replace(found, parts=coarsest)


def examine_model(model: onnx.ModelProto) -> Examined:
    """Examine a model in memory; without its parts."""
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            constants[node.output[0]] = node.attribute[0].t
    makers = {name: node for node in graph.node for name in node.output}
    return Examined(
        tuple(_weights(graph.node, makers, constants)),
        _coarsest(graph.node, makers, constants, [value.name for value in graph.output]),
        {},
        tuple(
            (node.op_type, node.output[0].removeprefix(PREFIX), _attributes(node))
            for node in graph.node
            if node.op_type in ("PyramidRoiAlign", "GroupedNms")
        ),
    )


def _weights(
    nodes: Iterable[NodeProto], makers: dict[str, NodeProto], constants: dict[str, TensorProto]
) -> Iterable[Weight]:
    rounded = set()
    for node in nodes:
        if node.op_type == "DequantizeLinear" and node.input[0] in constants:
            steps, scale = (numpy_helper.to_array(constants[name]) for name in node.input[:2])
            axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
            shape = [-1 if place == axis else 1 for place in range(steps.ndim)] if scale.ndim else []
            step = np.broadcast_to(scale.astype(np.float32).reshape(shape), steps.shape)
            zero = numpy_helper.to_array(constants[node.input[2]]) if len(node.input) > 2 else np.zeros(1)
            zero = zero.reshape(shape) if zero.ndim else zero
            values = (steps.astype(np.float32) - zero.astype(np.float32)) * step
            rounded.add(node.input[0])
            yield Weight(node.input[0].split(QUANTISED)[0], values.astype(np.float32), "int8", step)
    for name, tensor in constants.items():
        if tensor.data_type in TYPES and name not in rounded:
            values = numpy_helper.to_array(tensor).astype(np.float32)
            yield Weight(name, values, TYPES[tensor.data_type])


def _coarsest(
    nodes: Iterable[NodeProto],
    makers: dict[str, NodeProto],
    constants: dict[str, TensorProto],
    outputs: list[str],
) -> dict[str, str]:
    """The coarsest precision before each stage and output: of the layers, and of the values between them."""
    found: dict[str, int] = {}
    for node in nodes:  # in the order of the computation
        before = [found[name] for name in node.input if name in found]
        own = PRECISIONS.index(_precision_of(node, makers, constants))
        level = min([own, *before])
        found |= dict.fromkeys(node.output, level)
    named = [name for name in found if name.startswith(PREFIX) or name in outputs]
    return {name.removeprefix(PREFIX): PRECISIONS[found[name]] for name in named}


def _precision_of(node: NodeProto, makers: dict[str, NodeProto], constants: dict[str, TensorProto]) -> str:
    """The precision that a node computes or rounds in."""
    if node.op_type == "QuantizeLinear" or node.op_type.startswith(("QLinear", "DynamicQuantize")):
        return "int8"
    if node.op_type == "Cast":
        to = next((a.i for a in node.attribute if a.name == "to"), TensorProto.FLOAT)
        return "fp16" if to == TensorProto.FLOAT16 else "fp32"
    if node.op_type not in LAYERS or len(node.input) <= LAYERS[node.op_type]:
        return "fp32"
    name = node.input[LAYERS[node.op_type]]
    while name in makers and makers[name].op_type in PASSING and makers[name].input[0]:
        name = makers[name].input[0]
    if name in makers and makers[name].op_type == "DequantizeLinear":
        return "int8"
    return TYPES.get(constants[name].data_type, "fp32") if name in constants else "fp32"


def _attributes(node: NodeProto) -> dict[str, Any]:
    """A node's attributes by name, as Python values."""
    found = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    return {
        name: value.decode()
        if isinstance(value, bytes)
        else list(value)
        if isinstance(value, list | tuple)
        else value
        for name, value in found.items()
    }
