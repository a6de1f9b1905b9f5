"""The losses of the paper, of networks whose last layers give the same logits everywhere, against sums by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.models.detection.image_list import ImageList

from maskrt.models.rcnn.config import MaskRcnnConfig
from maskrt.models.rcnn.mask_branch import last_layer
from maskrt.models.rcnn.network import build_mask_rcnn

SIDE_PX = 128
TINY: dict[str, Any] = {
    "num_classes": 3,
    "backbone": "resnet18",
    "norm": "bn",
    "fpn_channels": 8,
    "mask_convs": (8,),
    # Four RoIs, two of them positive, and four anchors.
    "box_samples": 4,
    "box_positive_fraction": 0.5,
    "rpn_samples": 4,
    "anchor_ratios": (1.0,),
    "min_size_px": SIDE_PX,
}
BETA = 1 / 9  # where torchvision's smooth L1 turns from a parabola into a line; Fast R-CNN has 1
BACKGROUND, CAT, DOG = 0.3, -0.7, 1.1  # logits


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def constant(layer: Any, *values: float) -> None:
    """Let the layer give `values` whatever it sees, by the channel, in turns if there are more."""
    torch.nn.init.zeros_(layer.weight)
    with torch.no_grad():
        layer.bias.copy_(torch.tensor(values).repeat_interleave(len(layer.bias) // len(values)))


def roi_losses(mask: float = 1.0, until_px: int = SIDE_PX, **config: Any) -> dict[str, float]:
    """Of one dog with the box 10 10 50 50, a proposal that is 10 px lower than that, and two of background.

    The dog's own box joins the proposals, so two of four RoIs are positive. mask: of all pixels in the columns
    before `until_px`."""
    model = build_mask_rcnn(MaskRcnnConfig(**TINY | config)).train()
    heads: Any = model.roi_heads
    constant(heads.box_predictor.cls_score, BACKGROUND, CAT, DOG)
    constant(heads.box_predictor.bbox_pred, 0.0)
    agnostic = config.get("mask_class_agnostic")
    constant(last_layer(heads.mask_predictor), *((DOG,) if agnostic else (BACKGROUND, CAT, DOG)))
    target = {
        "boxes": torch.tensor([[10.0, 10.0, 50.0, 50.0]]),
        "labels": torch.tensor([2]),
        "masks": torch.full((1, SIDE_PX, SIDE_PX), int(mask), dtype=torch.uint8),
    }
    target["masks"][:, :, until_px:] = 0
    proposals = [[10, 10, 50, 40], [100, 100, 120, 120], [60, 60, 90, 90]]
    features = model.backbone(torch.rand(1, 3, SIDE_PX, SIDE_PX))
    _, losses = heads(features, [torch.tensor(proposals).float()], [(SIDE_PX, SIDE_PX)], [target])
    return {name: float(loss) for name, loss in losses.items()}


def minus_log_softmax(logit: float) -> float:
    return math.log(sum(map(math.exp, (BACKGROUND, CAT, DOG)))) - logit


def test_l_cls_is_the_mean_cross_entropy_of_the_sampled_rois() -> None:
    by_hand = (2 * minus_log_softmax(DOG) + 2 * minus_log_softmax(BACKGROUND)) / 4
    assert roi_losses()["loss_classifier"] == pytest.approx(by_hand, rel=1e-6)


def test_l_box_is_smooth_l1_of_the_positives_over_all_sampled_rois() -> None:
    # The proposal is 40 x 30 around (30, 25), the dog 40 x 40 around (30, 30): its centre is 5/30 of a height
    # lower, its height ln(4/3) larger; the weights of the two are 10 and 5. The dog's own box needs no change.
    dy, dh = 10 * 5 / 30, 5 * math.log(40 / 30)
    by_hand = ((dy - BETA / 2) + (dh - BETA / 2)) / 4
    assert roi_losses()["loss_box_reg"] == pytest.approx(by_hand, rel=1e-6)


@pytest.mark.parametrize("head", ["fcn", "mlp"])
@pytest.mark.parametrize(
    ("config", "inside", "outside"),
    [
        pytest.param({}, softplus(-DOG), softplus(DOG), id="a sigmoid a class"),
        pytest.param({"mask_class_agnostic": True}, softplus(-DOG), softplus(DOG), id="class-agnostic"),
        pytest.param(
            {"mask_activation": "softmax"},
            minus_log_softmax(DOG),
            minus_log_softmax(BACKGROUND),
            id="a softmax across the classes",
        ),
    ],
)
def test_l_mask_of_the_rois_own_class(config: dict, inside: float, outside: float, head: str) -> None:
    """Without competition the cat's and the background's logits are nothing to the dog's mask."""
    config = {**config, "mask_head": head}
    assert roi_losses(mask=1, **config)["loss_mask"] == pytest.approx(inside, rel=1e-6)
    assert roi_losses(mask=0, **config)["loss_mask"] == pytest.approx(outside, rel=1e-6)


