"""Models of the tasks beside instance segmentation, with random weights, on a small canvas."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from benchmarks.samples import confident_checkpoint
from maskrt.models.checkpoint import Checkpoint
from maskrt.runtime.contract import Category
from maskrt.training.data import load_dataset
from tests.exports import Exports

SMALL = {"num_classes": 5, "min_size_px": 192, "max_size_px": 256, "fpn_channels": 64}
#: A canvas of the pictures here. To export for any size takes twice as long.
CANVAS = {"height_px": 192, "width_px": 256, "batch": 1}


@pytest.fixture(scope="session")
def faster_rcnn(exports: Exports) -> tuple[Path, Path]:
    """Faster R-CNN on R18-FPN: its checkpoint, and the file exported from it for one canvas."""

    def make() -> Checkpoint:
        made = confident_checkpoint("resnet18", task="detection", **SMALL)
        return dataclasses.replace(made, classes=load_dataset("synthetic:1:0").classes)

    checkpoint = exports.checkpoint("boxes", make)
    return checkpoint, exports.onnx(checkpoint, **CANVAS, detections="dynamic")


@pytest.fixture(scope="session")
def keypoint_rcnn(exports: Exports) -> tuple[Path, Path]:
    """Keypoint R-CNN on R18-FPN: its checkpoint, and the file exported from it for one canvas."""

    def make() -> Checkpoint:
        small = {**SMALL, "num_classes": 2, "keypoint_convs": (64,), "max_detections": 20}
        made = confident_checkpoint("resnet18", task="keypoint", **small)
        return dataclasses.replace(made, classes=(Category(1, "person"),))

    checkpoint = exports.checkpoint("points", make)
    return checkpoint, exports.onnx(checkpoint, **CANVAS, detections="dynamic")
