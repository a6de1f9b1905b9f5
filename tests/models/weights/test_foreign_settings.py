"""What a file of another project does not say of itself, and is its project's own: sizes, colours, pooling."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn

from benchmarks.originals.files import detectron2_weights, mmdetection_weights
from maskrt.models.checkpoint import Checkpoint
from maskrt.models.rcnn.config import MaskRcnnConfig
from maskrt.models.rcnn.matterport.config import MatterportConfig
from maskrt.models.rcnn.network import build_mask_rcnn
from maskrt.models.rcnn.weights.detectron2 import from_detectron2
from maskrt.models.rcnn.weights.mmdetection import from_mmdetection
from maskrt.models.rcnn.weights.torchvision import from_torchvision
from maskrt.runtime.contract import Category
from maskrt.runtime.errors import CheckpointError

NAMES: dict[str, Any] = {"class_names": ["a", "b"], "sha256": ""}
COLOURS = """
model = dict(data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True),
    backbone=dict(type='ResNet', depth=50, style='pytorch'))
"""


@pytest.fixture(scope="module")
def weights() -> dict[str, Any]:
    """Of a narrow R18-FPN by our keys."""
    return build_mask_rcnn(
        MaskRcnnConfig(backbone="resnet18", num_classes=3, fpn_channels=32, mask_convs=(32,) * 4)
    ).state_dict()


def test_detectron2_resizes_to_800_and_1333_px_and_pools_with_the_half_pixel(weights: dict[str, Any]) -> None:
    """detectron2/config/defaults.py and configs/Base-RCNN-FPN.yaml."""
    config = from_detectron2(detectron2_weights(weights), source="model.pkl", **NAMES).config

    assert (config.min_size_px, config.max_size_px) == (800, 1333)
    assert (config.exact_anchors, config.sampling_ratio, config.roi_aligned) == (True, 0, True)
    assert [round(255 * value, 3) for value in config.mean] == [123.675, 116.28, 103.53]
    assert [round(255 * value, 3) for value in config.std] == [1, 1, 1]


def test_mmdetection_resizes_to_800_and_1333_px_and_pools_with_the_half_pixel(
    weights: dict[str, Any],
) -> None:
    """mmdet/configs/_base_/models/mask_rcnn_r50_fpn.py and datasets/coco_instance.py."""
    content = {"state_dict": mmdetection_weights(weights), "meta": {"cfg": COLOURS}}
    config = from_mmdetection(content, source="epoch_12.pth", **NAMES).config

    assert (config.min_size_px, config.max_size_px) == (800, 1333)
    assert (config.exact_anchors, config.sampling_ratio, config.roi_aligned) == (True, 0, True)
    assert [round(255 * value, 3) for value in config.std] == [58.395, 57.12, 57.375]


def test_torchvision_resizes_to_800_and_1333_px_and_pools_without_it(weights: dict[str, Any]) -> None:
    """torchvision/models/detection/mask_rcnn.py: MaskRCNN, GeneralizedRCNNTransform, MultiScaleRoIAlign."""
    config = from_torchvision(weights, source="x.pth", **NAMES).config

    assert (config.min_size_px, config.max_size_px) == (800, 1333)
    assert (config.exact_anchors, config.sampling_ratio, config.roi_aligned) == (False, 2, False)
    assert (config.mean, config.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize(
    ("file", "sizes_px", "proposals", "score"),
    [
        ("fasterrcnn_mobilenet_v3_large_320_fpn-907ea3f9.pth", (320, 640), 150, 0.05),
        ("fasterrcnn_mobilenet_v3_large_fpn-fb6a3cc7.pth", (800, 1333), 1000, 0.05),
    ],
)
def test_torchvisions_mobilenets_differ_by_the_name_of_their_file(
    file: str, sizes_px: tuple[int, int], proposals: int, score: float
) -> None:
    """torchvision/models/detection/faster_rcnn.py: the defaults of the two builders."""
    with torch.device("meta"):
        model = fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None)
    config = from_torchvision(model.state_dict(), class_names=None, sha256="", source=file).config

    assert (config.min_size_px, config.max_size_px) == sizes_px
    assert (config.rpn_pre_nms_test, config.rpn_post_nms_test) == (proposals, proposals)
    assert config.rpn_score_threshold == score


def test_matterport_resizes_to_800_and_1024_px_and_takes_a_mean_alone() -> None:
    """mrcnn/config.py: IMAGE_MIN_DIM, IMAGE_MAX_DIM, MEAN_PIXEL, DETECTION_NMS_THRESHOLD, PRE_NMS_LIMIT."""
    config = MatterportConfig(backbone="resnet50", num_classes=3)

    assert (config.min_size_px, config.max_size_px) == (800, 1024)
    assert [round(255 * value, 3) for value in config.mean] == [123.7, 116.8, 103.9]
    assert [round(255 * value, 3) for value in config.std] == [1, 1, 1]
    assert (config.nms, config.rpn_pre_nms_test) == (0.3, 6000)
    assert config.anchor_ratios == (2.0, 1.0, 0.5)


def pixels_of(config: MaskRcnnConfig) -> tuple[str, str | None, str, str]:
    """Of the contract: filter, what it works on, rounding of sizes, paste."""
    classes = tuple(Category(label, f"class {label}") for label in range(1, config.num_classes))
    contract = Checkpoint(config, classes, {}).contract()
    canvas = contract.canvas
    return canvas.resize, canvas.resize_dtype, canvas.rounding, contract.options.masks.paste


def test_each_project_s_own_pixels_are_in_the_contract(weights: dict[str, Any]) -> None:
    """detectron2/data/transforms and layers/mask_ops.py; mmcv/image and mmdet's fcn_mask_head.py; mrcnn/utils.py."""
    theirs = {"state_dict": mmdetection_weights(weights), "meta": {"cfg": COLOURS}}
    read = {
        "torchvision": from_torchvision(weights, source="x.pth", **NAMES),
        "Detectron2": from_detectron2(detectron2_weights(weights), source="model.pkl", **NAMES),
        "MMDetection": from_mmdetection(theirs, source="epoch_12.pth", **NAMES),
    }
    assert {name: pixels_of(checkpoint.config) for name, checkpoint in read.items()} == {
        "torchvision": ("torch", None, "down", "torchvision"),
        "Detectron2": ("pil", None, "nearest_by_side", "pixel_middles"),
        "MMDetection": ("opencv", "uint8", "nearest", "pixel_middles"),
    }
    matterport = MatterportConfig(backbone="resnet50", num_classes=3)
    assert pixels_of(matterport) == ("skimage", None, "nearest", "matterport")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("load = dict(type='LoadImageFromFile', to_float32=True)", ("opencv", "float32")),
        ("load = dict(type='LoadImageFromFile', to_float32=False)", ("opencv", "uint8")),
        ("resize = dict(type='Resize', keep_ratio=True, backend='pillow')", ("pil", "uint8")),
    ],
)
def test_mmdetection_s_configuration_tells_the_filter(
    said: str, expected: tuple[str, str], weights: dict[str, Any]
) -> None:
    content = {"state_dict": mmdetection_weights(weights), "meta": {"cfg": COLOURS + said}}

    config = from_mmdetection(content, source="epoch_12.pth", **NAMES).config

    assert (config.resize, config.resize_dtype) == expected


def test_a_rule_that_is_set_is_in_the_contract_as_chosen(weights: dict[str, Any]) -> None:
    read = from_detectron2(detectron2_weights(weights), source="model.pkl", **NAMES)
    chosen = read.with_settings(["resize=opencv", "resize_dtype=float32", "mask_paste=torchvision"], "--set")

    assert pixels_of(chosen.config) == ("opencv", "float32", "nearest_by_side", "torchvision")
    assert chosen.chosen_settings.keys() == {"resize", "resize_dtype", "mask_paste"}
    with pytest.raises(
        CheckpointError, match=r"resize_dtype is 'float32', expected one of \('auto', 'uint8'\)"
    ):
        read.with_settings(["resize_dtype=float32"], "--set")
