"""A model that ONNX Runtime cannot load, or that takes other inputs, is refused before anything is measured."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from maskrt.calibration.decide.candidate import read_model
from maskrt.calibration.measure.collect import open_exposed
from maskrt.runtime.contract import METADATA_KEY
from maskrt.runtime.errors import CalibrationError, ModelError
from tests.runtime.conftest import make_contract, tiny_model


def test_an_operator_that_nobody_knows() -> None:
    model = tiny_model(make_contract())
    model.graph.node[0].op_type = "Teleport"
    with pytest.raises(CalibrationError, match="cannot load the model"):
        open_exposed(model, ["scores"])


def test_another_model(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["": 18]> g (float[2] x) => (float[2] y) {y = Add(x, x)}'
    )
    model.metadata_props.add(key=METADATA_KEY, value=make_contract().to_json())
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(ModelError, match=r"other\.onnx: takes x, expected images and image_sizes alone"):
        read_model(tmp_path / "other.onnx", "fp32")
