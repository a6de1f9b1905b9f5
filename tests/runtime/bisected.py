"""Small models in reduced precision, for bisecting: built here, with faults planted by the tests."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

from maskrt.calibration.decide.candidate import build, observed_tensors, put_contract, sign
from maskrt.calibration.decide.layers import Graph
from maskrt.calibration.decide.plan import Plan
from maskrt.calibration.measure.collect import open_exposed
from maskrt.runtime.contract import IMAGE_SIZES, IMAGES, METADATA_KEY
from tests.calibration.graphs import parse
from tests.runtime.conftest import make_contract, tiny_model
from tests.runtime.faults import add_constant, constant, put_before, set_constant

BLOCKS = ("layer1.0", "layer2.0", "layer3.0")
LAYERS = [f"backbone.body.{block}.conv{i}" for block in BLOCKS for i in (1, 2)]


def residual_graph() -> ModelProto:
    return parse(
        """float[1, 3, 16, 16] x) => (float[1, 8, 8, 8] y {
            a = Conv <pads = [1, 1, 1, 1]> (x, one_weight, one_bias)
            b = Relu (a)
            c = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (b)
            d = Conv <pads = [1, 1, 1, 1]> (c, two_weight, two_bias)
            e = Add (d, c)
            f = Relu (e)
            y = Conv (f, three_weight, three_bias)
        }""",
        {
            "one.weight": (8, 3, 3, 3),
            "one.bias": (8,),
            "two.weight": (8, 8, 3, 3),
            "two.bias": (8,),
            "three.weight": (8, 8, 1, 1),
            "three.bias": (8,),
        },
    )


def network() -> ModelProto:
    """The runtime's tiny model, whose scores here depend on three residual blocks over the picture."""
    model, rng = tiny_model(make_contract()), np.random.default_rng(0)
    constants = {"to_1": np.array(1 / 255, np.float32)}
    nodes = [
        helper.make_node("Transpose", ["floats"], ["pixels"], perm=[0, 3, 1, 2]),
        helper.make_node("Mul", ["pixels", "to_1"], ["rgb"]),
        helper.make_node("Concat", ["rgb", "rgb"], ["state0"], axis=1),
    ]
    for i, layers in enumerate(zip(LAYERS[::2], LAYERS[1::2], strict=True)):
        for layer in layers:
            constants[f"{layer}.weight"] = rng.normal(0.01, 0.15, (6, 6, 3, 3)).astype(np.float32)
            constants[f"{layer}.bias"] = rng.normal(0, 0.1, 6).astype(np.float32)
        first, second = ([f"{layer}.weight", f"{layer}.bias"] for layer in layers)
        nodes += [
            helper.make_node("Conv", [f"state{i}", *first], [f"a{i}"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", [f"a{i}"], [f"b{i}"]),
            helper.make_node("Conv", [f"b{i}", *second], [f"c{i}"], pads=[1, 1, 1, 1]),
            helper.make_node("Add", [f"c{i}", f"state{i}"], [f"d{i}"]),
            helper.make_node("Relu", [f"d{i}"], [f"state{i + 1}"]),
        ]
    nodes += [
        helper.make_node("ReduceMean", ["state3", "space"], ["mean"], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "last"], ["column"]),
        helper.make_node("Sigmoid", ["column"], ["factor"]),
    ]
    model.graph.node.extend(nodes)
    for name, values in constants.items():
        add_constant(model, name, values)
    put_before(model, "scores", helper.make_node("Mul", ["scores.right", "factor"], ["scores"]))
    model.metadata_props.add(key=METADATA_KEY, value=make_contract().to_json())
    return onnx.shape_inference.infer_shapes(model)


def in_eight_bits(
    model: ModelProto,
    picture: np.ndarray,
    flavour: str = "cpu",
    base: ModelProto | None = None,
    **details: object,
) -> ModelProto:
    """base: what the plan is carried out on, the model itself or the same in half."""
    graph = Graph(model.graph)
    tensors = observed_tensors(graph)
    values = open_exposed(model, tensors).run(tensors, feed(picture))
    ranges = {name: (float(v.min()), float(v.max())) for name, v in zip(tensors, values, strict=True)}
    int8 = build(base or model, Plan.default(graph, flavour, "minmax"), ranges)
    details = {"flavour": flavour, "method": "minmax", "float_layers": [], **details}
    sign(int8, make_contract(), details)
    return int8


def in_half(model: ModelProto) -> ModelProto:
    """As the exporter writes it: casts around the blocks, half weights and values between."""
    half = ModelProto()
    half.CopyFrom(model)
    for tensor in half.graph.initializer:
        if tensor.name.startswith("backbone"):
            with np.errstate(over="ignore"):  # which is the fault that is planted
                set_constant(half, tensor.name, numpy_helper.to_array(tensor).astype(np.float16))
    for before, after, dtype in (
        ("state0", "state0.half", TensorProto.FLOAT16),
        ("state3", "state3.float", TensorProto.FLOAT),
    ):
        at = next(i for i, node in enumerate(half.graph.node) if before in node.input)
        for node in half.graph.node:
            node.input[:] = [after if name == before else name for name in node.input]
        half.graph.node.insert(at, helper.make_node("Cast", [before], [after], to=dtype))
    del half.graph.value_info[:]
    put_contract(half, make_contract(precision="fp16"))
    return onnx.shape_inference.infer_shapes(half)


def feed(picture: np.ndarray) -> dict[str, np.ndarray]:
    return {IMAGES: picture[None], IMAGE_SIZES: np.array([picture.shape[:2]], np.float32)}


def scales_swapped(model: ModelProto, layer: str) -> None:
    """Each output channel's weights by the scale of its opposite, of scales a hundred times apart."""
    name = f"{layer}.weight/scale"
    scales = constant(model, name)
    apart = np.geomspace(0.1, 10, len(scales))
    set_constant(model, name, (scales[::-1] * apart).astype(scales.dtype))
