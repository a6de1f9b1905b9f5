"""Passes for the parser of TensorRT 8.6: opset 17, in the forms that it reads correctly."""

from __future__ import annotations

from collections.abc import Callable

import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper

from maskrt.export.engine.supported import is_ours
from maskrt.export.engine.values import STANDARD, Values, attributes, label, standard_nodes
from maskrt.runtime.errors import ExportError
from maskrt.runtime.onnx_pass import OnnxPass, expect, replace_nodes

OPSET_8_6, IR_8_6 = 17, 8  # what TensorRT 8.6 documents, and the IR of the ONNX release that brought it
INT32_MAX = 2**31 - 1
BEFORE_CAST = "/plugin"  # ends the name of a plugin's output that a Cast reads

Rule = Callable[[NodeProto, Values], list[NodeProto]]


class LowerToOpset17(OnnxPass):
    """Writes an opset 18 model in opset 17, and as the parser of TensorRT 8.6 reads it.

    Types must be inferred before. The new nodes may be Constants: `HoldConstants` comes after it.
    """

    def requires(self, model: ModelProto) -> None:
        """Raise ExportError for a node, by its name, that is another operator in opset 17 and has no rule."""
        given = _opset(model).version
        for node in standard_nodes(model.graph):
            if given > OPSET_8_6 and node.op_type not in RULES_8_6:
                here = onnx.defs.get_schema(node.op_type, max_inclusive_version=given).since_version
                if here > OPSET_8_6:
                    raise _no_form(node, f"is of opset {here}")

    def call(self, model: ModelProto) -> bool:
        """Rewrite node by node. Raises ExportError, naming it, for a node without such a form."""
        values, before = Values(model.graph), _outline(model)
        nodes: list[NodeProto] = []
        for node in model.graph.node:
            rule = RULES_8_6.get(node.op_type) if node.domain in STANDARD else None
            nodes += rule(node, values) if rule else [node]
        replace_nodes(model.graph, nodes)
        opset = _opset(model)
        opset.version = min(opset.version, OPSET_8_6)
        model.ir_version = min(model.ir_version, IR_8_6)
        return _outline(model) != before

    def ensures(self, model: ModelProto) -> None:
        """Opset and IR version are ones that 8.6 documents."""
        expect(_opset(model).version <= OPSET_8_6, self, f"opset {_opset(model).version} is left")
        expect(model.ir_version <= IR_8_6, self, f"IR version {model.ir_version} is left")


class CastBehindPlugins(OnnxPass):
    """Puts a Cast to half behind every half output of a plugin.

    To a network of TensorRT 8.6 a plugin's output is float32 until the builder chooses, and so is all that
    follows it; behind the Cast it is half. Types must be inferred before.
    """

    def call(self, model: ModelProto) -> bool:
        """Rename the plugins' outputs to "NAME/plugin"; the Casts give NAME."""
        graph, values = model.graph, Values(model.graph)
        infos = {info.name: info for info in (*graph.output, *graph.value_info)}
        nodes: list[NodeProto] = []
        for node in graph.node:
            nodes.append(node)
            for i, name in enumerate(node.output):
                if not _is_plugins_half(node, name, values) or name.endswith(BEFORE_CAST):
                    continue
                node.output[i] = f"{name}{BEFORE_CAST}"
                info = graph.value_info.add()
                info.CopyFrom(infos[name])
                info.name = node.output[i]
                nodes.append(
                    helper.make_node("Cast", [info.name], [name], f"{name}/half", to=TensorProto.FLOAT16)
                )
        modified = len(nodes) > len(graph.node)
        replace_nodes(graph, nodes)
        return modified

    def ensures(self, model: ModelProto) -> None:
        """Nothing but Casts reads a half output of a plugin."""
        values, nodes = Values(model.graph), model.graph.node
        halves = {name for node in nodes for name in node.output if _is_plugins_half(node, name, values)}
        for node in nodes:
            read = sorted(halves & set(node.input))
            expect(not read or node.op_type == "Cast", self, f"{label(node)} reads {read}")


def _is_plugins_half(node: NodeProto, name: str, values: Values) -> bool:
    return is_ours(node) and values.element_type(name) == TensorProto.FLOAT16


def _opset(model: ModelProto) -> onnx.OperatorSetIdProto:
    return next(opset for opset in model.opset_import if opset.domain in STANDARD)


def _outline(model: ModelProto) -> list[bytes]:
    """All that a rule may change, to see whether one did."""
    versions = str((model.ir_version, _opset(model).version)).encode()
    return [versions, *(node.SerializeToString(deterministic=True) for node in model.graph.node)]


def _no_form(node: NodeProto, why: str) -> ExportError:
    return ExportError(
        f"{label(node)} {why}, and has no form that TensorRT 8.6 takes (opset {OPSET_8_6}). "
        "Use TensorRT 10.3 or later for this model."
    )


def _drop(node: NodeProto, name: str, harmless: object) -> None:
    """Remove an attribute of a later opset, if its value is the default."""
    if attributes(node).get(name, harmless) != harmless:
        raise _no_form(node, f"has {name}={attributes(node)[name]!r}")
    kept = [a for a in node.attribute if a.name != name]
    del node.attribute[:]
    node.attribute.extend(kept)


def _split(node: NodeProto, values: Values) -> list[NodeProto]:
    """num_outputs came with 18. Equal parts need no number; unequal ones are refused."""
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
    """Axes became an input with 18. The parser of 8.6 ignores it, and reduces all axes without an error."""
    _drop(node, "noop_with_empty_axes", 0)
    if len(node.input) > 1 and node.input[1]:
        axes = values.constant(node.input[1])
        if axes is None:
            raise _no_form(node, "has axes that are no constant")
        node.attribute.append(helper.make_attribute("axes", [int(axis) for axis in axes]))
        del node.input[1:]
    return [node]


def _reduce_sum(node: NodeProto, values: Values) -> list[NodeProto]:
    """8.6 sums floating point only. The integers summed here count rows, which float32 holds up to 2^24."""
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
    """The parser of 8.6 ignores `start` and `end` and gives the whole shape: slice it afterwards."""
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
