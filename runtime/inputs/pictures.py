"""Converts pictures from Python code (arrays, PIL images, paths) to the runtime's one array type."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.errors import ImageError
from maskrt.runtime.inputs.images import decode_image, read_image

#: A file's name; an encoded image's bytes; an array; or a PIL image, which this cannot name without PIL.
Picture: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | NDArray[np.uint8] | Any

_NAMES, _BYTES = (str, os.PathLike), (bytes, bytearray, memoryview)


def is_picture(given: object) -> bool:
    """True if the value is a single picture, not a sequence of pictures."""
    return isinstance(given, (*_NAMES, *_BYTES, np.ndarray)) or not isinstance(given, Iterable)


def as_image(picture: Picture) -> NDArray[np.uint8]:
    """Convert a picture to (H, W, 3) uint8, RGB, upright; an array of that form is not copied.

    Arrays: (H, W, 3) RGB, (H, W, 4) RGBA, whose alpha is dropped, (H, W) or (H, W, 1) grey; uint8. A PIL
    image's EXIF orientation is applied, and 16 bits are scaled to 8, as of a file. Raises ImageError for
    anything else.
    """
    if isinstance(picture, _NAMES):
        return read_image(picture)
    if isinstance(picture, _BYTES):
        return decode_image(bytes(picture), f"image of {len(bytes(picture))} bytes")
    if isinstance(picture, np.ndarray):
        return _from_array(picture)
    if _is_pil(picture):
        return _from_pil(picture)
    raise ImageError(
        f"an image is a {type(picture).__name__}, expected a file's name, an encoded image's bytes, a uint8 "
        "array, or a PIL image."
    )


def _from_array(array: NDArray[Any]) -> NDArray[np.uint8]:
    channels = 1 if array.ndim == 2 else array.shape[2] if array.ndim == 3 else 0
    if array.dtype != np.uint8 or channels not in (1, 3, 4) or 0 in array.shape:
        raise ImageError(
            f"image array is {array.dtype} {array.shape}, expected uint8 (H, W, 3) in RGB order, (H, W, 4) "
            f"in RGBA, or grey (H, W).{_remedy(array)}"
        )
    if channels == 1:
        return np.asarray(cv2.cvtColor(np.ascontiguousarray(array), cv2.COLOR_GRAY2RGB), np.uint8)
    return array if channels == 3 else np.ascontiguousarray(array[:, :, :3])


def _remedy(array: NDArray[Any]) -> str:
    if array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.dtype == np.uint8 and 0 not in array.shape:
        return " Channels come last: array.transpose(1, 2, 0)."
    if array.ndim == 4:
        return " Several images are a list: list(array)."
    if array.dtype != np.uint8:
        return " Scale its values to 0–255, and convert: array.astype(np.uint8)."
    return ""


def _is_pil(given: object) -> bool:
    """True by the name of the class, so that PIL is needed only where its images are passed."""
    return any(base.__module__ == "PIL.Image" for base in type(given).__mro__)


def _from_pil(image: Any) -> NDArray[np.uint8]:
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I;16"):
        return _from_array((np.asarray(upright) >> 8).astype(np.uint8))
    if upright.mode in ("I", "F"):
        raise ImageError(
            f"a PIL image of mode {upright.mode!r} (32 bits a pixel), whose white nobody knows. Scale it to "
            "0–255, and convert: image.convert('L')."
        )
    return _from_array(np.asarray(upright.convert("RGB")))
