"""Faster R-CNN: the same network and graph without the mask branch, through every stage."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from benchmarks.samples import scene
from maskrt.calibration.decide.gate import Judge
from maskrt.calibration.measure.images import CalibrationImage
from maskrt.runtime import evaluate, infer
from maskrt.runtime.backends.open import open_session
from maskrt.runtime.backends.ort_session import OrtSession
from maskrt.runtime.predictor import load
from maskrt.runtime.tasks.instances.drawing.draw import draw
from maskrt.runtime.tasks.instances.measure.coco import STATISTICS
from maskrt.runtime.tasks.instances.options import DETECTED
from maskrt.training.data import load_dataset
from tests.families import Made, ended

BOX_LAYER = "detections.box_predictor.bbox_pred.weight"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "scene.png"
    assert cv2.imwrite(str(path), scene(1)[:, :, ::-1])
    return path


def test_the_file_promises_and_gives_boxes_alone(faster_rcnn: Made) -> None:
    session = open_session(faster_rcnn.model)
    contract = session.contract
    assert (contract.task, contract.family, contract.options.masks) == ("instances", "faster_rcnn", None)
    assert contract.output_names == DETECTED
    graph = onnx.load(faster_rcnn.model).graph
    assert [value.name for value in graph.output] == list(contract.output_names)
    assert not [tensor.name for tensor in graph.initializer if "mask" in tensor.name]


def test_its_results_have_boxes_and_no_masks(faster_rcnn: Made) -> None:
    result = load(faster_rcnn.model)(scene(1))[0]
    assert len(result) > 10
    assert all("segmentation" not in row for row in result.to_coco(1))
    assert result.to_supervision()["mask"] is None
    assert (draw(scene(1), result) != scene(1)).any()
    with pytest.raises(ValueError, match="no masks"):
        result.masks  # noqa: B018


def test_infer_writes_boxes_and_refuses_to_write_masks(
    faster_rcnn: Made, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(infer.main, faster_rcnn.model, picture, "-o", tmp_path / "out", "--min-score", 0.1) == 0
    rows = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert rows
    assert all(row.keys() == {"image_id", "category_id", "bbox", "score"} for row in rows)
    capsys.readouterr()
    assert ended(infer.main, faster_rcnn.model, picture, "-o", tmp_path / "no", "--masks") == 2
    assert "finds no masks (it gives num_detections, boxes, scores, labels)" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


def test_evaluate_measures_box_ap_alone(faster_rcnn: Made, tmp_path: Path) -> None:
    out = tmp_path / "metrics.json"
    assert ended(evaluate.main, faster_rcnn.model, "--data", "synthetic:2:0", "-o", out) == 0
    metrics = json.loads(out.read_text())
    assert {f"box_{statistic}" for statistic in STATISTICS} <= metrics.keys()
    assert not [name for name in metrics if name.startswith("mask")]


def test_the_gate_of_int8_judges_it_by_its_boxes(faster_rcnn: Made) -> None:
    dataset = load_dataset("synthetic:2:0")
    images = [CalibrationImage(sample.source, sample.image) for sample in dataset]
    judge = Judge(OrtSession(faster_rcnn.model), images, dataset=dataset)
    model = onnx.load(faster_rcnn.model)
    exact = judge.judge(model)
    assert (exact.figure, exact.failures, exact.loss) == ("box_ap", [], 0.0)

    weights = next(t for t in model.graph.initializer if t.name == BOX_LAYER)
    values = onnx.numpy_helper.to_array(weights) * np.float32(2)
    weights.CopyFrom(onnx.numpy_helper.from_array(values, weights.name))
    moved = judge.judge(model)
    assert moved.loss > 0.1
    assert any(failure.startswith("box differs") for failure in moved.failures)
