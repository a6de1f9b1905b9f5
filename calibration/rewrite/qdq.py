"""Writes Q/DQ pairs and 8-bit weights into a graph."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from maskrt.calibration.decide.layers import Graph
from maskrt.calibration.flavours import CPU
from maskrt.calibration.rewrite.placement import Placement
from maskrt.runtime.errors import CalibrationError
from maskrt.runtime.onnx_pass import OnnxPass, expect, replace_nodes

Ranges = dict[str, tuple[float, float]]  # tensor → (lowest, highest) value that eight bits must hold
INT8_MAX, UINT8_MAX = 127, 255
HALF_OPSET = 19  # the first whose QuantizeLinear takes float16
SMALLEST_SCALE = float(np.finfo(np.float16).smallest_normal)


class Quantise(OnnxPass):
    """Puts the pairs of a placement into a model, over float32 or float16 tensors.

    Weights are stored as int8, symmetric, a scale for each output channel. For the CPU activations are uint8
    with a zero point and biases int32 with the product of both scales, as ONNX Runtime's kernels take them;
    for TensorRT activations are int8 with zero point 0 and biases stay in float.
    """

    def __init__(self, placement: Placement, ranges: Ranges) -> None:
        """ranges: of every tensor with a pair, and of those it shares its scale with."""
        self.placement, self.ranges = placement, ranges

    def requires(self, model: ModelProto) -> None:
        """Raise CalibrationError where the ranges lack a tensor, PassError where the model has pairs."""
        needed = set().union(*self.placement.scale_groups.values())
        if missing := sorted(needed - set(self.ranges)):
            raise CalibrationError(
                f"no range is known of {len(missing)} tensors, such as '{missing[0]}': the ranges are of "
                "another graph. Export both files with one version of maskrt, and measure again."
            )
        paired = self._paired(model)
        expect(not paired, self, f"{len(paired)} tensors have pairs already")

    def call(self, model: ModelProto) -> bool:
        """Write the pairs, the weights and the biases, node by node."""
        _Writer(model, self.placement, self.ranges).write()
        return bool(self.placement.scale_groups)

    def ensures(self, model: ModelProto) -> None:
        """Every tensor of the placement has its pair."""
        bare = self.placement.scale_groups.keys() - self._paired(model)
        expect(not bare, self, f"{sorted(bare)} have no pairs")

    def _paired(self, model: ModelProto) -> set[str]:
        return {node.input[0] for node in model.graph.node if node.op_type == "QuantizeLinear"}


def activation_scale(lowest: float, highest: float, flavour: str) -> tuple[float, int]:
    """(scale, zero point) that cover [lowest, highest] and hold 0 exactly."""
    lowest, highest = min(lowest, 0.0), max(highest, 0.0)
    if flavour == CPU:
        scale = max((highest - lowest) / UINT8_MAX, SMALLEST_SCALE)
        return scale, round(-lowest / scale)
    return max(max(-lowest, highest) / INT8_MAX, SMALLEST_SCALE), 0


def quantise_weight(weight: NDArray, axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """(int8 weights, a scale for each index of `axis`), symmetric; a channel of zeros gets the scale 1."""
    others = tuple(i for i in range(weight.ndim) if i != axis)
    peaks = np.abs(weight.astype(np.float32)).max(axis=others)
    scales = np.where(peaks > 0, np.maximum(peaks / INT8_MAX, SMALLEST_SCALE), 1)
    scales = scales.astype(weight.dtype).astype(np.float32)  # as they will be stored
    shape = [-1 if i == axis else 1 for i in range(weight.ndim)]
    steps = np.rint(weight.astype(np.float32) / scales.reshape(shape))
    return np.clip(steps, -INT8_MAX, INT8_MAX).astype(np.int8), scales


def channel_axis(node: NodeProto) -> int:
    """The axis of the weights that runs over output channels."""
    if node.op_type == "ConvTranspose":
        return 1
    transposed = any(a.name == "transB" and a.i for a in node.attribute)
    return 0 if node.op_type == "Conv" or transposed else 1


class _Writer:
    """Rewrites the nodes one by one, in their order."""

    def __init__(self, model: ModelProto, placement: Placement, ranges: Ranges) -> None:
        self.model, self.placement, self.ranges = model, placement, ranges
        self.graph = Graph(model.graph)
        self.nodes: list[NodeProto] = []
        self.paired: set[str] = set()
        self.scale_of: dict[str, float] = {}
        self.replaced: set[str] = set()  # float weights and biases whose place integers took
        self.in_int8 = {node.output[0] for name in placement.layers for node in self.graph.layers[name].nodes}
        self.half = {
            value.name
            for value in model.graph.value_info
            if value.type.tensor_type.elem_type == TensorProto.FLOAT16
        }

    def write(self) -> None:
        for value in self.model.graph.input:
            self._pair(value.name)
        for original in list(self.model.graph.node):
            node = NodeProto()
            node.CopyFrom(original)
            for i, name in enumerate(node.input):
                if self.placement.reads_pair(original, name):
                    node.input[i] = _dequantised(name)
            if original.output[0] in self.in_int8:
                self._quantise_layer(original, node)
            self.nodes.append(node)
            for name in original.output:
                self._pair(name)
        replace_nodes(self.model.graph, self.nodes)
        read = {name for node in self.nodes for name in node.input}
        kept = [t for t in self.model.graph.initializer if t.name in read or t.name not in self.replaced]
        del self.model.graph.initializer[:]
        self.model.graph.initializer.extend(kept)
        if self.half & self.paired:
            # From 18 to 19 the operators that we use, bodies included, only took on more types.
            for holder in (self.model, *self.model.functions):
                for opset in holder.opset_import:
                    opset.version = max(opset.version, HALF_OPSET) if opset.domain == "" else opset.version

    def _pair(self, tensor: str) -> None:
        """Add the Q and the DQ of a tensor, if the placement has one for it."""
        if tensor not in self.placement.scale_groups:
            return
        group = [self.ranges[name] for name in self.placement.scale_groups[tensor]]
        lowest, highest = min(low for low, _ in group), max(high for _, high in group)
        scale, zero = activation_scale(lowest, highest, self.placement.flavour)
        kind = np.uint8 if self.placement.flavour == CPU else np.int8
        self.paired.add(tensor)
        self.scale_of[tensor] = scale
        constants = [
            self._constant(
                f"{tensor}/scale", np.array(scale, np.float16 if tensor in self.half else np.float32)
            ),
            self._constant(f"{tensor}/zero_point", np.array(zero, kind)),
        ]
        steps = f"{tensor}/quantised"
        self.nodes += [
            helper.make_node("QuantizeLinear", [tensor, *constants], [steps], f"{tensor}/q"),
            helper.make_node("DequantizeLinear", [steps, *constants], [_dequantised(tensor)], f"{tensor}/dq"),
        ]

    def _quantise_layer(self, original: NodeProto, node: NodeProto) -> None:
        name, axis = original.input[1], channel_axis(original)
        weights, scales = quantise_weight(self.graph.weight(original), axis)
        dtype = self.graph.weight(original).dtype
        if name not in self.replaced:
            self.replaced.add(name)
            steps = self._constant(f"{name}/quantised", weights)
            scale = self._constant(f"{name}/scale", scales.astype(dtype))
            zeros = self._constant(f"{name}/zero_point", np.zeros(len(scales), np.int8))
            self.nodes.append(
                helper.make_node(
                    "DequantizeLinear", [steps, scale, zeros], [_dequantised(name)], f"{name}/dq", axis=axis
                )
            )
        node.input[1] = _dequantised(name)
        if self.placement.flavour == CPU and len(original.input) > 2 and original.input[2]:
            node.input[2] = self._quantised_bias(original, scales)

    def _quantised_bias(self, original: NodeProto, weight_scales: NDArray[np.float32]) -> str:
        """The bias as int32, in steps of the layer's accumulator; levels that share it differ in scale."""
        bias, place = original.input[2], f"{original.input[2]}/{original.output[0]}"
        self.replaced.add(bias)
        scales = (weight_scales * np.float32(self.scale_of[original.input[0]])).astype(np.float32)
        values = numpy_helper.to_array(self.graph.initializers[bias]).astype(np.float64)
        limit = np.iinfo(np.int32)
        steps = np.clip(np.rint(values / scales), limit.min, limit.max).astype(np.int32)
        inputs = [
            self._constant(f"{place}/quantised", steps),
            self._constant(f"{place}/scale", scales),
            self._constant(f"{place}/zero_point", np.zeros(len(scales), np.int32)),
        ]
        self.nodes.append(
            helper.make_node("DequantizeLinear", inputs, [_dequantised(place)], f"{place}/dq", axis=0)
        )
        return _dequantised(place)

    def _constant(self, name: str, values: NDArray) -> str:
        self.model.graph.initializer.append(numpy_helper.from_array(values, name))
        return name


def _dequantised(tensor: str) -> str:
    return f"{tensor}/dequantised"
