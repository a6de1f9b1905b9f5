"""The single-level Mask R-CNN: one map, its own choice of detections, its loss, and its two scales of boxes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import onnx
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss
from torchvision.models.detection.image_list import ImageList

from maskrt.export.engine.supported import refusals
from maskrt.models.rcnn.config import C5, MaskRcnnConfig
from maskrt.models.rcnn.network import build_mask_rcnn
from maskrt.models.rcnn.padded import as_they_leave, as_they_were
from maskrt.runtime.errors import CheckpointError

NARROW = replace(C5, backbone="resnet18", norm="bn", fpn_channels=32, mask_convs=(32,), num_classes=4)
SURE = 12.0  # a logit that leaves the other classes next to nothing


def test_one_map_of_stride_32_serves_the_rpn_and_the_rois() -> None:
    model = build_mask_rcnn(NARROW).eval()

    (level,) = model.backbone(torch.zeros(1, 3, 64, 96)).values()
    anchors = model.rpn.anchor_generator(ImageList(torch.zeros(1, 3, 64, 96), [(64, 96)]), [level])[0]

    assert level.shape == (1, 32, 2, 3)
    assert model.roi_heads.box_roi_pool.strides == (32,)
    assert len(anchors) == 9 * 2 * 3
    sides = (anchors[:9, 2:] - anchors[:9, :2]).prod(dim=1).sqrt()
    torch.testing.assert_close(sides, torch.tensor([128.0, 256, 512] * 3))  # sizes of a ratio are neighbours
    torch.testing.assert_close(anchors[:9, :2] + anchors[:9, 2:], torch.zeros(9, 2), atol=1e-4, rtol=0)


def choose(config: MaskRcnnConfig, boxes: Tensor, labels: Tensor, logits: Tensor) -> tuple[Tensor, ...]:
    """What is found of RoIs (R, 4) that are surely of a class each, in a picture of 1000×1000 px."""
    heads = build_mask_rcnn(config).roi_heads.eval()
    said = torch.full((len(boxes), config.num_classes), -SURE)
    said[:, 0] = 0
    said[torch.arange(len(boxes)), labels] = logits
    deltas = torch.zeros(len(boxes), 4 * config.num_classes)
    found = heads.postprocess_detections(said, deltas, [boxes], [(1000, 1000)])
    return tuple(column[0] for column in found)


def grid(count: int, side_px: float) -> Tensor:
    """Boxes that do not meet."""
    corner = torch.stack([torch.arange(count) % 30, torch.arange(count) // 30], dim=1) * 30.0
    return torch.cat([corner, corner + side_px], dim=1)


def test_each_class_keeps_its_best_whatever_the_others_have() -> None:
    """150 sure ones of the first class leave room for 20 unsure ones of the second."""
    labels = torch.tensor([1] * 150 + [2] * 20)
    logits = torch.cat([torch.linspace(SURE, SURE - 2, 150), torch.full((20,), 3.0)])

    boxes, scores, found = choose(NARROW, grid(170, 20), labels, logits)

    assert found.bincount().tolist() == [0, 100, 20]
    torch.testing.assert_close(boxes[:100], grid(100, 20))
    assert scores.diff().max() <= 0


def test_boxes_below_a_pixel_and_unsure_ones_are_dropped() -> None:
    boxes = torch.cat([grid(2, 0.9), grid(4, 1.1)[2:]])
    logits = torch.tensor([SURE, SURE, SURE, -3.0])

    found, scores, _ = choose(NARROW, boxes, torch.ones(4, dtype=torch.int64), logits)

    assert len(found) == 1
    torch.testing.assert_close(found, boxes[2:3])
    assert (scores > 0.1).all()


def test_proposals_learn_by_l1() -> None:
    rpn = build_mask_rcnn(NARROW).rpn
    deltas, targets = torch.full((6, 4), 0.05), torch.zeros(6, 4)
    labels = torch.tensor([1.0, 1, 0, 0, 0, -1])

    _, loss = rpn.compute_loss(torch.zeros(6, 1), deltas, [labels], [targets])

    torch.testing.assert_close(loss, l1_loss(deltas[:2], targets[:2], reduction="sum") / 5)
    smooth = build_mask_rcnn(replace(NARROW, rpn_loss="smooth_l1")).rpn
    assert smooth.compute_loss(torch.zeros(6, 1), deltas, [labels], [targets])[1] < loss / 2


def test_boxes_by_the_padded_size_are_smaller_by_its_share() -> None:
    """640×480 px, resized to 1067×800, padded to 1088: 1088 px there are 640 in the picture."""
    boxes, sizes = torch.tensor([[[544.0, 100, 1088, 800]]]), torch.tensor([[800.0, 1067]])

    leaving = as_they_leave(boxes, sizes)

    in_picture = leaving[0, 0] * torch.tensor([640 / 1067, 480 / 800] * 2)
    torch.testing.assert_close(in_picture, torch.tensor([320.0, 60.0, 640.0, 480.0]))
    torch.testing.assert_close(as_they_were(leaving, sizes), boxes)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backbone": "mobilenet_v3_large"}, "neck is 'c5' with mobilenet_v3_large"),
        ({"anchor_sizes_px": ((32,),) * 5}, "RPN of resnet18 with neck c5 reads P5"),
        ({"rpn_loss": "l2"}, "rpn_loss is 'l2', expected one of"),
        ({"least_side_px": -1.0}, "least_side_px is -1.0, expected 0 to"),
        ({"max_detections_per_class": -1}, "max_detections_per_class is -1, expected a whole number"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        replace(NARROW, **settings)


class Leaving(nn.Module):
    def forward(self, boxes: Tensor, sizes: Tensor) -> Tensor:
        return as_they_leave(boxes, sizes)


def test_tensorrt_takes_what_scales_boxes() -> None:
    """Once it was a Tile, which is in no table of what its parsers take."""
    program = torch.onnx.export(
        Leaving(), (torch.rand(2, 5, 4), torch.ones(2, 2)), dynamo=True, verbose=False
    )
    assert program is not None
    model = onnx.shape_inference.infer_shapes(program.model_proto)
    assert refusals(model, (10, 3)) == []
