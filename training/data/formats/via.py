"""Reads VGG Image Annotator files (https://www.robots.ox.ac.uk/~vgg/software/via/), versions 1 and 2.

They are annotation exports, as of Matterport's balloon example, and project files. Regions may be a list or,
as VIA 1 wrote them, an object.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskrt.runtime.errors import DataError
from maskrt.training.data import checks, files, masks
from maskrt.training.data.checks import field
from maskrt.training.data.formats.regions import AnnotatedImage, Region, dataset_of
from maskrt.training.data.formats.via_classes import class_attribute_of, region_class
from maskrt.training.data.formats.via_shapes import shape_rle
from maskrt.training.data.problems import Flaw, Problems
from maskrt.training.data.sample import Dataset

PROJECT_KEY = "_via_img_metadata"


def read_via(
    annotation_file: Path,
    images_dir: Path | None,
    skip_bad: bool,
    class_name: str,
    class_attribute: str | None,
) -> Dataset:
    """Read a VIA annotation export or VIA 2 project file. See `via_dataset`."""
    document = files.read_json(annotation_file)
    return via_dataset(document, annotation_file, images_dir, skip_bad, class_name, class_attribute)


def is_via(document: Any) -> bool:
    """True if a JSON document is a VIA 1 or 2 file."""
    return isinstance(document, dict) and (
        isinstance(document.get(PROJECT_KEY), dict)
        or any(isinstance(e, dict) and {"filename", "regions"} <= e.keys() for e in document.values())
    )


def via_dataset(
    document: Any,
    annotation_file: Path,
    images_dir: Path | None,
    skip_bad: bool,
    class_name: str,
    class_attribute: str | None,
) -> Dataset:
    """A dataset out of a parsed VIA file.

    Classes are the values of the region attribute `class_attribute` (None: found out), sorted by name,
    with ids from 1; where no region has an attribute, all are of the one class `class_name`. Boxes and
    areas are those of the masks. Images without a region are left out, because VIA lists every image that
    was opened in it, and counted in `dropped`. Where `images_dir` is None, images are looked for beside
    the file and in images/.
    """
    if not is_via(document):
        raise DataError(
            f"{annotation_file}: not a VIA 1 or 2 file, expected an object of entries with 'filename' and "
            "'regions'. Let maskrt look at the content: --format auto"
        )
    problems = Problems(annotation_file)
    entries = _entries(document.get(PROJECT_KEY, document), problems)
    annotated = [entry for entry in entries if entry.regions]
    here = annotation_file.parent
    folder = files.find_images_dir(
        annotation_file, images_dir, [here, here / "images"], [entry.name for entry in entries]
    )
    attribute = class_attribute or class_attribute_of(
        [region for entry in annotated for region in entry.regions.values()], annotation_file
    )

    images: list[AnnotatedImage] = []
    for entry in annotated:
        size = None
        with problems.noting(entry.name):
            size = checks.image_size(folder / entry.name)
        if size is None:
            problems.on_dropped_image += len(entry.regions)
            continue
        regions: list[Region] = []
        for key, region in entry.regions.items():
            with problems.noting(entry.name, key):
                rle = shape_rle(field(region, "shape_attributes", dict), size)
                masks.checked_area(rle)
                name = class_name if attribute is None else region_class(region, attribute)
                regions.append(Region(f"{entry.name}#{key}", name, rle))
        images.append(AnnotatedImage(entry.image_id, entry.name, folder / entry.name, size, regions))

    dropped = problems.raise_or_count(skip_bad)
    if len(annotated) < len(entries):
        dropped["image_without_regions"] = len(entries) - len(annotated)
    return dataset_of(f"{here.name}/{annotation_file.name}", images, dropped, annotations=annotation_file)


@dataclass(frozen=True)
class _Entry:
    image_id: int
    name: str
    regions: dict[Any, Any]  # by number


def _entries(records: dict[str, Any], problems: Problems) -> list[_Entry]:
    entries = []
    for image_id, (key, record) in enumerate(records.items(), start=1):
        with problems.noting(key):
            regions = field(record, "regions", object)
            if isinstance(regions, list):
                regions = dict(enumerate(regions))
            if not isinstance(regions, dict):
                raise Flaw("malformed", f"'regions' is {checks.brief(regions)}, expected a list or an object")
            entries.append(_Entry(image_id, field(record, "filename", str), regions))
    return entries
