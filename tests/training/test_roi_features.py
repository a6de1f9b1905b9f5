"""RoI features in training: torchvision's where torchvision has them, and else what their definition says."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision import ops

from maskrt.models.parts.roi_features import ROI_POOLS, Pooling, RoiPooler, pool_pyramid, round_half_away
from maskrt.models.rcnn.config import MaskRcnnConfig
from maskrt.runtime.errors import CheckpointError

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


def pooled(maps: dict[str, Tensor], boxes: list[Tensor], pooling: Pooling, strides=STRIDES) -> Tensor:
    pooler = RoiPooler(list(maps)[: len(strides)], strides, 7, pooling)
    return pooler(maps, boxes, [(CANVAS_PX, CANVAS_PX)] * len(boxes))


@pytest.mark.parametrize("sampling_ratio", [0, 2])
@pytest.mark.parametrize("aligned", [False, True], ids=["torchvision", "half-pixel"])
@pytest.mark.parametrize("level", range(4))
def test_each_level_is_pooled_as_roi_align_pools_it(level: int, aligned: bool, sampling_ratio: int) -> None:
    maps, boxes, stride = features(), boxes_of_level(STRIDES[level]), STRIDES[level]
    actual = pooled(maps, boxes, Pooling(sampling_ratio=sampling_ratio, aligned=aligned))
    expected = ops.roi_align(maps[str(level)], boxes, 7, 1 / stride, sampling_ratio, aligned)
    torch.testing.assert_close(actual, expected, atol=0, rtol=0)
    other = ops.roi_align(maps[str(level)], boxes, 7, 1 / stride, sampling_ratio, not aligned)
    assert not torch.allclose(actual, other, atol=1e-2), "half a pixel must be seen"


@pytest.mark.parametrize("aligned", [False, True])
def test_a_single_level_serves_boxes_of_any_size(aligned: bool) -> None:
    maps = {"0": features()["2"]}
    boxes = [torch.cat([each[i] for each in map(boxes_of_level, STRIDES)]) for i in range(2)]
    expected = ops.roi_align(maps["0"], boxes, 7, 1 / 16, 2, aligned)
    assert torch.equal(pooled(maps, boxes, Pooling(aligned=aligned), strides=(16,)), expected)


@pytest.mark.parametrize("level", range(4))
def test_roi_pool_is_torchvisions(level: int) -> None:
    maps, boxes = features(), boxes_of_level(STRIDES[level])
    expected = ops.roi_pool(maps[str(level)], boxes, 7, 1 / STRIDES[level])
    assert torch.equal(pooled(maps, boxes, Pooling("pool", "max")), expected)


@pytest.mark.parametrize("mode", ["avg", "max"])
def test_roi_warp_is_roi_align_of_corners_rounded_to_cells(mode: str) -> None:
    maps = features()
    # 3, 4, 19 and 24 cells of the level at stride 8, whose halves are 4 px away.
    cells = torch.tensor([[24.0, 32.0, 152.0, 192.0]])
    expected = pooled(maps, [cells], Pooling("align", mode))
    for off_px in (-4.0 + 1e-3, 0.0, 3.9):
        assert torch.equal(pooled(maps, [cells + off_px], Pooling("warp", mode)), expected)
    assert not torch.equal(pooled(maps, [cells + 4.1], Pooling("warp", mode)), expected)


def test_halves_are_rounded_away_from_zero_and_nothing_below_them() -> None:
    below_half = torch.nextafter(torch.tensor(0.5), torch.tensor(0.0)).item()
    values = torch.tensor([0.5, 1.5, 2.5, -0.5, -1.5, -2.5, below_half, -below_half, 0.0, 8388609.0, -3.2])
    expected = torch.tensor([1.0, 2.0, 3.0, -1.0, -2.0, -3.0, 0.0, 0.0, 0.0, 8388609.0, -3.0])
    assert torch.equal(round_half_away(values), expected)
    assert torch.equal(round_half_away(values.double()), expected.double())


@pytest.mark.parametrize("roi_pool", ROI_POOLS)
def test_gradients_are_those_of_finite_differences(roi_pool: str) -> None:
    maps = [m[:, :1, :6, :6] for m in features(1, dtype=torch.float64).values()][:2]
    maps = [m.clone().requires_grad_() for m in maps]
    rois = torch.tensor([[3.1, 2.2, 17.3, 20.4], [1.0, 1.0, 36.0, 40.0], [-5.0, 3.0, 9.0, 90.0]]).double()
    pooling = Pooling.named(roi_pool, sampling_ratio=2, aligned=False)

    def pool(*given: Tensor) -> Tensor:
        image = torch.zeros(3, dtype=torch.int32)
        # From 32 px on a box belongs to the second level here.
        return pool_pyramid(
            given, rois, image, (2, 3), (4, 8), pooling, canonical_scale=32.0, canonical_level=3
        )

    assert torch.autograd.gradcheck(pool, maps)
    gradients = torch.autograd.grad(pool(*maps).sum(), maps)
    assert all(g.abs().sum() > 0 for g in gradients), "both levels are pooled from"


@pytest.mark.parametrize("roi_pool", ROI_POOLS)
def test_mixed_precision_pools_in_float32(roi_pool: str) -> None:
    """There features are half, and proposals too; batch indices above 256 would not be whole numbers in it."""
    maps = {name: m.bfloat16() for name, m in features().items()}
    boxes = [each.bfloat16() for each in boxes_of_level(8)]
    pooling = Pooling.named(roi_pool, sampling_ratio=2, aligned=False)
    with torch.autocast("cpu", torch.bfloat16):
        actual = pooled(maps, boxes, pooling)
    in_float = {name: m.float() for name, m in maps.items()}
    expected = pooled(in_float, [each.float() for each in boxes], pooling).bfloat16()
    assert torch.equal(actual, expected)


@pytest.mark.parametrize("roi_pool", ROI_POOLS)
def test_images_without_boxes_give_no_features(roi_pool: str) -> None:
    pooling = Pooling.named(roi_pool, sampling_ratio=2, aligned=True)
    assert pooled(features(), [torch.zeros(0, 4)] * 2, pooling).shape == (0, 3, 7, 7)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"roi_pool": "pool_avg"}, r"roi_pool is 'pool_avg', expected one of \('align_avg'"),
        (
            {"roi_pool": "warp_max", "sampling_ratio": 0},
            "sampling_ratio is 0, expected at least 1 with roi_pool 'warp_max'",
        ),
        ({"sampling_ratio": -1}, "sampling_ratio is -1, expected at least 0"),
    ],
)
def test_a_way_to_pool_that_there_is_not_is_refused(fields: dict, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        MaskRcnnConfig(**fields)
