"""Label maps: the class of each pixel, out of a file or painted from instances. 255 is no class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask

from maskrt.runtime.errors import ImageError
from maskrt.runtime.files.guard import check_readable

IGNORE_ID = 255
VALUES = 256  # of eight bits
NO_CLASS = bytes([IGNORE_ID]) * VALUES
PLAIN_MODES = ("1", "L", "P", "I", "I;16", "I;16B")  # Pillow's names of pictures whose pixels are one number


class LabelMap(Protocol):
    """Where a sample's label map is from."""

    def classes(self) -> NDArray[np.uint8]:
        """(H, W) uint8: an index into the data set's classes, or `IGNORE_ID`. Raises ImageError."""

    def renumbered(self, new: Sequence[int]) -> LabelMap:
        """The same with class k as new[k]."""


@dataclass(frozen=True)
class LabelFile:
    """A PNG of numbers. table: 256 bytes, the class of each value, `IGNORE_ID` where it is none."""

    path: Path
    table: bytes

    def values(self) -> NDArray[np.int64]:
        """(H, W): the numbers in the file; those past eight bits are no class. Raises ImageError."""
        try:
            check_readable(self.path)
            with Image.open(self.path) as image:
                if image.mode not in PLAIN_MODES:
                    raise ImageError(f"{self.path}: {in_colours(image.mode)}.")
                return np.asarray(image).astype(np.int64)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise ImageError(f"{self.path}: not a readable image: {error}. Copy it again.") from error

    def classes(self) -> NDArray[np.uint8]:
        """As every label map's."""
        values = self.values()
        known = (values >= 0) & (values < VALUES)
        of_values = np.frombuffer(self.table, np.uint8)[np.where(known, values, 0)]
        return np.where(known, of_values, np.uint8(IGNORE_ID))

    def strays(self) -> dict[int, int]:
        """How many pixels have each value that means no class, but for `IGNORE_ID`. Raises ImageError."""
        values, counts = np.unique(self.values(), return_counts=True)
        found = dict(zip(values.tolist(), counts.tolist(), strict=True))
        known = {value for value, label in enumerate(self.table) if label != IGNORE_ID} | {IGNORE_ID}
        return {value: pixels for value, pixels in found.items() if value not in known}

    def renumbered(self, new: Sequence[int]) -> LabelFile:
        """As every label map's."""
        return replace(self, table=bytes(new[k] if k < len(new) else IGNORE_ID for k in self.table))


@dataclass(frozen=True)
class PaintedLabels:
    """Instances in the colours of their classes, the large ones first, on `background`; a crowd is no class.

    instances: a sample's. size: height and width in px.
    """

    instances: tuple[Any, ...]
    size: tuple[int, int]
    background: int

    def classes(self) -> NDArray[np.uint8]:
        """As every label map's."""
        labels = np.full(self.size, self.background, np.uint8)
        for one in sorted(self.instances, key=lambda one: (not one.is_crowd, -one.area_px)):
            labels[coco_mask.decode(one.rle).astype(bool)] = IGNORE_ID if one.is_crowd else one.label
        return labels

    def renumbered(self, new: Sequence[int]) -> PaintedLabels:
        """As every label map's. The instances come with labels of their own."""
        instances = tuple(replace(one, label=new[one.label]) for one in self.instances)
        return replace(self, instances=instances, background=new[self.background])


def in_colours(mode: str) -> str:
    """What is wrong with a label picture of this mode of Pillow's."""
    return (
        f"a picture in {mode}, expected a PNG of class numbers, in grey or with a palette. Convert its "
        "colours to numbers"
    )


def table_of(values: Sequence[int]) -> bytes:
    """The table of a label file in which values[k] means class k."""
    table = bytearray(NO_CLASS)
    for label, value in enumerate(values):
        table[value] = label
    return bytes(table)
