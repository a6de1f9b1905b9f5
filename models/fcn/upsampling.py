"""Bilinear enlargement of maps of scores, in both of FCN's geometries.

`same`: resizing by a whole factor s, a cell's value at its centre ("half_pixel"). `caffe`: a transposed
convolution with a kernel of 2s, whose fixed weights are the same bilinear filter, then a crop. Inside of a
map the two agree; within s of its border the transposed convolution takes what lies outside for zero, and
resizing repeats the last cell.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class Resized(nn.Module):
    """(N, C, h, w) → (N, C, factor · h, factor · w)."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, scores: Tensor) -> Tensor:
        """Enlarge by whole cells."""
        return functional.interpolate(
            scores, scale_factor=float(self.factor), mode="bilinear", align_corners=False
        )


def bilinear_deconvolution(classes: int, factor: int) -> nn.ConvTranspose2d:
    """The published one: each class for itself, (h − 1) · factor + 2 · factor rows; it does not learn.

    The filter is that of Caffe's BilinearFiller (include/caffe/filler.hpp).
    """
    side = 2 * factor
    layer = nn.ConvTranspose2d(classes, classes, side, stride=factor, bias=False)
    middle = factor - 0.5
    along = 1 - (torch.arange(side) - middle).abs() / factor
    layer.weight.data.zero_()
    layer.weight.data[range(classes), range(classes)] = along[:, None] * along
    return layer.requires_grad_(False)


class Fuse(nn.Module):
    """Enlarges coarse scores twice and adds those of a finer map.

    offset: of the coarse scores in the fine map, in its cells, where the geometry has a margin; else None.
    """

    def __init__(self, up: nn.Module, offset: int | None) -> None:
        super().__init__()
        self.up, self.offset = up, offset

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """coarse: (N, C, h, w); fine: (N, C, 2h, 2w), or larger where there is an offset."""
        enlarged = self.up(coarse)
        return enlarged + (fine if self.offset is None else _cropped(fine, self.offset, enlarged))


class Enlarge(nn.Module):
    """Enlarges the last scores to the canvas. offset: of the canvas in them, in px, or None."""

    def __init__(self, up: nn.Module, offset: int | None) -> None:
        super().__init__()
        self.up, self.offset = up, offset

    def forward(self, scores: Tensor, canvas: Tensor) -> Tensor:
        """scores: (N, C, h, w); canvas: (N, 3, H, W). Returns (N, C, H, W)."""
        enlarged = self.up(scores)
        return enlarged if self.offset is None else _cropped(enlarged, self.offset, canvas)


def _cropped(values: Tensor, offset: int, like: Tensor) -> Tensor:
    height, width = like.shape[2:]
    return values[:, :, offset : offset + height, offset : offset + width]


def class_by_class(model: nn.Module) -> nn.Module:
    """Copy a network with each transposed convolution that mixes no classes in as many groups: the same sums
    without the products with zero."""
    model = copy.deepcopy(model)
    for parent in model.modules():
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.ConvTranspose2d) and _is_diagonal(layer.weight):
                setattr(parent, name, _grouped(layer))
    return model


def _is_diagonal(weight: Tensor) -> bool:
    mixed = weight.detach().clone()
    own = range(weight.shape[0])
    mixed[own, own] = 0
    return weight.shape[0] == weight.shape[1] and not bool(mixed.any())


def _grouped(layer: nn.ConvTranspose2d) -> nn.ConvTranspose2d:
    classes = layer.in_channels
    size: Any = layer.kernel_size
    stride: Any = layer.stride
    grouped = nn.ConvTranspose2d(classes, classes, size, stride=stride, groups=classes, bias=False)
    grouped.weight.data = layer.weight.detach()[range(classes), range(classes)][:, None].clone()
    return grouped
