"""Checkpoints of YOLACT's authors, and MMDetection's: names, the order of their pyramid, what their file's name tells."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from maskrt.models.load import load_checkpoint
from maskrt.models.yolact.config import PUBLISHED, PUBLISHED_PLUS
from maskrt.models.yolact.network import Yolact
from maskrt.runtime.errors import CheckpointError

TRUNK = (
    (r"backbone\.body\.stem\.", "backbone._preconv."),
    (r"backbone\.body\.layer(\d)\.", lambda m: f"backbone.layers.{int(m[1]) - 1}."),
    (r"backbone\.body\.", "backbone."),
    (r"mask_iou\.layers\.(\d)\.", lambda m: f"maskiou_net.maskiou_net.{2 * int(m[1])}."),
    (r"mask_iou\.last\.", "maskiou_net.maskiou_net.10."),
)
REST = {
    "backbone.fpn.laterals.0": "fpn.lat_layers.2",
    "backbone.fpn.laterals.1": "fpn.lat_layers.1",
    "backbone.fpn.laterals.2": "fpn.lat_layers.0",
    "backbone.fpn.levels.0": "fpn.pred_layers.2",
    "backbone.fpn.levels.1": "fpn.pred_layers.1",
    "backbone.fpn.levels.2": "fpn.pred_layers.0",
    "backbone.fpn.extra.0": "fpn.downsample_layers.0",
    "backbone.fpn.extra.1": "fpn.downsample_layers.1",
    "protonet.before.0": "proto_net.0",
    "protonet.before.1": "proto_net.2",
    "protonet.before.2": "proto_net.4",
    "protonet.after": "proto_net.8",
    "protonet.last": "proto_net.10",
    "head.shared.0": "prediction_layers.0.upfeature.0",
    "head.classes": "prediction_layers.0.conf_layer",
    "head.boxes": "prediction_layers.0.bbox_layer",
    "head.coefficients": "prediction_layers.0.mask_layer",
    "semantic": "semantic_seg_conv",
}


def theirs(key: str) -> str:
    key = key.replace(".conv2.offsets.", ".conv2.conv_offset_mask.")
    layer, _, kind = key.rpartition(".")
    if layer in REST:
        return f"{REST[layer]}.{kind}"
    for pattern, name in TRUNK:
        if re.match(pattern, key):
            return re.sub(pattern, name, key, count=1)
    raise AssertionError(key)


@cache
def weights(backbone: str, classes: int) -> dict[str, Tensor]:
    """Of a network with few channels, under our names."""
    torch.manual_seed(0)
    config = replace(PUBLISHED, backbone=backbone, channels=8, prototypes=4, num_classes=classes + 1)
    return Yolact(config).state_dict()


def written(folder: Path, name: str, backbone: str = "resnet50", classes: int = 2) -> Path:
    """A file as the authors' code would write it."""
    torch.save({theirs(key): value for key, value in weights(backbone, classes).items()}, folder / name)
    return folder / name


@pytest.mark.parametrize(("backbone", "every"), [("resnet50", 1), ("resnet101", 3)])
def test_yolact_plus_is_known_by_its_layers(tmp_path: Path, backbone: str, every: int) -> None:
    """Every block of the smaller ResNet is deformable, every third of the larger."""
    config = replace(
        PUBLISHED_PLUS, backbone=backbone, deformable_every=every, channels=8, prototypes=4, num_classes=3
    )
    torch.manual_seed(0)
    own = Yolact(config).state_dict()
    torch.save(
        {theirs(key): value for key, value in own.items()}, tmp_path / "yolact_plus_base_54_800000.pth"
    )

    loaded = load_checkpoint(tmp_path / "yolact_plus_base_54_800000.pth", ["a", "b"])

    assert loaded.config == config
    assert loaded.config.priors_a_cell == 9
    for key, value in own.items():
        assert key.endswith("num_batches_tracked") or torch.equal(loaded.state_dict[key], value), key


@pytest.mark.parametrize("backbone", ["resnet50", "darknet53"])
def test_every_weight_finds_its_layer(tmp_path: Path, backbone: str) -> None:
    loaded = load_checkpoint(written(tmp_path, "yolact_mine_3_100.pth", backbone), ["a", "b"])
    assert loaded.config.backbone == backbone
    assert (loaded.config.square_priors, loaded.config.placement) == (True, "stretch")
    for key, value in loaded.build().state_dict().items():
        assert key.endswith("num_batches_tracked") or torch.equal(value, weights(backbone, 2)[key]), key


