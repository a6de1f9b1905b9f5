"""The class of each pixel of an image, and how much each class has of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.contract import Category
from maskrt.runtime.tasks.keep import labels_of


@dataclass(frozen=True)
class ClassArea:
    """A class that was found. area_px: its pixels; share: of the image's, 0 to 1."""

    label: int
    name: str
    area_px: int
    share: float


@dataclass(frozen=True, eq=False)
class ClassMap:
    """The class of each pixel of one image.

    labels: (height_px, width_px) uint8, index into classes; in annotations IGNORED (255) where there is none.
    shown: labels that are drawn and counted, None for all. image: (H, W, 3) uint8 RGB, where it is known.
    `len` is the number of classes found, and iteration gives each as a `ClassArea`, the largest first.
    """

    height_px: int
    width_px: int
    labels: NDArray[np.uint8]
    classes: tuple[Category, ...]
    shown: tuple[int, ...] | None = None
    image: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.found)

    def __iter__(self) -> Iterator[ClassArea]:
        return iter(self.found)

    @cached_property
    def areas_px(self) -> NDArray[np.int64]:
        """(classes,): pixels of each class."""
        return np.bincount(self.labels.ravel(), minlength=len(self.classes))[: len(self.classes)]

    @property
    def shares(self) -> NDArray[np.float64]:
        """(classes,): of the image's pixels."""
        return self.areas_px / max(self.labels.size, 1)

    @cached_property
    def found(self) -> list[ClassArea]:
        """The classes that have a pixel and are shown, the largest first."""
        areas, shares = self.areas_px, self.shares
        order = np.argsort(-areas, kind="stable").tolist()
        return [
            ClassArea(label, self.classes[label].name, int(areas[label]), float(shares[label]))
            for label in order
            if areas[label] and (self.shown is None or label in self.shown)
        ]

    @property
    def names(self) -> list[str]:
        """Of the classes found, the largest first."""
        return [one.name for one in self.found]

    def mask(self, name: str) -> NDArray[np.bool_]:
        """(H, W): the pixels of a class. Raises OptionError for a name that no class has."""
        return np.isin(self.labels, labels_of([name], self.classes))
