"""RoI features in training: torchvision's where torchvision has them, and else what their definition says."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.ops import roi_align

from training.models.roi_features import RoiPooler

CANVAS_PX = 256
STRIDES = (4, 8, 16, 32)


def features(images: int = 2, channels: int = 3, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    sides = [CANVAS_PX // stride for stride in STRIDES]
    return {
        str(i): torch.randn(images, channels, side, side, generator=generator, dtype=dtype)
        for i, side in enumerate(sides)
    }


def boxes_of_level(stride: int) -> list[Tensor]:
    """Three boxes in each of two images, of a size that belongs to this level: 112 px at a stride of 8."""
    side = 14.0 * stride
    corners = torch.tensor([[3.0, 5.0], [-20.0, 11.3], [60.7, 200.1]])
    return [torch.cat([corners + i, corners + i + side * 1.2], dim=1) for i in range(2)]


def pooled(
    maps: dict[str, Tensor], boxes: list[Tensor], strides=STRIDES, sampling_ratio=2, **options
) -> Tensor:
    names = list(maps)[: len(strides)]
    pooler = RoiPooler(names, strides, 7, sampling_ratio=sampling_ratio, **options)
    return pooler(maps, boxes, [(CANVAS_PX, CANVAS_PX)] * len(boxes))


@pytest.mark.parametrize("sampling_ratio", [0, 2])
@pytest.mark.parametrize("aligned", [False, True], ids=["torchvision", "half-pixel"])
@pytest.mark.parametrize("level", range(4))
def test_each_level_is_pooled_as_roi_align_pools_it(level: int, aligned: bool, sampling_ratio: int) -> None:
    maps, boxes, stride = features(), boxes_of_level(STRIDES[level]), STRIDES[level]
    actual = pooled(maps, boxes, aligned=aligned, sampling_ratio=sampling_ratio)
    expected = roi_align(maps[str(level)], boxes, 7, 1 / stride, sampling_ratio, aligned)
    torch.testing.assert_close(actual, expected, atol=0, rtol=0)
    other = roi_align(maps[str(level)], boxes, 7, 1 / stride, sampling_ratio, not aligned)
    assert not torch.allclose(actual, other, atol=1e-2), "half a pixel must be seen"


@pytest.mark.parametrize("aligned", [False, True])
def test_a_single_level_serves_boxes_of_any_size(aligned: bool) -> None:
    maps = {"0": features()["2"]}
    boxes = [torch.cat([each[i] for each in map(boxes_of_level, STRIDES)]) for i in range(2)]
    expected = roi_align(maps["0"], boxes, 7, 1 / 16, 2, aligned)
    assert torch.equal(pooled(maps, boxes, strides=(16,), aligned=aligned), expected)
