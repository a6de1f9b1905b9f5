"""Models of the tasks beside instance segmentation, with random weights, on a small canvas."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from benchmarks.samples import lively_checkpoint
from maskrt.runtime.contract import Category
from maskrt.training.data import load_dataset

SMALL = {"num_classes": 5, "min_size_px": 192, "max_size_px": 256, "fpn_channels": 64}


@pytest.fixture(scope="session")
def faster_rcnn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Faster R-CNN on R18-FPN: its checkpoint, and the file exported from it for any size."""
    from maskrt.export.onnx_model import export_onnx, save_onnx
    from maskrt.models.load import load_checkpoint

    folder = tmp_path_factory.mktemp("faster_rcnn")
    checkpoint = lively_checkpoint("resnet18", task="detection", **SMALL)
    checkpoint = dataclasses.replace(checkpoint, classes=load_dataset("synthetic:1:0").classes)
    checkpoint.save(folder / "boxes.pt")
    checkpoint = load_checkpoint(folder / "boxes.pt")
    save_onnx(export_onnx(checkpoint, checkpoint.contract(detections="dynamic")), folder / "boxes.onnx")
    return folder / "boxes.pt", folder / "boxes.onnx"


@pytest.fixture(scope="session")
def keypoint_rcnn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Keypoint R-CNN on R18-FPN: its checkpoint, and the file exported from it for any size."""
    from maskrt.export.onnx_model import export_onnx, save_onnx
    from maskrt.models.load import load_checkpoint

    folder = tmp_path_factory.mktemp("keypoint_rcnn")
    small = {**SMALL, "num_classes": 2, "keypoint_convs": (64,), "max_detections": 20}
    checkpoint = lively_checkpoint("resnet18", task="keypoint", **small)
    checkpoint = dataclasses.replace(checkpoint, classes=(Category(1, "person"),))
    checkpoint.save(folder / "points.pt")
    checkpoint = load_checkpoint(folder / "points.pt")
    save_onnx(export_onnx(checkpoint, checkpoint.contract(detections="dynamic")), folder / "points.onnx")
    return folder / "points.pt", folder / "points.onnx"
