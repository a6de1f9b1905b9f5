"""`maskrt inspect-data`: counts and sizes as they are, each planted fault by name, and a page that shows them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from maskrt.runtime.errors import ImageError
from maskrt.training.data import Dataset, Sample
from maskrt.training.data.survey import octaves, spread
from maskrt.training.inspect_data import main
from maskrt.training.inspection import inspect as inspect_dataset

Document = dict[str, Any]


@pytest.fixture
def inspect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run the command; gives its report, what it said, and the page."""

    def run(*arguments: object) -> tuple[Document, str, str]:
        page = tmp_path / "report.html"
        with pytest.raises(SystemExit) as ended:
            main([*map(str, arguments), "--json", "-o", str(page)])
        assert not ended.value.code
        written = capsys.readouterr()
        return json.loads(written.out), written.err, page.read_text()

    return run


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a COCO file of two images with a square of 10 px each, changed as asked, and its images of noise."""

    def write(name: str, change: Callable[[Document], None] = lambda document: None, seed: int = 0) -> Path:
        squares = [(1, 1, 4, 6), (2, 2, 20, 6)]
        document: Document = {
            "images": [{"id": i, "file_name": f"{i}.png", "width": 40, "height": 30} for i in (1, 2)],
            "categories": [{"id": 3, "name": "nut"}, {"id": 9, "name": "bolt"}],
            "annotations": [
                {
                    "id": image_id,
                    "image_id": image_id,
                    "category_id": category,
                    "segmentation": [[x, y, x + 10, y, x + 10, y + 10, x, y + 10]],
                    "bbox": [x, y, 10, 10],
                    "area": 100,
                    "iscrowd": 0,
                }
                for (image_id, _, x, y), category in zip(squares, (3, 9), strict=True)
            ],
        }
        change(document)
        folder = tmp_path / name
        folder.mkdir()
        for image in document["images"]:
            pixels = np.random.default_rng([seed, image["id"]]).integers(0, 255, (30, 40, 3), np.uint8)
            cv2.imwrite(str(folder / image["file_name"]), pixels)
        (folder / "labels.json").write_text(json.dumps(document))
        return folder

    return write


def test_counts_and_sizes_are_those_of_the_data(
    inspect: Callable[..., Any], write: Callable[..., Path]
) -> None:
    def enlarge(document: Document) -> None:
        more = {"id": 7, "bbox": [0, 0, 40, 30], "area": 1200, "iscrowd": 1}
        more["segmentation"] = [[0, 0, 40, 0, 40, 30, 0, 30]]
        document["annotations"].append({**document["annotations"][0], **more})

    report, said, page = inspect(write("train", enlarge), "--min-instances", "0")
    (data,) = report["data"]
    assert (data["images"], data["instances"]) == (2, 2)
    assert data["classes"] == [
        {"id": 3, "name": "nut", "instances": 1, "images": 1, "crowds": 1},
        {"id": 9, "name": "bolt", "instances": 1, "images": 1, "crowds": 0},
    ]
    assert data["image_sizes"] == [{"width_px": 40, "height_px": 30, "images": 2}]
    assert data["mask_area_px2"]["median"] == 100
    assert data["box_side_px"]["max"] == 10
    assert data["box_side_histogram"] == [{"from_px": 8, "to_px": 16, "count": 2}]
    assert data["by_coco_size"] == {"small": 2, "medium": 0, "large": 0}
    assert report["findings"] == []
    assert "2 images, 2 objects: nut 1, bolt 1" in said
    assert page.count("data:image/jpeg;base64,") == 2


def too_few_points(document: Document) -> None:
    document["annotations"][0]["segmentation"] = [[1, 1, 9, 9]]


def box_elsewhere(document: Document) -> None:
    document["annotations"][0]["bbox"] = [8, 6, 10, 10]


def twice(document: Document) -> None:
    document["annotations"].append({**document["annotations"][0], "id": 5})


def narrow(document: Document) -> None:
    points, box = [[4, 6, 7, 6, 7, 16, 4, 16]], [4, 6, 3, 10]
    document["annotations"][0].update(segmentation=points, bbox=box, area=30)


def no_objects(document: Document) -> None:
    document["annotations"][0]["image_id"] = 2


def unused(document: Document) -> None:
    document["categories"].append({"id": 12, "name": "washer"})


@pytest.mark.parametrize(
    ("fault", "kind", "place"),
    [
        (too_few_points, "malformed", r"1\.png, annotation 1: polygon has 2 points.*\[too_few_points\]"),
        (box_elsewhere, "box_unlike_mask", r"1\.png, annotation 1: box 8 6 18 16, around its mask 4 6 14 16"),
        (twice, "duplicate_object", r"1\.png, annotations 1 and 5: IoU 1\.00"),
        (narrow, "tiny_object", r"1\.png, annotation 1: 3\.0 x 10\.0 px"),
        (no_objects, "image_without_objects", r"1\.png"),
        (unused, "unused_class", "washer"),
    ],
)
def test_a_planted_fault_is_found_and_nothing_else(
    fault: Callable[[Document], None],
    kind: str,
    place: str,
    inspect: Callable[..., Any],
    write: Callable[..., Path],
) -> None:
    report, said, page = inspect(write("train", fault), "--min-instances", "0")
    found = [finding for finding in report["findings"] if finding["kind"] == kind]
    assert len(found) == 1
    assert re.fullmatch(place, found[0]["places"][0])
    assert found[0]["places"][0] in said
    # What is left out leaves an image bare, or its class.
    consequences = {"image_without_objects", "unused_class"} if kind == "malformed" else set()
    assert {finding["kind"] for finding in report["findings"]} == {kind} | consequences
    assert found[0]["words"] in page


def test_classes_of_few_objects_are_named(inspect: Callable[..., Any], write: Callable[..., Path]) -> None:
    report, _, _ = inspect(write("train"), "--min-instances", "2")
    assert [f["places"] for f in report["findings"]] == [["nut: 1, expected 2", "bolt: 1, expected 2"]]


def test_the_same_picture_twice_is_named(inspect: Callable[..., Any], write: Callable[..., Path]) -> None:
    folder = write("train")
    shutil.copy(folder / "1.png", folder / "2.png")
    report, _, _ = inspect(folder, "--min-instances", "0")
    assert [(f["kind"], f["places"]) for f in report["findings"]] == [
        ("duplicate_image", ["2.png, as 1.png"])
    ]


def test_an_image_that_cannot_be_decoded_is_named() -> None:
    def read() -> np.ndarray:
        raise ImageError("x.tif: a variant that cannot be decoded.")

    dataset = Dataset("d", (), [Sample(1, "x.tif", 4, 5, (), read)])
    survey, faults, pictures = inspect_dataset(dataset, [], overlays=1)
    found = faults.findings(survey, training=None, min_instances=0)
    assert [(one.kind, one.places) for one in found] == [
        ("unreadable_image", ("x.tif: a variant that cannot be decoded.",))
    ]
    assert pictures == []


def test_validation_images_that_were_trained_on_are_named_first(
    inspect: Callable[..., Any], write: Callable[..., Path]
) -> None:
    train, val = write("train"), write("val", unused, seed=1)
    arguments = (train, "--val", val, "--min-instances", "0")
    report, _, _ = inspect(*arguments)
    assert [(f["kind"], f["places"]) for f in report["findings"]] == [("foreign_class", ["washer"])]
    shutil.copy(train / "2.png", val / "1.png")  # under another name
    report, said, _ = inspect(*arguments)
    kinds = [(f["data"], f["kind"], f["places"]) for f in report["findings"]]
    assert kinds[0] == ("val/labels.json", "leaked_image", ["1.png, as 2.png"])
    assert "val/labels.json: 1 images are in the training data too" in said


def test_nothing_to_inspect_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path), "-o", str(tmp_path / "report.html")])
    assert ended.value.code == 2
    assert "no annotations that maskrt can read" in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()


def test_quantiles_and_octaves() -> None:
    assert spread([]) is None
    assert spread(list(range(11))) == {"min": 0, "p10": 1, "median": 5, "p90": 9, "max": 10}
    assert octaves([0.5, 1, 3, 4, 7.9]) == [
        {"from_px": 1, "to_px": 2, "count": 2},
        {"from_px": 2, "to_px": 4, "count": 1},
        {"from_px": 4, "to_px": 8, "count": 2},
    ]
    assert octaves([]) == []


def test_label_maps_are_counted_by_pixels_and_values_without_a_class_are_named(
    inspect: Callable[..., Any], tmp_path: Path
) -> None:
    labels = np.zeros((30, 40), np.uint8)
    labels[:15], labels[25:], labels[20:25] = 1, 7, 255
    for name, kind in (("a", "images"), ("a", "labels")):
        (tmp_path / "city" / kind).mkdir(parents=True)
        picture = labels if kind == "labels" else np.zeros((30, 40, 3), np.uint8)
        cv2.imwrite(str(tmp_path / "city" / kind / f"{name}.png"), picture)
    (tmp_path / "city" / "classes.txt").write_text("road\nsky\ncar\n")

    report, said, page = inspect(tmp_path / "city")

    (of_set,) = report["data"]
    assert of_set["pixels"]["labelled_share"] == pytest.approx(20 / 30)
    assert [one["share"] for one in of_set["pixels"]["classes"]] == pytest.approx([0.25, 0.75, 0])
    assert {finding["kind"]: finding["places"] for finding in report["findings"]} == {
        "stray_value": ["7: 200 pixels of 1 images"],
        "unused_class": ["car"],
        "rare_class": ["road: 1, expected 10", "sky: 1, expected 10"],
    }
    assert "66.7% of the pixels labelled: road 25.0%, sky 75.0%, car 0.0%" in " ".join(said.split())
    assert "stray_value" in page
