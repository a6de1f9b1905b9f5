"""Makes the stages of a model file (`Contract.inside`) outputs of its graph, and cuts parts between them.

Every exported file names the tensors at its stages. They are no outputs, since an output must be kept and
copied. Parity makes them outputs when it reads a file.
"""

from __future__ import annotations

from pathlib import Path

import onnx

from maskrt.runtime.contract import METADATA_KEY, PREFIX, Contract, Inside, Part
from maskrt.runtime.errors import ModelError
from maskrt.runtime.onnx_pass import OnnxPass, expect


class HideStages(OnnxPass):
    """Takes the stages from the graph's outputs; their types stay, as those of inner values."""

    def call(self, model: onnx.ModelProto) -> bool:
        """Move them from the outputs to the inner values."""
        stages = [value for value in model.graph.output if value.name.startswith(PREFIX)]
        for value in stages:
            model.graph.output.remove(value)
        model.graph.value_info.extend(stages)
        return bool(stages)

    def ensures(self, model: onnx.ModelProto) -> None:
        """No stage is an output."""
        expect(not any(v.name.startswith(PREFIX) for v in model.graph.output), self, "a stage is an output")


class ShowStages(OnnxPass):
    """Makes every stage of the model's task an output of the graph."""

    def __init__(self, source: str) -> None:
        """source: the file's name, for messages."""
        self.source = source

    def requires(self, model: onnx.ModelProto) -> None:
        """Raise ModelError where the graph lacks a stage, ContractError where the file has no contract."""
        known = _inner_values(model, self._inside(model)).keys() | {
            value.name for value in model.graph.output
        }
        if missing := [name for name in self._names(model) if name not in known]:
            raise ModelError(
                f"{self.source}: its graph has no tensor named {missing[0]!r}, so it cannot be looked into. "
                f"Export it again with this maskrt: maskrt export CHECKPOINT -o {self.source}"
            )

    def call(self, model: onnx.ModelProto) -> bool:
        """Append those that are no outputs yet, in the order of the computation."""
        graph, inner = model.graph, _inner_values(model, self._inside(model))
        shown = {value.name for value in graph.output}
        names = [name for name in self._names(model) if name not in shown]
        for name in names:
            graph.output.append(inner[name])
            if inner[name] in graph.value_info:
                graph.value_info.remove(inner[name])
        return bool(names)

    def ensures(self, model: onnx.ModelProto) -> None:
        """Every stage is an output."""
        hidden = set(self._names(model)) - {value.name for value in model.graph.output}
        expect(not hidden, self, f"{sorted(hidden)} are no outputs")

    def _names(self, model: onnx.ModelProto) -> list[str]:
        return [PREFIX + name for name in self._inside(model).names]

    def _inside(self, model: onnx.ModelProto) -> Inside:
        return _contract(model, self.source).inside


def _inner_values(model: onnx.ModelProto, inside: Inside) -> dict[str, onnx.ValueInfoProto]:
    """By name, the values between inputs and outputs whose type is known."""
    return {value.name: value for value in (*_untyped(model, inside), *model.graph.value_info)}


def _untyped(model: onnx.ModelProto, inside: Inside) -> list[onnx.ValueInfoProto]:
    """Stages without a recorded type: float32, and counts int32. None of a graph with half precision, where
    the type is not known."""
    if any(one.data_type == onnx.TensorProto.FLOAT16 for one in model.graph.initializer):
        return []
    counts = {PREFIX + tap.name for tap in inside.taps if tap.kind == "counts"}
    kinds = dict.fromkeys(counts, onnx.TensorProto.INT32)
    return [
        onnx.helper.make_tensor_value_info(name, kinds.get(name, onnx.TensorProto.FLOAT), None)
        for node in model.graph.node
        for name in node.output
        if name.startswith(PREFIX)
    ]


def read_with_stages(path: Path) -> bytes:
    """The ONNX file at `path`, serialised with its stages as outputs."""
    model = onnx.load(path)
    ShowStages(str(path))(model)
    return model.SerializeToString()


def cut_into_parts(path: Path) -> dict[str, bytes]:
    """The parts of the graph between its stages (`Contract.inside.parts`), each an ONNX model, serialised.

    A part takes what the contract says and, where it reads them, the graph's own inputs.
    """
    model = onnx.load(path)
    ShowStages(str(path))(model)
    inside = _contract(model, str(path)).inside
    return {part.name: _cut(model, part, inside).SerializeToString() for part in inside.parts}


def _contract(model: onnx.ModelProto, source: str) -> Contract:
    text = next((entry.value for entry in model.metadata_props if entry.key == METADATA_KEY), "")
    return Contract.from_json(text, source)


def _cut(model: onnx.ModelProto, part: Part, inside: Inside) -> onnx.ModelProto:
    graph = model.graph
    known = {value.name: value for value in [*graph.input, *graph.output]}
    maker = {name: node for node in graph.node for name in node.output}
    stops = {inside.tensor(name) for name in part.takes} | {value.name for value in graph.input}
    wanted, needed, taken = [inside.tensor(name) for name in part.gives], set[str](), set[str]()
    while wanted:
        name = wanted.pop()
        if name in stops:
            taken.add(name)
        elif name in maker and name not in needed:
            needed |= set(maker[name].output)
            wanted += [given for given in maker[name].input if given]
    nodes = [node for node in graph.node if needed & set(node.output)]
    read = {name for node in nodes for name in node.input}
    cut = onnx.helper.make_graph(
        nodes,
        graph.name,
        [known[name] for name in sorted(taken)],
        [known[inside.tensor(name)] for name in part.gives],
        [tensor for tensor in graph.initializer if tensor.name in read],
    )
    return onnx.helper.make_model(
        cut, opset_imports=model.opset_import, functions=model.functions, ir_version=model.ir_version
    )
