"""How each project pastes its masks, in PyTorch and without the runtime's code: no mistake can be in both."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate
from torchvision.models.detection.roi_heads import expand_boxes, expand_masks, paste_masks_in_image

from maskrt.runtime.tasks.instances.instances import MaskCrop, crop_mask
from maskrt.runtime.tasks.instances.options import BoxGrid
from maskrt.runtime.tasks.instances.result import Result


def pasted(found: Result, masks: NDArray[np.float32], grid: BoxGrid) -> tuple[MaskCrop, ...]:
    """The masks (D, M, M) of a result's boxes in its image, by the grid's rule."""
    size = (found.height_px, found.width_px)
    return tuple(
        crop_mask(
            PASTED[grid.paste](torch.from_numpy(mask), torch.from_numpy(box), size, grid.threshold).numpy()
        )
        for mask, box in zip(masks, found.boxes, strict=True)
    )


def _truncated(mask: Tensor, box: Tensor, size: tuple[int, int], threshold: float) -> Tensor:
    """torchvision's own."""
    return paste_masks_in_image(mask[None, None], box[None], size)[0, 0] > threshold


def _to_its_end(mask: Tensor, box: Tensor, size: tuple[int, int], threshold: float) -> Tensor:
    """The single-level model's: torchvision's, but for the last pixel, which is not one more."""
    grown, box = expand_masks(mask[None, None], 1)[0], expand_boxes(box[None], 1 + 2 / mask.shape[-1])[0]
    left, top, right, bottom = (int(edge) for edge in box)
    sides = (max(bottom - top, 1), max(right - left, 1))
    enlarged = interpolate(grown, size=sides, mode="bilinear", align_corners=False)[0, 0]
    full = mask.new_zeros(size)
    x1, y1, x2, y2 = max(left, 0), max(top, 0), min(right, size[1]), min(bottom, size[0])
    full[y1:y2, x1:x2] = enlarged[y1 - top : y2 - top, x1 - left : x2 - left]
    return full > threshold


def _at_middles(mask: Tensor, box: Tensor, size: tuple[int, int], threshold: float) -> Tensor:
    """Detectron2's: grid_sample, whose -1 and 1 are the box's edges, at the middles of all pixels."""
    return _sampled(mask, box, size) >= threshold


def _in_whole_pixels(mask: Tensor, box: Tensor, size: tuple[int, int], threshold: float) -> Tensor:
    """Matterport's: in the box rounded, and there nothing below the mask's least value."""
    box = box.round()
    left, top, right, bottom = (int(edge) for edge in box)
    inside = torch.zeros(size, dtype=torch.bool)
    inside[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = True
    return inside & (_sampled(mask, box, size).clamp(min=float(mask.min())) >= threshold)


def _sampled(mask: Tensor, box: Tensor, size: tuple[int, int]) -> Tensor:
    """(H, W) probabilities of an image; zero outside of the box, and where it has no area."""
    low, high = box[:2], box[2:]
    if bool((high <= low).any()):
        return mask.new_zeros(size)
    left, top = (max(int(edge) - 1, 0) for edge in low.floor())
    right, bottom = (min(int(edge) + 1, side) for edge, side in zip(high.ceil(), size[::-1], strict=True))
    x, y = (
        (torch.arange(first, end) + 0.5 - low[axis]) / (high[axis] - low[axis]) * 2 - 1
        for axis, (first, end) in enumerate(((left, right), (top, bottom)))
    )
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
    full = mask.new_zeros(size)
    full[top:bottom, left:right] = grid_sample(mask[None, None], grid[None], align_corners=False)[0, 0]
    return full


PASTED = {
    "torchvision": _truncated,
    "pixel_middles": _at_middles,
    "matterport": _in_whole_pixels,
    "truncated": _to_its_end,
}
