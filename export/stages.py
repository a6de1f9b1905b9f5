"""The stages of a model file (maskrt.runtime.stages) as outputs of its graph, and the parts between them.

Every exported file names the tensors at its stages. As a rule they are not outputs, since an output must be
kept and copied; here they are made outputs, in a file exported long ago too.
"""

from __future__ import annotations

from pathlib import Path

import onnx

from maskrt.runtime.contract import METADATA_KEY, Contract
from maskrt.runtime.errors import ModelError
from maskrt.runtime.stages import PREFIX, PROPOSAL_COUNTS, parts_of, stages_of, tensor_name


def hide_stages(model: onnx.ModelProto) -> None:
    """Take the stages from the graph's outputs, in place; their types stay, as those of inner values."""
    stages = [value for value in model.graph.output if value.name.startswith(PREFIX)]
    for value in stages:
        model.graph.output.remove(value)
    model.graph.value_info.extend(stages)


def show_stages(model: onnx.ModelProto, source: str) -> None:
    """Make every stage an output of the graph, in place. Does nothing where they are outputs.

    Raises ModelError, naming the file `source`, where the graph lacks a stage.
    """
    outputs = {value.name for value in model.graph.output}
    inner = {value.name: value for value in model.graph.value_info}
    inner |= {value.name: value for value in _untyped(model) if value.name not in inner}
    names = [tensor_name(stage) for stage in stages_of(_contract(model, source))]
    names = [name for name in names if name not in outputs]
    missing = [name for name in names if name not in inner]
    if missing:
        raise ModelError(
            f"{source}: its graph has no tensor named {missing[0]!r}, so it cannot be looked into. "
            f"Export it again with this maskrt: maskrt export CHECKPOINT -o {source}"
        )
    for name in names:
        model.graph.output.append(inner[name])
        if inner[name] in model.graph.value_info:
            model.graph.value_info.remove(inner[name])


def _untyped(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """The stages that a tool left without a type: float32, and counts int32. Of a graph with half precision
    in it nothing is known."""
    if any(one.data_type == onnx.TensorProto.FLOAT16 for one in model.graph.initializer):
        return []
    kinds = {tensor_name(PROPOSAL_COUNTS): onnx.TensorProto.INT32}
    return [
        onnx.helper.make_tensor_value_info(name, kinds.get(name, onnx.TensorProto.FLOAT), None)
        for node in model.graph.node
        for name in node.output
        if name.startswith(PREFIX)
    ]


def read_with_stages(path: Path) -> bytes:
    """The ONNX file at `path`, serialised with its stages as outputs."""
    model = onnx.load(path)
    show_stages(model, str(path))
    return model.SerializeToString()


def cut_into_parts(path: Path) -> dict[str, bytes]:
    """The parts of the graph between its stages (`runtime.stages.parts_of`), each an ONNX model, serialised.

    A part takes what parts_of says and, where it reads them, the graph's own inputs.
    """
    model = onnx.load(path)
    show_stages(model, str(path))
    parts = parts_of(_contract(model, str(path)))
    return {part: _cut(model, *ends).SerializeToString() for part, ends in parts.items()}


def _contract(model: onnx.ModelProto, source: str) -> Contract:
    text = next((entry.value for entry in model.metadata_props if entry.key == METADATA_KEY), "")
    return Contract.from_json(text, source)


def _cut(model: onnx.ModelProto, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> onnx.ModelProto:
    graph = model.graph
    known = {value.name: value for value in [*graph.input, *graph.output]}
    maker = {name: node for node in graph.node for name in node.output}
    stops = {tensor_name(name) for name in inputs} | {value.name for value in graph.input}
    wanted, needed, taken = [tensor_name(name) for name in outputs], set[str](), set[str]()
    while wanted:
        name = wanted.pop()
        if name in stops:
            taken.add(name)
        elif name in maker and name not in needed:
            needed |= set(maker[name].output)
            wanted += [given for given in maker[name].input if given]
    nodes = [node for node in graph.node if needed & set(node.output)]
    read = {name for node in nodes for name in node.input}
    part = onnx.helper.make_graph(
        nodes,
        graph.name,
        [known[name] for name in sorted(taken)],
        [known[tensor_name(name)] for name in outputs],
        [tensor for tensor in graph.initializer if tensor.name in read],
    )
    return onnx.helper.make_model(
        part, opset_imports=model.opset_import, functions=model.functions, ir_version=model.ir_version
    )
