"""Reads LabelMe's files (https://github.com/wkentaro/labelme): a JSON file an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from maskrt.runtime.errors import DataError
from maskrt.training.data import checks, files, masks
from maskrt.training.data.checks import field
from maskrt.training.data.formats.labelme_shapes import shape_rle
from maskrt.training.data.formats.regions import AnnotatedImage, Region, dataset_of
from maskrt.training.data.problems import Flaw, Problems
from maskrt.training.data.sample import Dataset


def is_labelme(document: Any) -> bool:
    """True if a JSON document is a LabelMe file."""
    return isinstance(document, dict) and {"shapes", "imagePath"} <= document.keys()


def read_labelme(path: Path, images_dir: Path | None, skip_bad: bool) -> Dataset:
    """Read a LabelMe file, or all JSON files of a folder, as a data set.

    Classes are the shapes' labels, sorted by name, with ids from 1. Shapes of one label and one group_id are
    parts of one object. Where `images_dir` is None, each file's imagePath locates its image, relative to the
    file. Images without a shape stay, as background.
    """
    annotation_files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not annotation_files:
        raise DataError(
            f"{path}: 0 JSON files in it, expected LabelMe's, one an image. Give their folder: --data FOLDER"
        )
    problems = Problems(path)
    found = []
    for image_id, file in enumerate(annotation_files, start=1):
        image = None
        with problems.noting(file.name):
            document = _document(file)
            image = _image(document, image_id, images_dir or file.parent)
            shapes = document["shapes"]
        if image is None:
            continue
        parts: dict[tuple[str, Any], list[masks.Rle]] = {}
        for number, shape in enumerate(shapes):
            with problems.noting(file.name, number):
                key, rle = _part(shape, number, image.size)
                parts.setdefault(key, []).append(rle)
        for number, ((label, _), rles) in enumerate(parts.items()):
            image.regions.append(Region(f"{file.name}#{number}", label, masks.union(rles)))
        found.append(image)
    name = f"{path.parent.name}/{path.name}" if path.is_file() else path.name
    return dataset_of(name, found, problems.raise_or_count(skip_bad), annotations=path)


def _document(file: Path) -> dict[str, Any]:
    document = files.read_json(file)
    if not is_labelme(document):
        raise Flaw("malformed", "not a LabelMe file, expected an object with 'shapes' and 'imagePath'")
    field(document, "shapes", list)
    return document


def _image(document: dict[str, Any], image_id: int, folder: Path) -> AnnotatedImage:
    name = field(document, "imagePath", str).replace("\\", "/")  # as LabelMe writes it on Windows
    size = checks.image_size(folder / name)
    stated = document.get("imageHeight"), document.get("imageWidth")
    if None not in stated and stated != size:
        raise Flaw(
            "image_size",
            f"image {name} is {size[1]} x {size[0]} px (EXIF rotation applied), "
            f"expected width x height {stated[1]} x {stated[0]} as the file states",
        )
    return AnnotatedImage(image_id, name, folder / name, size, [])


def _part(shape: Any, number: int, size: tuple[int, int]) -> tuple[tuple[str, Any], masks.Rle]:
    """Key of the object that a shape is part of, and the shape's mask."""
    label = field(shape, "label", str).strip()
    if not label:
        raise Flaw("no_class", "label is empty, expected a class name")
    group = shape.get("group_id")
    if not isinstance(group, int | str | None):
        raise Flaw("malformed", f"'group_id' is {checks.brief(group)}, expected a number or none")
    rle = shape_rle(shape, size)
    masks.checked_area(rle)
    return (label, ("alone", number) if group is None else group), rle
