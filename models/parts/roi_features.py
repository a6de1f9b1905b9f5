"""RoI feature extraction from a pyramid, for training and as the definition of the ONNX operator.

The five ways of table 2c of Mask R-CNN (arXiv:1703.06870, section 3 and 4.2), by what each does to a RoI:

| `roi_pool` | region | bins | value of a bin |
|---|---|---|---|
| `pool_max` | its corners rounded to cells | rounded to cells | largest cell |
| `warp_max`, `warp_avg` | its corners rounded to cells | exact | largest, or mean, of interpolated samples |
| `align_max`, `align_avg` | exact | exact | largest, or mean, of interpolated samples |
| `crop_avg` | exact | – | the one interpolated sample |

RoIPool is Fast R-CNN's (arXiv:1504.08083, section 2.1). RoIWarp is that of Multi-task Network Cascades
(arXiv:1512.04412, section 3.2) in its authors' own implementation, caffe-mnc's roi_warping_layer.cu, which
rounds the corners; that rounding is what the ablation shows to cost accuracy.

The last is not the paper's: it is TensorFlow's crop_and_resize, which Matterport's Mask_RCNN pools with. An
axis of the canvas, 0 to L px, is laid on a map of l cells from the middle of its first cell to that of its
last, and n samples from one end of the RoI to the other, both included: with x1, x2 in px, sample k is at

    p(k) = a + k d,   a = x1 (l - 1) / L,   d = (x2 - x1) (l - 1) / (L (n - 1))       in cells, from middles.

RoIAlign has the samples of a region (u, v) at u + (k + 1/2) (v - u) / n, one a bin, from middles where it is
aligned. The two are the same for u = a - d / 2 and v = a + (n - 1) d + d / 2: the RoI on the map, larger by
half a step at either end. L / l is the stride, so that x1 (l - 1) / L = (x1 / stride) (l - 1) / l.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d
from torchvision.ops import MultiScaleRoIAlign, roi_align, roi_pool
from torchvision.ops.poolers import LevelMapper

ROI_POOLS = ("align_avg", "align_max", "warp_avg", "warp_max", "crop_avg", "pool_max")
# Where in the pyramid a RoI belongs: Feature Pyramid Networks, arXiv:1612.03144, section 4.2.
CANONICAL_SCALE_PX, CANONICAL_LEVEL = 224.0, 4
LEVEL_EPSILON = 1e-6  # torchvision's LevelMapper adds it, so that an exact power of two is not rounded down


@dataclass(frozen=True)
class Pooling:
    """Method of pooling a RoI's features.

    method: "align", "warp", "crop", "pool" (see above); mode: "avg" or "max" over a bin's samples.
    sampling_ratio: samples that a bin has along each axis; 0, for a mean alone: as many as it has cells,
    rounded up. aligned: the value of a cell lies at its middle (Detectron2), not at its upper left corner
    (the paper's own code, torchvision). Neither RoIPool nor the crop has these two.
    """

    method: str = "align"
    mode: str = "avg"
    sampling_ratio: int = 2
    aligned: bool = False

    @classmethod
    def named(cls, roi_pool: str, *, sampling_ratio: int, aligned: bool) -> Pooling:
        """Pooling by its name, one of ROI_POOLS."""
        method, mode = roi_pool.split("_")
        return cls(method, mode, sampling_ratio, aligned)


class RoiPooler(MultiScaleRoIAlign):
    """Pooler that uses torchvision's MultiScaleRoIAlign where that has the method, and our own code
    elsewhere."""

    def __init__(
        self,
        feature_names: Sequence[str],
        strides: Sequence[int],
        output_size: int,
        pooling: Pooling,
        canonical_scale: float = CANONICAL_SCALE_PX,
    ) -> None:
        """feature_names: of the maps to pool from, finest first; strides: theirs, powers of two.
        canonical_scale: in px, from which side on a RoI belongs to CANONICAL_LEVEL."""
        super().__init__(list(feature_names), output_size, pooling.sampling_ratio)
        self.strides, self.pooling, self.canonical_scale = tuple(strides), pooling, canonical_scale
        # Left alone, torchvision guesses the strides from the first image it sees, its valid area against the
        # padded maps, and keeps the guess: wrong where an image fills less than about 70% of its canvas.
        self.scales = [1 / stride for stride in strides]
        lowest, highest = strides[0].bit_length() - 1, strides[-1].bit_length() - 1
        self.map_levels = LevelMapper(lowest, highest, int(CANONICAL_SCALE_PX), CANONICAL_LEVEL)

    def forward(
        self, x: dict[str, Tensor], boxes: list[Tensor], image_shapes: list[tuple[int, int]]
    ) -> Tensor:
        """x: maps (N, C, h, w) by name; boxes: (R_i, 4) of each image, canvas pixels → (ΣR_i, C, h, w).

        What torchvision has is left to it: a reference for the exported graph must not be of our making.
        """
        if self.pooling == Pooling(sampling_ratio=self.sampling_ratio):
            return super().forward(x, boxes, image_shapes)
        return pool_pyramid(
            [x[name] for name in self.featmap_names],
            torch.cat(boxes),
            torch.cat([torch.full((len(rows),), i, device=rows.device) for i, rows in enumerate(boxes)]),
            self.output_size,
            self.strides,
            self.pooling,
            canonical_scale=self.canonical_scale,
        )


def pool_pyramid(
    features: Sequence[Tensor],
    rois: Tensor,
    image: Tensor,
    output_size: Sequence[int],
    strides: Sequence[int],
    pooling: Pooling,
    *,
    canonical_scale: float = CANONICAL_SCALE_PX,
    canonical_level: int = CANONICAL_LEVEL,
) -> Tensor:
    """Each RoI pooled from the level that its size calls for; differentiable in the features.

    features: (N, C, H_l, W_l) a level, whose strides are `strides`; rois: (R, 4) float, x1 y1 x2 y2 in canvas
    pixels; image: (R,) integer. Returns (R, C, *output_size) of the features' type; coordinates and sums are
    float32, or float64 where the RoIs are, whatever that is. (In mixed precision torchvision's proposals are
    half too.)

    Of several levels none is that of a RoI inverted in one axis, which has no size: it is pooled to zeros,
    as torchvision does. A single level serves every RoI.
    """
    rois = rois.to(torch.promote_types(rois.dtype, torch.float32))
    numbered = torch.cat([image[:, None].to(rois.dtype), rois], dim=1)
    if len(features) == 1:
        return pool_level(features[0], numbered, output_size, strides[0], pooling)
    levels = assign_levels(
        rois,
        canonical_scale=canonical_scale,
        canonical_level=canonical_level,
        lowest=strides[0].bit_length() - 1,
        highest=strides[-1].bit_length() - 1,
    )
    pooled = features[0].new_zeros((rois.shape[0], features[0].shape[1], *output_size))
    for feature, stride in zip(features, strides, strict=True):
        here = torch.where(levels == stride.bit_length() - 1)[0]
        pooled = pooled.index_put((here,), pool_level(feature, numbered[here], output_size, stride, pooling))
    return pooled


def pool_level(
    feature: Tensor, rois: Tensor, output_size: Sequence[int], stride: int, pooling: Pooling
) -> Tensor:
    """feature: (N, C, H, W); rois: (R, 5), the image's index before the box. Returns (R, C, *output_size)."""
    size, scale, samples = (output_size[0], output_size[1]), 1.0 / stride, pooling.sampling_ratio
    values = feature.to(rois.dtype)
    if pooling.method == "pool":
        return roi_pool(values, rois, size, scale).to(feature.dtype)
    if pooling.method == "warp":
        rois, scale = torch.cat([rois[:, :1], round_half_away(rois[:, 1:] * scale)], dim=1), 1.0
    if pooling.method == "crop":
        rois = torch.cat([rois[:, :1], crop_region(rois[:, 1:] * scale, feature.shape[2:], size)], dim=1)
        scale, samples, pooling = 1.0, 1, Pooling(aligned=True)
    if pooling.mode == "avg":
        return roi_align(values, rois, size, scale, samples, pooling.aligned).to(feature.dtype)
    # Each sample is the only one of a bin of its own, in a grid as fine as all samples are.
    grid = (size[0] * samples, size[1] * samples)
    return max_pool2d(roi_align(values, rois, grid, scale, 1, pooling.aligned), samples).to(feature.dtype)


def crop_region(rois: Tensor, cells: Sequence[int], bins: Sequence[int]) -> Tensor:
    """The region whose aligned RoIAlign, one sample a bin, samples where crop_and_resize does (see above).

    rois: (R, 4) x1 y1 x2 y2, canvas pixels over the stride; cells: (height, width) of the map; bins: of the
    output. Returns (R, 4) in the map's cells from its corner.
    """
    height, width = (torch.tensor(count, dtype=rois.dtype, device=rois.device) for count in cells)
    on_map = rois * torch.stack([(width - 1) / width, (height - 1) / height]).repeat(2)
    first, last = on_map[:, :2], on_map[:, 2:]
    margin = (last - first) / rois.new_tensor(crop_steps(*bins))
    return torch.cat([first - margin + 0.5, last + margin + 0.5], dim=1)


def crop_steps(height: int, width: int) -> list[int]:
    """Along x and along y, how many half steps lie between the first and the last sample. One sample is in
    the middle: as if of a step of twice the RoI, half of it at either end."""
    return [2 * max(bins - 1, 1) for bins in (width, height)]


def round_half_away(values: Tensor) -> Tensor:
    """Round to the nearest whole number, halves away from zero, as C's round(); torch.round takes them to
    even."""
    magnitude = values.abs()
    whole = torch.floor(magnitude)
    return torch.sign(values) * (whole + (magnitude - whole >= 0.5))


def assign_levels(
    boxes: Tensor, *, canonical_scale: float, canonical_level: int, lowest: int, highest: int
) -> Tensor:
    """FPN level of each box (Feature Pyramid Networks, arXiv:1612.03144, eq. 1).

    boxes: (R, 4) float32, x1 y1 x2 y2 in canvas pixels. Returns (R,) float32, whole numbers in
    [lowest, highest], or NaN where a box inverted in one axis has no size.
    """
    side = torch.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
    epsilon = torch.tensor(LEVEL_EPSILON, dtype=boxes.dtype)
    level = torch.floor(canonical_level + torch.log2(side / canonical_scale) + epsilon)
    return torch.clamp(level, min=lowest, max=highest)
