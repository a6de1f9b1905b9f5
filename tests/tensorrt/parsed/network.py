"""The mock network's Python side: what the parser adds, and what it is told when it asks for shapes and types.

TensorRT answers such questions by rules of its own. Here each layer is computed (layers.py), on two example
inputs; an extent that is not the same in both is dynamic, -1. So one set of rules, how a layer computes, serves
the questions during parsing and the proof afterwards, and that proof shows that the rules are right.
"""

from __future__ import annotations

import ctypes
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from tests.tensorrt.parsed.layers import COMPUTE, NUM_OUTPUTS, output_types
from tests.tensorrt.parsed.types import DTYPES, DataType, rounded

Feed = Mapping[str, torch.Tensor]
STRONGLY_TYPED = 1  # NetworkDefinitionCreationFlag


@dataclass
class Layer:
    """A layer as the parser configured it: inputs by index, parameters by their names in NVIDIA's header."""

    id: int
    kind: str
    inputs: dict[int, int]
    parameters: dict[str, Any]
    outputs: list[int] = field(default_factory=list)
    types_set: dict[int, DataType] = field(default_factory=dict)
    name: str = ""


@dataclass
class Tensor:
    """A tensor: an input of the network, whose type and extents are given, or a layer's output.

    Of an output of the network `type` is what the parser wants it to be.
    """

    id: int
    name: str
    layer: Layer | None
    type: DataType | None = None
    dims: tuple[int, ...] | None = None


class Evaluation:
    """Values of the network's tensors for one feed, worked out when they are asked for.

    spare: at least so many rows are added to results whose number of rows depends on the data.
    """

    def __init__(self, network: Network, feed: Feed, spare: int = 0) -> None:
        self.network, self.feed, self.spare = network, feed, spare
        self.given: dict[int, torch.Tensor] = {}
        self._done: dict[int, list[torch.Tensor]] = {}

    def value(self, tensor: Tensor) -> torch.Tensor:
        """Of a tensor; of the layers before it, those are computed that have not been."""
        if tensor.layer is None:
            return self.feed[tensor.name]
        waiting = [tensor.layer]
        while waiting:
            layer = waiting[-1]
            if layer.id in self._done:
                waiting.pop()
                continue
            sources = [self.network.tensors[i] for i in layer.inputs.values() if i not in self.given]
            missing = [s.layer for s in sources if s.layer is not None and s.layer.id not in self._done]
            waiting += missing
            if not missing:
                self._done[layer.id] = self._computed(layer)
        return self._done[tensor.layer.id][tensor.layer.outputs.index(tensor.id)]

    def _computed(self, layer: Layer) -> list[torch.Tensor]:
        inputs = {index: self._input(self.network.tensors[i]) for index, i in layer.inputs.items()}
        results = COMPUTE[layer.kind](layer.parameters, inputs, self.spare)
        types = self.network.types(layer)
        return [rounded(result, kind) for result, kind in zip(results, types, strict=True)]

    def _input(self, tensor: Tensor) -> torch.Tensor:
        return self.given[tensor.id] if tensor.id in self.given else self.value(tensor)

    def forget(self, layer: Layer) -> None:
        """Drop what depends on a layer that was changed."""
        self._done = _before(layer, self._done)


