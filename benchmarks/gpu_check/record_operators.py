"""The operators alone, as ONNX files: with torchvision's answers, and at the size of real use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torchvision.ops import MultiScaleRoIAlign, batched_nms, deform_conv2d

from benchmarks.gpu_check.bundle import Operator
from maskrt.export.onnx_model import save_onnx
from maskrt.models.operators import OPSET, TRANSLATIONS, attach_bodies

STRIDES = (4, 8, 16, 32)
LEVELS = tuple(map(str, range(len(STRIDES))))
GROUPS, IOU_THRESHOLD, KEPT = 5, 0.7, 1000
# Sums of four samples in another order, and a device that fuses multiply and add: some float32 roundings of
# values around 1. In FP16 the result is rounded to 11 bits on top of that.
FP32_TOLERANCE, FP16_TOLERANCE = 1e-5, 1e-3
# Sums of 1152 products, each output near 1.
DEFORMED_TOLERANCE = 1e-4
SMALL_CANVAS_PX, USUAL_CANVAS_PX = (256, 320), (800, 1344)


class RoiAlign(nn.Module):
    """7×7 bins over four levels, as a box head takes them."""

    def forward(
        self, rois: Tensor, batch_indices: Tensor, p2: Tensor, p3: Tensor, p4: Tensor, p5: Tensor
    ) -> Tensor:
        """rois (R, 4), batch_indices (R,), maps (N, C, H, W) → (R, C, 7, 7)."""
        maps = [p2, p3, p4, p5]
        return torch.ops.maskrt.pyramid_roi_align(
            rois, batch_indices, maps, 7, 7, 2, False, 224.0, 4, list(STRIDES)
        )


class Nms(nn.Module):
    """Within five levels, as a region proposal network takes it."""

    def forward(self, boxes: Tensor, scores: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
        """boxes (N, R, 4), scores and groups (N, R) → indices (N, KEPT), counts (N,)."""
        return torch.ops.maskrt.grouped_nms(boxes, scores, groups, IOU_THRESHOLD, 0.0, KEPT, GROUPS)


class Deform(nn.Module):
    """A 3×3 of C3 at 550 px, as YOLACT++ has it."""

    def forward(self, values: Tensor, offsets: Tensor, mask: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """values (N, C, H, W) → (N, O, H, W)."""
        return torch.ops.maskrt.deform_conv(values, offsets, mask, weight, bias, 3, 1, 1)


def record_operators(folder: Path) -> tuple[Operator, ...]:
    """Write each operator's files, and say what they are."""
    small, usual = pyramid(8, SMALL_CANVAS_PX), pyramid(256, USUAL_CANVAS_PX)
    rois = boxes(200, SMALL_CANVAS_PX)
    recorded = []
    for precision, tolerance in (("fp32", FP32_TOLERANCE), ("fp16", FP16_TOLERANCE)):
        maps = [typed(p, precision) for p in small]
        inputs = (rois, torch.zeros(len(rois), dtype=torch.int32), *maps)
        pooled = MultiScaleRoIAlign(LEVELS, 7, 2)(
            dict(zip(LEVELS, (m.float() for m in maps), strict=True)), [rois], [SMALL_CANVAS_PX]
        )
        recorded.append(_record(folder, "roi_align", precision, RoiAlign(), inputs, (pooled,), tolerance))
        inputs = (
            boxes(1000, USUAL_CANVAS_PX),
            torch.zeros(1000, dtype=torch.int32),
            *(typed(p, precision) for p in usual),
        )
        recorded.append(_record(folder, "roi_align_usual", precision, RoiAlign(), inputs, None, tolerance))
    candidates = boxes(5 * 1000, USUAL_CANVAS_PX)
    # Each score once: torchvision leaves the order of equal ones open.
    scores, groups = torch.randperm(5000, generator=_seed()) / 5000, torch.arange(5000) % GROUPS
    kept = batched_nms(candidates, scores, groups, IOU_THRESHOLD)[:KEPT].to(torch.int32)
    indices = torch.zeros(1, KEPT, dtype=torch.int32)
    indices[0, : len(kept)] = kept
    inputs = (candidates[None], scores[None], groups[None].to(torch.int32))
    answers = (indices, torch.tensor([len(kept)], dtype=torch.int32))
    recorded.append(_record(folder, "grouped_nms", "fp32", Nms(), inputs, answers, 0.0))
    inputs = deformed(128, 69)
    values, offsets, mask, weight, bias = inputs
    answers = (deform_conv2d(values, offsets, weight, bias, padding=1, mask=mask),)
    recorded.append(_record(folder, "deform_conv", "fp32", Deform(), inputs, answers, DEFORMED_TOLERANCE))
    return tuple(recorded)


def pyramid(channels: int, canvas_px: tuple[int, int]) -> list[Tensor]:
    """Random maps of unit variance."""
    return [
        torch.randn(1, channels, canvas_px[0] // s, canvas_px[1] // s, generator=_seed(s)) for s in STRIDES
    ]


def boxes(count: int, canvas_px: tuple[int, int]) -> Tensor:
    """(count, 4) of all sizes, some over the border."""
    generator = _seed(count)
    corner = torch.rand(count, 2, generator=generator) * torch.tensor([canvas_px[1], canvas_px[0]])
    return torch.cat([corner, corner + torch.exp(torch.rand(count, 2, generator=generator) * 6)], dim=1)


def deformed(channels: int, side: int) -> tuple[Tensor, ...]:
    """A square map, offsets of some px, what each sample counts, and weights for outputs near 1."""
    generator = _seed(channels)
    sizes = ((1, channels, side, side), (1, 18, side, side), (channels, channels, 3, 3), (channels,))
    values, offsets, weight, bias = (torch.randn(*size, generator=generator) for size in sizes)
    mask = torch.rand(1, 9, side, side, generator=generator)
    return values, 2 * offsets, mask, weight / (9 * channels) ** 0.5, bias


def typed(features: Tensor, precision: str) -> Tensor:
    """As the graph of this precision has them."""
    return features.half() if precision == "fp16" else features


def _record(
    folder: Path,
    name: str,
    precision: str,
    graph: nn.Module,
    inputs: tuple[Tensor, ...],
    answers: tuple[Tensor, ...] | None,
    tolerance: float,
) -> Operator:
    operator = Operator(name, precision, answers is not None, tolerance)
    program = torch.onnx.export(
        graph.eval(),
        inputs,
        dynamo=True,
        opset_version=OPSET,
        custom_translation_table=TRANSLATIONS,
        verbose=False,
    )
    assert program is not None
    model = program.model_proto
    attach_bodies(model)
    onnx.checker.check_model(model, full_check=True)
    save_onnx(model, folder / operator.onnx)
    given = [*inputs, *(answers or ())]
    names = [value.name for value in (*model.graph.input, *model.graph.output)]
    arrays: dict[str, Any] = {
        name: tensor.numpy() for name, tensor in zip(names, given, strict=answers is not None)
    }
    if answers is None:  # maps of this size are drawn anew where they are needed
        arrays = {name: array for name, array in arrays.items() if array.ndim < 4}
    np.savez_compressed(folder / operator.answer, **arrays)
    return operator


def _seed(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
