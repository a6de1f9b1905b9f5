"""The custom operators: the torch definition is torchvision's, and the ONNX body is the torch definition."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import conv2d
from torchvision.ops import MultiScaleRoIAlign, batched_nms

from maskrt.export.engine.deform_conv import NativeDeformConv
from maskrt.models.operators import OPSET, TRANSLATIONS, attach_bodies
from maskrt.runtime.onnx_pass import run_passes

STRIDES = (4, 8, 16, 32)
CANVAS_PX = 256
# ONNX Runtime sums a bin's samples in another order than torchvision: a few float32 roundings.
POOLED_TOLERANCE = 5e-6
DEFORMED_TOLERANCE = 2e-5  # of sums of 36 products, samples weighed in another order

NASTY_ROIS = {
    "empty": [50, 50, 50, 50],
    "sub-pixel": [50.2, 60.3, 50.4, 60.35],
    "whole canvas": [0, 0, 256, 256],
    "larger than the canvas": [-300, -300, 600, 600],
    "outside": [400, 400, 500, 500],
    "over the border": [-20, 200, 40, 300],
    "exactly on a level's border": [16, 16, 128, 128],  # 112 px: log2(112/224) is -1
    "one pixel high": [10, 10, 250, 11],
}


def features(batch: int = 2, channels: int = 6, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(batch, channels, CANVAS_PX // s, CANVAS_PX // s, generator=generator) for s in STRIDES
    ]


def random_rois(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * CANVAS_PX
    side = torch.exp(torch.rand(count, 2, generator=generator) * 6)
    return torch.cat([corner, corner + side], dim=1)


def pool(
    rois: Tensor,
    image: Tensor,
    maps: list[Tensor],
    size: int = 7,
    aligned: bool = False,
    method: str = "align",
    mode: str = "avg",
) -> Tensor:
    return torch.ops.maskrt.pyramid_roi_align(
        rois, image, maps, size, size, 2, aligned, 224.0, 4, list(STRIDES), method, mode
    )


def torchvision_pool(rois: Tensor, image: Tensor, maps: list[Tensor], size: int = 7) -> Tensor:
    pooler = MultiScaleRoIAlign(["0", "1", "2", "3"], size, 2)
    order = torch.cat([torch.where(image == i)[0] for i in range(len(maps[0]))])
    boxes = [rois[image == i] for i in range(len(maps[0]))]
    pooled = pooler(dict(zip("0123", maps, strict=True)), boxes, [(CANVAS_PX, CANVAS_PX)] * len(maps[0]))
    return torch.empty_like(pooled).index_copy(0, order, pooled)


@pytest.mark.parametrize("seed", range(3))
def test_pyramid_roi_align_is_torchvisions_multi_scale_roi_align(seed: int) -> None:
    rois, image = random_rois(60, seed), torch.arange(60, dtype=torch.int32) % 2
    assert torch.equal(pool(rois, image, features()), torchvision_pool(rois, image, features()))


@pytest.mark.parametrize("roi", NASTY_ROIS.values(), ids=NASTY_ROIS.keys())
def test_pyramid_roi_align_of_a_nasty_roi_is_torchvisions(roi: list[float]) -> None:
    rois, image = torch.tensor([roi], dtype=torch.float32), torch.zeros(1, dtype=torch.int32)
    assert torch.equal(pool(rois, image, features(1)), torchvision_pool(rois, image, features(1)))


class PoolGraph(nn.Module):
    def __init__(self, aligned: bool, method: str = "align", mode: str = "avg") -> None:
        super().__init__()
        self.how = {"aligned": aligned, "method": method, "mode": mode}

    def forward(self, rois: Tensor, image: Tensor, p2: Tensor, p3: Tensor, p4: Tensor, p5: Tensor) -> Tensor:
        return pool(rois, image, [p2, p3, p4, p5], **self.how)


class NmsGraph(nn.Module):
    def forward(self, boxes: Tensor, scores: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ops.maskrt.grouped_nms(boxes, scores, groups, 0.5, 0.05, 20, 4)


def as_model(graph: nn.Module, inputs: tuple[Tensor, ...]) -> onnx.ModelProto:
    program = torch.onnx.export(
        graph, inputs, dynamo=True, opset_version=OPSET, custom_translation_table=TRANSLATIONS, verbose=False
    )
    assert program is not None
    model = program.model_proto
    attach_bodies(model)
    onnx.checker.check_model(model, full_check=True)
    return model


def as_onnx(graph: nn.Module, inputs: tuple[Tensor, ...]) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(as_model(graph, inputs).SerializeToString())


def run(session: onnxruntime.InferenceSession, inputs: tuple[Tensor, ...]) -> list[np.ndarray]:
    names = [i.name for i in session.get_inputs()]
    return session.run(None, {n: t.numpy() for n, t in zip(names, inputs, strict=True)})


@pytest.mark.parametrize("aligned", [False, True], ids=["torchvision", "half-pixel"])
def test_the_onnx_body_of_pyramid_roi_align_is_the_torch_definition(aligned: bool) -> None:
    nasty = torch.tensor(list(NASTY_ROIS.values()), dtype=torch.float32)
    inputs = (torch.cat([random_rois(60, 1), nasty]), torch.arange(68, dtype=torch.int32) % 2, *features())
    session = as_onnx(PoolGraph(aligned), inputs)
    expected = PoolGraph(aligned)(*inputs).numpy()
    np.testing.assert_allclose(run(session, inputs)[0], expected, atol=POOLED_TOLERANCE, rtol=0)
    shifted = PoolGraph(not aligned)(*inputs).numpy()
    assert np.abs(shifted - expected).max() > 1e3 * POOLED_TOLERANCE, "half a pixel must be seen"


@pytest.mark.parametrize(("method", "mode"), [("warp", "max"), ("crop", "avg"), ("pool", "max")])
def test_a_way_to_pool_is_exported_with_its_body(method: str, mode: str) -> None:
    inputs = (random_rois(20, 1), torch.arange(20, dtype=torch.int32) % 2, *features())
    graph = PoolGraph(False, method, mode)
    actual = run(as_onnx(graph, inputs), inputs)[0]
    np.testing.assert_allclose(actual, graph(*inputs).numpy(), atol=POOLED_TOLERANCE, rtol=0)
    assert not np.allclose(actual, PoolGraph(False)(*inputs).numpy(), atol=1e-2)


@pytest.mark.parametrize("level", range(4))
def test_the_body_copes_with_levels_that_get_no_roi(level: int) -> None:
    side = 224.0 * 2.0 ** (level - 2)
    rois = torch.tensor([[0, 0, side, side]] * 5) * 1.01
    inputs = (rois, torch.zeros(5, dtype=torch.int32), *features(1))
    actual = run(as_onnx(PoolGraph(False), inputs), inputs)[0]
    np.testing.assert_allclose(actual, PoolGraph(False)(*inputs).numpy(), atol=POOLED_TOLERANCE, rtol=0)


def boxes_and_scores(seed: int, batch: int = 2, count: int = 40) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    boxes = torch.stack([random_rois(count, seed + i) % 200 for i in range(batch)])
    boxes[..., 2:] += boxes[..., :2]
    groups = torch.randint(0, 4, (batch, count), generator=generator, dtype=torch.int32)
    return boxes, torch.rand(batch, count, generator=generator), groups


def all_equal(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    boxes, scores, groups = boxes_and_scores(seed)
    return boxes, torch.full_like(scores, 0.5), groups


def all_below(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    boxes, scores, groups = boxes_and_scores(seed)
    return boxes, scores * 0.04, groups


def all_the_same_box(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    boxes, scores, groups = boxes_and_scores(seed)
    return boxes[:, :1].expand_as(boxes).contiguous(), scores, groups


def all_empty(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    boxes, scores, groups = boxes_and_scores(seed)
    return torch.cat([boxes[..., :2]] * 2, dim=-1), scores, groups


CASES = [boxes_and_scores, all_equal, all_below, all_the_same_box, all_empty]


@pytest.fixture(scope="module")
def nms_session() -> onnxruntime.InferenceSession:
    return as_onnx(NmsGraph(), boxes_and_scores(0))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", range(4))
def test_the_onnx_body_of_grouped_nms_is_the_torch_definition(
    case: Callable[[int], tuple[Tensor, Tensor, Tensor]], seed: int, nms_session: onnxruntime.InferenceSession
) -> None:
    inputs = case(seed)
    for actual, expected in zip(run(nms_session, inputs), NmsGraph()(*inputs), strict=True):
        np.testing.assert_array_equal(actual, expected.numpy())


@settings(max_examples=50)
@given(seed=st.integers(0, 10_000))
def test_grouped_nms_is_torchvisions_batched_nms(seed: int) -> None:
    boxes, scores, groups = boxes_and_scores(seed, batch=1)
    indices, counts = NmsGraph()(boxes, scores, groups)
    above = torch.where(scores[0] > 0.05)[0]
    kept = above[batched_nms(boxes[0][above], scores[0][above], groups[0][above], 0.5)][:20]
    assert indices[0, : counts[0]].tolist() == kept.tolist()
    assert not indices[0, counts[0] :].any()


class DeformGraph(nn.Module):
    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, values: Tensor, offsets: Tensor, mask: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return torch.ops.maskrt.deform_conv(values, offsets, mask, weight, bias, 3, self.stride, 1)


def deform_inputs(stride: int, moved_px: float) -> tuple[Tensor, ...]:
    """On maps of 9×12: offsets of some px, so that samples leave the map."""
    random = torch.Generator().manual_seed(0)
    height, width = -(-9 // stride), -(-12 // stride)
    return (
        torch.randn(2, 4, 9, 12, generator=random),
        moved_px * torch.randn(2, 18, height, width, generator=random),
        torch.rand(2, 9, height, width, generator=random),
        torch.randn(5, 4, 3, 3, generator=random),
        torch.randn(5, generator=random),
    )


@pytest.mark.parametrize("stride", [1, 2])
def test_the_onnx_body_of_deform_conv_is_the_torch_definition(stride: int) -> None:
    inputs = deform_inputs(stride, moved_px=3.0)
    model = as_model(DeformGraph(stride), inputs)
    expected = DeformGraph(stride)(*inputs).numpy()
    session = onnxruntime.InferenceSession(model.SerializeToString())
    np.testing.assert_allclose(run(session, inputs)[0], expected, atol=DEFORMED_TOLERANCE, rtol=0)
    native = onnx.ModelProto.FromString(model.SerializeToString())
    run_passes(native, (NativeDeformConv(),))
    onnx.checker.check_model(native, full_check=True)
    assert not native.functions
    session = onnxruntime.InferenceSession(native.SerializeToString())
    np.testing.assert_allclose(run(session, inputs)[0], expected, atol=DEFORMED_TOLERANCE, rtol=0)


def test_a_deform_conv_that_moves_nothing_and_counts_all_is_a_convolution() -> None:
    values, offsets, mask, weight, bias = deform_inputs(1, moved_px=0.0)
    found = DeformGraph(1)(values, offsets, torch.ones_like(mask), weight, bias)
    torch.testing.assert_close(found, conv2d(values, weight, bias, padding=1), atol=1e-4, rtol=0)


def test_two_operators_that_would_need_different_bodies_are_refused() -> None:
    class Two(nn.Module):
        def forward(self, rois: Tensor, image: Tensor, *maps: Tensor) -> Tensor:
            return pool(rois, image, list(maps)) + pool(rois, image, list(maps), aligned=True)

    inputs = (random_rois(4, 0), torch.zeros(4, dtype=torch.int32), *features(1))
    with pytest.raises(ValueError, match="different function bodies"):
        as_onnx(Two(), inputs)
