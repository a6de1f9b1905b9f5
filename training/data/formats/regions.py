"""Annotated regions with class names, before a data set's classes are numbered."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from maskrt.runtime.contract import Category
from maskrt.runtime.inputs.images import read_image
from maskrt.training.data import files, masks
from maskrt.training.data.sample import Dataset, Instance, Sample


@dataclass(frozen=True)
class Region:
    """Object of an image: its id within the data set, its class by name, its mask at the image's size."""

    id: int | str
    class_name: str
    rle: masks.Rle
    is_crowd: bool = False


@dataclass(frozen=True)
class AnnotatedImage:
    """Image file with its regions. source: its name in messages; size: (height, width) in px."""

    image_id: int
    source: str
    path: Path
    size: tuple[int, int]
    regions: list[Region]


def dataset_of(
    name: str,
    images: list[AnnotatedImage],
    dropped: dict[str, int],
    *,
    annotations: Path,
    classes: tuple[Category, ...] | None = None,
) -> Dataset:
    """Make a data set, with boxes and areas taken from the masks.

    annotations: the file or folder, for the message. classes: where the format numbers them; else they are
    the regions' class names, sorted, with ids from 1. Raises DataError where there is no region at all.
    """
    if classes is None:
        names = sorted({region.class_name for image in images for region in image.regions})
        classes = tuple(Category(number, name) for number, name in enumerate(names, start=1))
    labels = {category.name: label for label, category in enumerate(classes)}
    samples = [
        Sample(
            image_id=image.image_id,
            source=image.source,
            height_px=image.size[0],
            width_px=image.size[1],
            instances=tuple(
                Instance(
                    id=region.id,
                    label=labels[region.class_name],
                    rle=region.rle,
                    box=masks.tight_box(region.rle),
                    area_px=masks.checked_area(region.rle),
                    is_crowd=region.is_crowd,
                )
                for region in image.regions
            ),
            read=partial(read_image, image.path),
        )
        for image in images
    ]
    files.require_annotations(annotations, samples, dropped)
    return Dataset(name, classes, samples, dropped)
