"""LabelMe's files: what each shape covers, and each fault by its name."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from maskrt.runtime.contract import Category
from maskrt.runtime.errors import DataError
from maskrt.training.data import load_dataset

Document = dict[str, Any]
PART = np.array([[1, 1, 1], [1, 0, 0]], np.uint8)
SQUARE = [[2, 3], [12, 3], [12, 13], [2, 13]]


def png(mask: np.ndarray) -> str:
    return base64.b64encode(cv2.imencode(".png", mask * 255)[1].tobytes()).decode()


def shape(label: str, points: list, kind: str = "polygon", group: int | None = None, **more: Any) -> Document:
    return {"label": label, "points": points, "group_id": group, "shape_type": kind, "flags": {}, **more}


@pytest.fixture
def labelme(tmp_path: Path, write_image: Callable[..., None]) -> Callable[..., Path]:
    """Write a.json with the shapes given, and b.json without any, beside their images of 30 x 40 px."""

    def write(*shapes: Any, **changes: Any) -> Path:
        for name, of_this in (("a", list(shapes)), ("b", [])):
            write_image(tmp_path / f"{name}.png")
            document = {
                "version": "5.5.0",
                "imagePath": f"{name}.png",
                "imageData": None,
                "imageHeight": 30,
                "imageWidth": 40,
                "shapes": of_this,
            }
            text = json.dumps(document | (changes if name == "a" else {}))
            (tmp_path / f"{name}.json").write_text(text)
        return tmp_path

    return write


def test_reads_a_folder_and_keeps_images_without_shapes(labelme: Callable[..., Path]) -> None:
    dataset = load_dataset(labelme(shape("nut", SQUARE), shape("bolt", [[20, 10], [24, 25]], "rectangle")))
    assert dataset.classes == (Category(1, "bolt"), Category(2, "nut"))
    assert [(s.image_id, s.source, len(s.instances)) for s in dataset] == [(1, "a.png", 2), (2, "b.png", 0)]
    expected = np.zeros((2, 30, 40), bool)
    expected[0, 3:13, 2:12] = expected[1, 10:25, 20:24] = True
    np.testing.assert_array_equal(dataset[0].masks(), expected)
    assert dataset[0].instances[1].box == (20, 10, 24, 25)
    assert dataset[0].image().shape == (30, 40, 3)


def test_one_file_is_a_data_set_too(labelme: Callable[..., Path]) -> None:
    assert len(load_dataset(labelme(shape("nut", SQUARE)) / "a.json")) == 1


def test_a_circle_is_its_centre_and_a_point_on_it(labelme: Callable[..., Path]) -> None:
    dataset = load_dataset(labelme(shape("disc", [[20, 15], [23, 19]], "circle")))
    y, x = np.mgrid[:30, :40] + 0.5
    np.testing.assert_array_equal(dataset[0].masks()[0], np.hypot(x - 20, y - 15) <= 5)


def test_a_mask_lies_where_its_points_say(labelme: Callable[..., Path]) -> None:
    dataset = load_dataset(labelme(shape("spot", [[4, 6], [6, 7]], "mask", mask=png(PART))))
    expected = np.zeros((30, 40), bool)
    expected[6:8, 4:7] = PART
    np.testing.assert_array_equal(dataset[0].masks()[0], expected)


def test_shapes_of_one_group_and_label_are_one_object(labelme: Callable[..., Path]) -> None:
    other = [[x + 15, y] for x, y in SQUARE]
    dataset = load_dataset(
        labelme(shape("nut", SQUARE, group=1), shape("nut", other, group=1), shape("bolt", other, group=1))
    )
    assert [(dataset.classes[i.label].name, i.area_px) for i in dataset[0].instances] == [
        ("nut", 200),
        ("bolt", 100),
    ]


def test_paths_of_windows_and_other_folders_are_found(labelme: Callable[..., Path], tmp_path: Path) -> None:
    folder = labelme(shape("nut", SQUARE), imagePath="..\\pictures\\a.png")
    pictures = tmp_path.parent / "pictures"
    pictures.mkdir()
    (folder / "a.png").rename(pictures / "a.png")
    assert load_dataset(folder)[0].image().shape == (30, 40, 3)


FAULTS: list[tuple[Any, str, str]] = [
    (shape("nut", [[1, 1], [9, 9]]), "too_few_points", "polygon has 2 points"),
    (shape("nut", [[1, 1], [9, 9, 3], [2, 2]]), "odd_coordinates", "point is [9, 9, 3], expected [x, y]"),
    (shape("nut", [[1, 1], [90, 1], [9, 9]]), "outside_image", "polygon spans x 1 to 90"),
    (
        shape("nut", [[1, 1], [None, 1], [9, 9]]),
        "malformed",
        "point is [None, 1], expected a list of numbers",
    ),
    (shape("nut", [[1, 1], [1, 1], [1, 1]]), "zero_area", "mask covers 0 pixels"),
    (shape("nut", [[5, 5], [5, 5]], "circle"), "zero_area", "circle has radius 0 px"),
    (shape("nut", [[5, 5]], "rectangle"), "too_few_points", "rectangle has 1 points, expected 2"),
    (shape("nut", [[5, 5]], "point"), "unsupported_shape", "shape is 'point', expected polygon"),
    (shape(" ", SQUARE), "no_class", "label is empty"),
    ({"points": SQUARE}, "malformed", "no field 'label'"),
    (shape("n", [[4, 6], [6, 7]], "mask", mask="?"), "unreadable_mask", "mask is not base64"),
    (shape("n", [[4, 6], [6, 7]], "mask", mask="é"), "unreadable_mask", "mask is not base64"),
    (shape("nut", SQUARE, group_id=[1]), "malformed", "'group_id' is [1], expected a number or none"),
    (shape("n", [[4, 6], [6, 7]], "mask", mask="AAAA"), "unreadable_mask", "mask of 3 bytes is not a PNG"),
    (shape("n", [[4, 6], [7, 7]], "mask", mask=png(PART)), "mask_size", "mask is 3 x 2 px, expected width x"),
    (shape("n", [[38, 6], [40, 7]], "mask", mask=png(PART)), "outside_image", "mask covers columns 38 to 40"),
]


@pytest.mark.parametrize(("bad", "reason", "detail"), FAULTS)
def test_a_bad_shape_is_named(bad: Any, reason: str, detail: str, labelme: Callable[..., Path]) -> None:
    folder = labelme(shape("nut", SQUARE), bad)
    expected = rf"1 problem, .*\n  a\.json, annotation 1: {re.escape(detail)}.* \[{reason}\]\n.*--skip-bad"
    with pytest.raises(DataError, match=expected):
        load_dataset(folder)
    dataset = load_dataset(folder, skip_bad=True)
    assert dataset.dropped == {reason: 1}
    assert [i.area_px for s in dataset for i in s.instances] == [100]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"imagePath": "c.png"}, r"a\.json: no such file: .*c\.png \[missing_image\]"),
        ({"imageHeight": 31}, r"a\.json: image a\.png is 40 x 30 px .* \[image_size\]"),
        ({"shapes": None}, r"a\.json: 'shapes' is None, expected type list \[malformed\]"),
    ],
)
def test_a_bad_file_is_named(changes: Document, message: str, labelme: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match=rf"1 problem, .*\n  {message}"):
        load_dataset(labelme(shape("nut", SQUARE), **changes))


def test_another_json_among_them_is_named(labelme: Callable[..., Path]) -> None:
    folder = labelme(shape("nut", SQUARE))
    (folder / "c.json").write_text("{}")
    with pytest.raises(DataError, match=r"c\.json: not a LabelMe file"):
        load_dataset(folder)
