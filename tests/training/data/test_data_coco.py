from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco_mask

from maskrt.runtime.contract import Category
from maskrt.runtime.errors import DataError
from maskrt.training.data import load_dataset
from maskrt.training.data.formats.coco import read_coco
from maskrt.training.data.masks import stored_rle

Document = dict[str, Any]
Write = Callable[[Document], Path]


def test_reads_every_kind_of_segmentation(coco_document: Document, write_dataset: Write) -> None:
    dataset = read_coco(write_dataset(coco_document), None, skip_bad=False)

    assert dataset.classes == (Category(7, "cat"), Category(90, "dog"))
    assert [(s.image_id, s.source, s.height_px, s.width_px) for s in dataset] == [
        (11, "a.png", 30, 40),
        (5, "b.png", 30, 40),
    ]
    parts, crowd = dataset[0].instances
    assert (parts.id, parts.label, parts.box, parts.area_px) == (100, 1, (2, 2, 24, 20), 90.0)
    assert (crowd.id, crowd.label, crowd.is_crowd, parts.is_crowd) == (101, 0, True, False)
    expected = np.zeros((2, 30, 40), dtype=bool)
    expected[0, 2:7, 2:12] = expected[0, 10:20, 20:24] = True
    expected[1, :10] = True
    np.testing.assert_array_equal(dataset[0].masks(), expected)
    assert dataset[0].image().shape == (30, 40, 3)


@given(seed=st.integers(0, 10_000), density=st.floats(0.01, 0.99), cell=st.integers(1, 9))
def test_both_kinds_of_rle_give_the_mask(seed: int, density: float, cell: int) -> None:
    coarse = np.random.default_rng(seed).random((8, 5)) < density
    coarse[-1, -1] = True  # at least one pixel
    mask = coarse.repeat(cell * 3, axis=0).repeat(cell, axis=1)
    compressed = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    column_major = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(column_major, prepend=False, append=not column_major[-1]))
    runs = np.diff(edges, prepend=0).tolist()
    for counts in (compressed["counts"].decode(), runs):
        rle = stored_rle({"size": list(mask.shape), "counts": counts}, mask.shape)
        np.testing.assert_array_equal(coco_mask.decode(rle), mask)


def test_compressed_rle_is_read_from_a_file(coco_document: Document, write_dataset: Write) -> None:
    crowd = coco_document["annotations"][1]
    plain = read_coco(write_dataset(coco_document), None, skip_bad=False)
    compressed = coco_mask.frPyObjects(crowd["segmentation"], 30, 40)
    crowd["segmentation"] = {"size": [30, 40], "counts": compressed["counts"].decode()}
    packed = read_coco(write_dataset(coco_document), None, skip_bad=False)
    assert packed[0].instances == plain[0].instances


def test_images_without_annotations_stay_as_background(coco_document: Document, write_dataset: Write) -> None:
    del coco_document["annotations"][2]
    dataset = read_coco(write_dataset(coco_document), None, skip_bad=False)
    assert [len(sample.instances) for sample in dataset] == [2, 0]
    assert dataset[1].masks().shape == (0, 30, 40)


def test_missing_area_is_the_masks(coco_document: Document, write_dataset: Write) -> None:
    del coco_document["annotations"][0]["area"]
    dataset = read_coco(write_dataset(coco_document), None, skip_bad=False)
    assert dataset[0].instances[0].area_px == 5 * 10 + 10 * 4


def test_a_pixel_of_rounding_is_cut_off(coco_document: Document, write_dataset: Write) -> None:
    coco_document["annotations"][0]["bbox"] = [-0.5, 1, 41, 29.5]
    dataset = read_coco(write_dataset(coco_document), None, skip_bad=False)
    assert dataset[0].instances[0].box == (0, 1, 40, 30)


