"""MMDetection's checkpoints: read whole or refused by name, and then the same model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.originals import records
from benchmarks.originals.agreement import assert_finds, differences
from benchmarks.originals.files import mmdetection_weights
from benchmarks.samples import confident_checkpoint
from maskrt.models.checkpoint import Checkpoint
from maskrt.models.foreign.class_names import COCO, name_classes
from maskrt.models.load import load_checkpoint
from maskrt.models.rcnn.config import MaskRcnnConfig
from maskrt.models.rcnn.network import build_mask_rcnn
from maskrt.models.rcnn.weights.mmdetection import Colours, read_colours
from maskrt.runtime.errors import CheckpointError

ZOO: dict[str, Any] = {"num_classes": 81, "exact_anchors": True, "sampling_ratio": 0, "roi_aligned": True}
# mmdet/configs/_base_/models/mask_rcnn_r50_fpn.py, of pixels from 0 to 255, R G B.
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
COLOURS: dict[str, Any] = {"mean": tuple(v / 255 for v in MEAN), "std": tuple(v / 255 for v in STD)}
CAFFE_COLOURS: dict[str, Any] = {"mean": COLOURS["mean"], "std": (1 / 255,) * 3}

VERSION_3 = """
model = dict(
    type='MaskRCNN',
    data_preprocessor=dict(
        type='DetDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True, pad_mask=True, pad_size_divisor=32),
    backbone=dict(type='ResNet', depth=50, norm_cfg=dict(type='BN', requires_grad=True), style='pytorch'))
"""
VERSION_3_CAFFE = """
model = dict(
    data_preprocessor=dict(mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0], bgr_to_rgb=False),
    backbone=dict(type='ResNet', depth=50, style='caffe'))
"""
VERSION_2 = """
model = dict(type='MaskRCNN', backbone=dict(type='ResNet', depth=50, style='pytorch'))
img_norm_cfg = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
"""


def mmdetection_file(
    state_dict: dict, path: Path, config: str | None, caffe: bool = False, **meta: Any
) -> Path:
    """As MMDetection's runner writes them, with the counters of its batch norms."""
    counters = {"backbone.bn1.num_batches_tracked": torch.tensor(7)}
    weights = mmdetection_weights(state_dict, caffe=caffe) | counters
    meta = meta | ({"cfg": config} if config else {})
    torch.save({"state_dict": weights, "meta": meta, "optimizer": {}}, path)
    return path


def confident(**config: Any) -> Checkpoint:
    """The model that benchmarks.foreign_checkpoints made a record with."""
    size = records.at_its_size(MaskRcnnConfig())
    sides = {"min_size_px": size.min_size_px, "max_size_px": size.max_size_px}
    return confident_checkpoint("resnet50", **ZOO, **sides, **config)


def test_a_file_finds_what_mmdetection_found(tmp_path: Path) -> None:
    weights = confident(**COLOURS).state_dict
    read = load_checkpoint(mmdetection_file(weights, tmp_path / "epoch_12.pth", VERSION_3))
    assert_finds(read, records.read("mmdetection-r50-fpn"))
    assert [(c.id, c.name) for c in (read.classes[0], read.classes[-1])] == [
        (1, "person"),
        (90, "toothbrush"),
    ]


@pytest.mark.full
def test_a_file_of_caffe_style_finds_what_mmdetection_found(tmp_path: Path) -> None:
    weights = confident(stride_in_1x1=True, **CAFFE_COLOURS).state_dict
    path = mmdetection_file(weights, tmp_path / "epoch_12.pth", VERSION_3_CAFFE, caffe=True)
    read, record = load_checkpoint(path), records.read("mmdetection-r50-caffe-fpn")
    assert read.config.stride_in_1x1
    assert_finds(read, record)
    taken_for_the_other = load_checkpoint(mmdetection_file(weights, path, VERSION_3, caffe=True))
    assert differences(taken_for_the_other, record)


