"""What `maskrt evaluate` says beyond one figure: of each class, at each recall, and what is taken for what."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskrt.runtime import evaluate
from maskrt.runtime.contract import Category
from maskrt.runtime.files.atomic import write_png
from maskrt.runtime.tasks.instances.measure import page as evaluation_page
from maskrt.runtime.tasks.instances.measure.class_metrics import class_metrics, curves, mean_curve
from maskrt.runtime.tasks.instances.measure.coco import coco_evaluations, statistics
from maskrt.runtime.tasks.instances.measure.confusion import confusion

CAT, DOG, NONE = Category(17, "cat"), Category(90, "dog $1"), Category(3, "none here")
CLASSES = (CAT, DOG, NONE)
PLACES = ((10, 10, 40, 40), (80, 10, 40, 40), (10, 80, 40, 40), (80, 80, 40, 40))
AWAY = (140, 140, 30, 30)


def rows(*found: tuple[int, Category, tuple[int, int, int, int], float]) -> list[dict[str, Any]]:
    return [
        {"image_id": image, "category_id": category.id, "bbox": list(box), "score": score}
        for image, category, box, score in found
    ]


def truth(*objects: tuple[int, Category, tuple[int, int, int, int]], crowds: int = 0) -> dict[str, Any]:
    """The last `crowds` of the objects are crowds."""
    annotations = [
        {
            "id": 1 + k,
            "image_id": image,
            "category_id": category.id,
            "bbox": list(box),
            "area": box[2] * box[3],
        }
        | {"iscrowd": int(k >= len(objects) - crowds)}
        for k, (image, category, box) in enumerate(objects)
    ]
    return {
        "images": [{"id": k, "width": 200, "height": 200} for k in (1, 2)],
        "categories": [{"id": c.id, "name": c.name} for c in CLASSES],
        "annotations": annotations,
    }


TWO_OF_EACH = truth((1, CAT, PLACES[0]), (1, DOG, PLACES[1]), (2, CAT, PLACES[2]), (2, DOG, PLACES[3]))


@pytest.fixture
def evaluation() -> Any:
    """Both cats found; one dog, after a false alarm of a higher score."""
    found = rows(
        (1, CAT, PLACES[0], 0.9), (2, CAT, PLACES[2], 0.8), (1, DOG, AWAY, 0.9), (1, DOG, PLACES[1], 0.7)
    )
    return coco_evaluations(TWO_OF_EACH, found, ("box",))["box"]


def test_each_class_has_its_ap_and_their_mean_is_coco_s(evaluation: Any) -> None:
    cat, dog, none = class_metrics(evaluation, CLASSES)
    assert (cat["ap"], cat["ar"], cat["instances"]) == (pytest.approx(1), pytest.approx(1), 2)
    # One of two is found, at precision 1/2: 51 of 101 recalls.
    assert dog["ap50"] == pytest.approx(0.5 * 51 / 101)
    assert dog["ar"] == pytest.approx(0.5)
    assert (none["ap"], none["instances"]) == (None, 0)
    mean = np.mean([cat["ap"], dog["ap"]])
    assert statistics({"box": evaluation})["box_ap"] == pytest.approx(mean)


def test_a_curve_is_precision_at_each_recall(evaluation: Any) -> None:
    found = curves(evaluation, CLASSES)
    assert found["iou50"]["17"] == [1.0] * 101
    assert found["iou50"]["90"] == [0.5] * 51 + [0.0] * 50
    assert "3" not in found["iou50"]
    assert np.mean(mean_curve(found["iou50"])) == pytest.approx(
        statistics({"box": evaluation})["box_ap50"], abs=1e-4
    )
    assert mean_curve({}) == []


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (rows((1, CAT, PLACES[0], 0.9)), {("cat", "cat"): 1}),
        (rows((1, DOG, PLACES[0], 0.9)), {("cat", "dog $1"): 1}),
        ([], {("cat", "missed"): 1}),
        (rows((1, CAT, PLACES[0], 0.5)), {("cat", "missed"): 1}),
        (rows((1, DOG, AWAY, 0.9)), {("cat", "missed"): 1, ("no object", "dog $1"): 1}),
        (rows((2, CAT, PLACES[0], 0.9)), {("cat", "missed"): 1, ("no object", "cat"): 1}),
        # Two classes claim the object: its own counts, though the other has the better box.
        (
            rows((1, DOG, PLACES[0], 0.9), (1, CAT, (12, 10, 40, 40), 0.6)),
            {("cat", "cat"): 1, ("no object", "dog $1"): 1},
        ),
        # Twice the same: the second is where nothing is left to find.
        (
            rows((1, CAT, PLACES[0], 0.9), (1, CAT, PLACES[0], 0.8)),
            {("cat", "cat"): 1, ("no object", "cat"): 1},
        ),
    ],
)
def test_confusion_counts_what_is_taken_for_what(
    found: list[dict[str, Any]], expected: dict[tuple[str, str], int]
) -> None:
    matrix = confusion(truth((1, CAT, PLACES[0])), found, CLASSES, min_score=0.5)
    names = [c.name for c in CLASSES]
    counted = {
        ([*names, "no object"][i], [*names, "missed"][j]): int(matrix.counts[i, j])
        for i, j in np.argwhere(matrix.counts)
    }
    assert counted == expected


def test_a_crowd_is_neither_found_nor_missed() -> None:
    crowd = truth((1, CAT, (0, 0, 100, 100)), crowds=1)
    matrix = confusion(crowd, rows((1, CAT, PLACES[0], 0.9)), CLASSES, min_score=0.5)
    assert not matrix.counts.any()


def test_evaluate_writes_classes_curves_confusion_and_a_page(
    command: Callable[..., Any], tiny_onnx: Path, tmp_path: Path
) -> None:
    """On annotations of the model's own classes: it finds the same in every picture."""
    document = {
        "images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 64}],
        "categories": [{"id": 17, "name": "cat"}, {"id": 90, "name": "toothbrush"}, {"id": 3, "name": "car"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 90, "bbox": [6, 12, 33, 46], "area": 1518, "iscrowd": 0}
            | {"segmentation": [[6, 12, 39, 12, 39, 58, 6, 58]]}
        ],
    }
    (tmp_path / "truth.json").write_text(json.dumps(document))
    write_png(tmp_path / "a.png", np.full((64, 64, 3), 90, np.uint8))
    out, page = tmp_path / "metrics.json", tmp_path / "report.html"
    ended = command(evaluate.main, tiny_onnx, "--data", tmp_path / "truth.json", "-o", out, "--html", page)
    assert ended.code == 0, ended.err
    metrics = json.loads(out.read_text())
    assert [row["name"] for row in metrics["per_class"]["box"]] == ["cat", "toothbrush", "car"]
    assert metrics["per_class"]["box"][1]["ap50"] == pytest.approx(1)
    assert metrics["curves"]["mask"].keys() == {"recall", "iou50", "iou75"}
    assert np.array(metrics["confusion"]["counts"])[1].tolist() == [0, 1, 0, 0], "found as itself"
    assert "AP of each class" in ended.out
    text = page.read_text()
    assert text.count("data:image/png;base64,") == 3, "curves of masks and of boxes, and the matrix"
    assert "Confusion at scores above 0.5 and box IoU 0.5" in text


