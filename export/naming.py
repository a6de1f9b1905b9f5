"""Gives the exports of one checkpoint the same names.

PyTorch's exporter numbers unnamed values in the order in which they appear, symbolic shapes included, so one
more cast shifts all later numbers. But calibration measures ranges on one file and uses them, by name, in
another.
"""

from __future__ import annotations

from collections import Counter

from onnx import ModelProto

from maskrt.runtime.contract import PREFIX
from maskrt.runtime.onnx_pass import OnnxPass, expect


class NumberByOperator(OnnxPass):
    """Names nodes and their outputs by operator and its number in the graph: "relu.3".

    A cast is named after its input. So two graphs that differ in casts only share all other names. Inputs and
    outputs of the graph, weights and stages keep their names. Constants keep the exporter's, which have no
    such point.
    """

    def call(self, model: ModelProto) -> bool:
        """Rename in the order of the nodes."""
        graph, before = model.graph, [node.name for node in model.graph.node]
        kept = {value.name for value in (*graph.input, *graph.output)} | {t.name for t in graph.initializer}
        counts = Counter[str]()
        names: dict[str, str] = {}
        for node in graph.node:
            node.input[:] = [names.get(name, name) for name in node.input]
            kind = f"cast.{node.input[0]}" if node.op_type == "Cast" else node.op_type.lower()
            made = f"{kind}.{counts[kind]}"
            counts[kind] += 1
            node.name = f"node_{made}"
            for place, name in enumerate(node.output):
                if name and name not in kept and not name.startswith(PREFIX):
                    names[name] = f"{made}.{place}" if place else made
            node.output[:] = [names.get(name, name) for name in node.output]
        for value in graph.value_info:
            value.name = names.get(value.name, value.name)
        return [node.name for node in graph.node] != before or any(old != new for old, new in names.items())

    def ensures(self, model: ModelProto) -> None:
        """No two nodes have one name, and no two make one tensor."""
        for names in (
            [node.name for node in model.graph.node],
            [name for node in model.graph.node for name in node.output if name],
        ):
            twice = [name for name, count in Counter(names).items() if count > 1]
            expect(not twice, self, f"{twice} name several")
