"""VIA's region shapes to masks.

VIA draws on an HTML canvas, so its numbers are continuous coordinates with (0, 0) at the image's top left
corner: COCO's convention (`training.data.masks`), and nothing is shifted. A pixel whose column is x has
its centre at x + 0.5. Polygons and rectangles are rasterised by COCO's rule; circles and ellipses take
the pixels whose centre they cover.
"""

from __future__ import annotations

from typing import Any

from maskrt.training.data import checks, masks
from maskrt.training.data.checks import field
from maskrt.training.data.problems import Flaw


def shape_rle(shape: Any, size: tuple[int, int]) -> masks.Rle:
    """Mask of a region's `shape_attributes` in an image of `size` (height, width).

    A polyline is closed, as people use it for outlines. Polygons and rectangles must lie in the image;
    circles and ellipses may reach over its border, for a round object cut by it, and are cut there.
    """
    name = field(shape, "name", str)
    if name in ("polygon", "polyline"):
        return _polygon(shape, size)
    if name == "rect":
        x, y, width, height = _numbers(shape, "x", "y", "width", "height")
        corners = [x, y, x + width, y, x + width, y + height, x, y + height]
        return masks.polygons_rle([checks.polygon(corners, size)], size)
    if name == "circle":
        cx, cy, radius = _numbers(shape, "cx", "cy", "r")
        return _ellipse((cx, cy), (radius, radius), 0.0, size)
    if name == "ellipse":
        cx, cy, rx, ry, theta = _numbers({"theta": 0, **shape}, "cx", "cy", "rx", "ry", "theta")
        return _ellipse((cx, cy), (rx, ry), theta, size)
    raise Flaw("unsupported_shape", f"shape is {name!r}, expected polygon, polyline, rect, circle or ellipse")


def _polygon(shape: dict[str, Any], size: tuple[int, int]) -> masks.Rle:
    x, y = field(shape, "all_points_x", list), field(shape, "all_points_y", list)
    if len(x) != len(y):
        raise Flaw("odd_coordinates", f"polygon has {len(x)} x and {len(y)} y coordinates, expected as many")
    outline = [coordinate for point in zip(x, y, strict=True) for coordinate in point]
    return masks.polygons_rle([checks.polygon(outline, size)], size)


def _ellipse(
    centre: tuple[float, float], radii: tuple[float, float], theta: float, size: tuple[int, int]
) -> masks.Rle:
    if min(radii) <= 0:
        raise Flaw("zero_area", f"radii are {radii[0]:g} and {radii[1]:g} px, expected them above 0")
    return masks.ellipse_rle(centre, radii, theta, size)


def _numbers(shape: dict[str, Any], *names: str) -> list[float]:
    return checks.numbers([shape.get(name) for name in names], f"{shape['name']} {' '.join(names)}")
