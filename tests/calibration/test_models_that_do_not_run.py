"""A model that ONNX Runtime cannot load, or that takes other inputs, is refused before anything is measured."""

from __future__ import annotations

import onnx
import pytest

from calibration.collect import open_exposed
from runtime.errors import CalibrationError
from tests.runtime.conftest import make_contract, tiny_model


def test_an_operator_that_nobody_knows() -> None:
    model = tiny_model(make_contract())
    model.graph.node[0].op_type = "Teleport"
    with pytest.raises(CalibrationError, match="cannot load the model"):
        open_exposed(model, ["scores"])


def test_another_model() -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["": 18]> g (float[2] x) => (float[2] y) {y = Add(x, x)}'
    )
    with pytest.raises(CalibrationError, match="takes x, expected images and image_sizes"):
        open_exposed(model, ["y"])
