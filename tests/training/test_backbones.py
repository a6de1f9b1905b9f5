"""Backbones take the weights that others trained, and halve their maps where those did."""

from __future__ import annotations

import dataclasses
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision.models import mobilenet_v3_large, resnet18, resnext101_32x8d
from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_fpn

from maskrt.models.parts.backbones import build_body, norm_layer
from maskrt.models.rcnn.config import C4, MOBILENET, MaskRcnnConfig
from maskrt.models.rcnn.network import build_mask_rcnn
from maskrt.models.rcnn.pretrained import load_backbone
from maskrt.models.rcnn.random_weights import randomise
from maskrt.runtime.errors import CheckpointError

FROZEN = norm_layer("frozen_bn", 1e-5)


def shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in model.state_dict().items()}


def test_a_classifiers_weights_fit_the_body() -> None:
    with torch.device("meta"):
        ours = build_body("resnext101_32x8d", nn.BatchNorm2d)
        assert shapes(ours) == shapes(resnext101_32x8d(weights=None))


def test_the_narrower_resnext_is_that_of_the_paper() -> None:
    with torch.device("meta"):
        body = build_body("resnext101_32x4d", nn.BatchNorm2d)
    # arXiv:1611.05431, table 1: 32 groups of 4 channels in the first stage; ResNet-101's 44.5 M parameters.
    assert shapes(body)["layer1.0.conv2.weight"] == (128, 4, 3, 3)
    assert sum(p.numel() for p in body.parameters()) == pytest.approx(44.2e6, rel=0.01)


@pytest.mark.parametrize(("stride_in_1x1", "odd_pixels_count"), [(True, False), (False, True)])
def test_a_stride_in_the_1x1_skips_every_other_pixel(stride_in_1x1: bool, odd_pixels_count: bool) -> None:
    torch.manual_seed(0)
    block = build_body("resnet50", FROZEN, stride_in_1x1=stride_in_1x1).layer2[0].eval()
    pixels = torch.rand(1, 256, 8, 8)
    other = pixels.clone()
    other[:, :, 1::2] += 1
    other[:, :, :, 1::2] += 1
    with torch.no_grad():
        before, after = block(pixels), block(other)
    assert before.shape == (1, 512, 4, 4)
    assert torch.equal(before, after) != odd_pixels_count


def test_the_setting_reaches_the_detector() -> None:
    build = partial(MaskRcnnConfig, backbone="resnet50")
    with torch.device("meta"):
        caffe, ours = (build_mask_rcnn(build(stride_in_1x1=value)).backbone.body for value in (True, False))
    assert caffe["layer3"][0].conv1.stride == ours["layer3"][0].conv2.stride == (2, 2)
    assert shapes(caffe) == shapes(ours)


def test_mobilenet_is_torchvisions_own_detector() -> None:
    image = torch.rand(3, 96, 160, generator=torch.Generator().manual_seed(0))
    # torchvision's drops proposals below an objectness of 0.05 by default, which no other model does.
    theirs = fasterrcnn_mobilenet_v3_large_fpn(
        weights=None, weights_backbone=None, rpn_score_thresh=0.0, min_size=96, max_size=160
    )
    randomise(theirs, [image]).eval()
    config = dataclasses.replace(MOBILENET, task="detection", norm="bn", min_size_px=96, max_size_px=160)
    ours = build_mask_rcnn(config).eval()
    ours.load_state_dict(theirs.state_dict())
    with torch.no_grad():
        expected, actual = theirs([image])[0], ours([image])[0]
    assert len(expected["scores"]) > 10
    for name, value in expected.items():
        assert torch.equal(actual[name], value), name


@pytest.mark.parametrize(
    ("classifier", "settings", "at", "of"),
    [
        (
            resnet18,
            MaskRcnnConfig(backbone="resnet18"),
            "backbone.body.layer4.1.conv2.weight",
            "layer4.1.conv2.weight",
        ),
        (
            resnet18,
            dataclasses.replace(C4, backbone="resnet18"),
            "roi_heads.box_head.res5.1.conv2.weight",
            "layer4.1.conv2.weight",
        ),
        (mobilenet_v3_large, MOBILENET, "backbone.body.16.0.weight", "features.16.0.weight"),
    ],
    ids=["FPN", "C4", "MobileNetV3"],
)
def test_a_classifiers_weights_reach_the_detector(
    classifier: Any, settings: MaskRcnnConfig, at: str, of: str, tmp_path: Path
) -> None:
    weights = classifier(weights=None).state_dict()
    torch.save(weights, tmp_path / "classifier.pth")
    model = build_mask_rcnn(dataclasses.replace(settings, norm="bn"))
    load_backbone(model, settings, str(tmp_path / "classifier.pth"))
    assert torch.equal(model.state_dict()[at], weights[of])

    del weights[of]
    torch.save(weights, tmp_path / "classifier.pth")
    with pytest.raises(CheckpointError, match=rf"not the weights of a \w+: missing \['{re.escape(at)}'\]"):
        load_backbone(model, settings, str(tmp_path / "classifier.pth"))


def test_weights_that_torchvision_has_not_are_asked_for() -> None:
    config = MaskRcnnConfig(backbone="resnext101_32x4d")
    with torch.device("meta"):
        model = build_mask_rcnn(config)
    with pytest.raises(
        CheckpointError, match=r"torchvision has no weights of resnext101_32x4d\. Give a file"
    ):
        load_backbone(model, config, "imagenet")


def test_a_block_without_a_1x1_cannot_stride_in_it() -> None:
    with pytest.raises(CheckpointError, match="stride_in_1x1 with resnet18, whose blocks have no 1×1"):
        build_mask_rcnn(MaskRcnnConfig(backbone="resnet18", stride_in_1x1=True))
