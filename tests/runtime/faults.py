"""Faults as they happen in deployments, planted in an exported graph of benchmarks.samples.confident_checkpoint."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.numpy_helper
from onnx import helper

from maskrt.models.operators import attach_bodies

Model = onnx.ModelProto


def mean_and_std_swapped(model: Model) -> None:
    mean, std = constant(model, "canvas.mean"), constant(model, "canvas.std")
    set_constant(model, "canvas.mean", std)
    set_constant(model, "canvas.std", mean)


def bgr(model: Model) -> None:
    add_constant(model, "bgr", np.array([2, 1, 0]))
    put_after(model, "images", [helper.make_node("Gather", ["images", "bgr"], ["swapped"], axis=3)])


def canvas_padded_too_far(model: Model) -> None:
    add_constant(model, "beyond", np.array([0, 0, 0, 0, 0, 64, 64, 0]))
    put_after(model, "images", [helper.make_node("Pad", ["images", "beyond"], ["padded"])])


def roi_align_half_a_pixel_off(model: Model) -> None:
    for node in named_nodes(model, "PyramidRoiAlign"):
        set_attribute(node, "aligned", 1)
    del model.functions[:]
    attach_bodies(model)


def rois_of_another_level(model: Model) -> None:
    set_attribute(named_nodes(model, "PyramidRoiAlign")[0], "canonical_level", 5)


def anchors_half_a_stride_off(model: Model) -> None:
    for level in range(5):
        name = f"proposals.anchors_{level}"
        set_constant(model, name, constant(model, name) + np.float32(2 ** (level + 1)))


def box_deltas_of_other_weights(model: Model) -> None:
    (name,) = (i.name for i in model.graph.initializer if not i.dims and onnx.numpy_helper.to_array(i) == 10)
    set_constant(model, name, np.array(5, np.float32))


def rpn_nms_threshold_changed(model: Model) -> None:
    set_attribute(named_nodes(model, "GroupedNms")[0], "iou_threshold", 0.6)


def nms_threshold_changed(model: Model) -> None:
    set_attribute(named_nodes(model, "GroupedNms")[1], "iou_threshold", 0.8)


def class_index_off_by_one(model: Model) -> None:
    add_constant(model, "off", np.array(1, np.int32))
    put_before(model, "labels", helper.make_node("Add", ["labels.right", "off"], ["labels"]))


def mask_of_another_class(model: Model) -> None:
    gathered = [n for n in model.graph.node if n.op_type == "Gather"]
    bias = next(n for n in gathered if n.input[0] == "mask_predictor.mask_fcn_logits.bias")
    channel = bias.input[1]
    readers = [n for n in gathered if n.input[1] == channel]
    assert len(readers) == 2, "of the last layer's weights and of its bias"
    add_constant(model, "next", np.array(1))
    add_constant(model, "classes", np.array(91))
    for reader in readers:
        reader.input[1] = "other_channel"
    at = min(list(model.graph.node).index(n) for n in readers)
    model.graph.node.insert(at, helper.make_node("Add", [channel, "next"], ["next_channel"]))
    model.graph.node.insert(at + 1, helper.make_node("Mod", ["next_channel", "classes"], ["other_channel"]))


def overflow_of_one_layer(model: Model) -> None:
    """A convolution of the third layer in float16, whose values a trained network may well have: too large."""
    node = next(n for n in model.graph.node if n.op_type == "Conv" and "backbone.body.layer3" in n.input[1])
    scale = np.float32(65504 / 2)
    add_constant(model, "up", scale)
    add_constant(model, "down", 1 / scale)
    output = node.output[0]
    node.output[0] = "right"
    at = list(model.graph.node).index(node) + 1
    for i, one in enumerate(
        (
            helper.make_node("Mul", ["right", "up"], ["large"]),
            helper.make_node("Cast", ["large"], ["half"], to=onnx.TensorProto.FLOAT16),
            helper.make_node("Cast", ["half"], ["float"], to=onnx.TensorProto.FLOAT),
            helper.make_node("Mul", ["float", "down"], [output]),
        )
    ):
        model.graph.node.insert(at + i, one)


def constant(model: Model, name: str) -> np.ndarray:
    return onnx.numpy_helper.to_array(next(i for i in model.graph.initializer if i.name == name))


def set_constant(model: Model, name: str, values: np.ndarray) -> None:
    tensor = next(i for i in model.graph.initializer if i.name == name)
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, name))


def add_constant(model: Model, name: str, values: np.ndarray) -> None:
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(values), name))


def named_nodes(model: Model, op_type: str) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type == op_type]


def set_attribute(node: onnx.NodeProto, name: str, value: float) -> None:
    attribute = next(a for a in node.attribute if a.name == name)
    attribute.CopyFrom(helper.make_attribute(name, value))


def put_after(model: Model, tensor: str, nodes: list[onnx.NodeProto]) -> None:
    """All that reads `tensor` reads the output of the last of `nodes` in its place."""
    for node in model.graph.node:
        node.input[:] = [nodes[-1].output[0] if name == tensor else name for name in node.input]
    for node in reversed(nodes):
        model.graph.node.insert(0, node)


def put_before(model: Model, output: str, node: onnx.NodeProto) -> None:
    """`node` makes the graph's `output` out of what was it, which is now named `output`.right."""
    for other in model.graph.node:
        other.output[:] = [f"{output}.right" if name == output else name for name in other.output]
    for other in model.graph.node:
        other.input[:] = [f"{output}.right" if name == output else name for name in other.input]
    model.graph.node.append(node)
