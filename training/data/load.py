"""Loads a data set from what a user writes after --data."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from maskrt.runtime.errors import DataError
from maskrt.training.data.files import read_json
from maskrt.training.data.formats.coco import coco_dataset, is_coco
from maskrt.training.data.formats.instance_masks import is_instance_masks, read_instance_masks
from maskrt.training.data.formats.label_png import is_label_png, read_label_png
from maskrt.training.data.formats.labelme import is_labelme, read_labelme
from maskrt.training.data.formats.mask_png import is_mask_png, read_mask_png
from maskrt.training.data.formats.via import is_via, via_dataset
from maskrt.training.data.formats.yolo import SUFFIXES as YAML_SUFFIXES
from maskrt.training.data.formats.yolo import find_yolo, read_yolo
from maskrt.training.data.sample import Dataset
from maskrt.training.data.synthetic import SyntheticDataset

FORMATS = ("auto", "coco", "via", "labelme", "yolo", "mask-png", "instance-masks", "label-png", "synthetic")
VIA_DEFAULT_NAME = "via_region_data.json"
MOST_SYNTHETIC, MOST_SEED = 10**6, 2**32 - 1
SYNTHETIC_DEFAULTS = (160, 0)  # count, seed


def load_dataset(
    spec: str | Path,
    *,
    format: str = "auto",
    images_dir: Path | None = None,
    skip_bad: bool = False,
    class_name: str = "object",
    class_attribute: str | None = None,
) -> Dataset:
    """Load a dataset.

    spec: a COCO, VIA or LabelMe JSON file; a YOLO data set's YAML file, or its NAME:SPLIT; a folder with one
    of these (via_region_data.json, or the only one in it or in its annotations/), of LabelMe files or of
    masks (`mask_png`, `instance_masks`) or of label maps (`label_png`, of which NAME:SPLIT is a part); or
    "synthetic[:COUNT[:SEED]]". format: "auto" goes by what is
    there. images_dir: where the images are, if not in a usual place. skip_bad: drop bad annotations and
    images and count them in `Dataset.dropped`, instead of raising DataError. class_name: where the format
    has no classes; class_attribute: for VIA, see `via_dataset`.
    """
    if format not in FORMATS:
        raise DataError(
            f"format is {format!r}, expected one of {', '.join(FORMATS)}. Leave --format out to detect it."
        )
    if format == "synthetic" or (format == "auto" and re.match(r"synthetic(:|$)", str(spec))):
        return _synthetic(str(spec))
    path, split = _path_and_split(str(spec))
    document = None
    found = format
    if path.is_dir():
        found, path, document = _only_annotations_in(path, format)
    elif path.suffix.lower() in YAML_SUFFIXES:
        found = "yolo" if format == "auto" else format
    else:
        document = read_json(path)
        found = _format_of(document) or "" if format == "auto" else format
    if split and found not in ("yolo", "label-png"):
        raise DataError(
            f"{spec}: ':{split}' names a split of a YOLO data set, and {path} is none. Leave it out."
        )
    readers: dict[str, Callable[[], Dataset]] = {
        "coco": lambda: coco_dataset(document, path, images_dir, skip_bad),
        "via": lambda: via_dataset(document, path, images_dir, skip_bad, class_name, class_attribute),
        "labelme": lambda: read_labelme(path, images_dir, skip_bad),
        "yolo": lambda: read_yolo(path, split, images_dir, skip_bad),
        "mask-png": lambda: read_mask_png(path, images_dir, skip_bad, class_name),
        "instance-masks": lambda: read_instance_masks(path, skip_bad, class_name),
        "label-png": lambda: read_label_png(path, split, images_dir, skip_bad),
    }
    if found in readers:
        return readers[found]()
    raise DataError(
        f"{path}: {_outline(document)}, expected COCO ('images', 'annotations', 'categories'), VIA 1 or 2 "
        "(entries with 'filename' and 'regions') or LabelMe ('shapes', 'imagePath'). "
        "Export it again in one of these formats."
    )


def _synthetic(spec: str) -> Dataset:
    match = re.fullmatch(r"synthetic(?::(\d{1,12}))?(?::(\d{1,12}))?", spec)
    count, seed = (
        (int(v or d) for v, d in zip(match.groups(), SYNTHETIC_DEFAULTS, strict=True)) if match else (0, 0)
    )
    if not 0 < count <= MOST_SYNTHETIC or seed > MOST_SEED:
        raise DataError(
            f"{spec}: expected synthetic[:COUNT[:SEED]], COUNT from 1 to {MOST_SYNTHETIC}, SEED to "
            f"{MOST_SEED}, such as: maskrt train --data synthetic:160:0"
        )
    return SyntheticDataset(count, seed)


def _path_and_split(spec: str) -> tuple[Path, str | None]:
    before, colon, split = spec.rpartition(":")
    for path, part in ((Path(spec), None), (Path(before), split)):
        with suppress(OSError):  # a name too long for a path
            if (colon or part is None) and path.exists():
                return path, part
    raise DataError(
        f"{spec}: no such file or folder, expected annotations in JSON, a YOLO data set in YAML, a folder "
        "with one of these, of masks or of label maps, or synthetic[:COUNT[:SEED]]. To try without data: "
        "maskrt train --data synthetic"
    )


def _only_annotations_in(folder: Path, format: str) -> tuple[str, Path, Any]:
    """The folder's one set of annotations: format, path, and the document of a JSON file.

    Other JSON files beside it do not count.
    """
    found: list[tuple[str, Path, Any]] = []
    if format in ("auto", "via") and (folder / VIA_DEFAULT_NAME).is_file():
        document = read_json(folder / VIA_DEFAULT_NAME)
        return _format_of(document) or "via", folder / VIA_DEFAULT_NAME, document
    found += [("yolo", path, None) for path in find_yolo(folder)]
    found += [("mask-png", folder, None)] if is_mask_png(folder) else []
    found += [("instance-masks", folder, None)] if is_instance_masks(folder) else []
    found += [("label-png", folder, None)] if is_label_png(folder) else []
    json_files = sorted([*folder.glob("*.json"), *(folder / "annotations").glob("*.json")])
    for path in json_files:
        document = read_json(path)
        kind = _format_of(document)
        if kind == "labelme":  # and so are the rest, or the reader will say
            found.append((kind, path.parent, None))
            break
        if kind:
            found.append((kind, path, document))
    found = [one for one in found if format in ("auto", one[0])]
    if len(found) == 1:
        return found[0]
    if found:
        listed = "".join(f"\n  {path} ({kind})" for kind, path, _ in found)
        raise DataError(
            f"{folder}: {len(found)} sets of annotations, expected one:{listed}\n"
            f"Name one: maskrt train --data {found[0][1]} --format {found[0][0]}"
        )
    raise DataError(
        f"{folder}: {len(json_files)} JSON files in it and in annotations/, and no "
        f"{'' if format == 'auto' else format + ' '}annotations that maskrt can read "
        f"({', '.join(FORMATS[1:-1])}; docs/training.md). "
        "Name the file: maskrt train --data FILE --format via"
    )


def _format_of(document: Any) -> str | None:
    kinds = {"coco": is_coco, "via": is_via, "labelme": is_labelme}
    return next((kind for kind, is_kind in kinds.items() if is_kind(document)), None)


def _outline(document: Any) -> str:
    if isinstance(document, dict):
        return f"an object with the keys {', '.join(list(document)[:5]) or '(none)'}"
    return f"a JSON {type(document).__name__}"