# Each row: what breaks annotation 100, the reason's name, what the message must say.
BAD_ANNOTATIONS: list[tuple[Document, str, str]] = [
    ({"segmentation": [[1, 1, 9, 9]]}, "too_few_points", "polygon has 2 points, expected at least 3"),
    ({"segmentation": [[1, 1, 9, 1, 9, 9, 5]]}, "odd_coordinates", "polygon has 7 coordinates"),
    ({"segmentation": [[1, 1, 9, math.nan, 9, 9]]}, "non_finite", "polygon has nan at position 3"),
    ({"segmentation": [[1, 1, 9, 1, math.inf, 9]]}, "non_finite", "polygon has inf at position 4"),
    ({"segmentation": [[1, 1, 9, 1, 1e9, 9]]}, "outside_image", "polygon spans x 1 to 1e+09"),
    ({"segmentation": [[3, 3, 9, 3, 6, 3]]}, "zero_area", "mask covers 0 pixels, expected at least 1"),
    ({"segmentation": []}, "malformed", "segmentation is [], expected polygons or RLE"),
    ({"segmentation": [1, 1, 9, 1, 9, 9]}, "malformed", "polygon is 1, expected a list of numbers"),
    ({"segmentation": [["1", "1", "9", "1", "9", "9"]]}, "malformed", "expected a list of numbers"),
    ({"segmentation": {"size": [40, 30], "counts": [1200]}}, "rle_size", "RLE size is [40, 30], expected"),
    ({"segmentation": {"size": [30, 40], "counts": [10, 5]}}, "bad_rle", "RLE covers 15 pixels, expected"),
    ({"segmentation": {"size": [30, 40], "counts": [-5, 1205]}}, "bad_rle", "expected run lengths"),
    ({"segmentation": {"size": [30, 40], "counts": ""}}, "bad_rle", "RLE covers 0 pixels"),
    ({"segmentation": {"size": [30, 40], "counts": "é"}}, "bad_rle", "RLE counts contain 'é'"),
    ({"segmentation": {"size": [30, 40], "counts": "0PQ"}}, "bad_rle", "end inside a number"),
    ({"segmentation": {"size": [30, 40], "counts": [1200]}}, "zero_area", "mask covers 0 pixels"),
    (
        {"bbox": [2, 2, 40, 5]},
        "outside_image",
        "bbox spans x 2 to 42 and y 2 to 7, expected inside x 0 to 40",
    ),
    (
        {"bbox": [2, -1.5, 5, 5]},
        "outside_image",
        "and y -1.5 to 3.5, expected inside x 0 to 40 and y 0 to 30",
    ),
    ({"bbox": [2, 2, 0, 5]}, "zero_area", "bbox is 0 x 5 px"),
    ({"bbox": [2, 2, 5]}, "malformed", "bbox has 3 numbers, expected 4"),
    ({"bbox": [2, 2, math.inf, 5]}, "non_finite", "bbox has inf"),
    ({"bbox": None}, "malformed", "bbox is None, expected a list of numbers"),
    ({"area": "big"}, "malformed", "area is ['big'], expected a list of numbers"),
    ({"category_id": 8}, "unknown_category", "category_id 8 is not among the file's categories"),
    ({"category_id": "dog"}, "malformed", "'category_id' is 'dog', expected type int"),
    ({"image_id": 77}, "unknown_image", "image_id 77 is not among the file's images"),
    ({"image_id": [11]}, "malformed", "'image_id' is [11], expected type int"),
]


@pytest.mark.parametrize(("fault", "reason", "detail"), BAD_ANNOTATIONS)
def test_a_bad_annotation_is_named(
    fault: Document, reason: str, detail: str, coco_document: Document, write_dataset: Write
) -> None:
    coco_document["annotations"][0].update(fault)
    path = write_dataset(coco_document)

    with pytest.raises(DataError) as caught:
        read_coco(path, None, skip_bad=False)
    file = "data.json" if "image_id" in fault else "a.png"
    assert re.search(rf"  {file}, annotation 100: .*{re.escape(detail)}.* \[{reason}\]", str(caught.value))
    assert str(caught.value).startswith(f"{path}: 1 problem, expected none.")
    assert "--skip-bad drops them and counts them" in str(caught.value)

    dataset = read_coco(path, None, skip_bad=True)
    assert dataset.dropped == {reason: 1}
    assert [i.id for sample in dataset for i in sample.instances] == [101, 102]
    assert len(dataset) == 2


def test_an_annotation_without_id_or_that_is_no_object_is_named(
    coco_document: Document, write_dataset: Write
) -> None:
    del coco_document["annotations"][0]["id"]
    coco_document["annotations"].append("nonsense")
    path = write_dataset(coco_document)
    with pytest.raises(DataError, match=r"a\.png: no field 'id'.*\n.*data\.json: entry is 'nonsense'"):
        read_coco(path, None, skip_bad=False)
    assert read_coco(path, None, skip_bad=True).dropped == {"malformed": 2}


