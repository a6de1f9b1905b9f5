from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import supervision
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from maskrt.runtime.contract import Category
from maskrt.runtime.errors import MaskrtError, MissingDependencyError, OptionError
from maskrt.runtime.inputs.images import read_image
from maskrt.runtime.tasks.instances.drawing.draw import draw
from maskrt.runtime.tasks.instances.instances import MaskCrop
from maskrt.runtime.tasks.instances.result import Result
from maskrt.runtime.tasks.style import Style

CLASSES = (Category(17, "cat"), Category(90, "toothbrush"))
HEIGHT, WIDTH = 30, 40


def ring() -> np.ndarray:
    bits = np.ones((8, 10), bool)
    bits[3:5, 3:7] = False
    return bits


def result(**changes: object) -> Result:
    fields = {
        "height_px": HEIGHT,
        "width_px": WIDTH,
        "boxes": np.array([[5.5, 2.25, 15, 10], [0, 20, 40, 30]], np.float32),
        "scores": np.array([0.75, 0.5], np.float32),
        "labels": np.array([1, 0], np.int32),
        "classes": CLASSES,
        "crops": (MaskCrop(2, 5, ring()), MaskCrop(20, 0, np.ones((10, 40), bool))),
    }
    return Result(**{**fields, **changes})


def nothing() -> Result:
    return result(
        boxes=np.zeros((0, 4), np.float32),
        scores=np.zeros(0, np.float32),
        labels=np.zeros(0, np.int32),
        crops=(),
    )


def full_masks() -> np.ndarray:
    full = np.zeros((2, HEIGHT, WIDTH), bool)
    full[0, 2:10, 5:15] = ring()
    full[1, 20:] = True
    return full


def test_names_follow_labels() -> None:
    assert result().names == ["toothbrush", "cat"]
    assert len(result()) == 2


def test_masks_are_pasted_where_the_crops_lie() -> None:
    masks = result().masks

    assert masks.dtype == bool
    np.testing.assert_array_equal(masks, full_masks())


def test_masks_are_made_anew() -> None:
    one = result()
    one.masks[:] = False

    np.testing.assert_array_equal(one.masks, full_masks())


def test_coco_rows_come_back_through_pycocotools() -> None:
    truth = COCO()
    truth.dataset = {
        "images": [{"id": 139, "height": HEIGHT, "width": WIDTH}],
        "categories": [{"id": c.id, "name": c.name} for c in CLASSES],
        "annotations": [],
    }
    rows = json.loads(json.dumps(result().to_coco(139)))
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        loaded = truth.loadRes(rows)

    annotations = loaded.loadAnns(loaded.getAnnIds())
    assert [(a["image_id"], a["category_id"], a["score"]) for a in annotations] == [
        (139, 90, 0.75),
        (139, 17, 0.5),
    ]
    assert [a["bbox"] for a in annotations] == [[5.5, 2.25, 9.5, 7.75], [0, 20, 40, 10]]
    np.testing.assert_array_equal(
        np.stack([loaded.annToMask(a) for a in annotations]).astype(bool), full_masks()
    )


def test_a_mask_of_nothing_is_written_as_one() -> None:
    crops = (MaskCrop(2, 5, np.zeros((8, 10), bool)), MaskCrop(20, 0, np.zeros((10, 40), bool)))

    rows = result(crops=crops).to_coco("blank")

    assert [int(coco_mask.area(row["segmentation"])) for row in rows] == [0, 0]


def test_no_detections_are_no_rows() -> None:
    assert nothing().to_coco(1) == []
    assert nothing().masks.shape == (0, HEIGHT, WIDTH)
    assert nothing().names == []


def test_supervision_takes_it() -> None:
    detections = supervision.Detections(**result().to_supervision())

    assert len(detections) == 2
    np.testing.assert_array_equal(detections.xyxy, [[5.5, 2.25, 15, 10], [0, 20, 40, 30]])
    np.testing.assert_array_equal(detections.mask, full_masks())
    np.testing.assert_array_equal(detections.confidence, np.array([0.75, 0.5], np.float32))
    assert detections.class_id.tolist() == [1, 0]
    assert detections[detections.confidence > 0.6].data["class_name"].tolist() == ["toothbrush"]


