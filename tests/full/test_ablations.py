"""Every ablation of the paper, exported: what ONNX Runtime finds is what the model finds, stage by stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.samples import confident_checkpoint, scene
from maskrt.export.onnx_model import export_onnx, save_onnx
from maskrt.models.load import load_checkpoint
from maskrt.models.reference import open_reference
from maskrt.runtime.backends.ort_session import OrtSession
from maskrt.runtime.parity.compare import compare
from maskrt.runtime.parity.report import Report
from maskrt.runtime.parity.sides import comparison_for

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]

WAYS: dict[str, dict[str, Any]] = {
    "RoIPool": {"roi_pool": "pool_max"},
    "RoIWarp, average": {"roi_pool": "warp_avg"},
    "RoIWarp, maximum, half-pixel": {"roi_pool": "warp_max", "roi_aligned": True},
    "RoIAlign, maximum": {"roi_pool": "align_max"},
    "RoIAlign of Detectron2": {"roi_aligned": True, "sampling_ratio": 0},
    "softmax across classes": {"mask_activation": "softmax"},
    "one mask for whatever class": {"mask_class_agnostic": True},
    "fully connected mask head": {"mask_head": "mlp"},
}


# Half of the pooled features' and mask heads' own rounding; random weights let a few scores change places.
HALF_MATCHED, HALF_MASK_IOU = 0.95, 0.99


def report_of(config: dict[str, Any], folder: Path, precision: str) -> Report:
    settings = {"num_classes": 6, "rpn_post_nms_test": 200, "max_detections": 30}
    confident_checkpoint("resnet18", **settings, **config).save(folder / "model.pt")
    checkpoint = load_checkpoint(folder / "model.pt")
    contract = checkpoint.contract(detections="dynamic")
    if precision == "fp16":
        contract = contract.in_precision("fp16", {"float32_units": []})
    save_onnx(export_onnx(checkpoint, contract), folder / "model.onnx")
    reference = open_reference(folder / "model.pt")
    candidate = OrtSession(folder / "model.onnx", stages=precision == "fp32")
    report = Report(comparison_for(reference, candidate))
    for index in range(2):
        compare(reference, candidate, f"scene {index}", scene(index), report)
    print(config, precision, report.to_dict()["summary"])
    return report


@pytest.mark.parametrize("config", WAYS.values(), ids=WAYS.keys())
def test_an_ablation_is_exported_exactly(config: dict[str, Any], tmp_path: Path) -> None:
    report = report_of(config, tmp_path, "fp32")
    assert report.failures == []
    assert report.to_dict()["summary"]["instances"] >= 30
    blank = np.full((1, 256, 320, 3), 127, np.uint8)
    masks = OrtSession(tmp_path / "model.onnx").infer(blank, np.array([[256, 320]], np.float32))["masks"]
    assert masks is not None
    assert masks.shape == (1, 30, 28, 28)


@pytest.mark.parametrize(
    "config",
    [
        {"roi_pool": "warp_max", "mask_head": "mlp", "mask_activation": "softmax"},
        {"roi_pool": "pool_max", "mask_class_agnostic": True},
    ],
    ids=lambda config: ", ".join(config),
)
def test_ablations_in_half_precision(config: dict[str, Any], tmp_path: Path) -> None:
    summary = report_of(config, tmp_path, "fp16").to_dict()["summary"]
    assert summary["missed"] + summary["extra"] <= 2 * (1 - HALF_MATCHED) * summary["instances"]
    assert summary["mask_iou"]["mean"] > HALF_MASK_IOU