def test_the_page_shows_the_classes_and_sorts_nothing_by_itself(
    in_browser: Callable[[str], tuple[str, str]], evaluation: Any
) -> None:
    facts = {
        "model": "</script><b>m</b>.onnx",
        "data": "val",
        "images": 2,
        **statistics({"box": evaluation}),
        "per_class": {"box": class_metrics(evaluation, CLASSES)},
        "curves": {"box": curves(evaluation, CLASSES)},
        "confusion": confusion(TWO_OF_EACH, [], CLASSES, min_score=0.5).to_dict(),
    }
    shown, console = in_browser(evaluation_page.page(facts))
    assert console == ""
    assert "</script><b>m</b>.onnx" in shown
    assert "<td>cat</td><td>2</td><td>100.0</td>" in shown
    assert "<td>none here</td><td>0</td><td>–</td>" in shown
    assert shown.count('<img src="data:image/png') == 2


def test_an_engine_is_evaluated_like_any_model(command: Callable[..., Any], tmp_path: Path) -> None:
    """As far as that goes without a GPU: the file is opened as an engine, and what is wrong is the engine."""
    (tmp_path / "model.engine").write_bytes(b"no engine")
    ended = command(evaluate.main, tmp_path / "model.engine", "--data", "synthetic:1")
    assert ended.code == 2
    assert f"{tmp_path / 'model.engine'}: no engine file of maskrt" in ended.err


def test_a_page_without_matplotlib_is_refused_before_the_work(
    command: Callable[..., Any], tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    ended = command(evaluate.main, tiny_onnx, "--data", "no such data", "--html", tmp_path / "report.html")
    assert ended.code == 2
    assert "Install it: pip install matplotlib" in ended.err
