"""Checkpoints of the single-level Mask R-CNN: its trainer's and bare ones, read whole or refused by name."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from maskrt.models.load import load_checkpoint
from maskrt.models.parts.voc import VOC
from maskrt.models.rcnn.config import C5
from maskrt.models.rcnn.network import build_mask_rcnn
from maskrt.runtime.errors import CheckpointError

NAMES = {
    "backbone.fpn.inner_blocks.0.0": "backbone.inner_block_module",
    "backbone.fpn.layer_blocks.0.0": "backbone.layer_block_module",
    "rpn.head.conv.0.0": "rpn.head.conv",
    "roi_heads.box_head.fc6": "head.box_predictor.fc1",
    "roi_heads.box_head.fc7": "head.box_predictor.fc2",
    "roi_heads.box_predictor": "head.box_predictor",
    "roi_heads.mask_head.0.0": "head.mask_predictor.mask_fcn1",
    "roi_heads.mask_head.1.0": "head.mask_predictor.mask_fcn2",
    "roi_heads.mask_predictor.conv5_mask": "head.mask_predictor.mask_conv5",
    "roi_heads.mask_predictor.mask_fcn_logits": "head.mask_predictor.mask_fcn_logits",
}


@cache
def network(classes: int) -> dict[str, Tensor]:
    torch.manual_seed(0)
    narrow = replace(C5, backbone="resnet18", fpn_channels=16, mask_convs=(16, 16), num_classes=classes)
    return build_mask_rcnn(narrow).state_dict()


def theirs(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same under the names of the original; its anchors lie size by size."""
    renamed = {}
    for key, tensor in weights.items():
        for ours, name in NAMES.items():
            key = re.sub(rf"^{re.escape(ours)}\.", f"{name}.", key)
        if key.startswith(("rpn.head.cls_logits", "rpn.head.bbox_pred")):
            by_ratio = tensor.unflatten(0, (3, 3, -1))  # ours: ratio, size
            tensor = torch.stack([by_ratio[r, s] for s in range(3) for r in range(3)]).flatten(0, 1)
        renamed[key] = tensor
    return renamed


@pytest.mark.parametrize("trainer", [True, False], ids=["save_ckpt", "state_dict"])
def test_a_file_becomes_the_same_weights(trainer: bool, tmp_path: Path) -> None:
    weights = theirs(network(len(VOC)))
    content = {"model": weights, "optimizer": {}, "epochs": 7, "eval_info": ""} if trainer else weights
    torch.save(content, tmp_path / "maskrcnn_voc-7.pth")

    read = load_checkpoint(tmp_path / "maskrcnn_voc-7.pth")

    assert read.config == replace(
        C5, backbone="resnet18", fpn_channels=16, mask_convs=(16, 16), num_classes=len(VOC)
    )
    assert [each.name for each in read.classes] == list(VOC[1:])
    own = {key: tensor for key, tensor in network(len(VOC)).items() if tensor.is_floating_point()}
    assert read.state_dict.keys() == own.keys()
    assert all(torch.equal(read.state_dict[key], tensor) for key, tensor in own.items())


def test_coco_s_ids_are_known_and_other_classes_are_asked_for(tmp_path: Path) -> None:
    torch.save(theirs(network(91)), tmp_path / "coco.pth")
    assert load_checkpoint(tmp_path / "coco.pth").classes[89].name == "toothbrush"

    torch.save(theirs(network(3)), tmp_path / "own.pth")
    with pytest.raises(CheckpointError, match=r"own\.pth: a state dict of 2 classes without names"):
        load_checkpoint(tmp_path / "own.pth")
    names = [each.name for each in load_checkpoint(tmp_path / "own.pth", ["bolt", "nut"]).classes]
    assert names == ["bolt", "nut"]


def test_a_key_that_is_missing_is_named(tmp_path: Path) -> None:
    weights = theirs(network(3))
    del weights["head.mask_predictor.mask_conv5.bias"]
    torch.save({"model": weights}, tmp_path / "cut.pth")

    with pytest.raises(CheckpointError, match=r"1 missing: head\.mask_predictor\.mask_conv5\.bias"):
        load_checkpoint(tmp_path / "cut.pth", ["bolt", "nut"])
