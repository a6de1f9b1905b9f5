"""Rescales channels across consecutive layers so that their ranges match and one scale fits all.

This is cross-layer equalisation (Data-Free Quantization, arXiv:1906.04721, section 4.1): relu(x / s) is
relu(x) / s for s > 0, so a channel between two layers may be divided by s in the first and multiplied by s in
the second, and the model is the same function. The factors are powers of two, so that in float it is the same
to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from maskrt.calibration.decide.layers import Graph
from maskrt.calibration.rewrite.qdq import channel_axis
from maskrt.runtime.errors import CalibrationError
from maskrt.runtime.onnx_pass import OnnxPass, expect

EQUALISED = "equalised"  # in a contract's precision_details, where it was done
ROUNDS = 20  # over chains of layers; the factors become 1 within a few


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


class EqualiseLayers(OnnxPass):
    """Divides channels by factors in one layer and multiplies by them in the next, so that ranges match.

    Each factor is √(r₁ / r₂) of the channel's largest weights on both sides (eq. 11), to the nearest power
    of two; a channel that is zero on a side is left alone. Afterwards `weights` holds the new weights by
    name, for `ReplaceWeights` on the same model in another precision.
    """

    def __init__(self) -> None:
        self.weights: dict[str, NDArray] = {}

    def call(self, model: ModelProto) -> bool:
        """Find the factors in several rounds, since chains of layers share channels."""
        graph = Graph(model.graph)
        found = joints(graph)
        names = {name for joint in found for node in (joint.first, joint.second) for name in node.input[1:3]}
        before = {name: numpy_helper.to_array(graph.initializers[name]) for name in names}
        self.weights = {name: values.copy() for name, values in before.items()}
        for _ in range(ROUNDS):
            moved = [self._balance(joint) for joint in found]
            if not any(moved):
                break
        ReplaceWeights(self.weights)(model)
        return any(not np.array_equal(before[name], self.weights[name]) for name in names)

    def ensures(self, model: ModelProto) -> None:
        """Every weight that was rescaled is finite."""
        broken = sorted(name for name, values in self.weights.items() if not np.isfinite(values).all())
        expect(not broken, self, f"{broken} are not finite")

    def _balance(self, joint: Joint) -> bool:
        """Move the factors of one joint. Returns whether one of them is not 1."""
        first, second = self.weights[joint.first.input[1]], self.weights[joint.second.input[1]]
        out, into = channel_axis(joint.first), input_axis(joint.second)
        one, other = _peaks(first, out), _peaks(second, into)
        alive = (one > 0) & (other > 0)
        ratio = np.where(alive, one, 1) / np.where(alive, other, 1)
        factors = np.exp2(np.rint(np.log2(ratio) / 2)).astype(np.float32)
        first /= _along(factors, out, first.ndim)
        second *= _along(factors, into, second.ndim)
        for bias in joint.first.input[2:3]:
            self.weights[bias] /= factors
        return bool((factors != 1).any())


class ReplaceWeights(OnnxPass):
    """Puts weights into a model, each in the float type that the model has it in."""

    def __init__(self, weights: dict[str, NDArray]) -> None:
        """weights: by the initializer's name."""
        self.weights = weights

    def requires(self, model: ModelProto) -> None:
        """Raise CalibrationError for a weight that the model has not."""
        if missing := sorted(self.weights.keys() - {tensor.name for tensor in model.graph.initializer}):
            raise CalibrationError(
                f"the model has no weight '{missing[0]}', which the float32 model has. Export both files "
                "with one version of maskrt."
            )

    def call(self, model: ModelProto) -> bool:
        """Replace the initializers' values."""
        others = self._others(model)
        for tensor, values in others:
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
        return bool(others)

    def ensures(self, model: ModelProto) -> None:
        """The model holds the weights."""
        for tensor, _ in self._others(model):
            expect(False, self, f"'{tensor.name}' holds other values")

    def _others(self, model: ModelProto) -> list[tuple[TensorProto, NDArray]]:
        """The initializers that hold other values, and those that they are to hold."""
        found = []
        for tensor in model.graph.initializer:
            if tensor.name in self.weights:
                dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
                values = self.weights[tensor.name].astype(dtype)
                if not np.array_equal(numpy_helper.to_array(tensor), values, equal_nan=True):
                    found.append((tensor, values))
        return found


def input_axis(node: NodeProto) -> int:
    """The axis of the weights that runs over input channels."""
    return 1 - channel_axis(node)


def _channels_are_its_own(node: NodeProto) -> bool:
    """True if each input channel has weights of its own: not in a grouped convolution."""
    return not any(a.name == "group" and a.i != 1 for a in node.attribute)


def _peaks(weight: NDArray, axis: int) -> NDArray:
    return np.abs(weight).max(axis=tuple(i for i in range(weight.ndim) if i != axis))


def _along(factors: NDArray, axis: int, dims: int) -> NDArray:
    return factors.reshape([-1 if i == axis else 1 for i in range(dims)])
