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
from pycocotools import mask as coco_mask

from maskrt.runtime.contract import Category
from maskrt.runtime.errors import DataError
from maskrt.training.data.formats.via import read_via
from maskrt.training.data.formats.via_shapes import shape_rle
from maskrt.training.data.sample import Dataset

Document = dict[str, Any]
Write = Callable[[Document], Path]


def read(path: Path, skip_bad: bool = False, class_attribute: str | None = None) -> Dataset:
    return read_via(path, None, skip_bad, "object", class_attribute)


def regions_of(document: Document) -> list[Document]:
    return [region for entry in document.values() for region in entry["regions"]]


def as_via_1(document: Document) -> Document:
    for entry in document.values():
        entry["regions"] = {str(number): region for number, region in enumerate(entry["regions"])}
    return document


def as_project(document: Document) -> Document:
    return {"_via_settings": {}, "_via_img_metadata": document, "_via_attributes": {"region": {}}}


@pytest.mark.parametrize("layout", [dict, as_via_1, as_project])
def test_reads_every_layout(
    layout: Callable[[Document], Document], via_document: Document, write_dataset: Write
) -> None:
    dataset = read(write_dataset(layout(via_document)))

    assert dataset.classes == (Category(1, "bolt"), Category(2, "nut"))
    assert [(s.image_id, s.source) for s in dataset] == [(1, "a.png"), (2, "b.png")]
    assert [[i.label for i in s.instances] for s in dataset] == [[1, 0], [1]]
    assert [i.id for s in dataset for i in s.instances] == ["a.png#0", "a.png#1", "b.png#0"]
    expected = np.zeros((2, 30, 40), dtype=bool)
    expected[0, 3:13, 2:12] = expected[1, 10:25, 20:24] = True
    np.testing.assert_array_equal(dataset[0].masks(), expected)
    assert [(i.box, i.area_px) for i in dataset[0].instances] == [
        ((2, 3, 12, 13), 100),
        ((20, 10, 24, 25), 60),
    ]
    assert dataset[0].image().shape == (30, 40, 3)


def test_images_without_regions_are_left_out_and_counted(
    via_document: Document, write_dataset: Write
) -> None:
    via_document["never-opened.png-1"] = {"filename": "never-opened.png", "regions": []}
    dataset = read(write_dataset(via_document))
    assert [s.source for s in dataset] == ["a.png", "b.png"]
    assert dataset.dropped == {"image_without_regions": 1}


class TestClasses:
    def set(self, document: Document, *attributes: Document) -> None:
        for region, values in zip(regions_of(document), attributes, strict=True):
            region["region_attributes"] = values

    def test_no_attribute_is_one_class(self, via_document: Document, write_dataset: Write) -> None:
        self.set(via_document, {}, {}, {})
        dataset = read_via(write_dataset(via_document), None, False, "droplet", None)
        assert dataset.classes == (Category(1, "droplet"),)

    def test_a_checkbox_group_with_one_tick(self, via_document: Document, write_dataset: Write) -> None:
        self.set(via_document, {"k": {"x": True}}, {"k": {"x": False, "y": True}}, {"k": {"x": True}})
        dataset = read(write_dataset(via_document))
        assert [c.name for c in dataset.classes] == ["x", "y"]
        assert [[i.label for i in s.instances] for s in dataset] == [[0, 1], [0]]

    def test_the_attribute_that_all_regions_fill_in(
        self, via_document: Document, write_dataset: Write
    ) -> None:
        self.set(via_document, {"k": "x", "note": "torn"}, {"k": "y", "note": ""}, {"k": "x"})
        assert [c.name for c in read(write_dataset(via_document)).classes] == ["x", "y"]

    def test_a_choice_of_attributes_is_the_users(self, via_document: Document, write_dataset: Write) -> None:
        self.set(via_document, {"k": "x", "m": "1"}, {"k": "y", "m": "1"}, {"k": "x", "m": "2"})
        path = write_dataset(via_document)
        with pytest.raises(DataError, match=r"region attributes k, m could each.*--class-attribute k"):
            read(path)
        assert [c.name for c in read(path, class_attribute="m").classes] == ["1", "2"]

    @pytest.mark.parametrize(
        "value", [{}, {"k": ""}, {"k": {"x": True, "y": True}}, {"k": {"x": False}}, {"k": 3}]
    )
    def test_mixed_is_a_problem(self, value: Document, via_document: Document, write_dataset: Write) -> None:
        self.set(via_document, {"k": "x"}, value, {"k": "x"})
        path = write_dataset(via_document)
        with pytest.raises(DataError, match=r"a\.png, annotation 1: attribute 'k' is .*\[no_class\]"):
            read(path)
        dataset = read(path, skip_bad=True)
        assert dataset.dropped == {"no_class": 1}
        assert [i.id for s in dataset for i in s.instances] == ["a.png#0", "b.png#0"]


