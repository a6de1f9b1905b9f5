"""YOLACT++ as a file of any size: on ONNX Runtime and on OpenVINO it finds what its network finds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.samples import scene
from maskrt.models.checkpoint import Checkpoint
from maskrt.models.reference import open_reference
from maskrt.models.yolact.config import PUBLISHED_PLUS
from maskrt.models.yolact.network import Yolact
from maskrt.models.yolact.presets import TINY
from maskrt.models.yolact.random_weights import randomise
from maskrt.runtime.backends.open import open_session
from maskrt.runtime.contract import Category
from maskrt.runtime.preprocess import preprocess
from tests.exports import Exports

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]

#: Of boxes in px, coefficients and prototypes, whose sums the backends form in other orders.
TOLERANCE = 1e-3
PLUS = replace(
    TINY,
    num_classes=4,
    deformable_every=1,
    mask_iou=True,
    prior_sizes_px=PUBLISHED_PLUS.prior_sizes_px,
    max_detections=20,
)


def confident() -> Checkpoint:
    torch.manual_seed(0)
    model = Yolact(PLUS)
    classes = tuple(Category(number, f"class {number}") for number in range(1, 4))
    checkpoint = Checkpoint(PLUS, classes, model.state_dict())
    picture = preprocess([scene(1)], checkpoint.contract().canvas).images[0]
    randomise(model, torch.from_numpy(picture).permute(2, 0, 1) / 255)
    return replace(checkpoint, state_dict=model.state_dict())


@pytest.fixture(scope="module")
def files(exports: Exports) -> tuple[Path, Path]:
    """The checkpoint, and the file that is exported of it."""
    checkpoint = exports.checkpoint("yolact-plus", confident)
    return checkpoint, exports.onnx(checkpoint)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("crop", [(480, 640), (480, 200), (40, 640)], ids=str)
def test_a_file_finds_what_the_network_finds(
    files: tuple[Path, Path], backend: str, crop: tuple[int, int]
) -> None:
    """Also of pictures whose prototypes are smaller than the mask-IoU net needs."""
    reference, session = open_reference(files[0]), open_session(files[1], backend=backend)
    batch = preprocess([scene(1)[: crop[0], : crop[1]]], session.contract.canvas)
    expected = reference.infer(batch.images, batch.image_sizes)
    found = session.infer(batch.images, batch.image_sizes)
    assert int(found["num_detections"][0]) > 0
    for name in ("num_detections", "labels", "boxes", "scores", "prototypes"):
        np.testing.assert_allclose(found[name], expected[name], atol=TOLERANCE, err_msg=name)