class Network:
    """Tensors and layers that the parser made, and the answers that it gets (bridge.h)."""

    def __init__(self, feeds: tuple[Feed, Feed], wide: bool) -> None:
        self.wide = wide  # TensorRT 10 and later: INT64, and types as the file has them
        self.tensors: list[Tensor] = []
        self.layers: list[Layer] = []
        self.outputs: list[Tensor] = []
        self.errors: list[str] = []
        self.said: list[str] = []
        self._types: dict[int, list[DataType]] = {}
        self._worlds = (Evaluation(self, feeds[0]), Evaluation(self, feeds[1], spare=1))

    def answer(self, request: str) -> Any:
        """What a method of the mock returns: a number, a list, a text, or None."""
        asked = json.loads(request)
        of, method, arguments = asked["of"], asked["method"], asked["arguments"]
        if of == "NetworkDefinition":
            return self._of_network(method, arguments)
        if of == "Tensor":
            return self._of_tensor(self.tensors[asked["id"]], method, arguments)
        if of == "Parser":
            self.errors.append(f"node {arguments['node']}: {arguments['text']}")
            return None
        if of == "Logger":
            self.said.append(arguments["text"])
            return None
        return self._of_layer(self.layers[asked["id"]], method, arguments)

    def types(self, layer: Layer) -> list[DataType]:
        """Of a layer's outputs."""
        if layer.id not in self._types:
            given = [self.type(self.tensors[i]) for _, i in sorted(layer.inputs.items())]
            kinds = output_types(layer.kind, layer.parameters, given, self.wide)
            self._types[layer.id] = [layer.types_set.get(i, kind) for i, kind in enumerate(kinds)]
        return self._types[layer.id]

    def type(self, tensor: Tensor) -> DataType:
        """Of a tensor, at the time the network is defined."""
        if tensor.layer is None:
            assert tensor.type is not None
            return tensor.type
        return self.types(tensor.layer)[tensor.layer.outputs.index(tensor.id)]

    def dims(self, tensor: Tensor) -> tuple[int, ...]:
        """Of a tensor; -1 where they depend on the canvas or on the data."""
        if tensor.dims is not None:
            return tensor.dims
        one, other = (world.value(tensor).shape for world in self._worlds)
        assert len(one) == len(other), f"tensor {tensor.name} has no fixed rank: {one}, {other}"
        return tuple(a if a == b else -1 for a, b in zip(one, other, strict=True))

    def mixed_types(self) -> Iterator[str]:
        """Layers that TensorRT refuses when it builds: their inputs must be of one type, and are not."""
        for layer in self.layers:
            first = {"ElementWise": 0, "Concatenation": 0, "Select": 1}.get(layer.kind)
            if first is None:
                continue
            inputs = [self.tensors[i] for index, i in sorted(layer.inputs.items()) if index >= first]
            if len({self.type(tensor) for tensor in inputs}) > 1:
                named = ", ".join(f"'{t.name}' {self.type(t).name}" for t in inputs)
                made = self.tensors[layer.outputs[0]].name
                yield f"layer '{layer.name}' ({layer.kind}) that makes '{made}' mixes {named}"

    def _of_network(self, method: str, arguments: dict[str, Any]) -> Any:
        if method == "addInput":
            kind, dims = DataType(arguments["type"]), tuple(arguments["dimensions"])
            return self._new_tensor(arguments["name"], None, kind, dims).id
        if method.startswith("add"):
            return self._add(re.sub(r"(Nd|V2|V3)$", "", method.removeprefix("add")), arguments).id
        if method == "markOutput":
            self.outputs.append(self.tensors[arguments["tensor"]["tensor"]])
            return None
        answers = {
            "hasImplicitBatchDimension": 0,
            "setWeightsName": 1,
            "getNbLayers": len(self.layers),
            "getNbInputs": sum(t.layer is None for t in self.tensors),
            "getNbOutputs": len(self.outputs),
            "getFlags": 1 << STRONGLY_TYPED if self.wide else 0,
            "getFlag": int(self.wide and arguments.get("networkDefinitionCreationFlag") == STRONGLY_TYPED),
        }
        if method == "getLayer":
            return arguments["index"]
        if method == "getOutput":
            return self.outputs[arguments["index"]].id
        if method == "getInput":
            return [t for t in self.tensors if t.layer is None][arguments["index"]].id
        return answers[method]

    def _new_tensor(self, name: str, layer: Layer | None, *given: Any) -> Tensor:
        tensor = Tensor(len(self.tensors), name, layer, *given)
        self.tensors.append(tensor)
        return tensor

    def _add(self, kind: str, arguments: dict[str, Any]) -> Layer:
        inputs, parameters = list[int](), dict[str, Any]()
        for name, value in arguments.items():
            for part in value if isinstance(value, list) else [value]:
                if isinstance(part, dict) and "tensor" in part:
                    inputs.append(part["tensor"])
            parameters[name] = _of_weights(value) if isinstance(value, dict) and "address" in value else value
        layer = Layer(len(self.layers), kind, dict(enumerate(inputs)), parameters)
        count = len(parameters["plugin"]["types"]) if kind == "Plugin" else NUM_OUTPUTS.get(kind, 1)
        layer.outputs = [self._new_tensor("", layer).id for _ in range(count)]
        self.layers.append(layer)
        return layer

    def _of_tensor(self, tensor: Tensor, method: str, arguments: dict[str, Any]) -> Any:
        if method == "setName":
            tensor.name = arguments["name"]
        elif method == "setType":
            tensor.type = DataType(arguments["type"])
        elif method in ("setDimensionName", "setLocation", "setAllowedFormats"):
            pass
        elif method == "getDimensions":
            return self.dims(tensor)
        else:
            return {
                "getName": lambda: tensor.name,
                "getType": lambda: int(self.type(tensor)),
                "isNetworkInput": lambda: int(tensor.layer is None),
                "isNetworkOutput": lambda: int(tensor in self.outputs),
            }[method]()
        return None

    def _of_layer(self, layer: Layer, method: str, arguments: dict[str, Any]) -> Any:
        if method == "setName":
            layer.name = arguments["name"]
        elif method == "setMetadata":
            pass
        elif method == "setInput":
            layer.inputs[arguments["index"]] = arguments["tensor"]["tensor"]
        elif method == "setOutputType":
            layer.types_set[arguments["index"]] = DataType(arguments["dataType"])
        elif method.startswith("set"):
            (value,) = arguments.values()
            layer.parameters[method[3].lower() + method[4:]] = value
        else:
            answers = {
                "getType": layer.kind,
                "getName": layer.name,
                "getNbOutputs": len(layer.outputs),
                "getNbInputs": len(layer.inputs),
            }
            if method == "getOutput":
                return layer.outputs[arguments["index"]]
            if method == "getInput":
                return layer.inputs[arguments["index"]]
            return answers[method]
        if method not in ("setName", "setMetadata"):
            self._types = _before(layer, self._types)
            for world in self._worlds:
                world.forget(layer)
        return None

    def named(self) -> Iterator[Tensor]:
        """Tensors that carry a name of the ONNX file, or the parser's own."""
        return (tensor for tensor in self.tensors if tensor.name)


def _before(layer: Layer, kept: dict[int, Any]) -> dict[int, Any]:
    """What is kept of earlier layers; what depends on this one was made later and has a higher number."""
    return {number: results for number, results in kept.items() if number < layer.id}


def _of_weights(given: dict[str, int]) -> np.ndarray | None:
    """A copy of what the parser points to; None for no weights."""
    if not given["count"]:
        return None
    dtype = DTYPES[DataType(given["type"])]
    content = bytearray(ctypes.string_at(given["address"], given["count"] * dtype.itemsize))
    return np.frombuffer(content, dtype)