POLYGON = {"name": "polygon", "all_points_x": [1, 9, 9], "all_points_y": [1, 1, 9]}
BAD_SHAPES: list[tuple[Any, str, str]] = [
    ({"name": "point", "cx": 3, "cy": 4}, "unsupported_shape", "shape is 'point', expected polygon, "),
    ({**POLYGON, "all_points_x": [1, 9], "all_points_y": [1, 9]}, "too_few_points", "polygon has 2 points"),
    ({**POLYGON, "all_points_x": [1, 9]}, "odd_coordinates", "polygon has 2 x and 3 y coordinates"),
    ({**POLYGON, "all_points_x": [1, math.nan, 9]}, "non_finite", "polygon has nan at position 2"),
    ({**POLYGON, "all_points_x": [1, 50, 9]}, "outside_image", "polygon spans x 1 to 50"),
    ({**POLYGON, "all_points_x": [1, 1, 1]}, "zero_area", "mask covers 0 pixels"),
    ({"name": "polygon", "all_points_x": [1]}, "malformed", "no field 'all_points_y'"),
    ({"name": "rect", "x": 1, "y": 1, "width": 5}, "malformed", "rect x y width height is [1, 1, 5, None]"),
    ({"name": "rect", "x": 38, "y": 1, "width": 5, "height": 5}, "outside_image", "polygon spans x 38 to 43"),
    ({"name": "circle", "cx": 5, "cy": 5, "r": 0}, "zero_area", "radii are 0 and 0 px"),
    ({"name": "circle", "cx": 500, "cy": 5, "r": 10}, "zero_area", "mask covers 0 pixels"),
    ({"name": "circle", "cx": math.inf, "cy": 5, "r": 10}, "non_finite", "circle cx cy r has inf"),
    ({"name": "ellipse", "cx": 5, "cy": 5, "rx": 3, "ry": -2}, "zero_area", "radii are 3 and -2 px"),
    ({}, "malformed", "no field 'name'"),
    (None, "malformed", "'shape_attributes' is None, expected type dict"),
]


@pytest.mark.parametrize(("shape", "reason", "detail"), BAD_SHAPES)
def test_a_bad_region_is_named(
    shape: Any, reason: str, detail: str, via_document: Document, write_dataset: Write
) -> None:
    via_document["a.png1234"]["regions"][1]["shape_attributes"] = shape
    path = write_dataset(via_document)
    expected = (
        rf"{path}: 1 problem, .*\n  a\.png, annotation 1: {re.escape(detail)}.* \[{reason}\]\n.*--skip-bad"
    )
    with pytest.raises(DataError, match=expected):
        read(path)
    dataset = read(path, skip_bad=True)
    assert dataset.dropped == {reason: 1}
    assert [i.id for s in dataset for i in s.instances] == ["a.png#0", "b.png#0"]


def test_a_bad_image_goes_with_its_regions(via_document: Document, write_dataset: Write) -> None:
    path = write_dataset(via_document)
    (path.parent / "a.png").unlink()
    with pytest.raises(DataError, match=r"1 problem, .*\n  a\.png: no such file: .*a\.png \[missing_image\]"):
        read(path)
    dataset = read(path, skip_bad=True)
    assert dataset.dropped == {"missing_image": 1, "on_dropped_image": 2}
    assert [(s.image_id, s.source) for s in dataset] == [(2, "b.png")]