def test_the_keys_are_those_of_mmdetections_own_model() -> None:
    with torch.device("meta"):
        weights = mmdetection_weights(build_mask_rcnn(MaskRcnnConfig(num_classes=81)).state_dict())
    own = records.read("mmdetection-r50-fpn").keys.tolist()
    assert records.described(weights) == [key for key in own if "num_batches_tracked" not in key]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (VERSION_3, Colours(MEAN, STD, rgb=True, caffe=False)),
        (VERSION_2, Colours(MEAN, STD, rgb=True, caffe=False)),
        (VERSION_3_CAFFE, Colours(MEAN[::-1], (1.0, 1.0, 1.0), rgb=False, caffe=True)),
    ],
    ids=["version 3", "version 2", "caffe"],
)
def test_colours_are_read_from_the_configuration(config: str, expected: Colours) -> None:
    assert read_colours(config, "x.pth") == expected


ANCHORS = (
    "rpn_head = dict(anchor_generator=dict(scales=[{}], ratios=[0.5, 1.0, 2.0], strides=[4, 8, 16, 32, 64]))"
)


def test_anchors_of_another_size_are_refused() -> None:
    assert read_colours(VERSION_2 + ANCHORS.format(8), "x.pth").rgb
    with pytest.raises(CheckpointError, match=r"x\.pth: trained with the anchors {'scales': \[4\]}"):
        read_colours(VERSION_2 + ANCHORS.format(4), "x.pth")


@pytest.fixture(scope="module")
def small() -> dict[str, torch.Tensor]:
    """Of a narrow R18-FPN, quick to write and read."""
    config = MaskRcnnConfig(backbone="resnet18", num_classes=3, fpn_channels=32, mask_convs=(32,) * 4)
    return build_mask_rcnn(config).state_dict()


def test_a_model_of_boxes_alone_is_faster_rcnn(tmp_path: Path) -> None:
    config = MaskRcnnConfig(task="detection", backbone="resnet18", num_classes=3, fpn_channels=32)
    path = mmdetection_file(build_mask_rcnn(config).state_dict(), tmp_path / "x.pth", VERSION_2)
    read = load_checkpoint(path, ["a", "b"])
    assert (read.config.task, read.config.family) == ("detection", "faster_rcnn")
    assert all(torch.isfinite(tensor).all() for tensor in read.build().parameters())


def test_without_a_configuration_it_says_how_to_put_one_in(small: dict, tmp_path: Path) -> None:
    path = mmdetection_file(small, tmp_path / "bare.pth", None)
    with pytest.raises(CheckpointError, match=r"bare\.pth: .*without their configuration.*pretty_text"):
        load_checkpoint(path, ["a", "b"])


def test_a_configuration_is_not_run(small: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = mmdetection_file(small, tmp_path / "x.pth", VERSION_2 + "print('code ran')\n")
    assert load_checkpoint(path, ["a", "b"]).config.backbone == "resnet18"
    assert "code ran" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "meta", [{"CLASSES": ("cat", "dog")}, {"dataset_meta": {"classes": ("cat", "dog")}}], ids=["2", "3"]
)
def test_class_names_in_the_file_are_its_classes(meta: dict, small: dict, tmp_path: Path) -> None:
    path = mmdetection_file(small, tmp_path / "x.pth", VERSION_2, **meta)
    assert [c.name for c in load_checkpoint(path).classes] == ["cat", "dog"]
    assert [c.name for c in load_checkpoint(path, ["a", "b"]).classes] == ["a", "b"]


def test_cocos_names_have_cocos_ids() -> None:
    names = [c.name for c in COCO]
    assert name_classes(80, names, "x.pth") == COCO
    assert [c.id for c in name_classes(80, names[::-1], "x.pth")] == list(range(1, 81)), "others count from 1"


def test_without_names_they_are_asked_for(small: dict, tmp_path: Path) -> None:
    path = mmdetection_file(small, tmp_path / "x.pth", VERSION_2)
    with pytest.raises(CheckpointError, match=r"x\.pth: tells 2 classes apart, and has no names.*--classes"):
        load_checkpoint(path)


def test_weights_that_do_not_fit_are_listed(small: dict, tmp_path: Path) -> None:
    path = mmdetection_file(small, tmp_path / "x.pth", VERSION_2)
    content = torch.load(path, weights_only=True)
    weights = content["state_dict"]
    weights["neck.extra_convs.0.conv.weight"] = weights.pop("neck.fpn_convs.3.conv.weight")
    torch.save(content, path)
    with pytest.raises(
        CheckpointError,
        match=r"1 missing: neck\.fpn_convs\.3\.conv\.weight; 1 left over: neck\.extra_convs\.0\.conv\.weight",
    ):
        load_checkpoint(path, ["a", "b"])