def test_supervision_takes_no_detections() -> None:
    detections = supervision.Detections(**nothing().to_supervision())

    assert len(detections) == 0
    assert len(supervision.Detections.merge([detections, detections])) == 0


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("boxes", np.zeros((3, 4), np.float32), r"boxes \(3, 4\).*2 scores"),
        ("boxes", np.zeros((2, 5), np.float32), r"boxes \(2, 5\).*2 scores"),
        ("labels", np.zeros(1, np.int32), r"labels \(1,\).*2 scores"),
        ("crops", (MaskCrop(0, 0, ring()),), r"1 masks for 2 scores"),
        ("scores", np.zeros(3, np.float32), r"2 masks for 3 scores"),
    ],
)
def test_refuses_lengths_that_do_not_match(field: str, value: object, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        result(**{field: value})


def test_a_number_gives_one_object() -> None:
    one, last = result()[0], result()[-1]

    assert (one.name, one.label, one.score) == ("toothbrush", 1, 0.75)
    np.testing.assert_array_equal(one.box, [5.5, 2.25, 15, 10])
    np.testing.assert_array_equal(one.mask, full_masks()[0])
    assert one.area_px == full_masks()[0].sum()
    assert (last.name, last.area_px) == ("cat", 400)
    assert repr(one) == "<toothbrush 75% at 6, 2, 15, 10 px>"


def test_is_gone_through_object_by_object() -> None:
    assert [(one.name, one.score) for one in result()] == [("toothbrush", 0.75), ("cat", 0.5)]
    assert [one.name for one in nothing()] == []


@pytest.mark.parametrize("number", [2, -3])
def test_names_a_number_that_is_none(number: int) -> None:
    with pytest.raises(IndexError):
        result()[number]


@pytest.mark.parametrize(
    ("key", "names"),
    [
        (slice(1, None), ["cat"]),
        (slice(None, None, -1), ["cat", "toothbrush"]),
        (np.array([False, True]), ["cat"]),
        ([True, False], ["toothbrush"]),
        ([1, 0], ["cat", "toothbrush"]),
        (np.array([-1]), ["cat"]),
        ("toothbrush", ["toothbrush"]),
        (["cat", "toothbrush"], ["toothbrush", "cat"]),
        (("cat",), ["cat"]),
        ([], []),
        (np.zeros(2, bool), []),
    ],
    ids=str,
)
def test_a_part_of_it_is_a_result_too(key: object, names: list[str]) -> None:
    points = np.arange(18, dtype=np.float32).reshape(2, 3, 3)
    whole = result(keypoints=points)

    part = whole[key]

    assert isinstance(part, Result)
    assert part.names == names
    rows = [whole.names.index(name) for name in names]
    for field in ("boxes", "scores", "labels", "keypoints", "masks", "areas_px"):
        np.testing.assert_array_equal(getattr(part, field), getattr(whole, field)[rows], err_msg=field)
    assert [row["category_id"] for row in part.to_coco(1)] == [CLASSES[label].id for label in part.labels]


def test_names_a_class_that_is_none() -> None:
    with pytest.raises(OptionError, match=r"no class is named 'dog'. This model's are: cat, toothbrush"):
        result()["dog"]


def test_a_mask_of_another_length_is_refused() -> None:
    with pytest.raises(IndexError):
        result()[np.array([True, False, True])]


def test_polygons_go_round_the_masks() -> None:
    ring_outlines, rectangle = result().polygons()

    assert len(ring_outlines) == 1, "holes are left out"
    assert sorted(rectangle[0].tolist()) == [[0, 20], [0, 29], [39, 20], [39, 29]]
    painted = cv2.fillPoly(np.zeros((HEIGHT, WIDTH), np.uint8), rectangle, 1)
    np.testing.assert_array_equal(painted.astype(bool), full_masks()[1])
    np.testing.assert_array_equal(result()[1].polygons()[0], rectangle[0])


@pytest.mark.parametrize("ask", [lambda r: r.masks, lambda r: r.areas_px, Result.polygons])
def test_says_that_a_model_without_masks_has_none(ask: Callable[[Result], object]) -> None:
    bare = result(crops=None)

    with pytest.raises(ValueError, match="this result has no masks"):
        ask(bare)
    with pytest.raises(ValueError, match="this result has no masks"):
        _ = bare[0].mask


def test_says_shortly_what_it_holds() -> None:
    assert repr(result()) == f"<1 toothbrush, 1 cat in {WIDTH}x{HEIGHT} px>"
    assert repr(result(labels=np.zeros(2, np.int32))) == f"<2 cat in {WIDTH}x{HEIGHT} px>"
    assert repr(nothing()) == f"<nothing in {WIDTH}x{HEIGHT} px>"


def test_is_saved_as_what_the_name_says(tmp_path: Path) -> None:
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    found = result(image=image)

    for name in ("a.png", "a.json", "a.coco.json"):
        found.save(tmp_path / name)
    found.save(str(tmp_path / "b.coco.json"), image_id=139)

    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), found.plot())
    line = json.loads((tmp_path / "a.json").read_text())
    assert (line["width_px"], [d["name"] for d in line["detections"]]) == (WIDTH, ["toothbrush", "cat"])
    assert json.loads((tmp_path / "a.coco.json").read_text()) == found.to_coco("a")
    assert json.loads((tmp_path / "b.coco.json").read_text()) == found.to_coco(139)


@pytest.mark.parametrize("name", ["a.docx", "a"])
def test_names_a_kind_of_file_that_it_cannot_write(name: str, tmp_path: Path) -> None:
    with pytest.raises(MaskrtError, match=rf"{name}: OpenCV writes no .*Name it .png or .jpg"):
        result(image=np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_style_is_handed_to_the_drawing() -> None:
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    found = result(image=image)

    drawn = found.plot(color_by="instance", labels=False, boxes=True, alpha=0.2)

    np.testing.assert_array_equal(drawn, draw(image, found, Style("instance", False, True, 0.2)))


def test_a_data_frame_has_a_row_a_detection() -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not needed, and not installed here")

    frame = result().to_dataframe()

    assert frame.columns.tolist() == ["name", "label", "score", "x1", "y1", "x2", "y2", "area_px"]
    assert frame.name.tolist() == ["toothbrush", "cat"]
    assert frame.area_px.tolist() == [72, 400]
    assert frame[["x1", "y1", "x2", "y2"]].to_numpy().tolist() == result().boxes.tolist()
    assert isinstance(result(crops=None).to_dataframe(), pandas.DataFrame)


def test_without_pandas_a_data_frame_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)

    with pytest.raises(MissingDependencyError, match=r"needs pandas.*pip install pandas"):
        result().to_dataframe()
