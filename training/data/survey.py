"""Statistics of a data set: classes, image sizes, and the sizes of its objects or its pixels by class."""

from __future__ import annotations

import math
from collections import Counter
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.errors import ImageError
from maskrt.training.data.label_maps import IGNORE_ID
from maskrt.training.data.sample import Dataset, Sample

SMALL_PX2, MEDIUM_PX2 = 32**2, 96**2  # COCO's limits of area, which its AP by size goes by


class Survey:
    """Counts over the samples added, one after another. Crowd regions are counted apart."""

    def __init__(self, dataset: Dataset) -> None:
        self.name, self.classes, self.dropped = dataset.name, dataset.classes, dataset.dropped
        self.instances, self.crowds, self.images_with = Counter[int](), Counter[int](), Counter[int]()
        self.image_sizes = Counter[tuple[int, int]]()
        self.per_image: list[int] = []
        self.areas_px2: list[float] = []
        self.box_sides_px: list[float] = []  # of the square of the box's area
        self.pixels = Pixels(len(dataset.classes)) if dataset.has_labels else None

    def add(self, sample: Sample) -> None:
        """Count one image and its objects."""
        objects = [i for i in sample.instances if not i.is_crowd]
        self.image_sizes[sample.width_px, sample.height_px] += 1
        self.per_image.append(len(objects))
        self.instances.update(i.label for i in objects)
        self.crowds.update(i.label for i in sample.instances if i.is_crowd)
        self.images_with.update({i.label for i in objects})
        for instance in objects:
            x1, y1, x2, y2 = instance.box
            self.areas_px2.append(instance.area_px)
            self.box_sides_px.append(math.sqrt((x2 - x1) * (y2 - y1)))
        if self.pixels is not None:
            with suppress(ImageError):  # among the faults
                self.pixels.add(sample.labels())

    def to_dict(self) -> dict[str, Any]:
        """Convert all counts to plain values for JSON."""
        areas = np.array(self.areas_px2)
        return {
            "name": self.name,
            "images": len(self.per_image),
            "instances": sum(self.per_image),
            "left_out": self.dropped,
            "classes": [
                {
                    "id": category.id,
                    "name": category.name,
                    "instances": self.instances[label],
                    "images": self.images_with[label],
                    "crowds": self.crowds[label],
                }
                for label, category in enumerate(self.classes)
            ],
            "image_sizes": [
                {"width_px": width, "height_px": height, "images": count}
                for (width, height), count in self.image_sizes.most_common()
            ],
            "instances_per_image": spread(self.per_image),
            "mask_area_px2": spread(self.areas_px2),
            "box_side_px": spread(self.box_sides_px),
            "box_side_histogram": octaves(self.box_sides_px),
            "by_coco_size": {
                "small": int((areas < SMALL_PX2).sum()),
                "medium": int(((areas >= SMALL_PX2) & (areas < MEDIUM_PX2)).sum()),
                "large": int((areas >= MEDIUM_PX2).sum()),
            },
            "pixels": self.pixels and self.pixels.to_dict(),
        }

    @property
    def summary(self) -> str:
        """The data in one line, without its name: what there is of the first ten classes."""
        names = [category.name for category in self.classes[:10]]
        if self.pixels is None:
            counts = ", ".join(f"{name} {self.instances[k]}" for k, name in enumerate(names))
            return f"{len(self.per_image)} images, {sum(self.per_image)} objects: {counts}"
        shares = ", ".join(f"{name} {self.pixels.shares[k]:.1%}" for k, name in enumerate(names))
        return f"{len(self.per_image)} images, {self.pixels.labelled:.1%} of the pixels labelled: {shares}"


class Pixels:
    """Counts of label maps' pixels by class. images: how many have any of each."""

    def __init__(self, classes: int) -> None:
        self.counts, self.images = np.zeros(classes, np.int64), np.zeros(classes, np.int64)
        self.all = 0

    def add(self, labels: NDArray[np.uint8]) -> None:
        """Count a label map."""
        counts = np.bincount(labels.ravel(), minlength=IGNORE_ID + 1)[: len(self.counts)]
        self.counts += counts
        self.images += counts > 0
        self.all += labels.size

    @property
    def shares(self) -> NDArray[np.float64]:
        """Of the labelled pixels, those of each class."""
        return self.counts / max(int(self.counts.sum()), 1)

    @property
    def labelled(self) -> float:
        """The share of pixels that have a class."""
        return float(self.counts.sum()) / max(self.all, 1)

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain values for JSON."""
        by_class = zip(self.counts.tolist(), self.shares.tolist(), self.images.tolist(), strict=True)
        return {
            "labelled_share": self.labelled,
            "classes": [{"pixels": n, "share": share, "images": images} for n, share, images in by_class],
        }


def spread(values: list[Any]) -> dict[str, float] | None:
    """Minimum, 10%, median, 90% and maximum; None of no values."""
    if not values:
        return None
    names = {"min": 0.0, "p10": 0.1, "median": 0.5, "p90": 0.9, "max": 1.0}
    return dict(zip(names, map(float, np.quantile(values, list(names.values()))), strict=True))


def octaves(sides_px: list[float]) -> list[dict[str, int]]:
    """Count the sides in each doubling: {"from_px", "to_px", "count"}, smallest to largest."""
    counts = Counter(max(0, math.floor(math.log2(side))) if side > 0 else 0 for side in sides_px)
    if not counts:
        return []
    return [
        {"from_px": 2**power, "to_px": 2 ** (power + 1), "count": counts[power]}
        for power in range(min(counts), max(counts) + 1)
    ]
