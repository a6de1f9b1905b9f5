"""Sample: an image and its instances, the one type that every reader gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from maskrt.runtime.contract import Category, Keypoints
from maskrt.runtime.errors import DataError, ImageError


@dataclass(frozen=True)
class Instance:
    """Annotated object.

    label: index into the data set's classes. rle: COCO's compressed RLE at the image's full size, {"size":
    [height, width], "counts": bytes}. box: x1 y1 x2 y2 in image pixels. is_crowd: the mask covers several
    objects that were annotated as one; never a training target, ignored in evaluation.
    """

    id: int | str
    label: int
    rle: dict[str, Any]
    box: tuple[float, float, float, float]
    area_px: float
    is_crowd: bool
    # x y in image pixels and COCO's visibility (0 not labelled, 1 hidden, 2 seen) of each of the dataset's
    keypoints: tuple[tuple[float, float, int], ...] | None = None


@dataclass(frozen=True)
class Sample:
    """Image with its annotations; pixels are read on request.

    source: the image file's name as the annotation file has it. read: reads the pixels, for `image`.
    """

    image_id: int
    source: str
    height_px: int
    width_px: int
    instances: tuple[Instance, ...]
    read: Callable[[], NDArray[np.uint8]]

    def image(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8, RGB. Raises ImageError where the file cannot be decoded."""
        image = self.read()
        if image.shape != (self.height_px, self.width_px, 3):
            raise ImageError(
                f"{self.source}: decoded to shape {image.shape}, but its header says "
                f"({self.height_px}, {self.width_px}, 3). Save the image again, without EXIF rotation."
            )
        return image

    def masks(self, size: tuple[int, int] | None = None) -> NDArray[np.bool_]:
        """(G, h, w) bool, in the order of `instances`, at full size or resampled to `size` (height, width).

        Resampling takes the pixel under each new pixel's centre, the geometry of the image's own resize.
        Masks are decoded one at a time, so full-size ones never exist together when `size` is smaller.
        """
        height, width = size or (self.height_px, self.width_px)
        rows = _nearest(self.height_px, height)[:, None]
        columns = _nearest(self.width_px, width)
        masks = np.empty((len(self.instances), height, width), dtype=bool)
        for mask, instance in zip(masks, self.instances, strict=True):
            full = coco_mask.decode(instance.rle)
            mask[:] = cv2.transpose(full.T) if size is None else full[rows, columns]
        return masks


def _nearest(source: int, target: int) -> NDArray[np.intp]:
    return (2 * np.arange(target) + 1) * source // (2 * target)


def _coco_keypoints(instance: Instance) -> dict[str, Any]:
    points = instance.keypoints
    if points is None:
        return {}
    labelled = sum(visibility > 0 for _, _, visibility in points)
    return {"keypoints": [value for point in points for value in point], "num_keypoints": labelled}


class Dataset:
    """Samples in a fixed order.

    classes: instances' label k is classes[k]. dropped: how much was left out, by reason: what --skip-bad
    dropped, and images that a VIA file lists without any region. keypoints: what the points of its instances
    are, None where they have none.
    """

    def __init__(
        self,
        name: str,
        classes: tuple[Category, ...],
        samples: Sequence[Sample],
        dropped: dict[str, int] | None = None,
        keypoints: Keypoints | None = None,
    ):
        self.name = name
        self.classes = classes
        self.dropped = dropped or {}
        self.keypoints = keypoints
        self._samples = samples

    def __deepcopy__(self, memo: Any) -> Dataset:
        return self  # never changed, and large: a copy of what holds it need not hold another

    @property
    def task(self) -> str:
        """The task that its annotations are of, by its name in TASKS (maskrt.runtime.tasks)."""
        return "instances"

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Sample:
        return self._samples[index]

    def __iter__(self) -> Iterator[Sample]:
        return iter(self._samples)

    def with_classes(self, classes: tuple[Category, ...]) -> Dataset:
        """Relabel the same samples in the classes of a model, by name.

        A part of a data set may lack a class and then numbers its classes differently. Raises DataError for a
        class that is not among `classes`.
        """
        labels = {category.name: label for label, category in enumerate(classes)}
        if foreign := [c.name for c in self.classes if c.name not in labels]:
            raise DataError(
                f"{self.name}: classes {foreign[:5]} are not among those of the model "
                f"({[c.name for c in classes][:5]}, …). Use data with the classes it was trained for."
            )
        if classes == self.classes:
            return self
        renumber = [labels[c.name] for c in self.classes]
        samples = [
            replace(s, instances=tuple(replace(i, label=renumber[i.label]) for i in s.instances))
            for s in self
        ]
        return Dataset(self.name, classes, samples, self.dropped, self.keypoints)

    def to_coco(self) -> dict[str, Any]:
        """Convert to ground truth for pycocotools, with RLE counts as str.

        Category and image ids are the data set's own. Annotations are numbered from 1, because COCOeval needs
        numbers and reads the id 0 as "not matched".
        """
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for sample in self:
            images.append(
                {
                    "id": sample.image_id,
                    "file_name": sample.source,
                    "height": sample.height_px,
                    "width": sample.width_px,
                }
            )
            for instance in sample.instances:
                x1, y1, x2, y2 = instance.box
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": sample.image_id,
                        "category_id": self.classes[instance.label].id,
                        "segmentation": {**instance.rle, "counts": instance.rle["counts"].decode("ascii")},
                        "bbox": [x1, y1, x2 - x1, y2 - y1],
                        "area": instance.area_px,
                        "iscrowd": int(instance.is_crowd),
                        **_coco_keypoints(instance),
                    }
                )
        categories = [{"id": category.id, "name": category.name} for category in self.classes]
        return {"info": {}, "images": images, "annotations": annotations, "categories": categories}
