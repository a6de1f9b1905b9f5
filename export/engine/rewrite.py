"""Saying a graph so that TensorRT's parser takes it, without changing what it computes."""

from __future__ import annotations

from collections.abc import Callable

import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper

from maskrt.export.engine.supported import PLUGINS
from maskrt.export.engine.values import Values, attributes, label, standard_nodes, value_of_constant_node
from maskrt.runtime.errors import ExportError

OPSET_8_6, IR_8_6 = 17, 8  # what TensorRT 8.6 documents, and the IR of the ONNX release that brought it
INT32_MAX = 2**31 - 1

Rule = Callable[[NodeProto, Values], list[NodeProto]]


def cast_bytes_first(graph: GraphProto) -> None:
    """Make every uint8 input float32 before anything else, in place.

    Rearranging bytes and converting them after is the same; but TensorRT takes uint8 for network inputs
    alone, and the first layer must convert it (NvInferRuntimeBase.h, DataType::kUINT8).
    """
    for value in graph.input:
        if value.type.tensor_type.elem_type != TensorProto.UINT8:
            continue
        wide = f"{value.name}/float32"
        for node in graph.node:
            node.input[:] = [wide if name == value.name else name for name in node.input]
        cast = helper.make_node("Cast", [value.name], [wide], name=f"{value.name}/cast", to=TensorProto.FLOAT)
        nodes = [cast, *graph.node]
        del graph.node[:]
        graph.node.extend(nodes)
        info = graph.value_info.add()
        info.CopyFrom(value)
        info.name = wide
        rearranged = {wide}
        for node in graph.node:
            if node.op_type in ("Identity", "Reshape", "Slice", "Transpose") and node.input[0] in rearranged:
                rearranged.add(node.output[0])
        for info in graph.value_info:
            if info.name in rearranged:
                info.type.tensor_type.elem_type = TensorProto.FLOAT


def hold_constants(graph: GraphProto) -> None:
    """Make an initializer of every Constant node, in place.

    The parser of TensorRT 8.6 reads a Constant's `value_int` as 0 and its `value_ints` as an empty list, and
    says nothing (seen on its binary). Every version reads initializers.
    """
    nodes = [node for node in graph.node if node.op_type != "Constant"]
    for node in graph.node:
        if node.op_type == "Constant":
            tensor = onnx.numpy_helper.from_array(value_of_constant_node(node), node.output[0])
            graph.initializer.append(tensor)
    del graph.node[:]
    graph.node.extend(nodes)


def cast_behind_plugins(graph: GraphProto) -> None:
    """Put a Cast to half behind every half output of a plugin, in place.

    To a network of TensorRT 8.6 a plugin's output is float32 until the builder chooses, and so is all that
    follows it; behind the Cast it is half. Types must be inferred before.
    """
    values = Values(graph)
    nodes: list[NodeProto] = []
    for node in graph.node:
        nodes.append(node)
        if node.op_type not in PLUGINS:
            continue
        for i, name in enumerate(node.output):
            if values.element_type(name) != TensorProto.FLOAT16:
                continue
            node.output[i] = f"{name}/plugin"
            info = graph.value_info.add()
            info.CopyFrom(next(v for v in [*graph.value_info, *graph.output] if v.name == name))
            info.name = node.output[i]
            cast = helper.make_node("Cast", [info.name], [name], name=f"{name}/half", to=TensorProto.FLOAT16)
            nodes.append(cast)
    del graph.node[:]
    graph.node.extend(nodes)


