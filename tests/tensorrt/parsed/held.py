"""One prepared file through the real parser, and everything that the parser made of it held against the file.

Run in a process of its own: a fault of the mock network would end it (test fixtures use a process pool).
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import ModelProto

from tests.tensorrt.parsed.bridge import ASK, loads, open_bridge
from tests.tensorrt.parsed.network import Evaluation, Network, Tensor
from tests.tensorrt.parsed.plugins import attributes
from tests.tensorrt.parsed.types import DataType, of_onnx, rounded

Arrays = dict[str, np.ndarray]
_LOADED: set[Path] = set()  # the registry refuses a library whose creators it has
#: Of the largest value of a tensor, in float32 and in half: one layer alone, given ONNX Runtime's inputs.
FLOAT_TOLERANCE, HALF_TOLERANCE = 2e-5, 4e-3


@dataclass
class Held:
    """What came of a file. wrong: everything that is not what the file says, a sentence each."""

    parsed: bool
    errors: list[str]
    layers: Counter[str] = field(default_factory=Counter)
    plugins: list[tuple[str, dict]] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)  # values of the file that became no tensor
    compared: int = 0
    wrong: list[str] = field(default_factory=list)


def hold(
    library: Path, plugins: Path, file: bytes, reference: bytes, feeds: Sequence[Arrays], wide: bool = False
) -> Held:
    """Parse a file, and compare what was made of it.

    reference: the same graph, with bodies for our operators, as ONNX Runtime takes it. feeds: two inputs, of
    two shapes where the file is dynamic.
    """
    model = onnx.load_model_from_string(file)
    network = Network(tuple(_as_tensors(model, feed) for feed in feeds), wide)  # type: ignore[arg-type]
    parsed = _parse(library, plugins, file, network)
    held = Held(parsed, network.errors or ([] if parsed else network.said))
    if not parsed:
        return held
    held.layers = Counter(layer.kind for layer in network.layers)
    held.plugins = [
        (layer.parameters["plugin"]["name"], attributes(layer.parameters["plugin"]))
        for layer in network.layers
        if layer.kind == "Plugin"
    ]
    held.outputs = [tensor.name for tensor in network.outputs]
    named = {tensor.name for tensor in network.named()}
    held.absent = [name for node in model.graph.node for name in node.output if name and name not in named]
    held.wrong += [*network.mixed_types(), *_declared(network, model, wide)]
    held.compared, differing = _computed(network, model, reference, feeds)
    held.wrong += differing
    del network
    gc.collect()  # network and values refer to each other: gigabytes that would wait for the next file
    return held


def _as_tensors(model: ModelProto, feed: Arrays) -> dict[str, torch.Tensor]:
    kinds = {value.name: value.type.tensor_type.elem_type for value in model.graph.input}
    return {name: rounded(torch.from_numpy(a), of_onnx(kinds[name], True)) for name, a in feed.items()}


def _parse(library: Path, plugins: Path, file: bytes, network: Network) -> bool:
    def answer(request: bytes, address: int) -> None:
        try:
            found = network.answer(request.decode())
        except Exception:  # C++ cannot be told, and would go on with nothing
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(os.EX_SOFTWARE)
        text = (" ".join(map(str, found)) if isinstance(found, tuple) else str(found)).encode() + b"\0"
        ctypes.memmove(address, text, len(text))

    if plugins not in _LOADED:
        assert loads(library, str(plugins)), f"the registry does not load {plugins}"
        _LOADED.add(plugins)
    return open_bridge(library).maskrt_parse(ASK(answer), file, ctypes.c_size_t(len(file)))


def _declared(network: Network, model: ModelProto, wide: bool) -> list[str]:
    """Types and shapes of every value of the file that the parser made a tensor of."""
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    known = {v.name: v.type.tensor_type for v in (*graph.input, *graph.value_info, *graph.output)}
    wrong = []
    for tensor in network.named():
        if tensor.name not in known or not known[tensor.name].elem_type:
            continue
        expected, got = of_onnx(known[tensor.name].elem_type, wide), network.type(tensor)
        if expected != got and not _half_of_a_plugin(tensor, expected):
            wrong.append(f"'{tensor.name}' is {got.name}, in the file {expected.name}")
        if tensor.type not in (None, got):
            wrong.append(f"'{tensor.name}' is {got.name}, and becomes {tensor.type.name} as an output")
        if not known[tensor.name].HasField("shape"):
            continue
        extents = [d.dim_value if d.HasField("dim_value") else -1 for d in known[tensor.name].shape.dim]
        dims = network.dims(tensor)
        pairs = zip(dims, extents, strict=False)
        if len(dims) != len(extents) or any(a != b and min(a, b) >= 0 for a, b in pairs):
            wrong.append(f"'{tensor.name}' is {dims}, in the file {tuple(extents)}")
    return wrong


def _half_of_a_plugin(tensor: Tensor, expected: DataType) -> bool:
    """8.6 counts it as float32 until it builds."""
    return tensor.layer is not None and tensor.layer.kind == "Plugin" and expected == DataType.HALF


def _computed(
    network: Network, model: ModelProto, reference: bytes, feeds: Sequence[Arrays]
) -> tuple[int, list[str]]:
    """Every named tensor from ONNX Runtime's values of those before it, against ONNX Runtime's own."""
    session, names = _with_all_values(reference)
    wrong, count = [], 0
    for feed in feeds:
        expected = dict(zip(names, session.run(names, feed), strict=True))
        evaluation = Evaluation(network, _as_tensors(model, feed))
        named = [tensor for tensor in network.named() if tensor.layer is not None and tensor.name in expected]
        for tensor in named:
            evaluation.given[tensor.id] = rounded(
                torch.from_numpy(np.array(expected[tensor.name])), network.type(tensor)
            )
        for tensor in named:
            count += 1
            if (fault := _fault(evaluation, tensor, expected[tensor.name])) is not None:
                wrong.append(f"'{tensor.name}' ({tensor.layer.kind}): {fault}")  # type: ignore[union-attr]
    return count, wrong


def _fault(evaluation: Evaluation, tensor: Tensor, expected: np.ndarray) -> str | None:
    try:
        got = evaluation.value(tensor).numpy()
    except (ValueError, IndexError, RuntimeError) as error:
        return f"cannot be computed: {error}"
    if got.shape != expected.shape:
        return f"{got.shape} comes out, by ONNX Runtime {expected.shape}"
    if expected.dtype.kind != "f":
        differing = int((got != expected).sum())
        return f"{differing} of {expected.size} values differ" if differing else None
    tolerance = HALF_TOLERANCE if expected.dtype == np.float16 else FLOAT_TOLERANCE
    scale = float(np.abs(expected[np.isfinite(expected)]).max(initial=0.0)) or 1.0
    near = np.isclose(got, expected, rtol=tolerance, atol=tolerance * scale, equal_nan=True)
    return (
        None
        if near.all()
        else f"{(~near).sum()} of {near.size} values differ, by {np.nanmax(np.abs(got - expected)):.3g}"
    )


def _with_all_values(reference: bytes) -> tuple[onnxruntime.InferenceSession, list[str]]:
    """A session that gives every value of the graph, unoptimised: what a node computes, and nothing fused."""
    model = onnx.load_model_from_string(reference)
    known = {v.name: v for v in onnx.shape_inference.infer_shapes(model).graph.value_info}
    outputs = {o.name for o in model.graph.output}
    names = [n for node in model.graph.node for n in node.output if n]
    model.graph.output.extend(known.get(n) or onnx.ValueInfoProto(name=n) for n in names if n not in outputs)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options), names
