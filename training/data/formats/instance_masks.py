"""Reads a folder an image, with a mask file an object: NAME/images/NAME.png and NAME/masks/*.png.

This is the layout of the 2018 Data Science Bowl's nuclei (https://www.kaggle.com/c/data-science-bowl-2018),
which Matterport's nucleus sample reads.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.errors import DataError, ImageError
from maskrt.runtime.inputs.images import is_image, read_image
from maskrt.training.data import checks, masks
from maskrt.training.data.formats.regions import AnnotatedImage, Region, dataset_of
from maskrt.training.data.problems import Flaw, Problems
from maskrt.training.data.sample import Dataset


def is_instance_masks(folder: Path) -> bool:
    """True if a folder holds folders that have images/ and masks/."""
    return folder.is_dir() and any(_is_one(child) for child in folder.iterdir())


def read_instance_masks(folder: Path, skip_bad: bool, class_name: str) -> Dataset:
    """Read such a folder as a data set of one class.

    An object is where its mask is over half as bright as the mask's brightest pixel: this serves 0 and 1, 0
    and 255, and softened edges. An image with an empty masks/ is background.
    """
    if not is_instance_masks(folder):
        raise DataError(
            f"{folder}: expected folders in it with images/ and masks/ each. "
            "Let maskrt look at the content: --format auto"
        )
    problems = Problems(folder)
    images = []
    for image_id, one in enumerate(sorted(p for p in folder.iterdir() if p.is_dir()), start=1):
        with problems.noting(one.name):
            if not _is_one(one):
                raise Flaw("malformed", f"{one} has not both images/ and masks/, expected them")
            files = _images_in(one / "images")
            if len(files) != 1:
                raise Flaw("malformed", f"{one / 'images'} has {len(files)} images, expected 1")
            size = checks.image_size(files[0])
            image = AnnotatedImage(image_id, f"{one.name}/images/{files[0].name}", files[0], size, [])
            images.append(image)
            for file in _images_in(one / "masks"):
                with problems.noting(one.name, file.name):
                    rle = masks.mask_rle(_mask(file, size))
                    masks.checked_area(rle)
                    image.regions.append(Region(f"{one.name}/{file.name}", class_name, rle))
    return dataset_of(folder.name, images, problems.raise_or_count(skip_bad), annotations=folder)


def _is_one(folder: Path) -> bool:
    return (folder / "images").is_dir() and (folder / "masks").is_dir()


def _images_in(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if is_image(p.name))


def _mask(file: Path, size: tuple[int, int]) -> NDArray[np.bool_]:
    try:
        values = read_image(file).max(axis=2)
    except ImageError as error:
        raise Flaw("unreadable_mask", str(error)) from None
    if values.shape != size:
        raise Flaw(
            "mask_size",
            f"mask is {values.shape[1]} x {values.shape[0]} px, expected the image's {size[1]} x {size[0]}",
        )
    return values > values.max() / 2
