"""Mean IoU and its companions: of one confusion matrix, as others count them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from maskrt.runtime.contract import Category
from maskrt.runtime.tasks.semantic.measure.matrix import confusion, figures, per_class
from maskrt.runtime.tasks.semantic.measure.metric import SemanticMetric
from maskrt.runtime.tasks.semantic.result import SemanticResult
from tests.runtime.semantic.maps import CLASSES, make_contract

IGNORED = 255


def pairs(count: int, classes: int, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Truths with ignored pixels, and predictions that are right in most."""
    random = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        truth = random.integers(0, classes, (13, 17)).astype(np.uint8)
        found = np.where(random.random(truth.shape) < 0.7, truth, random.integers(0, classes, truth.shape))
        truth[random.random(truth.shape) < 0.1] = IGNORED
        made.append((truth, found.astype(np.uint8)))
    return made


def test_the_figures_are_those_of_torchmetrics() -> None:
    torch, torchmetrics = pytest.importorskip("torch"), pytest.importorskip("torchmetrics.classification")
    classes, data = 5, pairs(6, 5)
    matrix = np.sum([confusion(truth, found, classes) for truth, found in data], axis=0)
    truth, found = (torch.from_numpy(np.stack(side).astype(np.int64)) for side in zip(*data, strict=True))
    settings = {"num_classes": classes, "ignore_index": IGNORED}

    def theirs(kind: str, average: str) -> float:
        return float(getattr(torchmetrics, kind)(average=average, **settings)(found, truth))

    assert figures(matrix) == pytest.approx(
        {
            "miou": theirs("MulticlassJaccardIndex", "macro"),
            "pixel_accuracy": theirs("MulticlassAccuracy", "micro"),
            "mean_accuracy": theirs("MulticlassAccuracy", "macro"),
            "frequency_weighted_iou": theirs("MulticlassJaccardIndex", "weighted"),
        },
        abs=1e-6,
    )


def test_a_class_that_is_nowhere_is_left_out_and_one_that_is_only_predicted_counts_nought() -> None:
    truth = np.array([[0, 0, 0, 0]], np.uint8)

    nowhere = figures(confusion(truth, np.array([[0, 0, 0, 0]], np.uint8), 3))
    predicted = figures(confusion(truth, np.array([[0, 0, 0, 2]], np.uint8), 3))

    assert nowhere["miou"] == nowhere["mean_accuracy"] == 1
    assert predicted["miou"] == pytest.approx((3 / 4 + 0) / 2)
    assert predicted["mean_accuracy"] == pytest.approx(3 / 4)


def test_one_matrix_is_summed_and_images_are_not_averaged() -> None:
    all_right = np.zeros((10, 10), np.uint8), np.zeros((10, 10), np.uint8)
    all_wrong = np.ones((1, 1), np.uint8), np.zeros((1, 1), np.uint8)
    matrix = sum(confusion(*pair, 2) for pair in (all_right, all_wrong))

    assert figures(matrix)["miou"] == pytest.approx((100 / 101 + 0) / 2)
    assert figures(matrix)["pixel_accuracy"] == pytest.approx(100 / 101)


def test_rows_are_truth_and_ignored_pixels_count_nowhere() -> None:
    truth = np.array([[0, 1, IGNORED]], np.uint8)
    matrix = confusion(truth, np.array([[1, 1, 0]], np.uint8), 2)

    assert matrix.tolist() == [[0, 1], [0, 1]]
    assert per_class(matrix, (Category(3, "a"), Category(4, "b"))) == [
        {"id": 3, "name": "a", "pixels": 1, "iou": 0.0, "accuracy": 0.0, "precision": None},
        {"id": 4, "name": "b", "pixels": 1, "iou": 0.5, "accuracy": 1.0, "precision": 0.5},
    ]


def parts(count: int = 8) -> tuple[SemanticMetric, list[np.ndarray]]:
    metric = SemanticMetric(make_contract())
    return metric, [
        metric.part(
            SimpleNamespace(labels=lambda truth=truth: truth), SemanticResult(*found.shape, found, CLASSES)
        )
        for truth, found in pairs(count, len(CLASSES))
    ]


def test_a_draw_of_images_has_the_miou_of_their_sum() -> None:
    metric, each = parts()
    (ours, theirs) = metric.scores(None, range(8), [each, each[::-1]])["miou"]

    assert ours(np.array([0, 0, 3])) == pytest.approx(figures(2 * each[0] + each[3])["miou"])
    assert theirs(np.array([0])) == pytest.approx(figures(each[7])["miou"])


def test_an_evaluation_names_classes_and_draws_the_matrix() -> None:
    metric, each = parts()
    facts = {"model": "m.onnx", "data": "d", "images": 8, **metric.examine(None, each, 0.5)}

    assert facts["miou"] == metric.figures(None, each)["miou"]
    assert np.array(facts["confusion"]["counts"]).sum() == sum(part.sum() for part in each)
    page = metric.page(facts)
    assert "data:image/png;base64," in page
    assert "frequency-weighted IoU" in page
    first, classes = metric.tables(facts, "title")
    assert [*first.columns[0].cells] == ["mIoU", "pixel accuracy", "mean accuracy", "frequency-weighted IoU"]
    assert [*classes.columns[0].cells] == ["background", "grass", "sky"]
    assert metric.headline(facts).startswith("mIoU 0.")


def test_without_a_pixel_of_any_class_there_is_no_figure() -> None:
    metric = SemanticMetric(make_contract())
    nothing = [np.zeros((3, 3), np.int64)]

    assert metric.examine(None, nothing, 0.5)["miou"] is None
    assert metric.figures(None, nothing)["miou"] == 0
