"""Deformable convolutions for TensorRT: its own operator where its parser has one, else our body; the same function."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import ModelProto, TensorProto, helper
from torchvision.ops import deform_conv2d

from maskrt.export.engine.prepare import prepare
from maskrt.models.operators import DOMAIN, OPSET, attach_bodies

TOLERANCE = 2e-5  # of sums of 36 products, samples weighed in another order
SHAPES = {"x": (1, 4, 9, 12), "offsets": (1, 18, 5, 6), "mask": (1, 9, 5, 6)}


def made() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {name: random.normal(0, 2, shape).astype(np.float32) for name, shape in SHAPES.items()}


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    shapes = {"weight": (5, 4, 3, 3), "bias": (5,)}
    return {name: random.normal(0, 1, shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def model(weights: dict[str, np.ndarray]) -> ModelProto:
    """A convolution of stride 2 as it is exported."""
    node = helper.make_node(
        "DeformConv", [*SHAPES, *weights], ["y"], "deform", domain=DOMAIN, kernel=3, stride=2, padding=1
    )
    graph = helper.make_graph(
        [node],
        "main",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in SHAPES.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 5, 5, 6))],
        [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    attach_bodies(model)
    return model


@pytest.mark.parametrize("operators", ["plugin", "body"])
@pytest.mark.parametrize(("version", "native"), [((8, 6), False), ((10, 3), True)])
def test_every_parser_gets_a_form_that_it_takes(
    model: ModelProto, weights: dict[str, np.ndarray], version: tuple[int, int], native: bool, operators: str
) -> None:
    before = model.SerializeToString(deterministic=True)

    prepared = prepare(model, version, operators, "model.onnx")

    assert [node.op_type for node in prepared.graph.node if node.op_type == "DeformConv"] == [
        "DeformConv"
    ] * native
    assert not [node for node in prepared.graph.node if node.domain == DOMAIN]
    assert model.SerializeToString(deterministic=True) == before
    session = onnxruntime.InferenceSession(prepared.SerializeToString())
    (found,) = session.run(["y"], made())
    x, offsets, mask, weight, bias = (torch.from_numpy(value) for value in (made() | weights).values())
    expected = deform_conv2d(x, offsets, weight, bias, stride=2, padding=1, mask=mask)
    np.testing.assert_allclose(found, expected.numpy(), atol=TOLERANCE * 10, rtol=0)
