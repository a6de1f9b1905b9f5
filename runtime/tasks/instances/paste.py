"""A detection's mask from its box to the image's pixels, by the rule of the project that its model is from.

"torchvision" (`paste_masks_in_image`): the box grows by a border of zeros and is truncated to whole pixels.
"pixel_middles" (the function of that name in Detectron2's layers/mask_ops.py, and MMDetection's
fcn_mask_head.py): the mask is sampled at the middle of every pixel. "matterport" (`utils.unmold_mask`): the
box is rounded to whole pixels. "truncated" (`paste_masks_in_image` of Okery's PyTorch-Simple-MaskRCNN,
model/transform.py): as torchvision's, but the truncated box ends at its last edge, not one pixel further. All
are bilinear between the middles of cells, zero beyond the mask.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.tasks.instances.instances import MaskCrop
from maskrt.runtime.tasks.instances.options import MATTERPORT, TORCHVISION, TRUNCATED


def boxes_to_image(
    boxes: NDArray[np.float32], canvas: NDArray[np.float32], image: tuple[int, int], rule: str
) -> NDArray[np.float32]:
    """Boxes (D, 4) in pixels of the resized picture, whose height and width are `canvas`, in the image's.

    A ratio a side, in float32, as torchvision's resize_boxes; for "matterport" the first and the last pixel
    of one are those of the other (its `norm_boxes` and `denorm_boxes`), and what that gives is not rounded.
    """
    if rule != MATTERPORT:
        ratio = np.array(image, np.float32) / canvas
        return boxes * ratio[[1, 0, 1, 0]]
    last = np.array([0, 0, 1, 1], np.float64)
    steps = (np.array(image) - 1) / np.maximum(canvas.astype(np.float64) - 1, 1)
    return ((boxes - last) * steps[[1, 0, 1, 0]] + last).astype(np.float32)


def paste_mask(
    mask: NDArray[np.float32],
    box: NDArray[np.float32],
    height: int,
    width: int,
    threshold: float,
    rule: str = TORCHVISION,
) -> MaskCrop:
    """The pixels of a mask (M, M), resampled from its box, that are above the threshold, or with other rules
    than torchvision's at it too. box: x1 y1 x2 y2 in pixels of the (height, width) image. Returns the part
    inside."""
    if rule == TORCHVISION:
        return _truncated(mask, box, height, width, threshold, last=1)
    if rule == TRUNCATED:
        return _truncated(mask, box, height, width, threshold, last=0)
    x1, y1, x2, y2 = (np.around(box) if rule == MATTERPORT else box).tolist()
    margin = 0 if rule == MATTERPORT else 1  # px beyond the box that Detectron2 looks at
    left, top = max(math.floor(x1) - margin, 0), max(math.floor(y1) - margin, 0)
    right, bottom = min(math.ceil(x2) + margin, width), min(math.ceil(y2) + margin, height)
    if right <= left or bottom <= top or x2 <= x1 or y2 <= y1:
        return MaskCrop(top=top, left=left, bits=np.zeros((0, 0), bool))
    across = _shares(left, right, x1, x2, mask.shape[1])
    down = _shares(top, bottom, y1, y2, mask.shape[0])
    columns = (mask @ across).T @ down  # columns first, as run lengths go
    bits = columns >= threshold
    if rule == MATTERPORT and mask.min() >= threshold:  # skimage lets nothing leave the range of the mask
        bits[:] = True
    return MaskCrop(top=top, left=left, bits=bits.T)


def _shares(first: int, end: int, near: float, far: float, cells: int) -> NDArray[np.float32]:
    """(cells, pixels): what each cell of a mask between two edges weighs in each pixel along an axis."""
    place = np.arange(first, end, dtype=np.float32)
    place += 0.5 - near
    place *= cells / (far - near)
    shares = np.subtract(place, np.arange(0.5, cells, dtype=np.float32)[:, None])
    np.abs(shares, out=shares)
    np.subtract(1, shares, out=shares)
    return np.maximum(shares, 0, out=shares)


def _truncated(
    mask: NDArray[np.float32], box: NDArray[np.float32], height: int, width: int, threshold: float, last: int
) -> MaskCrop:
    """The mask gets a border of one zero cell and the box grows alike, so that the object may reach the edge
    of its box; the grown box is truncated to whole pixels. last: 1 where its end is one of them, else 0."""
    side = mask.shape[0]
    grow = np.float32(side + 2) / np.float32(side)
    centre = (box[2:] + box[:2]) * np.float32(0.5)
    half = (box[2:] - box[:2]) * np.float32(0.5) * grow
    x1, y1 = (int(v) for v in centre - half)  # towards zero, as a cast to integer does
    x2, y2 = (int(v) for v in centre + half)
    size = (max(x2 - x1 + last, 1), max(y2 - y1 + last, 1))
    # Transposed: the crop then lies in memory column by column, the order of its run-length encoding.
    columns = cv2.resize(cv2.copyMakeBorder(mask.T, 1, 1, 1, 1, cv2.BORDER_CONSTANT), size[::-1])
    left, top = max(x1, 0), max(y1, 0)
    right, bottom = min(x2 + last, width), min(y2 + last, height)
    bits = columns[left - x1 : max(right - x1, 0), top - y1 : max(bottom - y1, 0)] > threshold
    return MaskCrop(top=top, left=left, bits=bits.T)