def say_for_8_6(model: ModelProto) -> None:
    """Say an opset 18 model in opset 17, and as the parser of TensorRT 8.6 reads it, in place.

    Types must be inferred before. Gives no Constant node (see `hold_constants`). Raises ExportError for a
    node that has no such form, naming it.
    """
    given = next(o for o in model.opset_import if o.domain in ("", "ai.onnx"))
    for node in standard_nodes(model.graph):
        if given.version > OPSET_8_6 and node.op_type not in RULES_8_6:
            _expect_unchanged(node, given.version)
    values = Values(model.graph)
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        rule = RULES_8_6.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        nodes += rule(node, values) if rule else [node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    hold_constants(model.graph)
    cast_behind_plugins(model.graph)
    given.version = min(given.version, OPSET_8_6)
    model.ir_version = min(model.ir_version, IR_8_6)


def _expect_unchanged(node: NodeProto, opset: int) -> None:
    """Raise ExportError where the operator is not the same in both opsets."""
    here = onnx.defs.get_schema(node.op_type, max_inclusive_version=opset).since_version
    if here > OPSET_8_6:
        raise _no_form(node, f"is of opset {here}")


def _no_form(node: NodeProto, why: str) -> ExportError:
    return ExportError(
        f"{label(node)} {why}, and has no form that TensorRT 8.6 takes (opset {OPSET_8_6}). "
        "Use TensorRT 10.3 or later for this model."
    )


def _drop(node: NodeProto, name: str, harmless: object) -> None:
    """Remove an attribute of a later opset, if its value says nothing new."""
    if attributes(node).get(name, harmless) != harmless:
        raise _no_form(node, f"has {name}={attributes(node)[name]!r}")
    kept = [a for a in node.attribute if a.name != name]
    del node.attribute[:]
    node.attribute.extend(kept)


def _split(node: NodeProto, values: Values) -> list[NodeProto]:
    """num_outputs came with 18; equal parts need no number, and unequal ones are not meant here."""
    parts = attributes(node).get("num_outputs")
    if parts is not None:
        extent = values.extent(node.input[0], attributes(node).get("axis", 0))
        if extent is None or extent % len(node.output):
            raise _no_form(
                node, f"splits {extent or 'an unknown number of'} rows into {len(node.output)} parts"
            )
        _drop(node, "num_outputs", parts)
    return [node]


def _reduce(node: NodeProto, values: Values) -> list[NodeProto]:
    """Axes became an input with 18. The parser of 8.6 does not see it, and reduces all axes in silence."""
    _drop(node, "noop_with_empty_axes", 0)
    if len(node.input) > 1 and node.input[1]:
        axes = values.constant(node.input[1])
        if axes is None:
            raise _no_form(node, "has axes that are no constant")
        node.attribute.append(helper.make_attribute("axes", [int(axis) for axis in axes]))
        del node.input[1:]
    return [node]


def _reduce_sum(node: NodeProto, values: Values) -> list[NodeProto]:
    """8.6 sums floating point alone. Integers that are summed here count rows: float32 holds them to 2^24."""
    element_type = values.element_type(node.input[0])
    if element_type not in (TensorProto.INT32, TensorProto.INT64):
        return [node]
    source, target = node.input[0], node.output[0]
    node.input[0], node.output[0] = f"{target}/addends", f"{target}/sum"
    return [
        helper.make_node("Cast", [source], [node.input[0]], name=node.input[0], to=TensorProto.FLOAT),
        node,
        helper.make_node("Cast", [node.output[0]], [target], name=target, to=element_type),
    ]


def _resize(node: NodeProto, values: Values) -> list[NodeProto]:
    _drop(node, "antialias", 0)
    _drop(node, "keep_aspect_ratio_policy", b"stretch")
    if "axes" in attributes(node):
        raise _no_form(node, "names axes")
    return [node]


def _pad(node: NodeProto, values: Values) -> list[NodeProto]:
    """18 brought axes, as a fourth input."""
    if len(node.input) > 3:
        raise _no_form(node, "names axes")
    return [node]


def _scatter(node: NodeProto, values: Values) -> list[NodeProto]:
    """18 brought reductions."""
    _drop(node, "reduction", b"none")
    return [node]


def _shape(node: NodeProto, values: Values) -> list[NodeProto]:
    """The parser of 8.6 gives the whole shape whatever `start` and `end` say: cut it after."""
    asked = attributes(node)
    if not asked.keys() & {"start", "end"}:
        return [node]
    del node.attribute[:]
    part, whole = node.output[0], f"{node.output[0]}/whole"
    node.output[0] = whole
    ends = {"starts": asked.get("start", 0), "ends": asked.get("end", INT32_MAX)}
    names = [f"{part}/{end}" for end in ends]
    constants = [
        helper.make_node("Constant", [], [name], name=name, value_ints=[value])
        for name, value in zip(names, ends.values(), strict=True)
    ]
    return [node, *constants, helper.make_node("Slice", [whole, *names], [part], name=part)]


RULES_8_6: dict[str, Rule] = {
    "Pad": _pad,
    "ReduceMax": _reduce,
    "ReduceMean": _reduce,
    "ReduceMin": _reduce,
    "ReduceProd": _reduce,
    "ReduceSum": _reduce_sum,
    "Resize": _resize,
    "ScatterElements": _scatter,
    "ScatterND": _scatter,
    "Shape": _shape,
    "Split": _split,
}
