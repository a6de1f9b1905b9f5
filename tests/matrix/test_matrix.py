"""The matrix of docs/models.md on small pictures: every model, every cell. All of them are `full`; the model
on C4, whose graph shares least with the others', goes through FP32 and INT8 in the fast suite as well."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from benchmarks.matrix.cells import COLUMNS, Files, export, fp32, int8
from benchmarks.matrix.models import MODELS, SMALL, make


@pytest.fixture(scope="module")
def on_c4(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """R18-C4, exported for any shape."""
    files = Files(tmp_path_factory.mktemp("c4"))
    make(dataclasses.replace(MODELS["R50-C4"], backbone="resnet18"), SMALL, files.checkpoint)
    export(files, SMALL)
    return files


def test_a_model_on_c4_is_itself_in_fp32_and_near_itself_in_int8(on_c4: Files) -> None:
    assert fp32(on_c4, SMALL).failure == ""
    assert int8(on_c4, SMALL).failure == ""


def test_a_cell_fails_where_a_layer_is_another(on_c4: Files) -> None:
    path = on_c4.onnx("fp32")
    whole = path.read_bytes()
    model = onnx.load_model_from_string(whole)
    (bias,) = (t for t in model.graph.initializer if t.name == "backbone.body.layer3.0.conv2.bias")
    bias.CopyFrom(numpy_helper.from_array(np.zeros_like(numpy_helper.to_array(bias)), bias.name))
    onnx.save_model(model, path)
    try:
        assert "C4 is the first stage that differs" in fp32(on_c4, SMALL).failure
    finally:
        path.write_bytes(whole)


@pytest.mark.full
@pytest.mark.parametrize("model", MODELS)
def test_every_model_goes_through_every_stage(model: str, tmp_path: Path) -> None:
    files = Files(tmp_path)
    make(MODELS[model], SMALL, files.checkpoint)
    cells = {column: cell(files, SMALL) for column, cell in COLUMNS.items()}
    assert {column: cell.failure for column, cell in cells.items() if cell.failure} == {}
