"""YOLO's segmentation data sets: polygons as fractions, splits, and each fault by its name."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from maskrt.runtime.contract import Category
from maskrt.runtime.errors import DataError
from maskrt.training.data import load_dataset

SQUARE = "1 0.05 0.1 0.3 0.1 0.3 0.5 0.05 0.5"  # x 2 to 12, y 3 to 15 in 40 x 30 px
YAML = "path: .\ntrain: images/train\nval: images/val\nnames:\n  0: nut\n  1: bolt\n"


@pytest.fixture
def yolo(tmp_path: Path, write_image: Callable[..., None]) -> Callable[..., Path]:
    """Write a data set with a.png of the lines given and b.png without labels; c.png is in val."""

    def write(*lines: str, yaml: str = YAML) -> Path:
        for split, name in (("train", "a"), ("train", "b"), ("val", "c")):
            write_image(tmp_path / "images" / split / f"{name}.png")
            (tmp_path / "labels" / split).mkdir(parents=True, exist_ok=True)
        (tmp_path / "labels" / "train" / "a.txt").write_text("\n".join(lines))
        (tmp_path / "labels" / "val" / "c.txt").write_text(SQUARE.replace("1 ", "0 ", 1))
        (tmp_path / "data.yaml").write_text(yaml)
        return tmp_path

    return write


def test_reads_the_training_split_and_classes_by_number(yolo: Callable[..., Path]) -> None:
    folder = yolo(SQUARE, "", SQUARE)
    for spec in (folder, folder / "data.yaml", f"{folder}:train"):
        dataset = load_dataset(spec)
        assert dataset.classes == (Category(0, "nut"), Category(1, "bolt"))
        assert [(s.source, len(s.instances)) for s in dataset] == [("a.png", 2), ("b.png", 0)]
    expected = np.zeros((30, 40), bool)
    expected[3:15, 2:12] = True
    np.testing.assert_array_equal(dataset[0].masks()[0], expected)
    assert [i.label for i in dataset[0].instances] == [1, 1]


def test_another_split_is_named_after_a_colon(yolo: Callable[..., Path]) -> None:
    folder = yolo(SQUARE)
    dataset = load_dataset(f"{folder / 'data.yaml'}:val")
    assert [(s.source, [i.label for i in s.instances]) for s in dataset] == [("c.png", [0])]
    with pytest.raises(DataError, match=r"no split 'test', expected one of \['train', 'val'\]"):
        load_dataset(f"{folder}:test")


def test_names_may_be_a_list_and_images_a_list_in_a_file(yolo: Callable[..., Path]) -> None:
    folder = yolo(SQUARE, yaml="train: train.txt\nnames: [nut, bolt]\n")
    (folder / "train.txt").write_text("./images/train/a.png\nimages/val/c.png\n")
    dataset = load_dataset(folder)
    assert [(s.source, len(s.instances)) for s in dataset] == [("a.png", 1), ("c.png", 1)]


def test_roboflow_s_paths_are_found(yolo: Callable[..., Path]) -> None:
    folder = yolo(SQUARE, yaml=YAML.replace("images/train", "../images/train"))
    assert len(load_dataset(folder)) == 2


@pytest.mark.parametrize(
    ("line", "reason", "detail"),
    [
        ("0 0.5 0.5 0.2 0.2", "unsupported_shape", "line is a box"),
        ("0 0.1 0.1 0.2 0.2 0.3", "odd_coordinates", "polygon has 5 coordinates"),
        ("0 0.1 0.1", "too_few_points", "polygon has 1 points"),
        ("0", "too_few_points", "polygon has 0 points"),
        ("7 0.1 0.1 0.2 0.1 0.2 0.2", "unknown_category", "class is 7, expected one of [0, 1]"),
        ("0.5 0.1 0.1 0.2 0.1 0.2 0.2", "unknown_category", "class is 0.5"),
        ("nut 0.1 0.1 0.2 0.1 0.2 0.2", "malformed", "line is 'nut 0.1"),
        ("0 2 3 12 3 12 15", "outside_image", "polygon's numbers reach from 2 to 15, expected fractions"),
        ("0 nan 0.1 0.2 0.1 0.2 0.2", "non_finite", "polygon has nan at position 0"),
        ("0 0.1 0.1 0.1 0.1 0.1 0.1", "zero_area", "mask covers 0 pixels"),
    ],
)
def test_a_bad_line_is_named(line: str, reason: str, detail: str, yolo: Callable[..., Path]) -> None:
    folder = yolo(SQUARE, line)
    expected = rf"1 problem, .*\n  a\.txt, annotation 2: {re.escape(detail)}.* \[{reason}\]\n"
    with pytest.raises(DataError, match=expected):
        load_dataset(folder)
    dataset = load_dataset(folder, skip_bad=True)
    assert (dataset.dropped, len(dataset[0].instances)) == ({reason: 1}, 1)


def test_a_label_file_without_its_image_is_named(yolo: Callable[..., Path]) -> None:
    folder = yolo(SQUARE)
    (folder / "labels/train/lost.txt").write_text(SQUARE)
    with pytest.raises(DataError, match=r"\n  lost\.txt: .*has no image in .*\[missing_image\]"):
        load_dataset(folder)


def test_a_listed_image_that_is_not_there_is_named(yolo: Callable[..., Path]) -> None:
    folder = yolo(SQUARE, yaml="train: train.txt\nnames: [nut, bolt]\n")
    (folder / "train.txt").write_text("images/train/a.png\nimages/train/z.png\n")
    with pytest.raises(DataError, match=r"\n  z\.png: no such file: .*\[missing_image\]"):
        load_dataset(folder)


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("train: images\nnames: {a: nut}\n", "'names' is {'a': 'nut'}, expected different names"),
        ("train: images\nnames: [nut, nut]\n", "'names' is ['nut', 'nut'], expected different names"),
        ("train: nowhere\nnames: [nut]\n", "nowhere: no such folder or list of images"),
        ("train: [", "not YAML that can be read"),
        ("train: images\n", "not a YOLO data set"),
    ],
)
def test_a_bad_description_is_named(yaml: str, message: str, yolo: Callable[..., Path]) -> None:
    folder = yolo(SQUARE, yaml=yaml)
    with pytest.raises(DataError, match=re.escape(message)):
        load_dataset(folder / "data.yaml")


def test_a_split_of_another_format_is_refused(coco_document: dict, write_dataset: Callable) -> None:
    path = write_dataset(coco_document)
    with pytest.raises(DataError, match="':val' names a split of a YOLO data set"):
        load_dataset(f"{path}:val")
