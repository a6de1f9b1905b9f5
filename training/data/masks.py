"""Converts shapes to masks: COCO's compressed RLE, the one form used inside.

Points are continuous image coordinates, as in COCO: (0, 0) is the image's top left corner, and pixel (row r,
column c) covers c ≤ x < c + 1, r ≤ y < r + 1, so its centre is (c + 0.5, r + 0.5).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from maskrt.training.data import checks
from maskrt.training.data.problems import Flaw

Rle = dict[str, Any]


def polygons_rle(polygons: list[list[float]], size: tuple[int, int]) -> Rle:
    """Rasterise the union of closed outlines (each x1 y1 x2 y2 …) by COCO's own rule."""
    return coco_mask.merge(coco_mask.frPyObjects(polygons, *size))


def union(rles: list[Rle]) -> Rle:
    """Unite several masks of one size."""
    return coco_mask.merge(rles) if len(rles) > 1 else rles[0]


def ellipse_rle(
    centre: tuple[float, float], radii: tuple[float, float], theta: float, size: tuple[int, int]
) -> Rle:
    """The pixels whose centre lies in an ellipse, cut at the image's border.

    centre: (x, y); radii: (along its own x axis, along its own y axis) in pixels; theta: radians from the
    image's x axis to the ellipse's, clockwise as seen (y points down).
    """
    height, width = size
    reach = max(radii)
    top, bottom = _span(centre[1], reach, height)
    left, right = _span(centre[0], reach, width)
    y = np.arange(top, bottom)[:, None] + 0.5 - centre[1]
    x = np.arange(left, right) + 0.5 - centre[0]
    along = (x * math.cos(theta) + y * math.sin(theta)) / radii[0]
    across = (y * math.cos(theta) - x * math.sin(theta)) / radii[1]
    mask = np.zeros(size, dtype=bool)
    mask[top:bottom, left:right] = along**2 + across**2 <= 1
    return mask_rle(mask)


def _span(centre: float, reach: float, limit: int) -> tuple[int, int]:
    start = min(max(math.floor(centre - reach), 0), limit)
    return start, max(min(math.ceil(centre + reach), limit), start)


def mask_rle(mask: NDArray[np.bool_]) -> Rle:
    """Encode an (H, W) mask as RLE."""
    return coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))


def stored_rle(record: dict[str, Any], size: tuple[int, int]) -> Rle:
    """Check an RLE from a COCO file, compressed (counts is a string) or not (a list), and return it
    compressed.

    The check matters: pycocotools leaves memory uninitialised where the counts end too early.
    """
    stated = record.get("size")
    if stated != list(size):
        raise Flaw(
            "rle_size",
            f"RLE size is {checks.brief(stated)}, expected the image's [height, width] {list(size)}",
        )
    counts = record.get("counts")
    runs = _uncompressed(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not all(type(run) is int and run >= 0 for run in runs):
        raise Flaw("bad_rle", f"RLE counts are {checks.brief(counts)}, expected run lengths")
    if sum(runs) != size[0] * size[1]:
        raise Flaw("bad_rle", f"RLE covers {sum(runs)} pixels, expected the image's {size[0] * size[1]}")
    if isinstance(counts, str):
        return {"size": list(size), "counts": counts.encode("ascii")}
    return coco_mask.frPyObjects({"size": list(size), "counts": runs}, *size)


def _uncompressed(counts: str) -> list[int]:
    """Run lengths of a compressed RLE (rleFrString in cocoapi's maskApi.c).

    Each number is little-endian in groups of 5 bits; bit 6 says that more follow; from the fourth number
    on it is the difference to the number two before.
    """
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        group = ord(character) - 48
        if not 0 <= group < 64:
            raise Flaw("bad_rle", f"RLE counts contain {character!r}, expected characters '0' to 'o'")
        value |= (group & 0x1F) << shift
        shift += 5
        if not group & 0x20:
            if group & 0x10:
                value -= 1 << shift
            runs.append(value + runs[-2] if len(runs) > 2 else value)
            value = shift = 0
    if shift:
        raise Flaw("bad_rle", f"RLE counts end inside a number, after {len(counts)} characters")
    return runs


def checked_area(rle: Rle) -> float:
    """Area of a mask in pixels; must not be zero."""
    area = float(coco_mask.area(rle))
    if area == 0:
        raise Flaw("zero_area", "mask covers 0 pixels, expected at least 1")
    return area


def tight_box(rle: Rle) -> tuple[float, float, float, float]:
    """Box x1 y1 x2 y2 around a mask's pixels, their far edges included."""
    x, y, width, height = coco_mask.toBbox(rle).tolist()
    return x, y, x + width, y + height
