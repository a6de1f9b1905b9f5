"""The model is torchvision's Mask R-CNN, and its checkpoints load unchanged."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection import (
    fasterrcnn_mobilenet_v3_large_320_fpn,
    fasterrcnn_mobilenet_v3_large_fpn,
    fasterrcnn_resnet50_fpn,
    fasterrcnn_resnet50_fpn_v2,
    keypointrcnn_resnet50_fpn,
    maskrcnn_resnet50_fpn,
    maskrcnn_resnet50_fpn_v2,
)
from torchvision.ops import FrozenBatchNorm2d
from torchvision.ops.misc import FrozenBatchNorm2d as Frozen

from maskrt.models.load import load_checkpoint
from maskrt.models.rcnn.config import MaskRcnnConfig
from maskrt.models.rcnn.network import build_mask_rcnn
from maskrt.models.rcnn.random_weights import randomise
from maskrt.runtime.errors import CheckpointError

SIZE = {"min_size": 128, "max_size": 160}


def image() -> Tensor:
    return torch.rand(3, 100, 140, generator=torch.Generator().manual_seed(0))


def freeze(model: nn.Module, epsilon: float = 0.0) -> nn.Module:
    """torchvision's model as it is with COCO weights: frozen norms; of ResNets with epsilon 0."""
    for parent in model.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.BatchNorm2d):
                frozen = Frozen(child.num_features, eps=epsilon)
                frozen.load_state_dict({k: v for k, v in child.state_dict().items() if "num_" not in k})
                setattr(parent, name, frozen)
    return model


BUILDERS = {
    "v1": lambda: maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, **SIZE),
    "v1 with COCO's frozen norms": lambda: freeze(
        maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, **SIZE)
    ),
    "v2": lambda: maskrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None, **SIZE),
    "Faster R-CNN": lambda: freeze(fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, **SIZE)),
    "Keypoint R-CNN": lambda: freeze(keypointrcnn_resnet50_fpn(weights=None, weights_backbone=None, **SIZE)),
    "Faster R-CNN v2": lambda: fasterrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None, **SIZE),
    "MobileNet": lambda: freeze(
        fasterrcnn_mobilenet_v3_large_fpn(weights=None, weights_backbone=None, **SIZE), epsilon=1e-5
    ),
    "MobileNet from scratch": lambda: fasterrcnn_mobilenet_v3_large_fpn(
        weights=None, weights_backbone=None, **SIZE
    ),
    "MobileNet 320": lambda: freeze(
        fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None, **SIZE), epsilon=1e-5
    ),
}
# As torchvision publishes it: nothing else tells this model from the one of 800 px.
FILES = {"MobileNet 320": "fasterrcnn_mobilenet_v3_large_320_fpn-907ea3f9.pth"}


def find_few(model: Any) -> tuple[dict[str, int], int]:
    """Has a model find less than it is set to, to be quick; what it was set to."""
    before = dict(model.rpn._post_nms_top_n), model.roi_heads.detections_per_img
    model.rpn._post_nms_top_n["testing"], model.roi_heads.detections_per_img = 30, 12
    return before


@pytest.mark.parametrize("name", BUILDERS)
def test_a_torchvision_checkpoint_gives_bit_identical_results(name: str, tmp_path: Path) -> None:
    theirs = BUILDERS[name]()
    set_to = find_few(theirs)
    theirs = randomise(theirs, [image()]).eval()
    path = tmp_path / FILES.get(name, "torchvision.pth")
    torch.save(theirs.state_dict(), path)
    checkpoint = load_checkpoint(path)
    assert checkpoint.classes[0].name == "person"
    assert checkpoint.classes[-1].id == (1 if checkpoint.config.task == "keypoint" else 90)
    ours = checkpoint.build()
    assert find_few(ours) == set_to
    ours.transform.min_size, ours.transform.max_size = (SIZE["min_size"],), SIZE["max_size"]
    with torch.no_grad():
        expected, actual = theirs([image()])[0], ours([image()])[0]
    assert len(expected["scores"]) > 10
    for key, value in expected.items():
        assert torch.equal(actual[key], value), key


def test_the_smaller_mobilenet_is_known_by_its_files_name(tmp_path: Path) -> None:
    weights = fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None).state_dict()
    configs = []
    for name in (FILES["MobileNet 320"], "renamed.pth"):
        torch.save(weights, tmp_path / name)
        configs.append(load_checkpoint(tmp_path / name).config)
    assert [(c.min_size_px, c.max_size_px, c.rpn_post_nms_test) for c in configs] == [
        (320, 640, 150),
        (800, 1333, 1000),
    ]
    assert [c.rpn_score_threshold for c in configs] == [0.05, 0.05]


