"""Boxes alone, and keypoints, in FP16 and in eight bits, and on OpenVINO."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from benchmarks.samples import scene
from maskrt.calibration.decide.layers import Graph
from maskrt.calibration.decide.plan import FLOAT, INT8, Plan
from maskrt.calibration.flavours import CPU, FLAVOURS, TENSORRT
from maskrt.calibration.measure.learned import learned_ranges
from maskrt.calibration.rewrite.placement import place
from maskrt.models.load import load_checkpoint
from maskrt.models.parts.quantisers import learned_scales
from maskrt.models.rcnn.qat import fake_quantise
from maskrt.runtime.backends.open import Outputs, open_session
from maskrt.runtime.preprocess import preprocess
from maskrt.runtime.tasks.instances.compare.tolerances import FP32
from tests.families import Made

MIN_SCORE = 0.2
# What half rounds of a heat map of random weights moves most of its best samples by; some jump to another
# peak, as they do of random maps alone (docs/keypoints.md), and half of a network's rounding moves its boxes.
MOST_MOVED_PX, MOST = 2.0, 0.7


def seen(path: Path, **options: Any) -> Outputs:
    session = open_session(path, **options)
    batch = preprocess([scene(1)], session.contract.canvas)
    return session.infer(batch.images, batch.image_sizes)


def test_in_half_precision_what_was_found_is_found_again(keypoint_rcnn: Made) -> None:
    heads = [t for t in onnx.load(keypoint_rcnn.half).graph.initializer if t.name.startswith("keypoint_")]
    assert len(heads) >= 3, "but for a bias that is another's twin"
    assert {t.data_type for t in heads} == {onnx.TensorProto.FLOAT16}
    exact, rounded = (seen(model) for model in (keypoint_rcnn.model, keypoint_rcnn.half))
    assert "keypoints" in exact
    assert "keypoints" in rounded
    assert rounded["keypoints"].dtype == np.float32
    count = int(exact["num_detections"][0])
    assert count > 10
    apart_px = np.abs(exact["boxes"][0, :count, None] - rounded["boxes"][0, None]).max(axis=2)
    same = apart_px.min(axis=1) < 1
    assert same.mean() > MOST
    moved = exact["keypoints"][0, :count][same] - rounded["keypoints"][0, apart_px.argmin(axis=1)][same]
    assert np.mean(np.hypot(moved[..., 0], moved[..., 1]) < MOST_MOVED_PX) > MOST


@pytest.mark.parametrize("model", ["faster_rcnn", "keypoint_rcnn"])
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_in_eight_bits_the_last_layers_stay_in_float(
    model: str, flavour: str, request: pytest.FixtureRequest
) -> None:
    graph = Graph.of(onnx.load(request.getfixturevalue(model).model))
    plan = Plan.default(graph, flavour, "minmax")
    last = {"proposals.head.cls_logits", "proposals.head.bbox_pred"}
    last |= {f"detections.box_predictor.{layer}" for layer in ("cls_score", "bbox_pred")}
    if model == "keypoint_rcnn":
        last.add("keypoint_predictor.kps_score_lowres")
        assert set(plan.layers["keypoint_head"].values()) == {INT8}
    assert set(plan.layers[graph.names.outputs]) == last
    assert set(plan.layers[graph.names.outputs].values()) == {FLOAT}
    assert last.isdisjoint(place(graph, plan.int8_layers, flavour).layers)
    asked_for = Plan.default(graph, flavour, "minmax", last_layers=True)
    without_kernel = {"keypoint_predictor.kps_score_lowres"} if flavour == CPU else set()
    assert set(filter(graph.names.is_output, asked_for.int8_layers)) == last - without_kernel


def test_training_in_eight_bits_rounds_at_every_pair_of_the_file(keypoint_rcnn: Made) -> None:
    model = load_checkpoint(keypoint_rcnn.checkpoint).build()
    fake_quantise(model)
    graph = Graph.of(onnx.load(keypoint_rcnn.model))
    pairs = place(graph, Plan.default(graph, TENSORRT, "minmax").int8_layers, TENSORRT).scale_groups
    learned = learned_ranges(graph, learned_scales(model))
    assert set(learned) == set(pairs)
    assert any(point.startswith("roi_heads.keypoint_head.") for point in learned_scales(model))


def test_openvino_finds_the_same(keypoint_rcnn: Made) -> None:
    pytest.importorskip("openvino")
    expected, got = (seen(keypoint_rcnn.model, backend=backend) for backend in ("onnxruntime", "openvino"))
    assert "keypoints" in expected
    assert "keypoints" in got
    assert got["num_detections"][0] == expected["num_detections"][0] > 10
    np.testing.assert_array_equal(got["labels"], expected["labels"])
    np.testing.assert_allclose(got["boxes"], expected["boxes"], rtol=0, atol=FP32.box_px)
    np.testing.assert_allclose(got["scores"], expected["scores"], rtol=0, atol=FP32.score)
    apart = np.linalg.norm(got["keypoints"][..., :2] - expected["keypoints"][..., :2], axis=-1)
    assert apart.mean(axis=-1).max() <= FP32.keypoint_px
