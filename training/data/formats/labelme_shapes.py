"""Converts LabelMe's shapes to masks. Its coordinates are continuous, as VIA's (`via_shapes`)."""

from __future__ import annotations

import base64
import math
from typing import Any

import cv2
import numpy as np

from maskrt.training.data import checks, masks
from maskrt.training.data.checks import field
from maskrt.training.data.problems import Flaw


def shape_rle(shape: dict[str, Any], size: tuple[int, int]) -> masks.Rle:
    """Mask of a shape in an image of `size` (height, width).

    A polygon; a rectangle by two opposite corners or by four; a circle by its centre and a point on it, cut
    at the image's border; a mask as a PNG and the first and last column and row that it covers.
    """
    kind = shape.get("shape_type") or "polygon"  # old files have no other and do not say
    points = _points(shape)
    if kind == "polygon" or (kind in ("rectangle", "oriented_rectangle") and len(points) == 4):
        return _outline(points, size)
    if kind == "rectangle":
        (x1, y1), (x2, y2) = _two(points, kind)
        return _outline([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], size)
    if kind == "circle":
        centre, border = _two(points, kind)
        radius = math.dist(centre, border)
        if radius == 0:
            raise Flaw("zero_area", "circle has radius 0 px, expected it above 0")
        return masks.ellipse_rle(centre, (radius, radius), 0.0, size)
    if kind == "mask":
        return _placed(field(shape, "mask", str), _two(points, kind), size)
    raise Flaw("unsupported_shape", f"shape is {kind!r}, expected polygon, rectangle, circle or mask")


def _points(shape: dict[str, Any]) -> list[tuple[float, float]]:
    points = field(shape, "points", list)
    for point in points:
        if not isinstance(point, list) or len(point) != 2:
            raise Flaw("odd_coordinates", f"point is {checks.brief(point)}, expected [x, y]")
    return [(x, y) for x, y in (checks.numbers(point, "point") for point in points)]


def _two(points: list[tuple[float, float]], kind: str) -> list[tuple[float, float]]:
    if len(points) != 2:
        raise Flaw("too_few_points", f"{kind} has {len(points)} points, expected 2")
    return points


def _outline(points: list[tuple[float, float]], size: tuple[int, int]) -> masks.Rle:
    return masks.polygons_rle([checks.polygon([v for point in points for v in point], size)], size)


def _placed(text: str, corners: list[tuple[float, float]], size: tuple[int, int]) -> masks.Rle:
    """Place a PNG's non-zero pixels in an image of `size`; corners: its first and its last (column, row)."""
    try:
        data = np.frombuffer(base64.b64decode(text, validate=True), np.uint8)
    except ValueError as error:
        raise Flaw("unreadable_mask", f"mask is not base64 ({error})") from None
    part = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) if len(data) else None
    if part is None:
        raise Flaw("unreadable_mask", f"mask of {len(data)} bytes is not a PNG")
    (left, top), (right, bottom) = ((int(x), int(y)) for x, y in corners)
    stated = bottom - top + 1, right - left + 1
    if part.shape != stated:
        raise Flaw(
            "mask_size",
            f"mask is {part.shape[1]} x {part.shape[0]} px, "
            f"expected width x height {stated[1]} x {stated[0]} as its points say",
        )
    if min(left, top) < 0 or right >= size[1] or bottom >= size[0]:
        raise Flaw(
            "outside_image",
            f"mask covers columns {left} to {right} and rows {top} to {bottom}, "
            f"expected inside an image of {size[1]} x {size[0]} px",
        )
    full = np.zeros(size, bool)
    full[top : bottom + 1, left : right + 1] = part > 0
    return masks.mask_rle(full)