@pytest.mark.parametrize(
    ("paste", "covered"),
    [
        ("torchvision", 19.5 / 40),  # pixel 29 is at 29.0, and the edge half way to the next
        ("pixel_middles", 20 / 40),
        ("matterport", 20 / 40),
    ],
)
def test_the_mask_that_is_learnt_lies_where_its_paste_puts_it(paste: str, covered: float) -> None:
    """The object is the left half of its box, columns 10 to 29 of 10.0 to 50.0; all logits are alike, so that the
    loss tells which share of the box it is. Each of the 28 cells is sampled twice."""
    loss = roi_losses(until_px=30, mask_paste=paste)["loss_mask"]
    assert (softplus(DOG) - loss) / DOG == pytest.approx(covered, abs=2e-3)


@pytest.mark.parametrize("config", [{"mask_activation": "softmax"}, {"mask_paste": "pixel_middles"}])
def test_l_mask_of_an_image_without_objects_is_zero(config: dict) -> None:
    model = build_mask_rcnn(MaskRcnnConfig(**TINY, **config)).train()
    nothing = {
        "boxes": torch.zeros(0, 4),
        "labels": torch.zeros(0, dtype=torch.int64),
        "masks": torch.zeros(0, SIDE_PX, SIDE_PX, dtype=torch.uint8),
    }
    losses = model([torch.rand(3, SIDE_PX, SIDE_PX)], [nothing])
    assert losses["loss_mask"] == 0
    assert set(losses) == {
        "loss_classifier",
        "loss_box_reg",
        "loss_mask",
        "loss_objectness",
        "loss_rpn_box_reg",
    }
    torch.stack(list(losses.values())).sum().backward()


def test_the_rpns_losses() -> None:
    # Of the anchors of 32 px at stride 4 one is the object; its neighbours, 4 px aside, overlap it by 7/9.
    model = build_mask_rcnn(MaskRcnnConfig(**TINY, rpn_foreground_iou=0.9)).train()
    rpn: Any = model.rpn
    constant(rpn.head.cls_logits, DOG)
    constant(rpn.head.bbox_pred, 0.5, 0.0, 0.0, 0.0)
    pixels = torch.rand(1, 3, SIDE_PX, SIDE_PX)
    target = {"boxes": torch.tensor([[16.0, 16.0, 48.0, 48.0]])}
    images = ImageList(pixels, [(SIDE_PX, SIDE_PX)])
    losses: dict[str, Tensor] = rpn(images, model.backbone(pixels), [target])[1]
    # One positive and three negative anchors; only the positive's dx is wrong, by 0.5.
    objectness = (softplus(-DOG) + 3 * softplus(DOG)) / 4
    assert float(losses["loss_objectness"]) == pytest.approx(objectness, rel=1e-6)
    assert float(losses["loss_rpn_box_reg"]) == pytest.approx((0.5 - BETA / 2) / 4, rel=1e-6)
