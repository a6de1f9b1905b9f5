"""Cross-layer equalisation: channels of one loudness, so that one scale serves them all.

relu(x / s) = relu(x) / s for s > 0: a channel between two layers may be divided by s in the first and
multiplied by s in the second, and the model is the same function (Data-Free Quantization, arXiv:1906.04721,
section 4.1). The factors are powers of two, so that in float it is the same to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper

from maskrt.calibration.decide.layers import Graph
from maskrt.calibration.rewrite.qdq import channel_axis

EQUALISED = "equalised"  # in a contract's precision_details, where it was done
PASSES = 20  # over chains of layers; each settles within a few


@dataclass(frozen=True)
class Joint:
    """Two layers with nothing but a ReLU between them, by their nodes."""

    first: NodeProto
    second: NodeProto


def joints(graph: Graph) -> list[Joint]:
    """Where a factor can be moved: one use of each layer's weights, and no other reader between."""
    uses = [layer.nodes[0] for layer in graph.layers.values() if len(layer.nodes) == 1]
    readers = {node.input[0]: node for node in uses if _channels_are_its_own(node)}
    found = []
    for node in uses:
        between = graph.activated(node)
        alone = len(graph.consumers.get(between, [])) == 1
        if between != node.output[0] and alone and between in readers:
            found.append(Joint(node, readers[between]))
    return found


def equalise_layers(model: ModelProto) -> dict[str, NDArray]:
    """Equalise the model's layers, in place. Returns the new weights by name, for `adopt`.

    Each factor is √(r₁ / r₂) of the channel's largest weights on both sides (eq. 11), to the nearest power
    of two; a channel that is zero on a side is left alone.
    """
    graph = Graph(model.graph)
    found = joints(graph)
    names = {name for joint in found for node in (joint.first, joint.second) for name in node.input[1:3]}
    weights = {name: numpy_helper.to_array(graph.initializers[name]).copy() for name in names}
    for _ in range(PASSES):
        settled = True
        for joint in found:
            first, second = weights[joint.first.input[1]], weights[joint.second.input[1]]
            out, into = channel_axis(joint.first), input_axis(joint.second)
            one, other = _peaks(first, out), _peaks(second, into)
            alive = (one > 0) & (other > 0)
            ratio = np.where(alive, one, 1) / np.where(alive, other, 1)
            factors = np.exp2(np.rint(np.log2(ratio) / 2)).astype(np.float32)
            settled &= bool((factors == 1).all())
            first /= _along(factors, out, first.ndim)
            second *= _along(factors, into, second.ndim)
            for bias in joint.first.input[2:3]:
                weights[bias] /= factors
        if settled:
            break
    adopt(model, weights)
    return weights


def adopt(model: ModelProto, weights: dict[str, NDArray]) -> None:
    """Put equalised weights into the same model of any float type, in place."""
    for tensor in model.graph.initializer:
        if tensor.name in weights:
            dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
            tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name].astype(dtype), tensor.name))


def input_axis(node: NodeProto) -> int:
    """The axis of the weights that runs over input channels."""
    return 1 - channel_axis(node)


def _channels_are_its_own(node: NodeProto) -> bool:
    """Whether each input channel has weights of its own: not in a grouped convolution."""
    return not any(a.name == "group" and a.i != 1 for a in node.attribute)


def _peaks(weight: NDArray, axis: int) -> NDArray:
    return np.abs(weight).max(axis=tuple(i for i in range(weight.ndim) if i != axis))


def _along(factors: NDArray, axis: int, dims: int) -> NDArray:
    return factors.reshape([-1 if i == axis else 1 for i in range(dims)])
