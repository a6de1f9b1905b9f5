"""Fast NMS in the form that is exported, and priors, against their meaning told literally."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torchvision.ops import box_iou

from maskrt.models.yolact.config import PUBLISHED, YolactConfig
from maskrt.models.yolact.detections import Detections
from maskrt.models.yolact.priors import corners, decoded, encoded, per_prior, prior_sides, priors_of
from maskrt.models.yolact.suppression import overlaps

MAPS = ((9, 12), (5, 6), (3, 3), (2, 2), (1, 1))
CANVAS = (72, 96)
CLASSES = 4


def said(config: YolactConfig, seed: int) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """What a head could say of each level, for an image."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(  # type: ignore[return-value]
        [std * torch.randn(1, config.priors_a_cell * values, *size, generator=generator) for size in MAPS]
        for values, std in ((config.num_classes, 2.0), (4, 1.0), (config.prototypes, 1.0))
    )


def literally(config: YolactConfig, maps: tuple[list[Tensor], list[Tensor], list[Tensor]]) -> list[Tensor]:
    """Scores, labels and boxes of the authors' rule: class by class, at most 200 rows of each."""
    scores = per_prior(maps[0], config.num_classes).softmax(-1)[0, :, 1:]
    boxes = decoded(per_prior(maps[1], 4)[0], priors_of(prior_sides(config), MAPS, CANVAS))
    sure = scores.amax(dim=1) > config.score_threshold
    scores, boxes = scores[sure], boxes[sure]
    found = []
    for label, of_class in enumerate(scores.T):
        best = of_class.argsort(descending=True)[: config.nms_a_class]
        rivals = box_iou(boxes[best], boxes[best]).triu(diagonal=1)
        left = best[rivals.amax(dim=0) <= config.nms]
        found += [(float(of_class[row]), label, boxes[row]) for row in left]
    found.sort(key=lambda one: -one[0])
    found = found[: config.max_detections]
    return [
        torch.tensor([f[0] for f in found]),
        torch.tensor([f[1] for f in found]),
        torch.stack([f[2] for f in found]),
    ]


@pytest.mark.parametrize("seed", range(6))
def test_the_best_pairs_of_all_give_what_class_by_class_gives(seed: int) -> None:
    config = replace(PUBLISHED, num_classes=CLASSES + 1, prototypes=3, nms_a_class=60, max_detections=40)
    maps = said(config, seed)
    size = torch.tensor([CANVAS], dtype=torch.float32)

    counts, boxes, scores, labels, own = Detections(config)(*maps, torch.zeros(1, 3, *CANVAS), size)

    expected_scores, expected_labels, expected_boxes = literally(config, maps)
    count = int(counts)
    assert count == len(expected_scores) == 40
    assert torch.allclose(scores[0], expected_scores, atol=1e-6)
    assert torch.equal(labels[0], expected_labels.to(torch.int32))
    limits = torch.tensor([CANVAS[1], CANVAS[0]] * 2)
    assert torch.allclose(boxes[0], expected_boxes.clamp(min=0).minimum(limits), atol=1e-4)
    assert own.abs().max() < 1, "coefficients come out of a tanh"


def test_a_row_that_is_dropped_drops_others_too() -> None:
    """Greedy NMS keeps the third of a chain, whose rival is gone. Fast NMS does not."""
    found = {}
    for kind in ("fast", "greedy"):
        config = replace(
            YolactConfig(num_classes=2, prototypes=3, prior_sizes_px=((40.0,),) * 5, prior_ratios=(1.0,)),
            nms_kind=kind,
        )
        maps = said(config, 0)
        for level in (*maps[0], *maps[1]):
            level.zero_()
        for level in maps[0]:
            level[:, 0] = 20.0
        for cell, logit in (
            (3, 26.0),
            (4, 25.0),
            (5, 24.0),
        ):  # 8 px apart, 40 px wide: IoU 0.67; of the outer two 0.43
            maps[0][0][0, 1, 4, cell] = logit
        counts, *_ = Detections(config)(
            *maps, torch.zeros(1, 3, *CANVAS), torch.tensor([CANVAS], dtype=torch.float32)
        )
        found[kind] = int(counts)
    assert found == {"fast": 1, "greedy": 2}


def test_overlaps_are_torchvisions() -> None:
    boxes = torch.rand(2, 30, 4) * 50
    boxes[..., 2:] += boxes[..., :2]
    assert torch.allclose(overlaps(boxes)[1], box_iou(boxes[1], boxes[1]), atol=1e-6)


def test_the_priors_of_published_weights_are_square() -> None:
    priors = priors_of(prior_sides(PUBLISHED), [(69, 69), (35, 35), (18, 18), (9, 9), (5, 5)], (550, 550))
    assert len(priors) == 19248
    assert torch.allclose(priors[:3, 2], torch.tensor([24.0, 16.97, 33.94]), atol=0.01)
    assert torch.equal(priors[:, 2], priors[:, 3])
    assert torch.allclose(priors[0, :2], torch.tensor([3.9855, 3.9855]), atol=1e-3)


def test_mended_priors_have_the_ratio_and_the_area_that_are_asked_for() -> None:
    sides = prior_sides(YolactConfig())[2]
    assert torch.allclose(sides[:, 1] / sides[:, 0], torch.tensor([1.0, 2.0, 0.5]))
    assert torch.allclose(sides.prod(dim=1), torch.tensor(96.0**2))


def test_deltas_of_a_box_give_the_box_again() -> None:
    priors = priors_of(prior_sides(YolactConfig()), MAPS, CANVAS)
    boxes = corners(priors) + torch.tensor([3.0, -2.0, 9.0, 4.0])
    assert torch.allclose(decoded(encoded(boxes, priors), priors), boxes, atol=1e-3)


def test_a_levels_prior_is_twice_that_of_the_level_before() -> None:
    sizes = (sizes[0] for sizes in YolactConfig().prior_sizes_px)
    assert [after / before for before, after in itertools.pairwise(sizes)] == [2] * 4
