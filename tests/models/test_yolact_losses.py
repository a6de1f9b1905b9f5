"""What YOLACT learns from: which prior is whose, and each loss by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from maskrt.models.yolact.losses import inside_boxes
from maskrt.models.yolact.matching import BACKGROUND, NEUTRAL, matched
from maskrt.models.yolact.network import Yolact
from maskrt.models.yolact.presets import TINY

PRIORS = torch.tensor(
    [
        [0.0, 0.0, 10.0, 10.0],
        [1.0, 0.0, 11.0, 10.0],
        [5.0, 0.0, 15.0, 10.0],
        [4.4, 0.0, 14.4, 10.0],
        [50.0, 50.0, 60.0, 60.0],
    ]
)
LIMITS = {"positive": 0.5, "negative": 0.38}


def test_a_prior_is_of_an_object_by_its_overlap() -> None:
    classes, objects = matched(torch.tensor([[0.0, 0.0, 10.0, 10.0]]), torch.tensor([7]), PRIORS, **LIMITS)
    assert classes.tolist() == [7, 7, BACKGROUND, NEUTRAL, BACKGROUND]
    assert objects[:2].tolist() == [0, 0]


def test_every_object_has_a_prior_of_its_own() -> None:
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.2, 0.0, 10.2, 10.0], [70.0, 70.0, 71.0, 71.0]])
    classes, objects = matched(boxes, torch.tensor([1, 2, 3]), PRIORS, **LIMITS)
    assert (int(classes[0]), int(objects[0])) == (1, 0)
    assert (int(classes[1]), int(objects[1])) == (2, 1), "its best prior is the first object's"
    assert 3 in classes, "though it overlaps none"


def test_without_objects_all_is_background() -> None:
    classes, _ = matched(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), PRIORS, **LIMITS)
    assert classes.tolist() == [BACKGROUND] * 5


def test_a_mask_reaches_a_cell_past_its_box() -> None:
    inside = inside_boxes(torch.tensor([[2.0, 1.5, 4.0, 3.0]]), 8, 8)[0]
    assert torch.where(inside.any(dim=0))[0].tolist() == [1, 2, 3, 4]  # 1 ≤ x < 5
    assert torch.where(inside.any(dim=1))[0].tolist() == [1, 2, 3]  # 0.5 ≤ y < 4


@pytest.fixture(scope="module")
def network() -> Yolact:
    torch.manual_seed(0)
    return Yolact(replace(TINY, num_classes=3)).eval()


def target(boxes: list[list[float]], labels: list[int]) -> dict[str, Any]:
    masks = torch.zeros(len(boxes), 96, 128, dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[int(y1) : int(y2), int(x1) : int(x2)] = 1
    return {
        "boxes": torch.tensor(boxes).reshape(-1, 4),
        "labels": torch.tensor(labels, dtype=torch.int64),
        "masks": masks,
    }


def losses(network: Yolact, *targets: dict[str, Any]) -> dict[str, float]:
    images = [torch.full((3, 96, 128), 0.3) for _ in targets]
    with torch.no_grad():
        return {name: float(value) for name, value in network(images, list(targets)).items()}


def test_an_image_without_objects_is_learned_as_a_picture_of_no_class_alone(network: Yolact) -> None:
    found = losses(network, target([], []))
    assert (found["loss_class"], found["loss_box"], found["loss_mask"]) == (0, 0, 0)
    assert found["loss_semantic"] > 0


def test_objects_too_small_to_learn_are_left_out(network: Yolact) -> None:
    large, small = [20.0, 20.0, 60.0, 70.0], [80.0, 80.0, 83.0, 90.0]
    assert losses(network, target([large, small], [1, 2])) == losses(network, target([large], [1]))


def test_three_background_priors_are_learned_for_a_positive(network: Yolact) -> None:
    """With equal logits each prior costs as much, the logarithm of the number of classes."""
    silent = Yolact(network.config).eval()
    for layer in (silent.head.classes, silent.head.shared[0]):
        torch.nn.init.zeros_(layer.weight)
    found = losses(silent, target([[20.0, 20.0, 60.0, 70.0]], [1]))
    assert found["loss_class"] == pytest.approx(4 * float(torch.tensor(3.0).log()), rel=1e-5)


def test_a_mask_costs_by_the_area_of_its_box(network: Yolact) -> None:
    """Prototypes of 0 make a mask of one half everywhere: ln 2 a cell of the box and of the cells around it."""
    blank = Yolact(network.config).eval()
    torch.nn.init.zeros_(blank.protonet.last.weight)
    box = [16.0, 16.0, 64.0, 80.0]  # 12 × 16 cells, 14 × 18 with what is around
    found = losses(blank, target([box], [1]))
    cells: Tensor = torch.tensor(2.0).log() * (14 * 18) / (12 * 16)
    assert found["loss_mask"] == pytest.approx(network.config.mask_weight * float(cells), rel=1e-4)
