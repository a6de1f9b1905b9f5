"""Bisecting a trained network in reduced precision: the layers with a planted fault are named, and no other."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from calibration.candidate import build, observed_tensors, sign
from calibration.collect import open_exposed
from calibration.layers import Graph
from calibration.plan import Plan
from export.to_onnx import export_onnx, save_onnx
from export.weights import load_checkpoint
from runtime.contract import IMAGE_SIZES, IMAGES
from runtime.ort_session import OrtSession
from runtime.parity import compare
from runtime.preprocess import preprocess
from runtime.sources import find_images, read_image
from tests.full.test_precision import run
from tests.runtime.faults import constant, set_constant

pytestmark = [pytest.mark.full, pytest.mark.timeout(3600)]

FAULTY = ["backbone.body.layer3.0.conv1", "mask_head.1.0"]
PAST_HALF = 1e6  # times the weights of a block's first layer, over which those of its second are divided


@pytest.fixture(scope="module")
def exported(droplets_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The checkpoint in FP32 and FP16."""
    checkpoint, folder = load_checkpoint(droplets_checkpoint), tmp_path_factory.mktemp("bisect")
    fp32 = checkpoint.contract(detections="dynamic")
    fp16 = dataclasses.replace(fp32, precision="fp16", precision_details={"float32_units": []})
    paths = {contract.precision: folder / f"{contract.precision}.onnx" for contract in (fp32, fp16)}
    for contract in (fp32, fp16):
        save_onnx(export_onnx(checkpoint, contract), paths[contract.precision])
    return paths


@pytest.fixture(scope="module")
def image(data_dir: Path) -> Path:
    return find_images([str(data_dir / "droplets/val")])[1]


def in_eight_bits(path: Path, images: list[Path]) -> onnx.ModelProto:
    """By the extremes over some images."""
    model, contract = onnx.load(path), OrtSession(path).contract
    graph = Graph(model.graph)
    tensors = observed_tensors(graph)
    session, ranges = open_exposed(model, tensors), dict.fromkeys(tensors, (0.0, 0.0))
    for one in images:
        batch = preprocess([read_image(one)], contract.canvas)
        values = session.run(tensors, {IMAGES: batch.images, IMAGE_SIZES: batch.image_sizes})
        for name, value in zip(tensors, values, strict=True):
            low, high = ranges[name]
            ranges[name] = min(low, float(value.min())), max(high, float(value.max()))
    int8 = build(model, Plan.default(graph, "cpu", "minmax"), ranges)
    sign(int8, contract, {"flavour": "cpu", "method": "minmax", "float_layers": []})
    return int8


def test_two_layers_with_wrong_scales(
    exported: dict[str, Path], image: Path, data_dir: Path, tmp_path: Path
) -> None:
    model = in_eight_bits(exported["fp32"], find_images([str(data_dir / "droplets/train")])[::10])
    faulty, mended = tmp_path / "faulty.onnx", tmp_path / "mended.onnx"
    onnx.save_model(model, faulty)
    assert run(compare, exported["fp32"], faulty, image) == 0, "before the fault"
    for layer in FAULTY:
        name = f"{layer}.weight/scale"
        scales = constant(model, name)
        set_constant(model, name, scales[::-1] * np.geomspace(0.1, 10, len(scales)).astype(np.float32))
    onnx.save_model(model, faulty)

    outputs = ["-o", tmp_path / "found.json", "--mended", mended]
    assert run(compare, "bisect", exported["fp32"], faulty, image, *outputs) == 0

    assert json.loads((tmp_path / "found.json").read_text())["float32"] == FAULTY
    assert run(compare, exported["fp32"], mended, image) == 0


def test_a_block_that_overflows_half(exported: dict[str, Path], image: Path, tmp_path: Path) -> None:
    files = tmp_path / "model.onnx", tmp_path / "half.onnx"
    for precision, path in zip(("fp32", "fp16"), files, strict=True):
        model = onnx.load(exported[precision])
        for end, power in (("conv1.weight", 1), ("conv1.bias", 1), ("conv2.weight", -1)):
            name = f"backbone.body.layer2.1.{end}"
            weights = constant(model, name)
            with np.errstate(over="ignore"):
                set_constant(model, name, (weights * np.float64(PAST_HALF) ** power).astype(weights.dtype))
        onnx.save_model(model, path)

    outputs = ["-o", tmp_path / "found.json", "--mended", tmp_path / "mended.onnx"]
    assert run(compare, "bisect", *files, image, *outputs) == 0

    assert json.loads((tmp_path / "found.json").read_text())["float32"] == ["backbone.body.layer2.1"]
    assert run(compare, files[0], tmp_path / "mended.onnx", image) == 0