def old_name(key: str) -> str:
    """A key as torchvision wrote it before 0.13, in the COCO weights that most people have."""
    key = re.sub(r"(fpn\.(inner|layer)_blocks\.\d)\.0\.", r"\1.", key)
    key = re.sub(r"rpn\.head\.conv\.0\.0\.", "rpn.head.conv.", key)
    return re.sub(r"mask_head\.(\d)\.0\.", lambda m: f"mask_head.mask_fcn{int(m[1]) + 1}.", key)


def test_a_checkpoint_with_the_keys_of_older_torchvision_is_read(tmp_path: Path) -> None:
    weights = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, **SIZE).state_dict()
    old = {old_name(key): value for key, value in weights.items()}
    assert {"backbone.fpn.layer_blocks.0.weight", "rpn.head.conv.weight"} <= old.keys()
    assert "roi_heads.mask_head.mask_fcn1.weight" in old
    torch.save(old, tmp_path / "old.pth")
    rebuilt = load_checkpoint(tmp_path / "old.pth").build().state_dict()
    assert all(torch.equal(rebuilt[key], value) for key, value in weights.items())


def test_a_fine_tuned_checkpoint_needs_its_class_names(tmp_path: Path) -> None:
    model = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=3)
    torch.save(model.state_dict(), tmp_path / "mine.pth")
    with pytest.raises(CheckpointError, match="--classes name1,name2"):
        load_checkpoint(tmp_path / "mine.pth")
    with pytest.raises(CheckpointError, match="names for 1 classes, but its network tells 2 apart"):
        load_checkpoint(tmp_path / "mine.pth", ["cat"])
    assert [c.name for c in load_checkpoint(tmp_path / "mine.pth", ["cat", "dog"]).classes] == ["cat", "dog"]


@pytest.mark.parametrize("backbone", ["resnet18", "resnet34", "resnet50", "resnet101"])
def test_the_backbone_is_known_from_the_keys(backbone: str, tmp_path: Path) -> None:
    model = build_mask_rcnn(MaskRcnnConfig(backbone=backbone))
    torch.save(model.state_dict(), tmp_path / "bare.pth")
    assert load_checkpoint(tmp_path / "bare.pth").config.backbone == backbone


@pytest.mark.parametrize(
    ("norm", "kind"), [("frozen_bn", FrozenBatchNorm2d), ("bn", nn.BatchNorm2d), ("gn", nn.GroupNorm)]
)
def test_the_norm_is_the_configured_one(norm: str, kind: type[nn.Module]) -> None:
    model = build_mask_rcnn(MaskRcnnConfig(backbone="resnet18", norm=norm))
    assert isinstance(model.backbone.body["bn1"], kind)


def test_the_configuration_survives_json() -> None:
    config = MaskRcnnConfig(backbone="resnet34", anchor_sizes_px=((16,), (32,), (64,), (128,), (256,)))
    assert MaskRcnnConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"backbone": "vgg16"}, "backbone is 'vgg16', expected one of"),
        ({"task": "panoptic"}, "task is 'panoptic', expected one of"),
        ({"norm": "ln"}, "norm is 'ln'"),
        ({"num_classes": 1}, "num_classes is 1, expected at least 2"),
        ({"fpn_channels": 0}, "fpn_channels is 0, expected at least 1"),
        ({"max_detections": float("inf")}, "max_detections is inf, expected at least 1, and a whole number"),
        ({"min_size_px": 10**9}, "min_size_px is 1000000000, expected .* whole number to 1000000"),
        ({"score_threshold": float("nan")}, "score_threshold is nan, expected 0 to 1"),
        ({"sampling_ratio": 1.5}, "sampling_ratio is 1.5, expected a whole number"),
        ({"nms": 1.5}, r"nms is 1\.5, expected 0 to 1"),
        ({"rpn_score_threshold": 1.0}, r"rpn_score_threshold is 1\.0, expected 0, or more and below 1"),
        ({"std": (0.2, 0.0, 0.2)}, "std is .*, expected three numbers above 0"),
        ({"mask_convs": ()}, r"mask_convs is \(\), expected at least one number"),
        ({"anchor_ratios": (1.0, -2.0)}, "anchor_ratios is .*, all above 0"),
        ({"anchor_sizes_px": ((32,), (64, 128), (1,), (2,), (3,))}, "expected as many numbers above 0"),
        ({"min_size_px": 900, "max_size_px": 800}, "max_size_px is 800, expected at least min_size_px, 900"),
        ({"rpn_background_iou": 0.8}, r"rpn_foreground_iou is 0\.7, expected at least rpn_background_iou"),
        ({"rotation": 3}, "unknown fields .*'rotation'"),
    ],
)
def test_a_configuration_that_cannot_be_built_is_refused(values: dict, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        MaskRcnnConfig.from_dict(values)
