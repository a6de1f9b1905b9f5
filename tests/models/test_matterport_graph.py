"""A network by Matterport's rules through export: the graph finds what the PyTorch network finds."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from benchmarks.samples import confident_checkpoint, scene
from maskrt.export.engine.prepare import prepare
from maskrt.export.engine.supported import NMS_LIMIT
from maskrt.models.checkpoint import Checkpoint
from maskrt.models.operators import DOMAIN
from maskrt.models.parts.canvas import NormaliseCanvas
from maskrt.models.rcnn.matterport.config import MatterportConfig
from maskrt.models.rcnn.matterport.graph import MatterportGraph
from maskrt.models.rcnn.matterport.network import CANONICAL_SCALE
from maskrt.models.rcnn.reference.network import EagerSession
from maskrt.runtime.backends.open import open_session
from maskrt.runtime.contract import CANVAS
from maskrt.runtime.files.atomic import write_png
from maskrt.runtime.parity.command import main as parity
from maskrt.runtime.parity.recorded.bundle import normalised_canvas
from maskrt.runtime.preprocess import preprocess
from tests.exports import Exports
from tests.families import Made, make
from tests.models.test_graph import EXACT_COLOURS, QUICK, assert_alike
from tests.narrow import narrow_resnets

SIDE_PX = 192
SMALL: dict[str, Any] = {
    "stride_in_1x1": False,
    "min_size_px": 128,
    "max_size_px": SIDE_PX,
    "num_classes": 9,
    "fpn_channels": 32,
    "mask_convs": (32,) * 4,
}


@functools.cache
def confident(**changes: Any) -> Checkpoint:
    """ResNet-18, that exports quickly."""
    return confident_checkpoint("resnet18", kind=MatterportConfig, **SMALL | changes)


def test_graph_finds_what_the_network_finds() -> None:
    with narrow_resnets():
        checkpoint = confident(**QUICK | EXACT_COLOURS)
        assert_alike(checkpoint, [scene(1), scene(2).transpose(1, 0, 2)], "dynamic", least=20)


def test_of_all_levels_together_only_the_best_are_kept() -> None:
    """300 of 7161 anchors, when of each level there would be more."""
    with narrow_resnets():
        checkpoint = confident(**QUICK | EXACT_COLOURS | {"rpn_pre_nms_test": 300, "rpn_nms": 0.9})
        assert_alike(checkpoint, [scene(1)], "fixed", least=20)


def test_around_the_picture_the_network_sees_black_and_not_zero() -> None:
    """A picture of 2 × 4 in the middle of a square of 8: three rows above it and three below, two columns
    either side. Black is -mean / std, whatever pixels there are; a corner layout has zeros there."""
    mean, std = (0.5, 0.25, 0.75), (0.5, 0.25, 0.25)
    pixels, size = torch.full((1, 8, 8, 3), 255, dtype=torch.uint8), torch.tensor([[2.0, 4.0]])
    square = NormaliseCanvas(mean, std, square=True)(pixels, size)[0]
    corner = NormaliseCanvas(mean, std)(pixels, size)[0]
    assert [channel.unique().tolist() for channel in square] == [[-1.0, 1.0], [-1.0, 3.0], [-3.0, 1.0]]
    assert (square[1] == 3.0).nonzero().tolist() == [[y, x] for y in (3, 4) for x in (2, 3, 4, 5)]
    assert (corner[1] == 3.0).nonzero().tolist() == [[y, x] for y in (0, 1) for x in (0, 1, 2, 3)]
    assert corner[1].unique().tolist() == [0.0, 3.0]


def test_a_bundle_rebuilds_the_canvas_that_the_network_saw() -> None:
    checkpoint = confident()
    contract = checkpoint.contract()
    batch = preprocess([scene(1)], contract.canvas)
    _, stages = EagerSession(checkpoint.build(), contract, name="eager").infer_with_stages(
        batch.images, batch.image_sizes
    )
    np.testing.assert_allclose(normalised_canvas(batch, contract), stages[CANVAS][0], atol=1e-4, rtol=0)


@pytest.fixture(scope="module")
def exported(exports: Exports) -> Made:
    """The family's example and its file."""
    return make(exports, "matterport_rcnn")


def test_the_file_is_a_square_and_at_parity(exported: Made, tmp_path: Path) -> None:
    canvas = open_session(exported.model).contract.canvas
    assert (canvas.placement, canvas.height_px, canvas.width_px) == ("square", SIDE_PX, SIDE_PX)
    for name, picture in (("wide", scene(1)), ("high", scene(2).transpose(1, 0, 2))):
        write_png(tmp_path / f"{name}.png", np.ascontiguousarray(picture))
    report = tmp_path / "parity.json"
    with pytest.raises(SystemExit) as finished:
        parity([str(exported.checkpoint), str(exported.model), str(tmp_path), "-o", str(report)])
    assert not finished.value.code
    assert json.loads(report.read_text())["summary"]["instances"] > 50


def test_tensorrt_takes_its_plugins(exported: Made) -> None:
    model = onnx.load(exported.model)
    pools = [node for node in model.graph.node if node.op_type == "PyramidRoiAlign"]
    given = [{a.name: onnx.helper.get_attribute_value(a) for a in pool.attribute} for pool in pools]
    assert [(g["method"], g["output_height"]) for g in given] == [(b"crop", 7), (b"crop", 14)]
    assert [g["canonical_scale"] for g in given] == [pytest.approx(CANONICAL_SCALE)] * 2
    prepared = prepare(model, (10, 3), "plugin", "model.onnx")
    assert any(node.domain == DOMAIN for node in prepared.graph.node)
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in model.graph.value_info}
    nms = next(node for node in model.graph.node if node.op_type == "GroupedNms")
    assert shapes[nms.input[0]] == [1, exported.loaded.config.rpn_pre_nms_test, 4]
    assert MatterportConfig().rpn_pre_nms_test > NMS_LIMIT, "so that of its own size it needs them"


def test_masks_are_pooled_where_the_boxes_were_before_they_became_edges() -> None:
    graph = MatterportGraph(confident().build(), detections="fixed")
    canvas, size = torch.zeros(1, 3, 64, 128), torch.tensor([[40.0, 128.0]])
    boxes = torch.tensor([[[0.0, 0.0, 128.0, 40.0]]])
    # The picture's first pixel is row 12 of 64, its last row 51: of 63, and times 64.
    expected = torch.tensor([[[0.0, 12 / 63 * 64, 128.0, 51 / 63 * 64]]])
    torch.testing.assert_close(graph.detections.rois_of(boxes, size, canvas), expected)
