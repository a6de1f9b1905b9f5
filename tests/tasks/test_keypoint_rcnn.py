"""Keypoint R-CNN through every stage, with random weights; trained: tests/full/test_keypoints.py."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from benchmarks.samples import POINTS, scene
from maskrt.calibration.decide.gate import Judge
from maskrt.calibration.measure.images import CalibrationImage
from maskrt.models.rcnn.layout import KEYPOINT_LOGITS
from maskrt.runtime import evaluate, infer
from maskrt.runtime.backends.open import open_session
from maskrt.runtime.backends.ort_session import OrtSession
from maskrt.runtime.parity.command import main as parity
from maskrt.runtime.predictor import load
from maskrt.runtime.tasks.instances.drawing.draw import draw
from maskrt.runtime.tasks.instances.options import DETECTED, KEYPOINTS
from tests.families import Made, ended

MIN_SCORE = 0.2
POINT_LAYER = "keypoint_predictor.kps_score_lowres"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "scene.png"
    assert cv2.imwrite(str(path), scene(1)[:, :, ::-1])
    return path


def test_the_file_promises_points_by_name(keypoint_rcnn: Made) -> None:
    contract = open_session(keypoint_rcnn.model).contract
    assert (contract.task, contract.family) == ("instances", "keypoint_rcnn")
    assert contract.output_names == (*DETECTED, KEYPOINTS)
    assert contract.options.keypoints is not None
    assert contract.options.keypoints.names == POINTS
    mirrored = [POINTS[other] for other in contract.options.keypoints.mirrored]
    assert mirrored[:3] == ["nose", "right_eye", "left_eye"]


def move_points(model: onnx.ModelProto, shift_px: float) -> None:
    """To the right, after the model has found them."""
    node = next(n for n in model.graph.node if "keypoints" in n.output)
    node.output[list(node.output).index("keypoints")] = "keypoints_before"
    shift = np.array([shift_px, 0, 0], np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(shift, "shift"))
    model.graph.node.append(onnx.helper.make_node("Add", ["keypoints_before", "shift"], ["keypoints"]))


@pytest.mark.parametrize("fault", ["mirrored", "half a cell"])
def test_parity_names_what_is_wrong_with_the_points(
    fault: str, keypoint_rcnn: Made, picture: Path, tmp_path: Path
) -> None:
    model = onnx.load(keypoint_rcnn.model)
    if fault == "mirrored":
        contract = open_session(keypoint_rcnn.model).contract
        assert contract.options.keypoints is not None
        for tensor in model.graph.initializer:
            if tensor.name.startswith(POINT_LAYER):
                values = onnx.numpy_helper.to_array(tensor)
                axis = 1 if values.ndim == 4 else 0  # ConvTranspose: (in, out, h, w)
                swapped = np.take(values, contract.options.keypoints.mirrored, axis=axis)
                tensor.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(swapped), tensor.name))
    else:
        move_points(model, 2.5)
    onnx.save(model, tmp_path / "faulty.onnx")
    out = tmp_path / "parity.json"
    assert ended(parity, keypoint_rcnn.checkpoint, tmp_path / "faulty.onnx", picture, "-o", out) == 1
    report = json.loads(out.read_text())
    assert any("keypoints differ by" in failure for failure in report["failures"])
    expected = KEYPOINT_LOGITS if fault == "mirrored" else "keypoints"
    assert report["stages"]["first"]["stage"] == expected
    if fault == "half a cell":
        assert "all points (+2.5, +0.0) px off" in report["failures"][0]


def test_the_gate_of_int8_judges_it_by_its_points_too(keypoint_rcnn: Made) -> None:
    images = [CalibrationImage("scene", lambda: scene(1))]
    judge = Judge(OrtSession(keypoint_rcnn.model), images)
    model = onnx.load(keypoint_rcnn.model)
    exact = judge.judge(model)
    assert (exact.figure, exact.failures, exact.loss) == ("keypoint_ap", [], 0.0)
    move_points(model, 4.0)
    moved = judge.judge(model)
    assert [failure.partition(" by")[0] for failure in moved.failures] == ["keypoints differ"]
    assert moved.loss > 0.03, "and what moves them is seen to when layers are ranked"


def test_results_are_in_the_pictures_own_pixels(keypoint_rcnn: Made) -> None:
    predictor = load(keypoint_rcnn.model)
    image = scene(1)
    twice = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    one, other = (predictor(picture, min_score=0)[0] for picture in (image, np.asarray(twice, np.uint8)))
    assert one.keypoints is not None
    assert other.keypoints is not None
    assert one.keypoints.shape == (len(one), len(POINTS), 3)
    x, y = one.keypoints[:, :, 0], one.keypoints[:, :, 1]
    # torchvision's: a point lies in its box, widened to a pixel.
    assert ((x >= one.boxes[:, None, 0] - 1) & (x <= one.boxes[:, None, 2] + 1)).all()
    assert ((y >= one.boxes[:, None, 1] - 1) & (y <= one.boxes[:, None, 3] + 1)).all()
    assert other.keypoints[:, :, 0].max() > 1.5 * x.max()


def test_points_are_drawn_written_and_handed_on(keypoint_rcnn: Made, picture: Path, tmp_path: Path) -> None:
    result = load(keypoint_rcnn.model)(scene(1))[0]
    bare = draw(scene(1), result.__class__(**{**vars(result), "keypoints": None, "image": None}))
    assert (draw(scene(1), result) != bare).any()
    assert ended(infer.main, keypoint_rcnn.model, picture, "-o", tmp_path / "out", "--min-score", 0.1) == 0
    rows = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert rows
    assert all(len(row["keypoints"]) == 3 * len(POINTS) and "segmentation" not in row for row in rows)
    supervision = pytest.importorskip("supervision")
    assert len(supervision.KeyPoints(**result.to_supervision_keypoints())) == len(result)


def test_evaluate_measures_oks_ap(keypoint_rcnn: Made, tmp_path: Path) -> None:
    """The model's own answers are the truth, so AP is 1; with every point moved by a quarter, it is not."""
    image = scene(1)
    cv2.imwrite(str(tmp_path / "a.png"), image[:, :, ::-1])
    found = load(keypoint_rcnn.model)(image)[0].to_coco(1)
    document = {
        "images": [{"id": 1, "file_name": "a.png", "height": image.shape[0], "width": image.shape[1]}],
        "categories": [
            {"id": one.id, "name": one.name, "keypoints": list(POINTS), "skeleton": [[1, 2]]}
            for one in keypoint_rcnn.contract.classes
        ],
    }

    def measured(moved: float) -> dict[str, float]:
        annotations = []
        for number, row in enumerate(found, start=1):
            x, y, width, height = row["bbox"]
            points = np.array(row["keypoints"]).reshape(-1, 3)
            points[:, 0] = np.clip(points[:, 0] + moved * width, 0, image.shape[1])
            points[:, 1] = points[:, 1].clip(0, image.shape[0])
            points[:, 2] = 2
            corners = [x, y, x + width, y, x + width, y + height, x, y + height]
            annotations.append(
                {"id": number, "image_id": 1, "category_id": row["category_id"], "iscrowd": 0}
                | {
                    "bbox": row["bbox"],
                    "area": width * height,
                    "segmentation": [corners],
                    "keypoints": points.ravel().tolist(),
                }
            )
        (tmp_path / "truth.json").write_text(json.dumps(document | {"annotations": annotations}))
        out = tmp_path / "metrics.json"
        assert ended(evaluate.main, keypoint_rcnn.model, "--data", tmp_path / "truth.json", "-o", out) == 0
        return json.loads(out.read_text())

    exact, moved = measured(0.0), measured(0.25)
    assert exact["keypoint_ap50"] > 0.9
    assert moved["keypoint_ap50"] < 0.5 * exact["keypoint_ap50"]
    assert moved["box_ap"] == exact["box_ap"]


def test_the_python_api_gives_points_in_the_picture(keypoint_rcnn: Made) -> None:
    result = load(keypoint_rcnn.model)(scene(1), min_score=MIN_SCORE)[0]
    assert result.keypoints is not None
    count, points, values = result.keypoints.shape
    assert (count, points, values) == (len(result), 17, 3)
    assert result.to_supervision_keypoints()["xy"].shape == (count, points, 2)
    without = dataclasses.replace(result, keypoints=None)
    with pytest.raises(ValueError, match="no keypoints"):
        without.to_supervision_keypoints()
