"""OpenVINO on trained weights and real images: what ONNX Runtime finds, to rounding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.to_onnx import export_onnx, save_onnx
from export.weights import load_checkpoint
from runtime.preprocess import preprocess
from runtime.session import open_session
from runtime.sources import find_images, read_image

pytestmark = pytest.mark.full

# FP32's of runtime/parity/tolerances.py for scores and boxes; mask probabilities as the scores.
SCORE_TOLERANCE, BOX_TOLERANCE_PX = 1e-4, 0.01


def test_finds_what_onnx_runtime_finds(droplets_checkpoint: Path, data_dir: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    checkpoint, path = load_checkpoint(droplets_checkpoint), tmp_path / "droplets.onnx"
    save_onnx(export_onnx(checkpoint, checkpoint.contract(detections="dynamic")), path)
    sessions = [open_session(path, backend=backend) for backend in ("onnxruntime", "openvino")]
    found, worst = 0, {"scores": 0.0, "boxes": 0.0, "masks": 0.0}
    for name in find_images([str(data_dir / "droplets/val")]):
        batch = preprocess([read_image(name)], sessions[0].contract.canvas)
        expected, got = (session.infer(batch.images, batch.image_sizes) for session in sessions)
        count = int(expected.num_detections[0])
        assert got.num_detections[0] == count, name
        np.testing.assert_array_equal(got.labels, expected.labels)
        for output in worst:
            apart = np.abs(getattr(got, output)[0, :count] - getattr(expected, output)[0, :count])
            worst[output] = max(worst[output], float(apart.max(initial=0)))
        found += count

    print(f"{found} detections, apart by at most {worst}")
    assert found > 100
    assert worst["boxes"] <= BOX_TOLERANCE_PX
    assert worst["scores"] <= SCORE_TOLERANCE
    assert worst["masks"] <= SCORE_TOLERANCE
