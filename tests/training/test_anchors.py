"""Anchors as Detectron2 and MMDetection lay them."""

from __future__ import annotations

import pytest
import torch
from torchvision.models.detection.image_list import ImageList

from maskrt.models.parts.layout import FPN
from maskrt.models.rcnn.config import MaskRcnnConfig
from maskrt.models.rcnn.network import build_mask_rcnn


def anchors_of(height_px: int, width_px: int, **settings: bool) -> list[torch.Tensor]:
    """Of every level, (positions · ratios, 4), for a canvas of the size."""
    generator = build_mask_rcnn(MaskRcnnConfig(backbone="resnet18", **settings)).rpn.anchor_generator
    # A level is half the one below, rounded up: P6 of 160 px is three wide, not 160 / 64.
    maps = [torch.zeros(1, 1, -(-height_px // s), -(-width_px // s)) for s in FPN.strides_px.values()]
    (both,) = generator(ImageList(torch.zeros(1, 3, height_px, width_px), [(height_px, width_px)]), maps)
    return list(both.split([3 * m.shape[2] * m.shape[3] for m in maps]))


def test_sides_are_not_rounded() -> None:
    """A cell of area 32² and ratio height / width r is 32/√r wide and 32·√r high, around the position."""
    wide, square, high = anchors_of(64, 64, exact_anchors=True)[0][:3].tolist()
    assert wide == pytest.approx([-22.627417, -11.3137085, 22.627417, 11.3137085], rel=1e-7)
    assert square == [-16, -16, 16, 16]
    assert high == pytest.approx([-11.3137085, -22.627417, 11.3137085, 22.627417], rel=1e-7)
    assert anchors_of(64, 64)[0][0].tolist() == [-23, -11, 23, 11], "torchvision's own are rounded"


def test_the_grid_has_the_levels_own_stride() -> None:
    """The second position of P6 lies 64 px from the first, also where the canvas is no multiple of 64."""
    first, second = anchors_of(160, 160, exact_anchors=True)[4][[1, 4]]
    assert (second - first).tolist() == [64, 0, 64, 0]
    first, second = anchors_of(160, 160)[4][[1, 4]]
    assert (second - first).tolist() == [53, 0, 53, 0], "torchvision's own: 160 // 3"
