"""The box head of the inference graph, on logits and deltas that are made: what becomes a detection."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import maskrt.models.operators  # noqa: F401 (registers the operators)
from maskrt.models.rcnn.graph.detections import Detections
from maskrt.models.rcnn.matterport.graph import BestClassDetections

ROWS = 5  # of the contract
SURE = 20.0  # a logit that leaves the other classes nothing
CANVAS = torch.zeros(1, 3, 200, 200)
IMAGE = torch.tensor([[200.0, 200.0]])


def roi(index: int, side: float = 20) -> list[float]:
    """The first, second … of RoIs that do not meet."""
    return [40.0 * index, 10, 40.0 * index + side, 10 + side]


def detect(
    kind: type[Detections],
    rois: list[list[list[float]]],
    classes: list[list[int]],
    counts: list[int],
    **more: Any,
) -> list[Tensor]:
    """What the head makes of RoIs (N, P, 4) whose class (N, P), of the background and three, is sure."""
    labels = torch.tensor(classes).flatten()
    logits = torch.nn.functional.one_hot(labels, 4) * SURE
    deltas = more.get("deltas", torch.zeros(len(labels), 4, 4))
    coder = SimpleNamespace(weights=(10.0, 10.0, 5.0, 5.0))
    heads = SimpleNamespace(
        box_head=nn.Identity(),
        box_predictor=lambda _: (logits, deltas.flatten(1)),
        box_coder=coder,
        score_thresh=0.05,
        nms_thresh=0.5,
        detections_per_img=ROWS,
    )
    images = IMAGE.repeat(len(counts), 1)
    pooled = torch.zeros(len(labels), 1)
    head = kind(SimpleNamespace(roi_heads=heads))  # type: ignore[arg-type]
    return list(head(pooled, torch.tensor(rois), torch.tensor(counts, dtype=torch.int32), images, CANVAS, {}))


@pytest.mark.parametrize("kind", [Detections, BestClassDetections])
@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_the_rois_that_are_counted_and_no_other_become_detections(kind: type[Detections], count: int) -> None:
    found, boxes, scores, labels = detect(kind, [[roi(0), roi(1), roi(2)]], [[1, 2, 3]], [count])

    assert found.tolist() == [count]
    assert (scores[0] > 0).tolist() == [True] * count + [False] * (ROWS - count)
    assert sorted(labels[0, :count].tolist()) == [0, 1, 2][:count]
    assert boxes.shape == (1, ROWS, 4)
    assert not boxes[0, count:].any()


def test_each_image_of_a_batch_has_its_own_rois() -> None:
    rois = [[roi(0), roi(1)], [roi(2), roi(3)]]

    found, boxes, _, labels = detect(Detections, rois, [[1, 0], [2, 3]], [2, 2])

    assert found.tolist() == [1, 2]
    assert boxes[0, :1].tolist() == [roi(0)]
    assert sorted(boxes[1, :2].tolist()) == [roi(2), roi(3)]
    assert (labels[0, :1].tolist(), sorted(labels[1, :2].tolist())) == ([0], [1, 2])


def test_a_box_is_moved_by_the_deltas_of_its_own_class() -> None:
    """dx of 5 tenths of the width (the coder's weight is 10) are half a side; others are of other classes."""
    deltas = torch.full((1, 4, 4), 3.0)
    deltas[0, 2] = torch.tensor([5.0, 0, 0, 0])

    _, boxes, _, _ = detect(Detections, [[roi(1)]], [[2]], [1], deltas=deltas)

    assert boxes[0, 0].tolist() == [50, 10, 70, 30]


@pytest.mark.parametrize(("side_px", "found"), [(0.009, 0), (0.011, 1)])
def test_a_box_thinner_than_a_hundredth_of_a_pixel_is_none(side_px: float, found: int) -> None:
    """torchvision's RoIHeads.postprocess_detections."""
    assert detect(Detections, [[roi(0, side_px)]], [[1]], [1])[0].tolist() == [found]


def test_the_best_rows_of_the_contract_are_kept() -> None:
    rois = [[[40.0 * x, 40.0 * y, 40.0 * x + 20, 40.0 * y + 20] for x in range(3) for y in range(3)]]

    found, boxes, _, _ = detect(Detections, rois, [[1] * 9], [9])

    assert found.tolist() == [ROWS]
    assert len({tuple(box) for box in boxes[0].tolist()}) == ROWS
