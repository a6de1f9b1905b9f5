"""Checks a graph against the operators and types that each TensorRT's ONNX parser takes (operators.csv).

operators.csv gives, for the operators that our graphs use, the types from docs/operators.md of onnx-tensorrt:
at 8.6-GA, and at 10.1-GA for 10.3 and later. The documents of 10.15 and 11.1 were compared: for these
operators they take nothing back. NonZero's integers and booleans are from the importer's source, which names
them. The five that keypoints alone need (Abs, ArgMax, Ceil, LessOrEqual, Reciprocal) were read at 8.6-GA and
10.1-GA only. Types that we never use (BF16, FP8, INT4) are left out.

Where the document is silent, the limits below are from the importers' sources at the same two versions. Past
those of 8.6, its parser reports no error: it builds another network.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto

from maskrt.export.engine.values import STANDARD, Values, attributes, label, standard_nodes
from maskrt.export.plugins.python_operators import OPERATORS
from maskrt.models.parts.tensorrt_limits import TOPK_LIMIT

Version = tuple[int, int]

TABLE = Path(__file__).with_name("operators.csv")
PLUGINS = tuple(operator.NAME for operator in OPERATORS)
#: From this version on: the column of the table, and the newest opset that its document names.
COLUMNS: dict[Version, tuple[str, int]] = {(8, 6): ("8.6", 17), (10, 1): ("10.1", 20), (10, 15): ("10.1", 24)}
NMS_LIMIT = 5000  # NvInfer.h, INMSLayer::setTopKBoxLimit, of every supported version: boxes of an image
INT32 = np.iinfo(np.int32)
TYPES: dict[int, str] = {
    TensorProto.FLOAT: "FP32",
    TensorProto.FLOAT16: "FP16",
    TensorProto.INT32: "INT32",
    TensorProto.INT64: "INT64",
    TensorProto.INT8: "INT8",
    TensorProto.UINT8: "UINT8",
    TensorProto.BOOL: "BOOL",
}


@functools.cache
def _table() -> dict[str, dict[str, set[str]]]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = [dict(row) for row in csv.DictReader(file)]
    return {
        row.pop("operator"): {column: set(types.split()) for column, types in row.items()} for row in rows
    }


def _column(version: Version) -> tuple[str, int]:
    return COLUMNS[max(since for since in COLUMNS if since <= version)]


def is_ours(node: NodeProto) -> bool:
    """True for an operator of ours, which has a plugin. ONNX has a DeformConv too, of its own domain."""
    return node.op_type in PLUGINS and node.domain not in STANDARD


def refusals(model: ModelProto, version: Version) -> list[str]:
    """List what this version's parser does not take of a model without functions, a sentence each.

    The model's types must be inferred. Our own operators are left out: they are the plugins' matter.
    """
    column, newest = _column(version)
    values = Values(model.graph)
    found = [
        f"opset {opset.version}, the newest it takes is {newest}"
        for opset in model.opset_import
        if opset.domain in STANDARD and opset.version > newest
    ]
    found += [
        f"{label(node)}: an operator of the domain '{node.domain}', which has no plugin"
        for node in model.graph.node
        if node.domain not in STANDARD and not is_ours(node)
    ]
    for node in standard_nodes(model.graph):
        rows = _table()
        if node.op_type not in rows:
            found.append(f"{label(node)}: an operator that is not in {TABLE.name}")
            continue
        for name in _subjects(node):
            if (kind := _type_name(values.element_type(name), version)) not in rows[node.op_type][column]:
                taken = ", ".join(sorted(rows[node.op_type][column]))
                found.append(f"{label(node)}: its tensor '{name}' is {kind}, it takes {taken}")
        for applies, check in LIMITS.get(node.op_type, ()):
            if applies(version) and (reason := check(node, values)):
                found.append(f"{label(node)}: {reason}")
        if version < (10, 0):
            found += (f"{label(node)}: {reason}" for reason in _wide_constants(node, values))
    return found


def _subjects(node: NodeProto) -> list[str]:
    """The tensors whose types the table is about."""
    if node.op_type == "Cast":
        return [node.input[0], node.output[0]]
    if node.op_type in ("Constant", "ConstantOfShape"):
        return [node.output[0]]
    return [node.input[1 if node.op_type == "Where" else 0]]


def _type_name(element_type: int, version: Version) -> str:
    if element_type == TensorProto.INT64 and version < (10, 0):
        return "INT32"  # the parser of 8.6 converts it
    return TYPES.get(element_type, "of a type unknown")


def _wide_constants(node: NodeProto, values: Values) -> Iterator[str]:
    """INT64 constants that 8.6 would clamp to INT32. The open end of a Slice may be clamped."""
    if node.op_type in ("Slice", "Constant"):
        return
    for name in node.input:
        if values.element_type(name) != TensorProto.INT64:
            continue
        constant = values.constant(name)
        if constant is None or not constant.size:
            continue
        if constant.min() < INT32.min or constant.max() > INT32.max:
            yield f"its constant '{name}' does not fit INT32"


Check = Callable[[NodeProto, Values], str | None]
Limit = tuple[Callable[[Version], bool], Check]


def _ever(version: Version) -> bool:
    return True


def _eight(version: Version) -> bool:
    return version < (10, 0)


def _constant_input(index: int, name: str) -> Check:
    def check(node: NodeProto, values: Values) -> str | None:
        given = len(node.input) > index and node.input[index]
        return f"its {name} are no constant" if given and values.constant(node.input[index]) is None else None

    return check


def _no_input(index: int, name: str) -> Check:
    def check(node: NodeProto, values: Values) -> str | None:
        return f"its {name} are an input, which is not read" if len(node.input) > index else None

    return check


def _no_attribute(*names: str) -> Check:
    def check(node: NodeProto, values: Values) -> str | None:
        given = [name for name in names if name in attributes(node)]
        return f"its attribute '{given[0]}' is not read" if given else None

    return check


def _topk(node: NodeProto, values: Values) -> str | None:
    k = values.constant(node.input[1])
    if k is not None and int(k.ravel()[0]) > TOPK_LIMIT:
        return f"k is {int(k.ravel()[0])}, at most {TOPK_LIMIT}"
    return None if attributes(node).get("sorted", 1) else "an unsorted one"


def _nms(node: NodeProto, values: Values) -> str | None:
    """INMSLayer keeps the best NMS_LIMIT boxes of an image by score and drops the others without an error."""
    boxes = values.extent(node.input[0], 1)
    if boxes is None or boxes <= NMS_LIMIT:
        return None
    return f"{boxes} boxes an image, of which TensorRT's NMS considers {NMS_LIMIT}"


def _zero_point(node: NodeProto, values: Values) -> str | None:
    if len(node.input) < 3 or not node.input[2]:
        return None
    zero = values.constant(node.input[2])
    return None if zero is not None and not zero.any() else f"its zero point '{node.input[2]}' is not 0"


LIMITS: dict[str, tuple[Limit, ...]] = {
    "Constant": ((_eight, _no_attribute("value_int", "value_ints")),),
    "NonMaxSuppression": ((_ever, _nms),),
    "Pad": ((lambda version: version < (10, 4), _constant_input(3, "axes")), (_eight, _no_input(3, "axes"))),
    "QuantizeLinear": ((_ever, _zero_point),),
    "DequantizeLinear": ((_ever, _zero_point),),
    "ScatterND": ((_ever, _no_attribute("reduction")),),
    "Shape": ((_eight, _no_attribute("start", "end")),),
    "Slice": ((lambda version: version < (10, 3), _constant_input(3, "axes")),),
    "Squeeze": ((lambda version: version < (10, 7), _constant_input(1, "axes")),),
    "TopK": ((_ever, _topk),),
    "Unsqueeze": ((lambda version: version < (10, 7), _constant_input(1, "axes")),),
    "ReduceSum": ((_ever, _constant_input(1, "axes")),),
} | {
    reduce: ((_ever, _constant_input(1, "axes")), (_eight, _no_input(1, "axes")))
    for reduce in ("ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd")
}
