"""Looks up the layers of an exported graph that can be quantised, their groups and their neighbours."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from maskrt.runtime.contract import METADATA_KEY, Contract, Layers

WEIGHTED = ("Conv", "ConvTranspose", "Gemm")
PASSED_THROUGH = ("MaxPool", "Resize", "Identity")
UNNAMED = Layers()


@dataclass(frozen=True)
class Layer:
    """A layer: its weights and the nodes that use them, several where the FPN levels share a head."""

    name: str  # of the weights, without ".weight"
    nodes: tuple[NodeProto, ...]


class Graph:
    """An ONNX graph with the look-ups that placement needs. The graph must not change while it is used."""

    def __init__(self, proto: GraphProto, names: Layers = UNNAMED) -> None:
        """names: the contract's, for groups, points and units; without them each layer is its own group."""
        self.proto, self.names = proto, names
        self.initializers: dict[str, TensorProto] = {t.name: t for t in proto.initializer}
        self.producer = {output: node for node in proto.node for output in node.output}
        consumers: dict[str, list[NodeProto]] = defaultdict(list)
        for node in proto.node:
            for name in node.input:
                consumers[name].append(node)
        self.consumers = dict(consumers)

    @classmethod
    def of(cls, model: ModelProto) -> Graph:
        """The graph of a model, with the names of its contract if it has one. Raises ContractError."""
        texts = (entry.value for entry in model.metadata_props if entry.key == METADATA_KEY)
        names = next((Contract.from_json(text, "the model").layers for text in texts), UNNAMED)
        return cls(model.graph, names)

    @cached_property
    def layers(self) -> dict[str, Layer]:
        """Layers by name, in the order of the graph."""
        nodes: dict[str, list[NodeProto]] = {}
        for node in self.proto.node:
            if node.op_type in WEIGHTED and node.input[1] in self.initializers:
                nodes.setdefault(node.input[1].removesuffix(".weight"), []).append(node)
        return {name: Layer(name, tuple(uses)) for name, uses in nodes.items()}

    @property
    def groups(self) -> dict[str, list[str]]:
        """Names of the layers by group, in the order of the graph."""
        groups: dict[str, list[str]] = {}
        for layer in self.layers.values():
            groups.setdefault(self.names.group_of(layer.name), []).append(layer.name)
        return groups

    def weight(self, node: NodeProto) -> NDArray:
        """The weights of a node of a layer."""
        return numpy_helper.to_array(self.initializers[node.input[1]])

    def weight_shape(self, node: NodeProto) -> tuple[int, ...]:
        """The shape of the weights, without reading them."""
        return tuple(self.initializers[node.input[1]].dims)

    def layer_before(self, tensor: str) -> str:
        """Name of the latest layer before a tensor, along first inputs; empty if there is none."""
        node = self.producer.get(tensor)
        while node is not None and not (node.op_type in WEIGHTED and node.input[1] in self.initializers):
            node = self.producer.get(node.input[0]) if node.input else None
        return node.input[1].removesuffix(".weight") if node else ""

    def around(self, layer: str) -> set[str]:
        """The tensors that a layer reads and makes, also before a MaxPool or Resize that it reads, and after
        the addition and the ReLU that read it."""
        found = set()
        for node in self.layers[layer].nodes:
            found |= {read := node.input[0], made := node.output[0]}
            while (before := self.producer.get(read)) and before.op_type in PASSED_THROUGH:
                found.add(read := before.input[0])
            for kind in ("Add", "Relu"):
                for reader in self.consumers.get(made, []):
                    if reader.op_type == kind:
                        found.add(made := reader.output[0])
                        break
        return found

    def reach(self, layer: str) -> int:
        """How many layers compute with what a layer makes, itself included."""
        waiting, made = list(self.layers[layer].nodes), set[str]()
        while waiting:
            new = set(waiting.pop().output) - made
            made |= new
            waiting += [reader for name in new for reader in self.consumers.get(name, [])]
        return sum(any(made & set(node.output) for node in one.nodes) for one in self.layers.values())

    def activated(self, node: NodeProto) -> str:
        """The activated output of a node: of the ReLU if that is its only reader, else its own."""
        readers = self.consumers.get(node.output[0], [])
        return readers[0].output[0] if [r.op_type for r in readers] == ["Relu"] else node.output[0]


def multiply_adds(node: NodeProto, input_shape: tuple[int, ...], weight_shape: tuple[int, ...]) -> int:
    """The multiply-adds of a Conv, ConvTranspose or Gemm node.

    Every weight is used once per output position (ConvTranspose: per input position; Gemm: per row).
    """
    weights = int(np.prod(weight_shape))
    if node.op_type == "Gemm":
        return input_shape[0] * weights
    sizes = input_shape[2:]
    if node.op_type == "Conv":
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        dims = len(sizes)
        strides, dilations = (attributes.get(k, [1] * dims) for k in ("strides", "dilations"))
        pads = attributes.get("pads", [0] * 2 * dims)
        sizes = tuple(
            (size + pads[i] + pads[i + dims] - dilations[i] * (weight_shape[2 + i] - 1) - 1) // strides[i] + 1
            for i, size in enumerate(sizes)
        )
    return input_shape[0] * int(np.prod(sizes)) * weights
