"""OpenVINO on trained weights and real images: what ONNX Runtime finds, to rounding; INT8 and bf16 within their
tolerances."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from maskrt.runtime.backends.open import open_session
from maskrt.runtime.evaluate import evaluate
from maskrt.runtime.inputs.images import find_images, read_image
from maskrt.runtime.parity.compare import compare
from maskrt.runtime.parity.judgement import judge_on
from maskrt.runtime.parity.options import Allowed
from maskrt.runtime.parity.report import Report
from maskrt.runtime.predictor import Predictor
from maskrt.runtime.preprocess import preprocess
from maskrt.runtime.siblings import load_dataset
from maskrt.runtime.tasks.instances.compare.comparison import InstancesComparison
from maskrt.runtime.tasks.instances.compare.tolerances import FP32, INT8

pytestmark = pytest.mark.full
pytest.importorskip("openvino")

AP_POINTS = 0.3  # what the gate of `maskrt calibrate` allows INT8 to lose
BOX_PX, MASK_IOU, BRAIN_FLOAT_POINTS = 0.3, 0.985, 0.1  # of bf16: differences on average, and AP lost


def test_finds_what_onnx_runtime_finds(droplets_onnx: Path, data_dir: Path) -> None:
    sessions = [open_session(droplets_onnx, backend=backend) for backend in ("onnxruntime", "openvino")]
    found, worst = 0, {"scores": 0.0, "boxes": 0.0, "masks": 0.0}
    for name in find_images([str(data_dir / "droplets/val")]):
        batch = preprocess([read_image(name)], sessions[0].contract.canvas)
        expected, got = (session.infer(batch.images, batch.image_sizes) for session in sessions)
        count = int(expected["num_detections"][0])
        assert got["num_detections"][0] == count, name
        np.testing.assert_array_equal(got["labels"], expected["labels"])
        for output in worst:
            apart = np.abs(got[output][0, :count] - expected[output][0, :count])
            worst[output] = max(worst[output], float(apart.max(initial=0)))
        found += count

    print(f"{found} detections, apart by at most {worst}")
    assert found > 100
    assert worst["boxes"] <= FP32.box_px
    assert worst["scores"] <= FP32.score
    assert worst["masks"] <= FP32.score  # probabilities, as the scores are


def test_int8_is_within_its_tolerances(droplets_onnx: Path, droplets_int8: Path, data_dir: Path) -> None:
    """The file was calibrated and judged on ONNX Runtime; OpenVINO rounds and fuses in its own way."""
    reference, candidate = open_session(droplets_onnx), open_session(droplets_int8, backend="openvino")
    report, val = Report(InstancesComparison(INT8)), data_dir / "droplets/val"
    for name in find_images([str(val)]):
        compare(reference, candidate, str(name), read_image(name), report)
    dataset = load_dataset(str(val), class_name="droplet")
    ap = [100 * evaluate(Predictor(session), dataset)["mask_ap"] for session in (reference, candidate)]

    differences = {name: report.row(name).mean for name in ("score difference", "mask IoU")}
    print(
        f"mask AP {ap[0]:.2f} in FP32, {ap[1]:.2f} in INT8; {report.results.matched:.1%} matched, {differences}"
    )
    assert report.failures == []
    assert ap[0] - ap[1] <= AP_POINTS
    control = Report(InstancesComparison(FP32))
    compare(reference, candidate, "control", read_image(find_images([str(val)])[0]), control)
    assert control.failures, "INT8 does not pass for FP32: the comparison does look"


def test_bf16_loses_next_to_nothing(droplets_onnx: Path, data_dir: Path) -> None:
    import openvino

    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU has no instructions for bf16")
    reference, candidate = open_session(droplets_onnx), open_session(droplets_onnx, backend="openvino-bf16")
    dataset = load_dataset(str(data_dir / "droplets/val"), class_name="droplet")

    report, _ = judge_on(reference, candidate, dataset, Allowed())

    assert report.scores is not None
    lost = {kind: -100 * score["difference"] for kind, score in report.scores.items()}
    box_px, mask_iou = (report.row(name).mean for name in ("box difference", "mask IoU"))
    print(f"AP lost {lost}, on average boxes differ by {box_px:.3f} px, mask IoU {mask_iou:.4f}")
    assert report.failures == []
    assert report.undecided == ""
    assert max(map(abs, lost.values())) <= BRAIN_FLOAT_POINTS
    assert box_px <= BOX_PX
    assert mask_iou >= MASK_IOU