@pytest.mark.parametrize(
    ("entry", "detail"),
    [
        ({"filename": "a.png"}, "no field 'regions'"),
        ({"filename": "a.png", "regions": "none"}, "'regions' is 'none', expected a list or an object"),
        ({"regions": [{}]}, "no field 'filename'"),
        (["a.png"], r"entry is \['a.png'\]"),
    ],
)
def test_a_bad_entry_is_named(entry: Any, detail: str, via_document: Document, write_dataset: Write) -> None:
    via_document["a.png1234"] = entry
    path = write_dataset(via_document)
    with pytest.raises(DataError, match=rf"\n  a\.png1234: {detail}.*\[malformed\]"):
        read(path)
    assert read(path, skip_bad=True).dropped == {"malformed": 1}


def test_no_region_anywhere_is_an_error(via_document: Document, write_dataset: Write) -> None:
    for entry in via_document.values():
        entry["regions"] = []
    with pytest.raises(DataError, match=r"0 usable annotations \(left out: image_without_regions 2\)"):
        read(write_dataset(via_document), skip_bad=True)


def decoded(shape: Document, height: int = 200, width: int = 240) -> np.ndarray:
    return coco_mask.decode(shape_rle(shape, (height, width))).astype(bool)


whole = st.integers(0, 90)
radius = st.floats(4, 60)


@given(x=whole, y=whole, width=st.integers(1, 100), height=st.integers(1, 100))
def test_rectangles_between_pixels_are_exact(x: int, y: int, width: int, height: int) -> None:
    mask = decoded({"name": "rect", "x": x, "y": y, "width": width, "height": height})
    expected = np.zeros_like(mask)
    expected[y : y + height, x : x + width] = True
    np.testing.assert_array_equal(mask, expected)


# No longer than twice their width: one pixel at the tip of a thin ellipse moves its centre.
@given(
    cx=st.floats(70, 150),
    cy=st.floats(70, 120),
    rx=st.floats(8, 30),
    longer=st.floats(0.5, 2),
    theta=st.floats(-4, 4),
)
def test_ellipses_have_their_area_and_centre(
    cx: float, cy: float, rx: float, longer: float, theta: float
) -> None:
    ry = rx * longer
    mask = decoded({"name": "ellipse", "cx": cx, "cy": cy, "rx": rx, "ry": ry, "theta": theta})
    perimeter = 2 * math.pi * math.hypot(rx, ry)
    assert abs(mask.sum() - math.pi * rx * ry) < 0.15 * perimeter
    y, x = np.nonzero(mask)
    assert abs(x.mean() + 0.5 - cx) < 0.3
    assert abs(y.mean() + 0.5 - cy) < 0.3


def test_theta_turns_clockwise_from_the_x_axis() -> None:
    ellipse = {"name": "ellipse", "cx": 100, "cy": 100, "rx": 50, "ry": 10}
    assert decoded(ellipse)[100, 140]
    turned = decoded({**ellipse, "theta": math.pi / 4})
    assert turned[130, 130]  # right and below, y pointing down
    assert not turned[70, 130]
    assert not turned[100, 140]


@given(cx=st.floats(0, 240), cy=st.floats(0, 200), r=radius)
def test_circles_are_cut_at_the_border(cx: float, cy: float, r: float) -> None:
    mask = decoded({"name": "circle", "cx": cx, "cy": cy, "r": r})
    y, x = np.mgrid[:200, :240] + 0.5
    np.testing.assert_array_equal(mask, np.hypot(x - cx, y - cy) <= r)


@pytest.mark.parametrize(("split", "images", "regions"), [("train", 50, 661), ("val", 14, 173)])
def test_reads_real_data_whole_with_tight_boxes(
    split: str, images: int, regions: int, shared_data: Path
) -> None:
    path = shared_data / "droplets" / split / "via_region_data.json"
    dataset = read(path)
    assert (len(dataset), sum(len(s.instances) for s in dataset)) == (images, regions)
    assert dataset.dropped == {}
    assert [s.source for s in dataset] == [e["filename"] for e in json.loads(path.read_text()).values()]
    sample = dataset[0]
    assert sample.image().shape == (sample.height_px, sample.width_px, 3)
    for mask, instance in zip(sample.masks(), sample.instances, strict=True):
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        assert instance.box == (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        assert instance.area_px == mask.sum()
