"""Data sets in five forms, each with fields that are missing, twice, cyclic, of another kind or too large."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.hostile.case import EITHER, Case, Make, both, cases, wrote
from benchmarks.hostile.shared import COCO

USERS = (
    "inspect-data bad.json -o r.html",
    "train --data bad.json -o run --epochs 1",
    "evaluate tiny.onnx --data bad.json",
    "calibrate real.onnx --data bad.json -o q.onnx",
)


def coco(value: Any, *keys: str | int) -> Make:
    """The shared annotations with a value in place of that at `keys`."""
    content: Any = copy.deepcopy(COCO)
    at = content
    for key in keys[:-1]:
        at = at[key]
    at[keys[-1]] = value
    return wrote("bad.json", content)


A, IMAGE, CATEGORY = ("annotations", 0), ("images", 0), ("categories", 0)
NAN = float("nan")
FIELDS: list[tuple[Any, ...]] = [
    ([[1, 1, 9, 9]], *A, "segmentation"), ([[NAN] * 6], *A, "segmentation"), ([[1, 2, 3, 4, 5]], *A, "segmentation"),
    ([[1e300, 0, 9, 0, 9, 9]], *A, "segmentation"), ([["a"] * 6], *A, "segmentation"), (3, *A, "segmentation"),
    ({"size": [64, 96], "counts": [5]}, *A, "segmentation"), ({"size": [10**6] * 2, "counts": [10**12]}, *A, "segmentation"),
    ({"size": [64, 96], "counts": [-5, 6149]}, *A, "segmentation"), ({"size": [64, 96], "counts": "é"}, *A, "segmentation"),
    ({"size": "ab", "counts": "a"}, *A, "segmentation"), ({"counts": []}, *A, "segmentation"),
    ({"size": [32, 32], "counts": [1024]}, *A, "segmentation"),
    ([1, 2, 3], *A, "bbox"), ([1, 1, -5, 5], *A, "bbox"), ([NAN] * 4, *A, "bbox"), ("box", *A, "bbox"),
    (99, *A, "category_id"), ([1], *A, "category_id"), (99, *A, "image_id"), ({}, *A, "image_id"), (None, *A, "image_id"),
    (-1, *IMAGE, "width"), ("wide", *IMAGE, "width"), (10**9, *IMAGE, "width"), (0, *IMAGE, "height"),
    ("none.png", *IMAGE, "file_name"), ("", *IMAGE, "file_name"), (3, *IMAGE, "file_name"), ("a\0.png", *IMAGE, "file_name"),
    (None, *IMAGE, "file_name"), ("../../../etc/hostname", *IMAGE, "file_name"), ("ann.json", *IMAGE, "file_name"),
    ([COCO["images"][0]] * 2, "images"), ([COCO["categories"][0]] * 2, "categories"), ([COCO["annotations"][0]] * 2, "annotations"),
    ({}, "images"), (None, "annotations"), ("abc", "categories"), ([None], "annotations"), ([3], "images"),
    ([], "categories"), ([], "images"), (None, *CATEGORY, "id"), ([1], *CATEGORY, "id"), (3, *CATEGORY, "name"),
    (NAN, *A, "id"),
]  # fmt: skip
SOFT = {
    "bbox",
    "annotations",
    "width",
    "height",
    "id",
}  # AP needs some of these alone, and boxes follow from masks
FAULTY = [
    Case("data", f"{keys} = {str(value)[:40]}: {line.split()[0]}", tuple(line.split()), coco(value, *keys),
         EITHER if line.startswith(("inspect", "calibrate")) or keys[-1] in SOFT else "refused")
    for value, *keys in FIELDS
    for line in USERS[:3]
]  # fmt: skip
TEXTS = [
    Case("data", f"{content[:20]!r}: {line.split()[0]}", tuple(line.split()), wrote("bad.json", content))
    for content in (
        "",
        "null",
        "[]",
        "3",
        "{}",
        "{",
        "[" * 100_000,
        b"\xff\xfe{\x00}\x00",
        b"\x00" * 50,
        "NaN",
        '"x"',
    )
    for line in USERS
]


def mask_files(pixels: Callable[[], Any], name: str = "photo.png") -> Make:
    """A folder of images with a mask file each."""

    def make(folder: Path) -> None:
        for part in ("images", "masks"):
            (folder / "set" / part).mkdir(parents=True)
        (folder / "set/images/photo.png").write_bytes((folder / "photo.png").read_bytes())
        cv2.imwrite(str(folder / "set/masks" / name), pixels())

    return make


def yolo(label: str, names: str = "names: [thing]\n", head: str = "train: images\nval: images\n") -> Make:
    def make(folder: Path) -> None:
        for part in ("images", "labels"):
            (folder / "y" / part).mkdir(parents=True)
        (folder / "y/images/photo.png").write_bytes((folder / "photo.png").read_bytes())
        (folder / "y/labels/photo.txt").write_text(label)
        (folder / "y/data.yaml").write_text(f"path: .\n{head}{names}")

    return make


def labelme(shapes: Any, **fields: Any) -> Make:
    content = {"version": "5", "flags": {}, "shapes": shapes, "imagePath": "photo.png", "imageData": None}
    content |= {"imageHeight": 64, "imageWidth": 96, **fields}

    def make(folder: Path) -> None:
        (folder / "l").mkdir()
        (folder / "l/photo.png").write_bytes((folder / "photo.png").read_bytes())
        wrote("l/photo.json", content)(folder)

    return make


def shape(points: Any, **fields: Any) -> list[Any]:
    return [{"label": "a", "points": points, "shape_type": "polygon", "group_id": None, **fields}]


def via(attributes: Any, **fields: Any) -> Make:
    region = {"shape_attributes": attributes, "region_attributes": {"name": "a"}}
    return wrote(
        "bad.json", {"photo.png1": {"filename": "photo.png", "size": 1, "regions": [region], **fields}}
    )


POINTS = [[1, 1], [30, 1], [30, 30]]
CASES = FAULTY + TEXTS + cases(
    "data",
    [
        *[(f"{verb} {part}", make) for verb in ("train -o run --epochs 1 --data", "evaluate tiny.onnx --data")
          for part, make in (
            *[("y/data.yaml", yolo(label)) for label in ("0 0.1 0.1", "0 nan 0.1 0.5 0.1 0.5 0.5", "x 1 2 3 4 5 6",
                "7 0.1 0.1 0.5 0.1 0.5 0.5", "-1 0.1 0.1 0.5 0.1 0.5 0.5", "0 9 9 99 9 99 99", "0.5 0.1 0.1 0.5 0.1 0.5 0.5")],
            *[("y/data.yaml", yolo("", names)) for names in ("", "names: 3\n", "names: [[a]]\n", "names: [a, a]\n",
                "names: {x: a}\n", "names: *a\n", "a: &a [*a]\nnames: *a\n", "names: !!python/object/apply:os.getcwd []\n")],
            ("y/data.yaml", yolo("", head="train: ../../nowhere\n")), ("y/data.yaml", yolo("", head="train: 3\n")),
            *[("l", labelme(shapes)) for shapes in (None, "abc", [3], [{}], shape([[1, 1], [2, 2]]), shape([[NAN, 1]] * 3),
                shape("abc"), shape(POINTS, label=None), shape(POINTS, shape_type="spiral"), shape([[1]] * 3))],
            ("l", labelme([], imagePath="no.png")), ("l", labelme([], imagePath=3)),
            *[("bad.json", via(attributes)) for attributes in ({}, None, "x", {"name": "polygon"},
                {"name": "polygon", "all_points_x": [1, 2], "all_points_y": [1]},
                {"name": "polygon", "all_points_x": "abc", "all_points_y": "abc"},
                {"name": "circle", "cx": 3, "cy": NAN, "r": -1}, {"name": "ellipse", "cx": 3, "cy": 3, "rx": "a", "ry": 1},
                {"name": "cloud"})],
            ("bad.json", via({"name": "point", "cx": 1, "cy": 1}, filename=None)),
            ("bad.json", via({"name": "point", "cx": 1, "cy": 1}, filename="no.png")),
            ("set", mask_files(lambda: np.zeros((10, 10), np.uint8))),
            ("set", mask_files(lambda: np.zeros((64, 96), np.uint8), "other.png")),
          )],
        ("inspect-data set -o r.html", mask_files(lambda: np.arange(64 * 96, dtype=np.uint16).reshape(64, 96)), EITHER),
        ("inspect-data bad.json -o r.html", both(wrote("b.json", ""), lambda f: wrote("bad.json", b"\xef\xbb\xbf" + (f / "ann.json").read_bytes())(f)), EITHER),
        ("inspect-data ann.json -o ann.json", None), ("inspect-data ann.json --val nothing", None),
        ("inspect-data photo.png", None), ("inspect-data tiny.onnx", None), ("inspect-data best.pt", None),
    ],
)  # fmt: skip
