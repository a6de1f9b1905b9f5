from __future__ import annotations

import contextlib
import copy
import io
import sys
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from maskrt.runtime.errors import MissingDependencyError
from maskrt.runtime.packages import install
from maskrt.runtime.tasks.instances.measure.coco import STATISTICS, coco_metrics

HEIGHT, WIDTH = 240, 320
Rows = list[dict[str, Any]]


def segmentation(box: tuple[int, int, int, int]) -> dict[str, Any]:
    x, y, w, h = box
    full = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
    full[y : y + h, x : x + w] = 1
    rle = coco_mask.encode(full)
    return {"size": [HEIGHT, WIDTH], "counts": rle["counts"].decode("ascii")}


@pytest.fixture
def truth() -> dict[str, Any]:
    """Two images, two classes; a small, a medium and a large object each."""
    boxes = [(5, 5, 20, 20), (60, 20, 60, 60), (140, 60, 150, 150)]
    return {
        "images": [{"id": i, "height": HEIGHT, "width": WIDTH} for i in (139, 7)],
        "categories": [{"id": 17, "name": "cat"}, {"id": 90, "name": "toothbrush"}],
        "annotations": [
            {
                "id": 1 + k,
                "image_id": (139, 7)[k // 3],
                "category_id": (17, 90)[k % 2],
                "bbox": list(boxes[k % 3]),
                "area": float(np.prod(boxes[k % 3][2:])),
                "iscrowd": 0,
                "segmentation": segmentation(boxes[k % 3]),
            }
            for k in range(6)
        ],
    }


def perfect(truth: dict[str, Any]) -> Rows:
    return [
        {
            **{k: a[k] for k in ("image_id", "category_id", "bbox", "segmentation")},
            "score": 0.9 - a["id"] / 100,
        }
        for a in truth["annotations"]
    ]


def imperfect(truth: dict[str, Any]) -> Rows:
    """Boxes shifted by a few pixels, a class mistaken, one missing, one false alarm."""
    rows = perfect(truth)[:-1]
    for shift, row in enumerate(rows):
        x, y, w, h = row["bbox"]
        row["bbox"] = [x + 2 * shift, y, w, h]
        row["segmentation"] = segmentation((x + shift, y + shift, w, h))
    rows[2]["category_id"] = 90
    false_alarm = {"bbox": [200, 5, 40, 40], "segmentation": segmentation((200, 5, 40, 40))}
    return [*rows, {**rows[0], **false_alarm, "score": 0.95}]


def test_perfect_predictions_are_worth_one(truth: dict[str, Any]) -> None:
    metrics = coco_metrics(truth, perfect(truth))

    assert metrics == {f"{kind}_{s}": pytest.approx(1) for kind in ("box", "mask") for s in STATISTICS}


def test_no_predictions_are_worth_nothing(truth: dict[str, Any]) -> None:
    metrics = coco_metrics(truth, [])

    assert metrics == {f"{kind}_{s}": 0 for kind in ("box", "mask") for s in STATISTICS}


def test_agrees_with_pycocotools_by_hand(truth: dict[str, Any]) -> None:
    metrics = coco_metrics(copy.deepcopy(truth), imperfect(truth))

    with contextlib.redirect_stdout(io.StringIO()):
        reference = COCO()
        reference.dataset = copy.deepcopy(truth)
        reference.createIndex()
        for kind, iou_type in (("box", "bbox"), ("mask", "segm")):
            evaluation = COCOeval(reference, reference.loadRes(imperfect(truth)), iou_type)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
            ours = [
                metrics[f"{kind}_{s}"] for s in ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
            ]
            assert ours == list(evaluation.stats[:6])
    assert 0.1 < metrics["mask_ap"] < metrics["mask_ap50"] < 1
    assert metrics["mask_ap75"] != metrics["mask_ap50"]
    assert metrics["box_ap"] != metrics["mask_ap"]


def test_masks_and_boxes_are_judged_apart(truth: dict[str, Any]) -> None:
    rows = perfect(truth)
    for row in rows:
        row["segmentation"] = segmentation((0, 0, 2, 2))

    metrics = coco_metrics(truth, rows)

    assert (metrics["box_ap"], metrics["mask_ap"]) == (pytest.approx(1), 0)


@pytest.mark.parametrize("predicted", [True, False], ids=["some predictions", "none"])
def test_a_size_that_the_data_has_not_is_minus_one(truth: dict[str, Any], predicted: bool) -> None:
    truth["annotations"] = [a for a in truth["annotations"] if a["area"] < 32**2]  # COCO's "small"

    metrics = coco_metrics(truth, perfect(truth) if predicted else [])

    assert metrics["mask_ap_small"] == (pytest.approx(1) if predicted else 0)
    assert metrics["mask_ap_medium"] == metrics["mask_ap_large"] == -1


def test_says_nothing_on_the_terminal(truth: dict[str, Any], capfd: pytest.CaptureFixture[str]) -> None:
    coco_metrics(truth, perfect(truth))

    assert capfd.readouterr() == ("", "")


def test_leaves_its_arguments_as_they_were(truth: dict[str, Any]) -> None:
    before, rows = copy.deepcopy(truth), perfect(truth)

    coco_metrics(truth, rows)

    assert rows == perfect(before)


def test_names_the_package_it_needs(truth: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)

    with pytest.raises(MissingDependencyError) as caught:
        coco_metrics(truth, [])

    assert str(caught.value) == f"COCO metrics need pycocotools. Install it: {install('cpu')}"
