"""Checks that the readers share. Each raises Flaw, which says what was got and what was expected."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image

from maskrt.runtime.errors import MaskrtError
from maskrt.runtime.files.guard import check_readable, note_read
from maskrt.runtime.inputs.images import is_cut_off_jpeg
from maskrt.training.data.problems import Flaw

ROUNDING_PX = 1  # how far annotations may pass the image's border
EXIF_ORIENTATION = 0x0112
EXIF_TRANSPOSED = {5, 6, 7, 8}  # these orientations swap height and width

T = TypeVar("T")
Box = tuple[float, float, float, float]


def field(record: Any, name: str, kind: type[T]) -> T:
    """Return `record[name]`, which must be of type `kind` (bool does not pass for a number)."""
    if not isinstance(record, dict):
        raise Flaw("malformed", f"entry is {brief(record)}, expected an object with '{name}'")
    if name not in record:
        raise Flaw("malformed", f"no field '{name}', expected one of type {kind.__name__}")
    value = record[name]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise Flaw("malformed", f"'{name}' is {brief(value)}, expected type {kind.__name__}")
    return value


def numbers(values: Any, what: str) -> list[float]:
    """Return `values` as floats; all must be finite numbers."""
    if not isinstance(values, list) or not all(type(v) in (int, float) for v in values):
        raise Flaw("malformed", f"{what} is {brief(values)}, expected a list of numbers")
    for position, value in enumerate(values):
        if not math.isfinite(value):
            raise Flaw("non_finite", f"{what} has {value} at position {position}, expected finite numbers")
    return [float(value) for value in values]


def polygon(points: Any, size: tuple[int, int]) -> list[float]:
    """Check a closed outline x1 y1 x2 y2 …, in image pixels, inside an image of `size` (height, width)."""
    outline = numbers(points, "polygon")
    if len(outline) % 2:
        raise Flaw("odd_coordinates", f"polygon has {len(outline)} coordinates, expected an even number")
    if len(outline) < 6:
        raise Flaw("too_few_points", f"polygon has {len(outline) // 2} points, expected at least 3")
    x, y = outline[::2], outline[1::2]
    inside((min(x), min(y), max(x), max(y)), "polygon", size)
    return outline


def inside(box: Box, what: str, size: tuple[int, int]) -> None:
    """Check that no side of `box` (x1 y1 x2 y2) lies more than 1 px outside the image; `size`: (height,
    width)."""
    height, width = size
    x1, y1, x2, y2 = box
    if min(x1, y1) < -ROUNDING_PX or x2 > width + ROUNDING_PX or y2 > height + ROUNDING_PX:
        raise Flaw(
            "outside_image",
            f"{what} spans x {x1:g} to {x2:g} and y {y1:g} to {y2:g}, "
            f"expected inside x 0 to {width} and y 0 to {height} (1 px of rounding allowed)",
        )


def coco_box(values: Any, size: tuple[int, int]) -> Box:
    """Convert COCO's x y width height to x1 y1 x2 y2, clipped to the image; `size`: (height, width)."""
    sides = numbers(values, "bbox")
    if len(sides) != 4:
        raise Flaw("malformed", f"bbox has {len(sides)} numbers, expected 4 (x, y, width, height)")
    x, y, box_width, box_height = sides
    inside((x, y, x + box_width, y + box_height), "bbox", size)
    height, width = size
    x1, y1, x2, y2 = max(x, 0.0), max(y, 0.0), min(x + box_width, width), min(y + box_height, height)
    if x2 <= x1 or y2 <= y1:
        raise Flaw(
            "zero_area", f"bbox is {box_width:g} x {box_height:g} px, expected an area inside the image"
        )
    return x1, y1, x2, y2


def image_size(path: Path) -> tuple[int, int]:
    """Read (height, width) of an image file as displayed, with its EXIF orientation applied.

    Only the header is read, and the end of a JPEG is checked: a file that was cut off must not stop a
    training run hours later.
    """
    note_read(path)
    try:
        check_readable(path)
        if is_cut_off_jpeg(path):
            raise Flaw("unreadable_image", f"{path} is a JPEG cut off after {path.stat().st_size} bytes")
        with Image.open(path) as image:
            width, height = image.size
            transposed = image.getexif().get(EXIF_ORIENTATION) in EXIF_TRANSPOSED
    except MaskrtError as error:
        raise Flaw("unreadable_image", str(error)) from None
    except FileNotFoundError:
        raise Flaw("missing_image", f"no such file: {path}") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise Flaw("unreadable_image", f"{path} is not a readable image: {error}") from None
    return (width, height) if transposed else (height, width)


def brief(value: Any) -> str:
    """Format a value for a message, cut to a readable length."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
