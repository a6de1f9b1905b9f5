"""A PNG an image whose values number the objects: images/NAME.* and masks/NAME.png.

0 is background, and the pixels of any other value are one object, in however many pieces. A PNG of 8 or 16
bits, of a palette (the value is the index), or in colours (red + 256 green + 65536 blue, as in COCO's
panoptic files). Without classes.txt beside the folders, all objects are of one class. With it, a class a
line, from number 1, the values are Cityscapes': 1000 × class + object, and a value below 1000 is a class
whose objects are not separated: a crowd.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from maskrt.runtime.contract import Category
from maskrt.runtime.errors import DataError
from maskrt.runtime.inputs.images import is_image
from maskrt.training.data import checks, masks
from maskrt.training.data.formats.regions import AnnotatedImage, Region, dataset_of
from maskrt.training.data.problems import Flaw, Problems
from maskrt.training.data.sample import Dataset

IMAGES, MASKS, CLASSES = "images", "masks", "classes.txt"
PER_CLASS = 1000  # cityscapesScripts, json2instanceImg.py
LOSSLESS = ("PNG", "TIFF", "BMP")
MOST_OBJECTS = 4096  # of an image; noise of 16 bits has 65535 numbers, each a mask
# Pascal VOC marks borders, which are not to be judged, with index 255, of this colour in its palette.
VOID, VOID_COLOUR = 255, (224, 224, 192)


def is_mask_png(folder: Path) -> bool:
    """True if a folder has images/ and, as files, masks/."""
    return (folder / IMAGES).is_dir() and any(p.is_file() for p in (folder / MASKS).glob("*"))


def read_mask_png(folder: Path, images_dir: Path | None, skip_bad: bool, class_name: str) -> Dataset:
    """Read a folder with images/ and masks/ as a data set. class_name: used without classes.txt.

    An image without a mask file is a problem: one without objects has an empty mask.
    """
    if not is_mask_png(folder):
        raise DataError(
            f"{folder}: expected the folders {IMAGES}/ and {MASKS}/ in it, a mask an image. "
            "Let maskrt look at the content: --format auto"
        )
    classes = _classes(folder / CLASSES)
    image_files = _by_stem(images_dir or folder / IMAGES)
    mask_files = _by_stem(folder / MASKS)
    problems = Problems(folder)
    images = []
    for image_id, stem in enumerate(sorted(image_files.keys() | mask_files.keys()), start=1):
        with problems.noting(stem):
            if stem not in image_files:
                raise Flaw("missing_image", f"{mask_files[stem]} has no image, expected {IMAGES}/{stem}.*")
            if stem not in mask_files:
                raise Flaw("missing_mask", f"{image_files[stem]} has no mask, expected {MASKS}/{stem}.png")
            path = image_files[stem]
            image = AnnotatedImage(image_id, path.name, path, checks.image_size(path), [])
            ids = read_values(mask_files[stem])
            if ids.shape != image.size:
                raise Flaw(
                    "mask_size",
                    f"mask is {ids.shape[1]} x {ids.shape[0]} px, expected the image's "
                    f"{image.size[1]} x {image.size[0]}",
                )
            values = np.unique(ids[ids > 0])
            if len(values) > MOST_OBJECTS:
                raise Flaw(
                    "too_many_objects",
                    f"mask has {len(values)} different numbers, expected at most {MOST_OBJECTS}: an object "
                    "each, and no photograph",
                )
            images.append(image)
            for value in values.tolist():
                with problems.noting(mask_files[stem].name, value):
                    name, is_crowd = _class_of(value, classes) if classes else (class_name, False)
                    rle = masks.mask_rle(ids == value)
                    image.regions.append(Region(f"{stem}#{value}", name, rle, is_crowd))
    return dataset_of(
        folder.name, images, problems.raise_or_count(skip_bad), annotations=folder, classes=classes or None
    )


def read_values(path: Path) -> NDArray[np.int64]:
    """Read each pixel's number in a mask file, (H, W) int64. Raises Flaw where it has none."""
    try:
        with Image.open(path) as image:
            if image.format not in LOSSLESS:
                raise Flaw(
                    "unreadable_mask",
                    f"{path} is a {image.format}, which changes numbers, expected a PNG",
                )
            palette = image.getpalette("RGB") if image.mode == "P" else None
            coloured = image.mode not in ("P", "1", "L", "I", "I;16", "I;16B")
            values = np.asarray(image.convert("RGB") if coloured else image).astype(np.int64)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise Flaw("unreadable_mask", f"{path} is not a readable image: {error}") from None
    if coloured:
        return values @ np.array([1, 256, 65536])
    if palette is not None and tuple(palette[3 * VOID : 3 * VOID + 3]) == VOID_COLOUR:
        values[values == VOID] = 0
    return values


def _classes(file: Path) -> tuple[Category, ...]:
    if not file.is_file():
        return ()
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not text in UTF-8 ({error.reason}). Save it as such.") from error
    names = [line.strip() for line in text.splitlines() if line.strip()]
    if not names or len(set(names)) != len(names):
        raise DataError(f"{file}: {checks.brief(names)}, expected different names, one a line. Mend it.")
    return tuple(Category(number, name) for number, name in enumerate(names, start=1))


def _class_of(value: int, classes: tuple[Category, ...]) -> tuple[str, bool]:
    """Name of the class, and True if the pixels are a crowd."""
    is_crowd = value < PER_CLASS
    number = value if is_crowd else value // PER_CLASS
    if not 1 <= number <= len(classes):
        raise Flaw(
            "unknown_category",
            f"value {value} is of class {number}, expected 1 to {len(classes)} as {CLASSES} has them",
        )
    return classes[number - 1].name, is_crowd


def _by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder, expected images. Check the path given to --images.")
    files = sorted(p for p in folder.iterdir() if is_image(p.name))
    return {file.stem: file for file in files}
