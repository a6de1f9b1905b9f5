"""Deformable convolutions for TensorRT: its own operator where its parser has one, else our plugin or our body."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import ModelProto, TensorProto, helper
from torchvision.ops import deform_conv2d

from maskrt.export.engine.parse import PLUGIN, explain
from maskrt.export.engine.prepare import custom_nodes, prepare
from maskrt.export.engine.supported import refusals
from maskrt.export.engine.values import Values, attributes
from maskrt.models.operators import DOMAIN, PLUGIN_ATTRIBUTES
from tests.export.deformed import ATTRIBUTES, NAME, SHAPES, deformed, values, weights
from tests.export.network_8_6 import constrain, parsed

TOLERANCE = 2e-4  # of sums of 36 products of some ten, samples weighed in another order
FORMS = {
    ((8, 6), "plugin"): DOMAIN,
    ((8, 6), "body"): None,
    ((10, 3), "plugin"): "",
    ((10, 3), "body"): "",
    ((11, 4), "plugin"): "",
}


@pytest.fixture(scope="module")
def model() -> ModelProto:
    return deformed()


@pytest.mark.parametrize(("version", "operators"), FORMS)
def test_every_parser_gets_a_form_that_it_takes(
    model: ModelProto, version: tuple[int, int], operators: str
) -> None:
    before, domain = model.SerializeToString(deterministic=True), FORMS[version, operators]

    prepared = prepare(model, version, operators, "model.onnx")

    assert [node.domain for node in prepared.graph.node if node.op_type == "DeformConv"] == (
        [] if domain is None else [domain]
    )
    assert model.SerializeToString(deterministic=True) == before
    assert refusals(prepared, version) == []
    assert custom_nodes(prepared) == ([NAME] if domain == DOMAIN else [])
    if domain == DOMAIN:
        (node,) = prepared.graph.node
        assert list(node.input) == [*SHAPES, *weights()]
        named = {name: text.encode() for name, text in PLUGIN_ATTRIBUTES.items()}
        assert attributes(node) == ATTRIBUTES | named
        return
    session = onnxruntime.InferenceSession(prepared.SerializeToString())
    (found,) = session.run(["y"], values())
    x, offsets, mask, weight, bias = (torch.from_numpy(value) for value in (values() | weights()).values())
    expected = deform_conv2d(x, offsets, weight, bias, stride=2, padding=1, mask=mask)
    np.testing.assert_allclose(found, expected.numpy(), atol=TOLERANCE, rtol=0)


def test_onnx_own_operator_has_no_plugin_to_be_built(model: ModelProto) -> None:
    """A parser that refuses it is not mended by the plugins."""
    report = [("UNSUPPORTED_NODE", 0, "no")]
    native, ours = (prepare(model, version, "plugin", "model.onnx") for version in ((10, 3), (8, 6)))
    assert PLUGIN not in explain(report, native, "model.onnx")
    assert PLUGIN in explain(report, ours, "model.onnx")


def test_the_plugin_takes_a_map_in_half_as_it_is() -> None:
    """Without the two casts; a network of 8.6 needs one behind the plugin to know the type."""
    prepared = prepare(deformed(half=True), (8, 6), "plugin", "model.onnx")

    nodes = {node.name: node for node in prepared.graph.node}
    assert list(nodes[NAME].input) == ["x", "offsets", "mask", *weights()]
    assert [node.op_type for node in prepared.graph.node if nodes[NAME].output[0] in node.input] == ["Cast"]
    assert Values(prepared.graph).element_type(nodes[NAME].output[0]) == TensorProto.FLOAT16
    assert refusals(prepared, (8, 6)) == []
    layers = parsed(prepared)
    constrain(layers, prepared)
    assert {layer.name: layer.precision for layer in layers}[NAME] is None  # free to run in half


@pytest.mark.parametrize(("version", "operators"), [((8, 6), "body"), ((10, 3), "plugin")])
def test_elsewhere_the_casts_stay(version: tuple[int, int], operators: str) -> None:
    """One type for all inputs; and the sum stays in float32."""
    prepared = prepare(deformed(half=True), version, operators, "model.onnx")
    casts = [node.name for node in prepared.graph.node if node.op_type == "Cast"]
    assert {"widen", "narrow"} <= set(casts)
    session = onnxruntime.InferenceSession(prepared.SerializeToString())
    (expected,) = onnxruntime.InferenceSession(deformed(half=True).SerializeToString()).run(
        ["y"], values(half=True)
    )
    (found,) = session.run(["y"], values(half=True))
    np.testing.assert_allclose(found.astype(np.float32), expected.astype(np.float32), rtol=2e-3, atol=2e-3)


def test_a_map_that_is_needed_in_float32_is_written_in_float32() -> None:
    """What reads the sum besides the cast to half would lose bits."""
    model = deformed(half=True)
    model.graph.node.append(helper.make_node("Relu", ["y/wide"], ["z"], "read"))
    model.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, (1, 5, 5, 6)))
    prepared = prepare(model, (8, 6), "plugin", "model.onnx")
    assert {node.name: node.input[0] for node in prepared.graph.node}[NAME] == "x/wide"
