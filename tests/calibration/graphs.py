"""Small graphs in ONNX's text form, with random weights, and the Q/DQ pairs that a quantised one has."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto, numpy_helper

from maskrt.calibration.decide.candidate import observed_tensors
from maskrt.calibration.decide.layers import Graph
from maskrt.calibration.measure.collect import open_exposed
from maskrt.calibration.rewrite.placement import place
from maskrt.calibration.rewrite.qdq import Quantise, Ranges

# Eight bits in and out of a handful of layers on random data: each rounds by at most half of 1/127 of the peak.
RELATIVE_ERROR = 0.05


def parse(
    body: str,
    weights: dict[str, tuple[int, ...]],
    *,
    functions: str = "",
    opset: int = 18,
    dtype: type = np.float32,
    scaled: float = 1.0,
) -> ModelProto:
    """A model of one float input `x` and output `y`; weights[name] gets the shape given, `name` ends as in a
    checkpoint: 'layer.weight', 'layer.bias'. Dots are written as `_` in the text."""
    text = f"""
        <ir_version: 8, opset_import: ["": {opset}, "maskrt": 1]>
        main ({body.split("{", 1)[0].strip()}) {{{body.split("{", 1)[1]}
        {functions}
    """
    model = onnx.parser.parse_model(text)
    rng = np.random.default_rng(0)
    for name, shape in weights.items():
        values = rng.normal(0, 1 / max(1, np.prod(shape[1:])) ** 0.5, shape).astype(dtype) * dtype(scaled)
        model.graph.initializer.append(numpy_helper.from_array(values, name))
    written = {name.replace(".", "_"): name for name in weights}
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = written.get(name, name)
    onnx.checker.check_model(model, full_check=True)
    return model


def sample(model: ModelProto, seed: int = 1) -> np.ndarray:
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def seen_ranges(model: ModelProto) -> Ranges:
    tensors = observed_tensors(Graph(model.graph))
    values = open_exposed(model, tensors).run(tensors, {"x": sample(model)})
    return {name: (float(v.min()), float(v.max())) for name, v in zip(tensors, values, strict=True)}


def quantised(model: ModelProto, flavour: str, layers: list[str] | None = None) -> ModelProto:
    """The model with `layers` (default: all) in eight bits, valid ONNX, and still the same function."""
    names = list(Graph(model.graph).layers) if layers is None else layers
    int8 = ModelProto()
    int8.CopyFrom(model)
    Quantise(place(Graph(model.graph), names, flavour), seen_ranges(model))(int8)
    onnx.checker.check_model(int8, full_check=True)
    expected, actual = (run(m) for m in (model, int8))
    error = np.linalg.norm(actual - expected) / np.linalg.norm(expected)
    assert 0 < error < RELATIVE_ERROR, f"relative error {error}"
    return int8


def run(model: ModelProto) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": sample(model)})[0]


def pairs(model: ModelProto) -> dict[str, set[str]]:
    """Tensor with a pair → outputs of the nodes that read it through the pair."""
    graph = Graph(model.graph)
    found: dict[str, set[str]] = {}
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear":
            (reader,) = graph.consumers[node.output[0]]
            assert reader.op_type == "DequantizeLinear"
            assert list(reader.input[1:]) == list(node.input[1:]), "one scale for Q and DQ"
            found[node.input[0]] = {n.output[0] for n in graph.consumers.get(reader.output[0], [])}
    return found


def scale(model: ModelProto, tensor: str) -> float:
    return float(numpy_helper.to_array(Graph(model.graph).initializers[f"{tensor}/scale"]))


def kernels(model: ModelProto, folder: str) -> list[str]:
    """Operators of the graph that ONNX Runtime really runs, sorted."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = f"{folder}/optimised.onnx"
    options.log_severity_level = 3
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return sorted(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)
