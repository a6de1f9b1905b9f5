"""Looking into a quantised file: it keeps the names of the stages, and parity says where it goes wrong."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

from benchmarks.samples import scene
from maskrt.calibration.decide.candidate import build, read_model, sign
from maskrt.calibration.decide.layers import Graph
from maskrt.calibration.decide.plan import Plan
from maskrt.calibration.flavours import CPU, TENSORRT
from maskrt.calibration.measure.collect import measure
from maskrt.calibration.measure.images import CalibrationImage
from maskrt.calibration.measure.scales import Key, Scales
from maskrt.export.stages import ShowStages
from maskrt.runtime.files.atomic import write_png
from maskrt.runtime.parity.command import main as parity

NARROWER = 20  # times: nearly all of the tensor's values are clipped


@pytest.fixture(scope="module")
def measured(random_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Scales:
    """Of one scene."""
    model, contract = read_model(random_onnx, "fp32")
    images = [CalibrationImage("scene", lambda: scene(1))]
    partial = tmp_path_factory.mktemp("measured") / "part.npz"
    return measure(model, contract, images, Key.of(random_onnx, contract, "images"), partial)


@pytest.mark.parametrize(("flavour", "shown"), [(CPU, False), (TENSORRT, True)])
def test_parity_names_the_first_stage_after_a_scale_that_clips(
    flavour: str, shown: bool, measured: Scales, random_checkpoint: Path, random_onnx: Path, tmp_path: Path
) -> None:
    """shown: exported --with-stages. C3 itself is right, and what reads it is not."""
    model, contract = read_model(random_onnx, "fp32")
    ranges = dict(measured.ranges("minmax"))
    low, high = ranges["stage.C3"]
    ranges["stage.C3"] = low / NARROWER, high / NARROWER
    if shown:
        ShowStages(str(random_onnx))(model)
    candidate = build(model, Plan.default(Graph.of(model), flavour, "minmax"), ranges)
    sign(candidate, contract, {})
    onnx.save_model(candidate, tmp_path / "int8.onnx")
    write_png(tmp_path / "images" / "scene.png", scene(1))

    files = [random_checkpoint, tmp_path / "int8.onnx", tmp_path / "images", "-o", tmp_path / "parity.json"]
    with pytest.raises(SystemExit) as ended:
        parity([str(argument) for argument in files])

    assert ended.value.code == 1
    first = json.loads((tmp_path / "parity.json").read_text())["stages"]["first"]
    assert first["stage"] == "C4"
    assert "SNR" in first["reason"]
