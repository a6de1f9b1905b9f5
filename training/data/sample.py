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
from maskrt.training.data.label_maps import LabelMap, PaintedLabels

INSTANCES, SEMANTIC = "instances", "semantic"
BACKGROUND = "background"  # the class of pixels that no object covers


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
    label_map: where `labels` are from, None of data without.
    """

    image_id: int
    source: str
    height_px: int
    width_px: int
    instances: tuple[Instance, ...]
    read: Callable[[], NDArray[np.uint8]]
    label_map: LabelMap | None = None

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

    def labels(self, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """(h, w) uint8: the class of each pixel, 255 where none is annotated, at full size or resampled as
        masks are. Raises DataError of data without label maps, ImageError where a file cannot be used."""
        if self.label_map is None:
            raise DataError(
                f"{self.source}: has no label map, and none can be painted from its objects, since the "
                "model's classes have no 'background'. Use data with label maps: images/ and labels/"
            )
        labels = self.label_map.classes()
        if labels.shape != (self.height_px, self.width_px):
            raise ImageError(
                f"{self.source}: its label map is {labels.shape[1]} x {labels.shape[0]} px, expected the "
                f"image's {self.width_px} x {self.height_px}. Make it again at the image's size."
            )
        if size is None:
            return labels
        return labels[_nearest(self.height_px, size[0])[:, None], _nearest(self.width_px, size[1])]


def _nearest(source: int, target: int) -> NDArray[np.intp]:
    return (2 * np.arange(target) + 1) * source // (2 * target)


def _renumbered(sample: Sample, new: list[int]) -> Sample:
    instances = tuple(replace(i, label=new[i.label]) for i in sample.instances)
    return replace(
        sample, instances=instances, label_map=sample.label_map and sample.label_map.renumbered(new)
    )


def _painted(sample: Sample, background: int) -> Sample:
    size = sample.height_px, sample.width_px
    return replace(sample, label_map=PaintedLabels(sample.instances, size, background))


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
        return SEMANTIC if self.has_labels else INSTANCES

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Sample:
        return self._samples[index]

    def __iter__(self) -> Iterator[Sample]:
        return iter(self._samples)

    @property
    def has_labels(self) -> bool:
        """True if its samples have label maps."""
        return len(self) > 0 and self[0].label_map is not None

    def for_task(self, task: str) -> Dataset:
        """The same data as a network for `task` learns it: of objects, label maps are painted on a class
        'background' before the others. Raises DataError where the data says nothing of the task."""
        if task == self.task:
            return self
        if task != SEMANTIC:
            raise DataError(
                f"{self.name}: label maps, which do not tell objects apart, and the network finds {task}. "
                "Train one that gives a class map: --preset fcn8s; or give data of objects."
            )
        unused = min(set(range(len(self.classes) + 1)) - {category.id for category in self.classes})
        return self.with_classes((Category(unused, BACKGROUND), *self.classes))

    def for_model(self, task: str, classes: tuple[Category, ...]) -> Dataset:
        """The same data as a model of these classes is measured on it. Raises DataError as `for_task` and
        `with_classes` do."""
        fitting = self.with_classes(classes)
        return fitting if task == fitting.task else fitting.for_task(task)

    def with_classes(self, classes: tuple[Category, ...]) -> Dataset:
        """Relabel the same samples in the classes of a model, by name.

        A part of a data set may lack a class and then numbers its classes differently. Data of objects gets
        label maps where the classes have a background that the data has not. Raises DataError for a class
        that is not among `classes`.
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
        samples = [_renumbered(sample, renumber) for sample in self]
        if BACKGROUND in labels and BACKGROUND not in (c.name for c in self.classes) and not self.has_labels:
            samples = [_painted(sample, labels[BACKGROUND]) for sample in samples]
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
