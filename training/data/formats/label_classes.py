"""What the values in a file of labels mean."""

from __future__ import annotations

from pathlib import Path

from maskrt.models.parts.voc import VOC
from maskrt.runtime.contract import Category
from maskrt.runtime.errors import DataError
from maskrt.training.data import checks
from maskrt.training.data.files import read_json
from maskrt.training.data.label_maps import IGNORE_ID

NAMES, IDS = "classes.txt", "classes.json"
#: Cityscapes' classes that are evaluated, by labelId (cityscapesScripts, helpers/labels.py).
CITYSCAPES = {
    7: "road",
    8: "sidewalk",
    11: "building",
    12: "wall",
    13: "fence",
    17: "pole",
    19: "traffic light",
    20: "traffic sign",
    21: "vegetation",
    22: "terrain",
    23: "sky",
    24: "person",
    25: "rider",
    26: "car",
    27: "truck",
    28: "bus",
    31: "train",
    32: "motorcycle",
    33: "bicycle",
}


def label_classes(folder: Path, example: Path) -> tuple[Category, ...]:
    """The classes of a folder's labels, each with its value as id. example: one of its label files.

    Raises DataError where they are not said, or not so that each value has one name.
    """
    places = (folder, folder.absolute().parent)
    for place in places:
        if (place / NAMES).is_file():
            return _checked(place / NAMES, dict(enumerate(_names(place / NAMES))))
        if (place / IDS).is_file():
            return _checked(place / IDS, _ids(place / IDS))
    if example.stem.endswith("_labelIds"):
        return _checked(folder, CITYSCAPES)
    if "SegmentationClass" in example.parts:
        return _checked(folder, dict(enumerate(VOC)))
    raise DataError(
        f"{folder}: no {NAMES} in it or in {places[1]}, expected the names of the classes, one a line from "
        f'value 0; or {IDS} with {{"value": "name", …}}. Write one of them.'
    )


def _names(file: Path) -> list[str]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not text in UTF-8 ({error.reason}). Save it as such.") from error
    return [line.strip() for line in text.rstrip().splitlines()]


def _ids(file: Path) -> dict[int, str]:
    content = read_json(file)
    if not isinstance(content, dict):
        raise DataError(f'{file}: {checks.brief(content)}, expected {{"value": "name", …}}. Mend it.')
    pairs = list(content.items())
    if not all(str(value).isdecimal() for value, _ in pairs):
        pairs = [(value, name) for name, value in pairs]
    if bad := [pair for pair in pairs if not (str(pair[0]).isdecimal() and isinstance(pair[1], str))]:
        raise DataError(f'{file}: {checks.brief(bad[0])}, expected "value": "name". Mend it.')
    return dict(sorted((int(value), name) for value, name in pairs))


def _checked(file: Path, names: dict[int, str]) -> tuple[Category, ...]:
    if not names or "" in names.values() or len(set(names.values())) != len(names):
        raise DataError(
            f"{file}: {checks.brief(list(names.values()))}, expected different names and no empty line. "
            "Mend it."
        )
    if past := [value for value in names if value >= IGNORE_ID]:
        raise DataError(
            f"{file}: the value {past[0]}, expected 0 to {IGNORE_ID - 1}: a class has eight bits. Mend it."
        )
    return tuple(Category(value, name) for value, name in names.items())
