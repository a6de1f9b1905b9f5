"""TopK over long axes in two steps, for TensorRT.

The time of TensorRT's TopK depends on the length of the axis, not on k (measured by others: 51 µs for 24,000
elements, with k of 100 and of 300; github.com/ultralytics/ultralytics/pull/25666). Groups of the axis run in
parallel, and the second step reads only the best of each group. P2 of an 800 × 1344 canvas has 201,600
positions.

The ONNX file stays as it is: on a CPU, ONNX Runtime and OpenVINO take longer in groups of any number
(docs/tensorrt.md).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper

from maskrt.export.engine.values import Values, attributes, label
from maskrt.runtime.onnx_pass import OnnxPass, expect, replace_nodes

LONG = 1 << 14  # an axis below it is short: two steps have more layers to launch
GAIN = 2  # the two axes together must be this many times shorter than the one


class GroupLongTopK(OnnxPass):
    """Splits every TopK over a long axis into one within groups of the axis and one over their results.

    Values and positions are the same, ties included: what is among the first k of all is among the first k of
    its group, and the groups' results lie in the order of the groups. Only rows (N, R) whose R and k are
    known are split, so shapes must be inferred before.
    """

    def call(self, model: ModelProto) -> bool:
        """Replace each such TopK; the second keeps its name and its outputs."""
        graph, values = model.graph, Values(model.graph)
        nodes: list[NodeProto] = []
        for node in graph.node:
            known = _length_and_k(node, values)
            groups = best_groups(*known) if known else 1
            nodes += _in_groups(node, groups, *known, graph) if known and groups > 1 else [node]
        modified = len(nodes) > len(graph.node)
        replace_nodes(graph, nodes)
        return modified

    def ensures(self, model: ModelProto) -> None:
        """No TopK is left whose axis is known to be worth grouping."""
        values = Values(model.graph)
        for node in model.graph.node:
            known = _length_and_k(node, values)
            expect(not known or best_groups(*known) == 1, self, f"{label(node)} takes {known} at once")


def best_groups(length: int, k: int) -> int:
    """The number of equal groups for which both axes together are shortest; 1 if the gain is too small."""
    if length < LONG:
        return 1
    sums = {n: length // n + n * k for n in range(2, length // k + 1) if length % n == 0}
    best = min(sums, key=sums.__getitem__, default=1)
    return best if best > 1 and sums[best] * GAIN <= length else 1


def _length_and_k(node: NodeProto, values: Values) -> tuple[int, int] | None:
    """(R, k) of a TopK over rows (N, R); None of another node, or where they are not known before running."""
    if node.op_type != "TopK":
        return None
    k, length = values.constant(node.input[1]), values.extent(node.input[0], 1)
    of_rows = values.rank(node.input[0]) == 2 and attributes(node).get("axis", -1) in (1, -1)
    return (length, int(k.item())) if of_rows and length and k is not None else None


def _in_groups(node: NodeProto, groups: int, length: int, k: int, graph: GraphProto) -> list[NodeProto]:
    source, k_name = node.input
    best, rows = node.output
    attributes_but_axis = {name: value for name, value in attributes(node).items() if name != "axis"}

    def name(part: str) -> str:
        return f"{rows}/{part}"

    def make(operator: str, inputs: list[str], outputs: list[str], **more: Any) -> NodeProto:
        return helper.make_node(operator, inputs, outputs, name=f"{outputs[0]}/{operator}", **more)

    starts = np.arange(0, length, length // groups).reshape(1, groups, 1)
    for part, value in (
        ("by_group", np.array([-1, groups, length // groups])),
        ("starts", starts),
        ("in_a_row", np.array([-1, groups * k])),
    ):
        graph.initializer.append(numpy_helper.from_array(value, name(part)))
    last = make("TopK", [name("survivors"), k_name], [best, name("chosen")], axis=1, **attributes_but_axis)
    last.name = node.name
    return [
        make("Reshape", [source, name("by_group")], [name("groups")]),
        make("TopK", [name("groups"), k_name], [name("best"), name("rows")], axis=2, **attributes_but_axis),
        make("Add", [name("rows"), name("starts")], [name("rows_of_all")]),
        make("Reshape", [name("best"), name("in_a_row")], [name("survivors")]),
        make("Reshape", [name("rows_of_all"), name("in_a_row")], [name("rows_of_survivors")]),
        last,
        make("GatherElements", [name("rows_of_survivors"), name("chosen")], [rows], axis=1),
    ]
