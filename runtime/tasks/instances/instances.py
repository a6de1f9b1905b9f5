"""Objects found in one image, as arrays: what drawing, metrics and records work on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, overload

import cv2
import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.contract import Category
from maskrt.runtime.tasks.keep import labels_of

Self = TypeVar("Self", bound="Instances")


@dataclass(frozen=True)
class MaskCrop:
    """A binary mask kept as the part inside its box: `bits` (h, w) at row `top`, column `left`."""

    top: int
    left: int
    bits: NDArray[np.bool_]

    @property
    def area_px(self) -> int:
        """Pixels of the object."""
        return int(np.count_nonzero(self.bits))

    def pasted(self, height_px: int, width_px: int) -> NDArray[np.bool_]:
        """The mask of the whole image, (H, W)."""
        full = np.zeros((height_px, width_px), bool)
        self.paste_into(full)
        return full

    def paste_into(self, full: NDArray[np.bool_]) -> None:
        """Set what lies under the crop in a mask (H, W) of the whole image."""
        h, w = self.bits.shape
        full[self.top : self.top + h, self.left : self.left + w] = self.bits

    def polygons(self) -> list[NDArray[np.int32]]:
        """The outer outlines of its parts, each (P, 2), x y in image px, through the middles of the border's
        pixels; holes are left out."""
        bits = np.ascontiguousarray(self.bits).view(np.uint8)
        if not bits.any():
            return []
        outlines, _ = cv2.findContours(
            bits, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=(self.left, self.top)
        )
        return [np.asarray(outline[:, 0], np.int32) for outline in outlines]


def crop_mask(mask: NDArray[np.bool_]) -> MaskCrop:
    """The part of a full (H, W) mask that holds all of its object."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return MaskCrop(0, 0, np.zeros((0, 0), bool))
    top, left = int(rows[0]), int(columns[0])
    return MaskCrop(top, left, mask[top : rows[-1] + 1, left : columns[-1] + 1])


@dataclass(frozen=True)
class Instance:
    """One object: name and label of its class, its score, box (4,) x1 y1 x2 y2 in px, and of a model that
    gives them its mask as a crop, and keypoints (K, 3) as in `Instances`. size: of the image, (height, width)
    in px."""

    name: str
    label: int
    score: float
    box: NDArray[np.float32]
    crop: MaskCrop | None
    keypoints: NDArray[np.float32] | None
    size: tuple[int, int]

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(H, W) bool, of the whole image. Raises ValueError where the model gives none."""
        return _masked(self.crop).pasted(*self.size)

    @property
    def area_px(self) -> int:
        """Pixels of its mask. Raises ValueError where the model gives none."""
        return _masked(self.crop).area_px

    def polygons(self) -> list[NDArray[np.int32]]:
        """As `MaskCrop.polygons`. Raises ValueError where the model gives no mask."""
        return _masked(self.crop).polygons()

    def __repr__(self) -> str:
        return f"<{self.name} {self.score:.0%} at {', '.join(f'{side:.0f}' for side in self.box)} px>"


T = TypeVar("T")


def _masked(crops: T | None) -> T:
    if crops is None:
        raise ValueError("this result has no masks: its model finds none (contract.options)")
    return crops


@dataclass(frozen=True)
class Instances:
    """Detections of one image, by descending score, in pixels of the original image.

    boxes (D, 4) float32, x1 y1 x2 y2; scores (D,) float32; labels (D,) int32, index into `classes`;
    crops: a mask each, pasted into the full image by `masks` when asked for; None of a model without masks.
    keypoints: (D, K, 3) float32, x y in pixels and the logit of the heat map there; None of a model without.
    image: (H, W, 3) uint8, RGB, the picture itself, not copied.
    """

    height_px: int
    width_px: int
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int32]
    classes: tuple[Category, ...]
    crops: tuple[MaskCrop, ...] | None
    keypoints: NDArray[np.float32] | None = None
    skeleton: tuple[tuple[int, int], ...] = ()  # pairs of keypoints that a line joins
    image: NDArray[np.uint8] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        count = len(self.scores)
        masks = count if self.crops is None else len(self.crops)
        if self.boxes.shape != (count, 4) or self.labels.shape != (count,) or masks != count:
            raise ValueError(
                f"boxes {self.boxes.shape}, labels {self.labels.shape}, {masks} masks for {count} scores"
            )

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def names(self) -> list[str]:
        """Class name of each detection."""
        return [self.classes[label].name for label in self.labels]

    @property
    def masks(self) -> NDArray[np.bool_]:
        """(D, H, W) bool, made anew at each call: H·W bytes a detection. Raises ValueError where the model
        gives none."""
        crops = _masked(self.crops)
        full = np.zeros((len(self), self.height_px, self.width_px), dtype=bool)
        for mask, crop in zip(full, crops, strict=True):
            crop.paste_into(mask)
        return full

    @property
    def areas_px(self) -> NDArray[np.int64]:
        """(D,) pixels of each mask. Raises ValueError where the model gives none."""
        return np.array([crop.area_px for crop in _masked(self.crops)], np.int64)

    def polygons(self) -> list[list[NDArray[np.int32]]]:
        """Of each detection the outlines, as `MaskCrop.polygons`. Raises ValueError where the model gives no
        masks."""
        return [crop.polygons() for crop in _masked(self.crops)]

    @overload
    def __getitem__(self, key: int | np.integer[Any]) -> Instance: ...

    @overload
    def __getitem__(self: Self, key: slice | str | Sequence[str] | Sequence[int] | NDArray[Any]) -> Self: ...

    def __getitem__(self: Self, key: Any) -> Instance | Self:
        """A number gives one Instance; a slice, a boolean mask (D,), numbers, a class's name or several names
        give a result with these: `result[result.scores > 0.9]`, `result["cat"]`, `result[["cat", "dog"]]`.

        Raises OptionError for a name that no class has, IndexError for a number or a mask that does not fit.
        """
        if isinstance(key, (int, np.integer)) and not isinstance(key, bool):
            return self._one(range(len(self))[key])
        if isinstance(key, str):
            key = [key]
        if isinstance(key, Sequence) and key and all(isinstance(name, str) for name in key):
            key = np.isin(self.labels, labels_of(key, self.classes))
        elif isinstance(key, Sequence) and not len(key):
            key = slice(0)
        rows = np.arange(len(self))[key if isinstance(key, slice) else np.asarray(key)]
        return replace(
            self,
            boxes=self.boxes[rows],
            scores=self.scores[rows],
            labels=self.labels[rows],
            crops=None if self.crops is None else tuple(self.crops[row] for row in rows),
            keypoints=None if self.keypoints is None else self.keypoints[rows],
        )

    def __iter__(self) -> Iterator[Instance]:
        """Each detection by itself, by descending score."""
        return (self._one(row) for row in range(len(self)))

    def _one(self, row: int) -> Instance:
        label = int(self.labels[row])
        return Instance(
            name=self.classes[label].name,
            label=label,
            score=float(self.scores[row]),
            box=self.boxes[row],
            crop=None if self.crops is None else self.crops[row],
            keypoints=None if self.keypoints is None else self.keypoints[row],
            size=(self.height_px, self.width_px),
        )

    def __repr__(self) -> str:
        counts = Counter(self.names)
        found = ", ".join(f"{count} {name}" for name, count in counts.most_common()) or "nothing"
        return f"<{found} in {self.width_px}x{self.height_px} px>"
