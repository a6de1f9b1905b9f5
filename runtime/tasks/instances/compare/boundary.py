"""How far the outlines of two masks are apart."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.tasks.instances.instances import MaskCrop


def boundary_distance_px(a: MaskCrop, b: MaskCrop) -> float:
    """The Hausdorff distance of two masks' boundaries: the furthest that a boundary pixel of either lies from
    the nearest of the other (Huttenlocher et al., Comparing images using the Hausdorff distance, PAMI 1993).
    0 for equal masks, infinite where one alone is empty.
    """
    planes = on_one_plane(a, b)
    if np.array_equal(*planes):
        return 0.0
    if not planes[0].any() or not planes[1].any():
        return float("inf")
    first, second = (_boundary(plane) for plane in planes)
    return max(float(_distance_to(second)[first].max()), float(_distance_to(first)[second].max()))


def on_one_plane(a: MaskCrop, b: MaskCrop) -> NDArray[np.bool_]:
    """(2, h, w): both masks in the smallest frame that holds their crops, a pixel of margin around."""
    top, left = min(a.top, b.top) - 1, min(a.left, b.left) - 1
    height = max(a.top + a.bits.shape[0], b.top + b.bits.shape[0]) - top + 1
    width = max(a.left + a.bits.shape[1], b.left + b.bits.shape[1]) - left + 1
    planes = np.zeros((2, height, width), dtype=bool)
    for plane, crop in zip(planes, (a, b), strict=True):
        h, w = crop.bits.shape
        plane[crop.top - top : crop.top - top + h, crop.left - left : crop.left - left + w] = crop.bits
    return planes


def _boundary(plane: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of the mask that touch a pixel outside it by a side."""
    inner = cv2.erode(plane.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)))
    return plane & (inner == 0)


def _distance_to(pixels: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(h, w): of every pixel to the nearest of `pixels`, Euclidean."""
    distance = cv2.distanceTransform((~pixels).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return distance.astype(np.float32, copy=False)