def test_darknet_takes_pixels_from_0_to_1(tmp_path: Path) -> None:
    loaded = load_checkpoint(written(tmp_path, "yolact_darknet53_54_800000.pth", "darknet53"), ["a", "b"])
    assert (loaded.config.mean, loaded.config.std) == ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("name", "side", "first", "square"),
    [
        ("yolact_resnet50_54_800000.pth", 550, 24.0, True),
        ("yolact_im400_54_800000.pth", 400, 17.0, True),
        ("yolact_im700_54_800000_interrupt.pth", 700, 30.0, True),
        ("yolact_resnet50_pascal_54_800000.pth", 550, 32.0, False),
        ("anything.pth", 550, 24.0, True),
    ],
)
def test_the_files_name_tells_the_configuration(
    tmp_path: Path, name: str, side: int, first: float, square: bool
) -> None:
    config = load_checkpoint(written(tmp_path, name), ["a", "b"]).config
    assert (config.max_size_px, config.prior_sizes_px[0][0], config.square_priors) == (side, first, square)


def test_pascals_classes_have_their_names(tmp_path: Path) -> None:
    path = written(tmp_path, "yolact_resnet50_pascal_54_800000.pth", classes=20)
    assert load_checkpoint(path).classes[14].name == "person"


def test_settings_that_a_file_does_not_tell_are_set(tmp_path: Path) -> None:
    loaded = load_checkpoint(written(tmp_path, "mine.pth"), ["a", "b"])
    assert loaded.with_settings(["min_size_px=320", "max_size_px=320"], "--set").config.max_size_px == 320


def test_what_older_files_hold_besides_is_passed_over(tmp_path: Path) -> None:
    path = written(tmp_path, "old.pth")
    content = torch.load(path)
    content |= {
        "backbone.layer1.0.conv1.weight": torch.zeros(1),
        "fpn.downsample_layers.2.weight": torch.zeros(1),
    }
    torch.save(content, path)
    load_checkpoint(path, ["a", "b"]).build()


def test_a_layer_too_many_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, "other.pth")
    torch.save(torch.load(path) | {"flow_net.conv.weight": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match=r"1 left over: flow_net\.conv\.weight"):
        load_checkpoint(path, ["a", "b"])


def test_mmdetections_background_is_the_last_class(tmp_path: Path) -> None:
    """Of each prior, so that every third of the rows is turned by one."""
    config = replace(MMDETECTIONS, channels=8, prototypes=4, num_classes=3)
    torch.manual_seed(0)
    own = Yolact(config).state_dict()
    content = {mmdetections(key): value for key, value in own.items()}
    for kind in ("weight", "bias"):
        rows = content[f"bbox_head.conv_cls.{kind}"].unflatten(0, (3, 3))
        content[f"bbox_head.conv_cls.{kind}"] = torch.roll(rows, -1, dims=1).flatten(0, 1)
    meta = {"config": CONFIG, "CLASSES": ["a", "b"]}
    torch.save({"state_dict": content, "meta": meta}, tmp_path / "epoch_55.pth")

    loaded = load_checkpoint(tmp_path / "epoch_55.pth")

    assert loaded.config == config
    assert [one.name for one in loaded.classes] == ["a", "b"]
    for key, value in loaded.build().state_dict().items():
        assert key.endswith("num_batches_tracked") or torch.equal(value, own[key]), key


#: As Config.pretty_text has it, cut to what is looked at.
CONFIG = """
model = dict(type='YOLACT', backbone=dict(type='ResNet', depth=50, style='pytorch'))
img_norm_cfg = dict(mean=[123.68, 116.78, 103.94], std=[58.4, 57.12, 57.38], to_rgb=True)
"""
MMDETECTIONS = replace(
    PUBLISHED,
    backbone="resnet50",
    square_priors=False,
    score_every_class=True,
    fpn_relu=False,
    extra_levels_from="C5",
    clip_before_nms=True,
    prior_ratios=(0.5, 1.0, 2.0),
)
THEIRS = {
    "backbone.body": "backbone",
    "backbone.fpn.laterals.0": "neck.lateral_convs.0.conv",
    "backbone.fpn.laterals.1": "neck.lateral_convs.1.conv",
    "backbone.fpn.laterals.2": "neck.lateral_convs.2.conv",
    "backbone.fpn.levels.0": "neck.fpn_convs.0.conv",
    "backbone.fpn.levels.1": "neck.fpn_convs.1.conv",
    "backbone.fpn.levels.2": "neck.fpn_convs.2.conv",
    "backbone.fpn.extra.0": "neck.fpn_convs.3.conv",
    "backbone.fpn.extra.1": "neck.fpn_convs.4.conv",
    "protonet.before.0": "mask_head.protonet.0",
    "protonet.before.1": "mask_head.protonet.2",
    "protonet.before.2": "mask_head.protonet.4",
    "protonet.after": "mask_head.protonet.8",
    "protonet.last": "mask_head.protonet.10",
    "head.shared.0": "bbox_head.head_convs.0.conv",
    "head.classes": "bbox_head.conv_cls",
    "head.boxes": "bbox_head.conv_reg",
    "head.coefficients": "bbox_head.conv_coeff",
    "semantic": "segm_head.segm_conv",
}


def mmdetections(key: str) -> str:
    ours = next(start for start in THEIRS if key.startswith(f"{start}."))
    return THEIRS[ours] + key.removeprefix(ours)
