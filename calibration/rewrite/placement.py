"""Decides where Q/DQ pairs stand: which tensors are rounded, which nodes read them so, which share a scale.

A pair on a tensor rounds it to 8 bits for its readers. The rules, and where they come from:

* The input and the weights of every INT8 layer (TensorRT, "Explicit Quantization", Q/DQ placement: quantise
  all inputs of weighted operations).
* TensorRT: the shortcut of an Add that an INT8 convolution feeds, not the convolution's output: then the
  convolution and the Add are fused into one kernel (the same document, residual connections).
* CPU: also the output of an INT8 convolution or Gemm, and so both inputs of such an Add: ONNX Runtime has
  integer kernels only for nodes with pairs on both sides. ConvTranspose has none and stays in float.
* MaxPool and Resize only select values: their input gets the pair of their output, with one scale for both,
  and they run on integers. All tensors of a Concat share a scale for the same reason.
* PyramidRoiAlign takes float. Its features are read through the pairs that their other readers need, and its
  output gets a pair where an INT8 layer reads it.
* Function bodies are not touched.
"""

from __future__ import annotations

from dataclasses import dataclass

from onnx import NodeProto

from maskrt.calibration.decide.layers import WEIGHTED, Graph
from maskrt.calibration.flavours import CPU
from maskrt.runtime.errors import ModelError

SELECTING = ("MaxPool", "Resize")  # every output value is one of the input's
WITHOUT_CPU_KERNEL = ("ConvTranspose",)


@dataclass(frozen=True)
class Placement:
    """The decision of `place`. `layers`: names of those in INT8."""

    flavour: str
    layers: frozenset[str]
    scale_groups: dict[str, frozenset[str]]  # tensor with a pair → all tensors it shares its scale with

    def reads_pair(self, node: NodeProto, tensor: str) -> bool:
        """True if `node` reads `tensor` through its pair.

        On the CPU every reader does, since an integer kernel writes integers only. For TensorRT a layer that
        the plan keeps in float reads the float tensor.
        """
        if tensor not in self.scale_groups:
            return False
        in_float = node.op_type in WEIGHTED and node.input[1].removesuffix(".weight") not in self.layers
        return self.flavour == CPU or not in_float


def quantisable(graph: Graph, flavour: str) -> list[str]:
    """Names of the layers that the flavour has kernels for."""
    return [
        name
        for name, layer in graph.layers.items()
        if not (flavour == CPU and layer.nodes[0].op_type in WITHOUT_CPU_KERNEL)
    ]


def place(graph: Graph, layers: list[str], flavour: str) -> Placement:
    """Place the pairs for the given INT8 layers. Raises ModelError for a layer that the graph lacks."""
    if unknown := sorted(set(layers) - set(graph.layers)):
        raise ModelError(
            f"the plan names layers that the model has not: {', '.join(unknown[:3])}. "
            "Make a new plan: maskrt calibrate MODEL.onnx --data IMAGES -o OUT.onnx"
        )
    chosen = frozenset(layers) & set(quantisable(graph, flavour))
    nodes = [node for name in graph.layers if name in chosen for node in graph.layers[name].nodes]
    pairs: set[str] = {node.input[0] for node in nodes}
    if flavour == CPU:
        pairs |= {left for left in map(graph.activated, nodes) if left in graph.consumers}
    pairs |= _add_inputs(graph, nodes, flavour)
    groups = _Groups()
    _share(graph, pairs, groups)
    return Placement(flavour, chosen, {tensor: groups.of(tensor) for tensor in sorted(pairs)})


def _add_inputs(graph: Graph, nodes: list[NodeProto], flavour: str) -> set[str]:
    """The inputs to round of the Adds that INT8 convolutions feed.

    CPU: both. TensorRT: the one that is not fused with the Add; of two convolutions the first is fused.
    """
    fed = {node.output[0] for node in nodes if node.op_type != "Gemm"}
    found: set[str] = set()
    for add in graph.proto.node:
        if add.op_type != "Add" or not fed & set(add.input) or set(add.input) & set(graph.initializers):
            continue
        first, second = add.input
        if flavour == CPU:
            found |= {first, second}
        else:
            found.add(second if first in fed else first)
    return found


def _share(graph: Graph, pairs: set[str], groups: _Groups) -> None:
    """Extend `pairs` backwards over nodes that only select or join values, and unite their scales."""
    waiting = sorted(pairs)
    while waiting:
        tensor = waiting.pop()
        node = graph.producer.get(tensor)
        if node is None or node.op_type not in (*SELECTING, "Concat"):
            continue
        for name in node.input if node.op_type == "Concat" else node.input[:1]:
            groups.unite(tensor, name)
            if name not in pairs:
                pairs.add(name)
                waiting.append(name)


class _Groups:
    """Tensors that share a scale."""

    def __init__(self) -> None:
        self._groups: dict[str, frozenset[str]] = {}

    def of(self, tensor: str) -> frozenset[str]:
        return self._groups.get(tensor, frozenset({tensor}))

    def unite(self, one: str, other: str) -> None:
        united = self.of(one) | self.of(other)
        self._groups |= dict.fromkeys(united, united)
