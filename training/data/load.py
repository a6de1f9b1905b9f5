"""One way in: what a user writes after --data, as a Dataset."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from runtime.errors import DataError
from training.data.coco import coco_dataset, is_coco
from training.data.files import read_json
from training.data.sample import Dataset
from training.data.synthetic import SyntheticDataset
from training.data.via import is_via, via_dataset

FORMATS = ("auto", "coco", "via", "synthetic")
VIA_DEFAULT_NAME = "via_region_data.json"
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

    spec: a COCO or VIA JSON file; a folder with one (via_region_data.json, or the only one in it or in its
    annotations/); or "synthetic[:COUNT[:SEED]]". format: "auto" tells COCO from VIA by content.
    images_dir: where the images are, if not in a usual place. skip_bad: drop bad annotations and images
    and count them in `Dataset.dropped`, instead of raising DataError. class_name, class_attribute: for VIA,
    see `via_dataset`.
    """
    if format not in FORMATS:
        raise DataError(
            f"format is {format!r}, expected one of {', '.join(FORMATS)}. Leave --format out to detect it."
        )
    if format == "synthetic" or (format == "auto" and re.match(r"synthetic(:|$)", str(spec))):
        return _synthetic(str(spec))
    path = Path(spec)
    if path.is_dir():
        path, document = _only_annotations_in(path, format)
    elif path.exists():
        document = read_json(path)
    else:
        raise DataError(
            f"{path}: no such file or folder, expected a COCO or VIA JSON file, a folder with one, or "
            "synthetic[:COUNT[:SEED]]. To try without data: maskrt train --data synthetic"
        )
    found = _format_of(document) if format == "auto" else format
    if found == "coco":
        return coco_dataset(document, path, images_dir, skip_bad)
    if found == "via":
        return via_dataset(document, path, images_dir, skip_bad, class_name, class_attribute)
    raise DataError(
        f"{path}: {_outline(document)}, expected COCO ('images', 'annotations', 'categories') or VIA 1 or 2 "
        "(entries with 'filename' and 'regions'). Export it again in one of these formats."
    )


def _synthetic(spec: str) -> Dataset:
    match = re.fullmatch(r"synthetic(?::(\d+))?(?::(\d+))?", spec)
    count, seed = (
        (int(v or d) for v, d in zip(match.groups(), SYNTHETIC_DEFAULTS, strict=True)) if match else (0, 0)
    )
    if count == 0:
        raise DataError(
            f"{spec}: expected synthetic[:COUNT[:SEED]] with COUNT above 0, both whole numbers, "
            "such as: maskrt train --data synthetic:160:0"
        )
    return SyntheticDataset(count, seed)


def _only_annotations_in(folder: Path, format: str) -> tuple[Path, Any]:
    """The folder's one annotation file, parsed. Other JSON files beside it do not count."""
    if (folder / VIA_DEFAULT_NAME).is_file():
        return folder / VIA_DEFAULT_NAME, read_json(folder / VIA_DEFAULT_NAME)
    json_files = sorted([*folder.glob("*.json"), *(folder / "annotations").glob("*.json")])
    found = [
        (path, document)
        for path in json_files
        for document in [read_json(path)]
        if _format_of(document) is not None and format in ("auto", _format_of(document))
    ]
    if len(found) == 1:
        return found[0]
    if found:
        listed = "".join(f"\n  {path}" for path, _ in found)
        raise DataError(
            f"{folder}: {len(found)} annotation files, expected one:{listed}\n"
            f"Name one: maskrt train --data {found[0][0]}"
        )
    raise DataError(
        f"{folder}: {len(json_files)} JSON files in it and in annotations/, none with "
        f"{'COCO or VIA' if format == 'auto' else format.upper()} annotations, expected one. "
        "Name the file: maskrt train --data FILE --format via"
    )


def _format_of(document: Any) -> str | None:
    return "coco" if is_coco(document) else "via" if is_via(document) else None


def _outline(document: Any) -> str:
    if isinstance(document, dict):
        return f"an object with the keys {', '.join(list(document)[:5]) or '(none)'}"
    return f"a JSON {type(document).__name__}"
