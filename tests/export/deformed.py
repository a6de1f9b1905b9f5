"""A deformable convolution of stride 2 as a model of its own, as it is exported, and values for it."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper

from maskrt.models.operators import DOMAIN, OPSET, PLUGIN_ATTRIBUTES, attach_bodies

SHAPES = {"x": (1, 4, 9, 12), "offsets": (1, 18, 5, 6), "mask": (1, 9, 5, 6)}
ATTRIBUTES = {"kernel": 3, "stride": 2, "padding": 1}
NAME = "deform"


def values(seed: int = 0, half: bool = False) -> dict[str, np.ndarray]:
    """Of the model's inputs: samples are moved by some px, also off the map."""
    random = np.random.default_rng(seed)
    made = {name: random.normal(0, 2, shape).astype(np.float32) for name, shape in SHAPES.items()}
    return made | {"x": made["x"].astype(np.float16)} if half else made


def weights() -> dict[str, np.ndarray]:
    """The model's."""
    random = np.random.default_rng(1)
    shapes = {"weight": (5, 4, 3, 3), "bias": (5,)}
    return {name: random.normal(0, 1, shape).astype(np.float32) for name, shape in shapes.items()}


def deformed(half: bool = False) -> ModelProto:
    """The model, with the operator's body. half: of a file in half precision, with its casts around it."""
    kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    node = helper.make_node(
        "DeformConv",
        ["x/wide" if half else "x", "offsets", "mask", *weights()],
        ["y/wide" if half else "y"],
        NAME,
        domain=DOMAIN,
        **ATTRIBUTES,
        **PLUGIN_ATTRIBUTES,
    )
    widen = helper.make_node("Cast", ["x"], ["x/wide"], "widen", to=TensorProto.FLOAT)
    narrow = helper.make_node("Cast", ["y/wide"], ["y"], "narrow", to=TensorProto.FLOAT16)
    kinds = {"x": kind, "offsets": TensorProto.FLOAT, "mask": TensorProto.FLOAT}
    graph = helper.make_graph(
        [widen, node, narrow] if half else [node],
        "main",
        [helper.make_tensor_value_info(name, kinds[name], shape) for name, shape in SHAPES.items()],
        [helper.make_tensor_value_info("y", kind, (1, 5, 5, 6))],
        [onnx.numpy_helper.from_array(value, name) for name, value in weights().items()],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    attach_bodies(model)
    return model
