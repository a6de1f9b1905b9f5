"""Class maps as PNG files: labels with a palette, as VOC and CamVid have them, or the data set's own ids."""

from __future__ import annotations

import os
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.contract import Category
from maskrt.runtime.errors import MaskrtError
from maskrt.runtime.files.atomic import atomic_path, write_png
from maskrt.runtime.files.kinds import PICTURE
from maskrt.runtime.tasks.semantic.drawing import palette
from maskrt.runtime.tasks.semantic.options import IGNORED

SIGNATURE = b"\x89PNG\r\n\x1a\n"
INDEXED, EIGHT_BITS = 3, 8
MOST_ID = (1 << 16) - 1


def write_labels(path: str | os.PathLike[str], labels: NDArray[np.uint8], classes: int) -> None:
    """Write a map (H, W) as a PNG whose values are the labels, and whose palette has the overlays' colours.

    OpenCV writes no palettes; the format is ISO/IEC 15948.
    """
    height, width = labels.shape
    rows = np.zeros((height, width + 1), np.uint8)  # each begins with its filter: none
    rows[:, 1:] = labels
    header = struct.pack(">IIBBBBB", width, height, EIGHT_BITS, INDEXED, 0, 0, 0)
    chunks = (
        (b"IHDR", header),
        (b"PLTE", palette(classes).tobytes()),
        (b"IDAT", zlib.compress(rows.tobytes(), 6)),
        (b"IEND", b""),
    )
    with atomic_path(path, PICTURE) as temporary:
        temporary.write_bytes(SIGNATURE + b"".join(_chunk(*chunk) for chunk in chunks))


def write_ids(path: str | os.PathLike[str], labels: NDArray[np.uint8], classes: tuple[Category, ...]) -> None:
    """Write a map (H, W) as a grey PNG of the classes' own ids, of eight bits or, for larger ids, sixteen.

    Raises MaskrtError where an id is negative or larger than that.
    """
    ids = np.array([category.id for category in classes], np.int64)
    if ids.min() < 0 or ids.max() > MOST_ID:
        raise MaskrtError(
            f"{path}: the classes' ids go from {ids.min()} to {ids.max()}, but a PNG holds 0 to {MOST_ID}. "
            "Write labels in their place: a name that ends in .labels.png."
        )
    small = ids.max() < IGNORED
    table = np.full(IGNORED + 1, IGNORED if small else MOST_ID, np.uint8 if small else np.uint16)
    table[: len(ids)] = ids
    write_png(path, table[labels])


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
