"""FP16 at export: which tensors are half, what that costs, and what does not fit."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto

from benchmarks.samples import scene
from maskrt.export.overflow import half_contract, scan
from maskrt.export.stages import read_with_stages
from maskrt.models.checkpoint import Checkpoint
from maskrt.models.load import load_checkpoint
from maskrt.models.parts.half import HALF_MAX, LIMIT, to_half, too_large
from maskrt.models.parts.layout import FPN
from maskrt.models.rcnn.config import C4, MOBILENET, MaskRcnnConfig
from maskrt.models.rcnn.graph.network import MaskRcnnGraph
from maskrt.models.rcnn.network import build_mask_rcnn
from maskrt.runtime.backends.ort_session import OrtSession
from maskrt.runtime.contract import INPUT_NAMES, PREFIX
from maskrt.runtime.files.atomic import write_png
from tests.exports import Exports
from tests.families import make

# Half keeps 11 bits: 2.4e-4 relative a rounding, of which some twenty convolutions accumulate a few.
FEATURE_ERROR = 5e-3


@pytest.fixture(scope="module")
def checkpoint(random_checkpoint: Path) -> Checkpoint:
    return load_checkpoint(random_checkpoint)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("pictures")
    write_png(folder / "a.png", scene(1))
    return str(folder)


def past_half(checkpoint: Checkpoint) -> Checkpoint:
    """The same function with a tensor in layer2.0 that passes float16: times 2^20 there, back after it."""
    weights = {name: value.clone() for name, value in checkpoint.state_dict.items()}
    for name in ("weight", "bias"):
        weights[f"backbone.body.layer2.0.bn1.{name}"] *= 2.0**20
    weights["backbone.body.layer2.0.conv2.weight"] *= 2.0**-20
    return dataclasses.replace(checkpoint, state_dict=weights)


def pyramid(
    checkpoint: Checkpoint, keep: tuple[str, ...] | None, images: np.ndarray | None = None
) -> list[torch.Tensor]:
    """P2–P6 of the graph in PyTorch; `keep` None: all in float32. images: by default a scene."""
    images = scene(1)[None] if images is None else images
    graph = MaskRcnnGraph(checkpoint.build(), detections="dynamic").eval()
    if keep is not None:
        to_half(graph, keep)
    with torch.no_grad():
        canvas = graph.canvas(torch.from_numpy(images), torch.from_numpy(sizes_of(images)))
        return [level.float() for level in graph._features(canvas, {})]


def sizes_of(images: np.ndarray) -> np.ndarray:
    """Those of pictures that fill their canvas."""
    return np.array([images.shape[1:3]], np.float32)


def relative(actual: torch.Tensor, expected: torch.Tensor) -> float:
    return float((actual - expected).norm() / expected.norm())


def test_layers_are_half_and_scores_and_boxes_are_not(exports: Exports) -> None:
    example = make(exports, "mask_rcnn")
    path = example.half
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    types = {v.name: v.type.tensor_type.elem_type for v in (*model.graph.value_info, *model.graph.output)}
    types |= {t.name: t.data_type for t in model.graph.initializer}
    for node in model.graph.node:
        half = types.get(node.output[0]) == TensorProto.FLOAT16
        if node.op_type in ("Conv", "ConvTranspose", "Gemm", "PyramidRoiAlign", "MaxPool", "Resize"):
            assert half, node.name
        if node.op_type in ("Softmax", "Sigmoid", "Exp", "GroupedNms", "TopK", "Div"):
            assert not half, f"{node.op_type} {node.name}"
        if node.op_type == "PyramidRoiAlign":
            assert types[node.input[0]] == TensorProto.FLOAT, "RoIs are float32, whatever the features"
    assert {types[o.name] for o in model.graph.output} == {TensorProto.FLOAT, TensorProto.INT32}
    assert OrtSession(path).contract.precision.name == "fp16"

    canvas = OrtSession(path).contract.canvas
    images = np.ascontiguousarray(scene(1)[None, : canvas.height_px, : canvas.width_px])
    feed = dict(zip(INPUT_NAMES, (images, sizes_of(images)), strict=True))
    session = onnxruntime.InferenceSession(read_with_stages(path), providers=["CPUExecutionProvider"])
    found = session.run([PREFIX + level for level in FPN.levels], feed)
    for level, expected in zip(found, pyramid(example.loaded, None, images), strict=True):
        assert level.dtype == np.float16
        assert 0 < relative(torch.from_numpy(level).float(), expected) < FEATURE_ERROR


def test_a_model_within_the_range_of_half_is_half_throughout(checkpoint: Checkpoint, pictures: str) -> None:
    found = scan(checkpoint, checkpoint.contract(), [pictures])
    assert (found.images, found.peaks, found.float32_units) == (1, {}, ())


def test_a_peak_is_too_large_from_the_limit_on() -> None:
    """NaN too."""
    peaks = {"a": LIMIT, "b": LIMIT * 0.999, "c": math.nan, "d": math.inf, "e": 0.0}
    assert list(too_large(peaks)) == ["a", "c", "d"]


def test_a_tensor_past_the_range_of_half_keeps_its_unit_in_float32(
    checkpoint: Checkpoint, pictures: str, capsys: pytest.CaptureFixture[str]
) -> None:
    contract = half_contract(past_half(checkpoint), checkpoint.contract(), [pictures])
    assert contract.precision.details == {
        "scanned_images": 1,
        "float32_units": ["backbone.body.layer2.0"],
    }
    assert "backbone.body.layer2.0.relu input" in capsys.readouterr().err
    found = scan(past_half(checkpoint), contract, [pictures])
    assert max(found.peaks.values()) > HALF_MAX > LIMIT
    expected = pyramid(checkpoint, None)
    for level, other in zip(pyramid(past_half(checkpoint), found.float32_units), expected, strict=True):
        assert relative(level, other) < FEATURE_ERROR
    unprotected = pyramid(past_half(checkpoint), ())
    assert not all(torch.isfinite(level).all() for level in unprotected), "what the scan is there against"


@pytest.mark.parametrize(
    "settings",
    [MaskRcnnConfig(), C4, MOBILENET, MaskRcnnConfig(task="keypoint")],
    ids=["FPN", "C4", "MobileNetV3", "keypoints"],
)
def test_every_weight_belongs_to_one_unit(settings: MaskRcnnConfig) -> None:
    with torch.device("meta"):
        graph = MaskRcnnGraph(build_mask_rcnn(settings), detections="dynamic")
    inside = Counter(id(p) for modules in graph.units().values() for m in modules for p in m.parameters())
    assert [n for n, p in graph.named_parameters() if inside[id(p)] != 1] == []
    named = {f"{unit}.weight": unit for unit in graph.units()}
    assert {weight: settings.layers.unit_of(weight) for weight in named} == named
