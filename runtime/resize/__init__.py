"""The filters by which a picture is resized: of the projects that models come from, each exact to its own.

All are bilinear between the middles of pixels. They differ in what they do where they shrink, at the border,
and in their rounding; confident random weights find other things for it (docs/checkpoints.md).
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.contract import Canvas
from maskrt.runtime.errors import ModelError
from maskrt.runtime.resize.pillow import by_pillow
from maskrt.runtime.resize.skimages import by_skimage
from maskrt.runtime.resize.torchs import by_torch

Size = tuple[int, int]


def _by_opencv(image: NDArray, size: Size) -> NDArray:
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)


def _by_opencv_in_float(image: NDArray[np.uint8], size: Size) -> NDArray[np.float32]:
    return _by_opencv(image.astype(np.float32), size)


#: By rule and the type that it works on. torch has none for uint8 that would be as quick as OpenCV's, which
#: is within a grey level of it.
FILTERS: dict[tuple[str, str], Callable[[NDArray[np.uint8], Size], NDArray]] = {
    ("torch", "float32"): by_torch,
    ("torch", "uint8"): _by_opencv,
    ("opencv", "uint8"): _by_opencv,
    ("opencv", "float32"): _by_opencv_in_float,
    ("pil", "uint8"): by_pillow,
    ("skimage", "uint8"): by_skimage,
}


def resize(image: NDArray[np.uint8], size: Size, canvas: Canvas, *, out: NDArray | None = None) -> NDArray:
    """The picture in that size, by the canvas's rule and of its dtype.

    image: (H, W, 3) uint8; size: (height, width). Pixels that were worked out in float32 are rounded to the
    nearest for a canvas of uint8. out: where it is to go, of that size and dtype; it need not be contiguous.
    Raises ModelError for a filter that there is not.
    """
    works_on = canvas.resize_dtype or (canvas.dtype if canvas.resize == "torch" else "uint8")
    if (canvas.resize, works_on) not in FILTERS:
        raise ModelError(
            f"canvas resize is {canvas.resize!r} of {works_on}, expected one of "
            f"{', '.join(f'{rule} of {dtype}' for rule, dtype in FILTERS)}. Upgrade maskrt."
        )
    resized = image if image.shape[:2] == size else FILTERS[canvas.resize, works_on](image, size)
    if resized.dtype == np.float32 and canvas.dtype == "uint8":
        resized = np.rint(resized)
    if out is None:
        return resized.astype(canvas.dtype, copy=resized is image)
    out[:] = resized
    return out