def test_the_second_of_two_annotations_with_one_id_is_bad(
    coco_document: Document, write_dataset: Write
) -> None:
    coco_document["annotations"][2]["id"] = 100
    path = write_dataset(coco_document)
    with pytest.raises(DataError, match=r"b\.png, annotation 100: id 100 was used before.*\[duplicate_id\]"):
        read_coco(path, None, skip_bad=False)
    dataset = read_coco(path, None, skip_bad=True)
    assert dataset.dropped == {"duplicate_id": 1}
    assert [len(sample.instances) for sample in dataset] == [2, 0]


def break_missing(folder: Path, document: Document) -> None:
    (folder / "a.png").unlink()


def break_unreadable(folder: Path, document: Document) -> None:
    (folder / "a.png").write_bytes(b"not an image")


def break_header(folder: Path, document: Document) -> None:
    (folder / "a.png").write_bytes((folder / "a.png").read_bytes()[:20])


def break_size(folder: Path, document: Document) -> None:
    document["images"][0].update(width=30, height=40)


def break_fields(folder: Path, document: Document) -> None:
    del document["images"][0]["height"]


@pytest.mark.parametrize(
    ("fault", "reason", "detail"),
    [
        (break_missing, "missing_image", "no such file: .*a.png"),
        (break_unreadable, "unreadable_image", ".*a.png is not a readable image"),
        (break_header, "unreadable_image", ".*a.png is not a readable image"),
        (break_size, "image_size", r"image is 40 x 30 px .*, expected width x height 30 x 40"),
        (break_fields, "malformed", "no field 'height'"),
    ],
)
def test_a_bad_image_goes_with_its_annotations(
    fault: Callable[[Path, Document], None],
    reason: str,
    detail: str,
    coco_document: Document,
    write_dataset: Write,
) -> None:
    path = write_dataset(coco_document)
    fault(path.parent, coco_document)
    path.write_text(json.dumps(coco_document))

    with pytest.raises(DataError, match=rf"(?s)1 problem, .*\n  a\.png: {detail}.*\[{reason}\]"):
        read_coco(path, None, skip_bad=False)

    dataset = read_coco(path, None, skip_bad=True)
    assert dataset.dropped == {reason: 1, "on_dropped_image": 2}
    assert [s.source for s in dataset] == ["b.png"]


def test_an_image_id_used_twice_keeps_the_first_image(coco_document: Document, write_dataset: Write) -> None:
    coco_document["images"][1]["id"] = 11
    del coco_document["annotations"][2]
    path = write_dataset(coco_document)
    with pytest.raises(DataError, match=r"b\.png: id 11 was used before.*\[duplicate_id\]"):
        read_coco(path, None, skip_bad=False)
    dataset = read_coco(path, None, skip_bad=True)
    assert [s.source for s in dataset] == ["a.png"]
    assert dataset.dropped == {"duplicate_id": 1}


def test_exif_orientation_counts_in_the_size(coco_document: Document, write_dataset: Write) -> None:
    coco_document["images"][0]["file_name"] = "turned.jpg"
    path = write_dataset(coco_document)
    exif = Image.Exif()
    exif[0x0112] = 6  # stored 30 wide and 40 high, shown 40 wide and 30 high
    Image.new("RGB", (30, 40)).save(path.parent / "turned.jpg", exif=exif)
    sample = read_coco(path, None, skip_bad=False)[0]
    assert (sample.height_px, sample.width_px) == (30, 40)
    assert sample.image().shape == (30, 40, 3)


def test_problems_past_the_twentieth_are_counted_by_reason(
    coco_document: Document, write_dataset: Write
) -> None:
    template = coco_document["annotations"][0]
    coco_document["annotations"] += [{**template, "id": 1000 + i, "category_id": 8} for i in range(22)]
    coco_document["annotations"].append({**template, "id": 2000, "bbox": [0, 0, 0, 0]})
    path = write_dataset(coco_document)
    with pytest.raises(DataError) as caught:
        read_coco(path, None, skip_bad=False)
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("data.json: 23 problems, expected none.")
    assert [line.split(":")[0] for line in lines[1:21]] == [
        f"  a.png, annotation {1000 + i}" for i in range(20)
    ]
    assert lines[21] == "  and 3 more: unknown_category 2, zero_area 1"
    assert read_coco(path, None, skip_bad=True).dropped == {"unknown_category": 22, "zero_area": 1}


