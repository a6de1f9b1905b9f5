"""YOLO's segmentation data sets (https://docs.ultralytics.com/datasets/segment): a YAML file, images, and
a text file an image, a line an object: its class's number and a polygon x1 y1 x2 y2 … as fractions of the
image's sides.
"""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Any

import yaml

from maskrt.runtime.contract import Category
from maskrt.runtime.errors import DataError
from maskrt.runtime.inputs.images import is_image
from maskrt.training.data import checks, masks
from maskrt.training.data.formats.regions import AnnotatedImage, Region, dataset_of
from maskrt.training.data.problems import Flaw, Problems
from maskrt.training.data.sample import Dataset

SUFFIXES = (".yaml", ".yml")
BOX_NUMBERS = 4  # of a detection data set: centre, width, height
SPLITS = ("train", "val", "test")


def find_yolo(folder: Path) -> list[Path]:
    """Find the YAML files in a folder that describe a data set."""
    candidates = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    return [path for path in candidates if is_yolo(_parsed(path))]


def is_yolo(document: Any) -> bool:
    """True if a YAML document names classes and images."""
    return isinstance(document, dict) and "names" in document and not document.keys().isdisjoint(SPLITS)


def read_yolo(path: Path, split: str | None, images_dir: Path | None, skip_bad: bool) -> Dataset:
    """Read the images of one split of a data set, "train" where `split` is None.

    Class ids are YOLO's own, from 0. Labels lie where YOLO looks for them: in the images' folder with the
    last `images` of its path turned into `labels`, as NAME.txt. An image without such a file is background.
    images_dir: in place of the split's folder.
    """
    document = _parsed(path)
    if not is_yolo(document):
        raise DataError(
            f"{path}: not a YOLO data set, expected YAML with 'names' and 'train', 'val' or 'test'. "
            "Let maskrt look at the content: --format auto"
        )
    classes = _classes(document["names"], path)
    split = split or SPLITS[0]
    if document.get(split) is None:
        known = [key for key in SPLITS if document.get(key)]
        raise DataError(
            f"{path}: no split {split!r}, expected one of {known}. Name it: --data {path}:{known[0]}"
        )
    root = path.parent / str(document.get("path") or "")
    stated = document[split] if isinstance(document[split], list) else [document[split]]
    places = [images_dir] if images_dir else [_place(root, str(place)) for place in stated]
    problems = Problems(path)
    images = []
    for image_id, file in enumerate(_image_files(places, path, problems), start=1):
        with problems.noting(file.name):
            image = AnnotatedImage(image_id, file.name, file, checks.image_size(file), [])
            images.append(image)
            _read_labels(_label_file(file), image, classes, problems)
    name = f"{path.parent.name}/{path.name}:{split}"
    return dataset_of(name, images, problems.raise_or_count(skip_bad), annotations=path, classes=classes)


def _place(root: Path, stated: str) -> Path:
    # Roboflow's exports say ../train/images of a folder that is beside the file, not above it.
    inside = root / stated.removeprefix("../")
    return inside if inside.exists() and not (root / stated).exists() else root / stated


def _parsed(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise DataError(f"{path}: not YAML that can be read ({error}). Mend the file.") from error


def _classes(names: Any, path: Path) -> tuple[Category, ...]:
    numbered = dict(enumerate(names)) if isinstance(names, list) else names
    sound = isinstance(numbered, dict) and all(type(key) is int and key >= 0 for key in numbered)
    if not sound or not numbered or len(set(map(str, numbered.values()))) != len(numbered):
        raise DataError(
            f"{path}: 'names' is {checks.brief(names)}, expected different names, as a list or by number."
        )
    return tuple(Category(number, str(name)) for number, name in sorted(numbered.items()))


def _image_files(places: list[Path], path: Path, problems: Problems) -> list[Path]:
    """Image files of folders (recursively) and of lists in text files. A label without its image is noted."""
    found: list[Path] = []
    for place in places:
        if place.is_dir():
            here = sorted(p for p in place.rglob("*") if is_image(p.name))
            labelled = {_label_file(file) for file in here}
            for label in sorted(set(_label_file(place / "x").parent.rglob("*.txt")) - labelled):
                with problems.noting(label.name):
                    raise Flaw("missing_image", f"{label} has no image in {place}, expected one of its name")
            found += here
        elif place.is_file():
            lines = place.read_text(encoding="utf-8", errors="replace").splitlines()
            found += [place.parent / line.strip() for line in lines if line.strip()]
        else:
            raise DataError(
                f"{place}: no such folder or list of images, expected as {path} says. "
                "Mend 'path' there, or say where the images are: --images DIR"
            )
    return found


def _label_file(image: Path) -> Path:
    parts = list(image.parts)
    for position in reversed(range(len(parts) - 1)):
        if parts[position] == "images":
            parts[position] = "labels"
            break
    return Path(PurePath(*parts)).with_suffix(".txt")


def _read_labels(
    file: Path, image: AnnotatedImage, classes: tuple[Category, ...], problems: Problems
) -> None:
    names = {category.id: category.name for category in classes}
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            with problems.noting(file.name, number):
                class_name, rle = _object(line.split(), names, image.size)
                image.regions.append(Region(f"{file.name}:{number}", class_name, rle))


def _object(words: list[str], names: dict[int, str], size: tuple[int, int]) -> tuple[str, masks.Rle]:
    try:
        class_number, *fractions = (float(word) for word in words)
    except ValueError:
        raise Flaw("malformed", f"line is {checks.brief(' '.join(words))}, expected numbers") from None
    if class_number not in names:
        raise Flaw("unknown_category", f"class is {words[0]}, expected one of {sorted(names)[:10]}")
    if len(fractions) == BOX_NUMBERS:
        raise Flaw("unsupported_shape", "line is a box (4 numbers after the class), expected a polygon")
    fractions = checks.numbers(fractions, "polygon")
    if fractions and (max(fractions) > 1 or min(fractions) < 0):
        raise Flaw(
            "outside_image",
            f"polygon's numbers reach from {min(fractions):g} to {max(fractions):g}, expected fractions of "
            "the image's sides, 0 to 1",
        )
    height, width = size
    outline = [value * (height if i % 2 else width) for i, value in enumerate(fractions)]
    rle = masks.polygons_rle([checks.polygon(outline, size)], size)
    masks.checked_area(rle)
    return names[int(class_number)], rle
