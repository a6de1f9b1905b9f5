from __future__ import annotations

import contextlib
import io
import json

import numpy as np
import pytest
import supervision
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from runtime.contract import Category
from runtime.instances import MaskCrop
from runtime.results import Result

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