@pytest.mark.parametrize("skip_bad", [False, True])
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"images": []}, "lists 0 images, expected at least one"),
        ({"annotations": []}, "2 usable images with 0 usable annotations, expected at least one"),
        ({"categories": []}, "category ids are [], expected at least one"),
        ({"categories": [{"id": 7, "name": "a"}] * 2}, "category ids are [7, 7], expected at least one, all"),
        ({"categories": [{"id": 7}]}, "in 'categories': no field 'name'"),
        ({"annotations": {}}, "'annotations' is {}, expected a list"),
    ],
)
def test_what_no_dropping_can_mend_is_an_error_at_once(
    fault: Document, message: str, skip_bad: bool, coco_document: Document, write_dataset: Write
) -> None:
    path = write_dataset({**coco_document, **fault})
    with pytest.raises(DataError, match=re.escape(f"{path}: {message}")):
        read_coco(path, None, skip_bad)


def test_nothing_left_after_dropping_is_an_error(coco_document: Document, write_dataset: Write) -> None:
    for annotation in coco_document["annotations"]:
        annotation["category_id"] = 8
    with pytest.raises(DataError, match=r"0 usable annotations \(left out: unknown_category 3"):
        read_coco(write_dataset(coco_document), None, skip_bad=True)


@pytest.mark.parametrize(
    ("annotation_file", "images"),
    [
        ("instances_val.json", "."),
        ("annotations/instances_val.json", "val"),
        ("labels.json", "images"),
        ("annotations/labels.json", "images"),
    ],
)
def test_images_are_found_in_the_usual_places(
    annotation_file: str, images: str, coco_document: Document, write_dataset: Write, tmp_path: Path
) -> None:
    written = write_dataset(coco_document)
    target, folder = tmp_path / annotation_file, tmp_path / images
    for made in (target.parent, folder):
        made.mkdir(exist_ok=True)
    written.rename(target)
    for name in ("a.png", "b.png"):
        (tmp_path / name).rename(folder / name)
    assert load_dataset(target)[1].image().shape == (30, 40, 3)


def test_the_error_says_where_images_were_looked_for(
    coco_document: Document, write_dataset: Write, tmp_path: Path
) -> None:
    path = write_dataset(coco_document).rename(tmp_path / "instances_val.json")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / name).rename(elsewhere / name)
    with pytest.raises(DataError) as caught:
        read_coco(path, None, skip_bad=True)
    for place in (tmp_path, tmp_path.parent / "val", tmp_path / "images"):
        assert f"\n  {place}\n" in str(caught.value)
    assert "--images" in str(caught.value)
    assert len(read_coco(path, elsewhere, skip_bad=False)) == 2
    with pytest.raises(DataError, match=r"nowhere: no such folder"):
        read_coco(path, tmp_path / "nowhere", skip_bad=False)


@pytest.mark.parametrize(
    ("split", "images", "annotations", "crowds"), [("train", 80, 739, 8), ("val", 79, 624, 5)]
)
def test_reads_real_data_whole(
    split: str, images: int, annotations: int, crowds: int, shared_data: Path
) -> None:
    path = shared_data / "coco-mini" / "annotations" / f"instances_{split}2017.json"
    dataset = read_coco(path, None, skip_bad=False)
    instances = [instance for sample in dataset for instance in sample.instances]
    assert (len(dataset), len(instances), sum(i.is_crowd for i in instances)) == (images, annotations, crowds)
    assert dataset.dropped == {}
    # COCO's ids are not consecutive: 80 classes with ids to 90, and each annotation keeps its own.
    assert len(dataset.classes) == 80
    assert dataset.classes[-1] == Category(90, "toothbrush")
    stated = {a["id"]: a["category_id"] for a in json.loads(path.read_text())["annotations"]}
    assert {i.id: dataset.classes[i.label].id for i in instances} == stated
