"""Which layers of a YOLACT eight bits leave in float: what says places, boxes, coefficients and prototypes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from maskrt.models.yolact.config import PUBLISHED_PLUS, YolactConfig
from maskrt.models.yolact.presets import PRESETS


def in_float(config: YolactConfig, layer: str) -> bool:
    return config.layers.is_output(f"{layer}.weight")


@pytest.mark.parametrize("layer", ["head.boxes", "head.coefficients", "protonet.last"])
def test_what_boxes_and_masks_are_made_of_stays_in_float(layer: str) -> None:
    assert in_float(PRESETS["yolact"].config, layer)


@pytest.mark.parametrize(
    "layer", ["head.shared.0", "protonet.before.0", "protonet.after", "backbone.fpn.levels.0"]
)
def test_what_comes_before_does_not(layer: str) -> None:
    assert not in_float(PRESETS["yolact"].config, layer)


@pytest.mark.parametrize(("classes", "kept"), [(1, True), (31, True), (32, False), (80, False)])
def test_the_logits_of_many_classes_cost_too_much_to_stay_in_float(classes: int, kept: bool) -> None:
    """More than the coefficients of 32 prototypes; the background is a class too."""
    config = replace(PUBLISHED_PLUS, num_classes=classes + 1)
    assert config.prototypes == 32
    assert in_float(config, "head.classes") is kept


def test_what_moves_and_weighs_samples_stays_in_float() -> None:
    config = PRESETS["yolact++"].config
    assert in_float(config, "backbone.body.layer3.0.conv2.offsets")
    assert not in_float(config, "backbone.body.layer3.0.conv2")
    assert in_float(config, "mask_iou.last")
