"""COCO instance annotations (https://cocodataset.org/#format-data)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from maskrt.runtime.contract import Category, Keypoints
from maskrt.runtime.errors import DataError
from maskrt.runtime.inputs.images import read_image
from maskrt.training.data import checks, files, masks
from maskrt.training.data.checks import field
from maskrt.training.data.formats.coco_keypoints import instance_keypoints, keypoint_layout
from maskrt.training.data.problems import Flaw, Problems
from maskrt.training.data.sample import Dataset, Instance, Sample


def read_coco(annotation_file: Path, images_dir: Path | None, skip_bad: bool) -> Dataset:
    """Read a COCO file: polygons, RLE of both kinds, crowd regions. See `coco_dataset`."""
    return coco_dataset(files.read_json(annotation_file), annotation_file, images_dir, skip_bad)


def is_coco(document: Any) -> bool:
    """True if a JSON document has the lists of a COCO instance file."""
    return isinstance(document, dict) and {"images", "annotations", "categories"} <= document.keys()


def coco_dataset(document: Any, annotation_file: Path, images_dir: Path | None, skip_bad: bool) -> Dataset:
    """Make a data set of a parsed COCO file.

    Classes are sorted by category id, which they keep. Boxes are the file's `bbox`. Where `images_dir` is
    None, images are looked for beside the file, in ../<split> for an instances_<split>.json, in images/ and
    in ../images/. Images without annotations stay, as background.
    """
    if not is_coco(document):
        raise DataError(
            f"{annotation_file}: not a COCO instance file, expected an object with the lists 'images', "
            "'annotations' and 'categories'. Let maskrt look at the content: --format auto"
        )
    records, annotations = (_list(document, key, annotation_file) for key in ("images", "annotations"))
    classes = _classes(_list(document, "categories", annotation_file), annotation_file)
    labels = {category.id: label for label, category in enumerate(classes)}
    keypoints = keypoint_layout(document["categories"], annotation_file)
    names = [r["file_name"] for r in records if isinstance(r, dict) and isinstance(r.get("file_name"), str)]
    folder = files.find_images_dir(annotation_file, images_dir, _default_dirs(annotation_file), names)

    problems = Problems(annotation_file)
    images: dict[int, _Image] = {}
    stated_ids: set[int] = set()
    for record in records:
        with problems.noting(_name(record, annotation_file)):
            image_id = _unique(field(record, "id", int), stated_ids)
            images[image_id] = _image(record, folder)

    instances: dict[int, list[Instance]] = {image_id: [] for image_id in images}
    annotation_ids: set[int] = set()
    for annotation in annotations:
        stated = _integer(annotation, "image_id")
        if stated in stated_ids and stated not in images:
            problems.on_dropped_image += 1
            continue
        where = images[stated].name if stated in images else annotation_file.name
        with problems.noting(where, _integer(annotation, "id")):
            _unique(field(annotation, "id", int), annotation_ids)
            image_id = field(annotation, "image_id", int)
            if image_id not in images:
                raise Flaw("unknown_image", f"image_id {image_id} is not among the file's images")
            instances[image_id].append(_instance(annotation, labels, images[image_id].size, keypoints))

    dropped = problems.raise_or_count(skip_bad)
    samples = [
        Sample(image_id, image.name, *image.size, tuple(instances[image_id]), partial(read_image, image.path))
        for image_id, image in images.items()
    ]
    files.require_annotations(annotation_file, samples, dropped)
    return Dataset(
        f"{annotation_file.parent.name}/{annotation_file.name}", classes, samples, dropped, keypoints
    )


@dataclass(frozen=True)
class _Image:
    name: str
    path: Path
    size: tuple[int, int]  # height, width


def _list(document: dict[str, Any], key: str, annotation_file: Path) -> list[Any]:
    if not isinstance(document[key], list):
        raise DataError(
            f"{annotation_file}: '{key}' is {checks.brief(document[key])}, expected a list. "
            "Export the file from the annotation tool again."
        )
    return document[key]


def _classes(categories: list[Any], annotation_file: Path) -> tuple[Category, ...]:
    try:
        classes = [Category(field(c, "id", int), field(c, "name", str)) for c in categories]
    except Flaw as flaw:
        raise DataError(f"{annotation_file}: in 'categories': {flaw.detail}. Mend that entry.") from flaw
    if not classes or len({c.id for c in classes}) != len(classes):
        raise DataError(
            f"{annotation_file}: category ids are {[c.id for c in classes]}, expected at least one, all "
            "different. Mend 'categories'."
        )
    names = [category.name.strip() for category in classes]
    for category, name in zip(classes, names, strict=True):
        if not name or names.count(name) > 1:
            raise DataError(
                f"{annotation_file}: in 'categories': the name {category.name!r} of id {category.id} is "
                f"{'used twice' if name else 'empty'}, expected a different name for each. Mend 'categories'."
            )
    return tuple(sorted(classes, key=lambda category: category.id))


def _default_dirs(annotation_file: Path) -> list[Path]:
    here, stem = annotation_file.parent, annotation_file.stem
    split = [here.parent / stem.removeprefix("instances_")] if stem.startswith("instances_") else []
    return [here, *split, here / "images", here.parent / "images"]


def _name(record: Any, annotation_file: Path) -> str:
    name = record.get("file_name") if isinstance(record, dict) else None
    return name if isinstance(name, str) else annotation_file.name


def _integer(record: Any, key: str) -> int | None:
    value = record.get(key) if isinstance(record, dict) else None
    return value if isinstance(value, int) else None


def _unique(value: int, seen: set[int]) -> int:
    if value in seen:
        raise Flaw("duplicate_id", f"id {value} was used before, expected a different id for each")
    seen.add(value)
    return value


def _image(record: dict[str, Any], folder: Path) -> _Image:
    name = field(record, "file_name", str)
    stated = field(record, "height", int), field(record, "width", int)
    size = checks.image_size(folder / name)
    if size != stated:
        raise Flaw(
            "image_size",
            f"image is {size[1]} x {size[0]} px (EXIF rotation applied), "
            f"expected width x height {stated[1]} x {stated[0]} as the annotations state",
        )
    return _Image(name, folder / name, size)


def _instance(
    annotation: dict[str, Any], labels: dict[int, int], size: tuple[int, int], keypoints: Keypoints | None
) -> Instance:
    category_id = field(annotation, "category_id", int)
    if category_id not in labels:
        raise Flaw("unknown_category", f"category_id {category_id} is not among the file's categories")
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, dict):
        rle = masks.stored_rle(segmentation, size)
    elif isinstance(segmentation, list) and segmentation:
        rle = masks.polygons_rle([checks.polygon(points, size) for points in segmentation], size)
    else:
        raise Flaw("malformed", f"segmentation is {checks.brief(segmentation)}, expected polygons or RLE")
    mask_area = masks.checked_area(rle)
    return Instance(
        id=annotation["id"],
        label=labels[category_id],
        rle=rle,
        box=checks.coco_box(annotation.get("bbox"), size),
        area_px=checks.numbers([annotation.get("area", mask_area)], "area")[0],
        is_crowd=_is_crowd(annotation),
        keypoints=instance_keypoints(annotation, keypoints, size),
    )


def _is_crowd(annotation: dict[str, Any]) -> bool:
    value = annotation.get("iscrowd", 0)
    if value not in (0, 1):
        raise Flaw("malformed", f"'iscrowd' is {checks.brief(value)}, expected 0 or 1")
    return bool(value)
