"""Every ablation of the paper, exported: what ONNX Runtime finds is what the model finds, stage by stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.reference import open_reference
from export.to_onnx import export_onnx, save_onnx
from export.weights import load_checkpoint
from runtime.ort_session import OrtSession
from runtime.parity.compare import compare, tolerance_for
from runtime.parity.report import Report
from tests.models import lively_checkpoint, scene

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


@pytest.mark.parametrize("config", WAYS.values(), ids=WAYS.keys())
def test_an_ablation_is_exported_exactly(config: dict[str, Any], tmp_path: Path) -> None:
    settings = {"num_classes": 6, "rpn_post_nms_test": 200, "max_detections": 30}
    lively_checkpoint("resnet18", **settings, **config).save(tmp_path / "model.pt")
    checkpoint = load_checkpoint(tmp_path / "model.pt")
    reference = open_reference(tmp_path / "model.pt")
    for detections in ("dynamic", "fixed"):
        save_onnx(
            export_onnx(checkpoint, checkpoint.contract(detections=detections)), tmp_path / "model.onnx"
        )
        candidate = OrtSession(tmp_path / "model.onnx", stages=True)
        report = Report(tolerance_for(reference, candidate))
        for index in range(3):
            compare(reference, candidate, f"scene {index}", scene(index), report)
        summary = report.to_dict()["summary"]
        print(config, detections, summary)
        assert report.failures == []
        assert summary["instances"] >= 30
        blank = np.full((1, 256, 320, 3), 127, np.uint8)
        assert candidate.infer(blank, np.array([[256, 320]], np.float32)).masks.shape[0] == 1
