"""Detectron2 pads nothing for a model without a pyramid, and neither does a file exported from one."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from benchmarks.samples import confident_checkpoint, scene
from maskrt.models.load import load_checkpoint
from maskrt.models.rcnn.config import C4
from maskrt.models.rcnn.reference.network import EagerSession
from maskrt.runtime.backends.open import open_session
from maskrt.runtime.preprocess import preprocess
from maskrt.runtime.tasks import task_of
from maskrt.runtime.tasks.instances.compare.match import match
from maskrt.runtime.tasks.instances.compare.tolerances import FP32
from tests.exports import Exports

# As its reader sets them, of a small network.
SETTINGS: dict[str, Any] = {
    **{field.name: getattr(C4, field.name) for field in dataclasses.fields(C4)},
    "backbone": "resnet18",
    "norm": "bn",
    "num_classes": 4,
    "mask_convs": (32,),
    "exact_anchors": True,
    "roi_aligned": True,
    "sampling_ratio": 0,
    "canvas_stride": 1,
    "resize": "pil",
    "mask_paste": "pixel_middles",
    "min_size_px": 97,
    "max_size_px": 160,
    "rpn_pre_nms_test": 300,
    "rpn_post_nms_test": 100,
}


@pytest.mark.full
def test_a_canvas_has_the_pixels_of_its_picture_even_or_odd(exports: Exports) -> None:
    path = exports.checkpoint("unpadded-c4", lambda: confident_checkpoint(**SETTINGS))
    exported = open_session(exports.onnx(path, detections="dynamic"))
    contract = exported.contract
    eager = EagerSession(load_checkpoint(path).build(), contract, name="eager")
    for size, canvas in ((256, 320), (97, 121)), ((200, 133), (145, 97)):
        batch = preprocess([np.ascontiguousarray(scene()[: size[0], : size[1]])], contract.canvas)
        assert batch.images.shape[1:3] == canvas
        results = []
        for session in (eager, exported):
            outputs = session.infer(batch.images, batch.image_sizes)
            results += task_of(contract).decode(outputs, batch, contract)
        matching = match(*results)
        assert len(matching.pairs) > 20
        assert (matching.missed, matching.extra) == ((), ())
        assert max(pair.box_difference_px for pair in matching.pairs) < FP32.box_px
        assert max(pair.score_difference for pair in matching.pairs) < FP32.score
