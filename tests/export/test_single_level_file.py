"""The file of a single-level Mask R-CNN: what it finds, TensorRT's parsers, eight bits; one small export for all."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from benchmarks.samples import confident_checkpoint, scene
from maskrt.calibration.decide.layers import Graph
from maskrt.calibration.decide.plan import Plan
from maskrt.calibration.flavours import TENSORRT
from maskrt.calibration.measure.learned import tensor_at
from maskrt.calibration.rewrite.placement import place
from maskrt.export.engine.prepare import prepare
from maskrt.export.engine.supported import refusals
from maskrt.models.load import load_checkpoint
from maskrt.models.parts.quantisers import learned_scales, observe
from maskrt.models.rcnn.config import C5
from maskrt.models.rcnn.qat import fake_quantise
from maskrt.models.reference import open_reference
from maskrt.runtime.backends.open import open_session
from maskrt.runtime.preprocess import preprocess
from tests.exports import Exports

HEIGHT_PX, WIDTH_PX = 128, 160
NARROW: dict[str, Any] = {
    "norm": "bn",
    "num_classes": 4,
    "fpn_channels": 32,
    "mask_convs": (32,),
    "min_size_px": HEIGHT_PX,
    "max_size_px": WIDTH_PX,
    "anchor_sizes_px": ((32, 64, 128),),
    "rpn_post_nms_test": 50,
    "max_detections": 20,
}
#: Of scores and box corners in px, whose sums are formed in another order.
SCORE_TOLERANCE, BOX_TOLERANCE_PX = 1e-4, 0.01


@pytest.fixture(scope="module")
def checkpoint(exports: Exports) -> Path:
    fields = {field.name: getattr(C5, field.name) for field in dataclasses.fields(C5)} | NARROW
    del fields["backbone"]
    return exports.checkpoint("single-level", lambda: confident_checkpoint("resnet18", **fields))


@pytest.fixture(scope="module")
def file(checkpoint: Path, exports: Exports) -> Path:
    return exports.onnx(checkpoint, height_px=HEIGHT_PX, width_px=WIDTH_PX, batch=1, detections="fixed")


def test_it_finds_what_the_network_finds(checkpoint: Path, file: Path) -> None:
    reference, session = open_reference(checkpoint), open_session(file)
    batch = preprocess([scene(1)], session.contract.canvas)

    expected = reference.infer(batch.images, batch.image_sizes)
    found = session.infer(batch.images, batch.image_sizes)

    assert found["num_detections"][0] == expected["num_detections"][0] >= 3
    np.testing.assert_array_equal(found["labels"], expected["labels"])
    np.testing.assert_allclose(found["scores"], expected["scores"], atol=SCORE_TOLERANCE)
    np.testing.assert_allclose(found["boxes"], expected["boxes"], atol=BOX_TOLERANCE_PX)


@pytest.mark.parametrize("operators", ["plugin", "body"])
@pytest.mark.parametrize("version", [(8, 6), (10, 3)])
def test_tensorrts_parsers_take_it(file: Path, version: tuple[int, int], operators: str) -> None:
    prepared = prepare(onnx.load(file), version, operators, file.name)
    assert refusals(prepared, version) == []


def test_training_for_eight_bits_rounds_at_every_pair_of_the_file_and_nowhere_else(
    checkpoint: Path, file: Path
) -> None:
    model = load_checkpoint(checkpoint).build()
    fake_quantise(model)
    pixels = torch.from_numpy(scene()).permute(2, 0, 1) / 255
    target = {"boxes": torch.tensor([[20.0, 20, 120, 120]]), "labels": torch.tensor([1])}
    observe(model, [([pixels], [target | {"masks": torch.ones((1, 256, 320), dtype=torch.uint8)}])])
    scales = learned_scales(model)
    graph = Graph.of(onnx.load(file))
    placement = place(graph, Plan.default(graph, TENSORRT, "minmax").int8_layers, TENSORRT)

    groups = [placement.scale_groups[tensor] for point in scales if (tensor := tensor_at(graph, point))]

    assert len(groups) == len(set(groups)) == len(scales)
    assert set().union(*groups) >= set(placement.scale_groups)
    assert all(math.isfinite(scale) and scale > 0 for scale in scales.values())
