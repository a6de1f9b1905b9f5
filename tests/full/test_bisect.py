"""Bisecting a trained network in reduced precision: the layers with a planted fault are named, and no other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from calibration.plan import Plan
from runtime.parity import compare
from runtime.sources import find_images
from tests.full.test_precision import Exported, export, run
from tests.runtime.faults import constant, set_constant

pytestmark = [pytest.mark.full, pytest.mark.timeout(3600)]

FAULTY = ["backbone.body.layer3.0.conv1", "mask_head.1.0"]
PAST_HALF = 1e6  # times the weights of a block's first layer, over which those of its second are divided


@pytest.fixture(scope="module")
def exported(droplets_checkpoint: Path, data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = data_dir / "droplets"
    val = [str(folder / "val"), "--class-name", "droplet"]
    return export(droplets_checkpoint, tmp_path_factory.mktemp("bisect"), str(folder / "train"), val)


@pytest.fixture(scope="module")
def images(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for path in find_images([str(data_dir / "droplets/val")])[:4]:
        shutil.copy(path, folder)
    return folder


def test_two_layers_with_wrong_scales(exported: Exported, images: Path, tmp_path: Path) -> None:
    int8, found = tmp_path / "model.int8.onnx", tmp_path / "found.json"
    assert exported.calibrate(int8, "--images", "16") == 0
    model = onnx.load(int8)
    for layer in FAULTY:
        name = f"{layer}.weight/scale"
        scales = constant(model, name)
        set_constant(model, name, scales[::-1] * np.geomspace(0.1, 10, len(scales)).astype(np.float32))
    onnx.save_model(model, tmp_path / "faulty.onnx")
    assert run(compare, exported.fp32, tmp_path / "faulty.onnx", images) == 1

    mended, plan = tmp_path / "mended.onnx", tmp_path / "mended.plan.json"
    outputs = ["-o", found, "--mended", mended, "--plan", plan]
    assert run(compare, "bisect", exported.fp32, tmp_path / "faulty.onnx", images, *outputs) == 0

    assert json.loads(found.read_text())["float32"] == FAULTY
    assert run(compare, exported.fp32, mended, images) == 0
    assert set(Plan.read(plan).float_layers) >= set(FAULTY)


def test_a_block_that_overflows_half(exported: Exported, images: Path, tmp_path: Path) -> None:
    files = tmp_path / "model.onnx", tmp_path / "half.onnx"
    for source, path in zip((exported.fp32, exported.fp16), files, strict=True):
        model = onnx.load(source)
        for end, factor in (
            ("conv1.weight", PAST_HALF),
            ("conv1.bias", PAST_HALF),
            ("conv2.weight", 1 / PAST_HALF),
        ):
            name = f"backbone.body.layer2.1.{end}"
            weights = constant(model, name)
            with np.errstate(over="ignore"):
                set_constant(model, name, (weights.astype(np.float64) * factor).astype(weights.dtype))
        onnx.save_model(model, path)
    assert run(compare, *files, images) == 1

    assert (
        run(compare, "bisect", *files, images, "-o", tmp_path / "found.json", "--mended", tmp_path / "m.onnx")
        == 0
    )

    assert json.loads((tmp_path / "found.json").read_text())["float32"] == ["backbone.body.layer2.1"]
    assert run(compare, files[0], tmp_path / "m.onnx", images) == 0
