"""For each detection the graph gives the mask that the model gives it, whatever the mask branch."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional
from torchvision.models.detection.roi_heads import maskrcnn_inference

from maskrt.models.rcnn.config import MaskRcnnConfig
from maskrt.models.rcnn.graph.masks import own_class_masks
from maskrt.models.rcnn.mask_branch import AgnosticMaskPredictor, build_mask_head, build_mask_predictor
from maskrt.runtime.errors import CheckpointError

LABELS = torch.tensor([1, 0, 2, 2], dtype=torch.int32)  # 0 is the first class after the background
WAYS = {
    "fcn": {},
    "fcn, softmax": {"mask_activation": "softmax"},
    "fcn, agnostic": {"mask_class_agnostic": True},
    "mlp": {"mask_head": "mlp"},
    "mlp, softmax": {"mask_head": "mlp", "mask_activation": "softmax"},
    "mlp, agnostic": {"mask_head": "mlp", "mask_class_agnostic": True},
}


def branch(config: dict) -> tuple[MaskRcnnConfig, nn.Module, nn.Module]:
    torch.manual_seed(0)
    settings = MaskRcnnConfig(num_classes=4, fpn_channels=8, mask_convs=(8,), mask_roi_size=7, **config)
    return (
        settings,
        build_mask_head(settings).double(),
        build_mask_predictor(settings, settings.mask_convs[-1]).double(),
    )


@pytest.mark.parametrize("config", WAYS.values(), ids=WAYS.keys())
@pytest.mark.parametrize("count", [4, 0])
def test_the_mask_of_a_detections_own_class(config: dict, count: int) -> None:
    settings, head, predictor = branch(config)
    labels = LABELS[:count]
    with torch.no_grad():
        features = head(torch.randn(count, 8, 7, 7, dtype=torch.float64))
        every = predictor(features)
        softmax = settings.mask_activation == "softmax"
        logits, masks = own_class_masks(predictor, features, labels, torch.float64, softmax=softmax)
    assert every.shape == (count, 4, 14, 14)
    assert (logits.shape, masks.shape) == ((count, 14 * 14), (count, 14, 14))
    if softmax:
        expected = functional.softmax(every, dim=1)[torch.arange(count), labels.long() + 1]
    else:
        expected = torch.cat(maskrcnn_inference(every, [labels.long() + 1]))[:, 0]
    torch.testing.assert_close(masks, expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(
        logits, every[torch.arange(count), labels.long() + 1].flatten(1), atol=1e-12, rtol=0
    )


@pytest.mark.parametrize("kind", ["fcn", "mlp"])
def test_masks_for_whatever_class_are_alike_and_others_are_not(kind: str) -> None:
    for agnostic in (True, False):
        _, head, predictor = branch({"mask_head": kind, "mask_class_agnostic": agnostic})
        every = predictor(head(torch.randn(2, 8, 7, 7, dtype=torch.float64)))
        assert torch.equal(every[:, 0], every[:, 3]) is agnostic


def test_one_mask_for_whatever_class_is_one_row_of_weights() -> None:
    _, _, predictor = branch({"mask_class_agnostic": True})
    assert isinstance(predictor, AgnosticMaskPredictor)
    assert predictor.mask_fcn_logits.weight.shape == (1, 8, 1, 1)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"mask_head": "crf"}, "mask_head is 'crf', expected one of"),
        ({"mask_activation": "relu"}, "mask_activation is 'relu', expected one of"),
        (
            {"mask_activation": "softmax", "mask_class_agnostic": True},
            "one mask for whatever class leaves no",
        ),
    ],
)
def test_a_mask_branch_that_there_is_not_is_refused(config: dict, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        MaskRcnnConfig(**config)
