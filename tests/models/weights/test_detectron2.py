"""Detectron2's checkpoints: read whole or refused by name, and then the same model."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.originals import records
from benchmarks.originals.agreement import assert_finds, differences
from benchmarks.originals.files import Weights, detectron2_c4_weights, detectron2_weights
from benchmarks.samples import confident_checkpoint
from maskrt.models.checkpoint import Checkpoint
from maskrt.models.load import load_checkpoint
from maskrt.models.rcnn.config import C4, MaskRcnnConfig
from maskrt.models.rcnn.network import build_mask_rcnn
from maskrt.models.rcnn.weights.detectron2 import CLASS_LAYER, RPN_LAYER, from_detectron2
from maskrt.runtime.errors import CheckpointError
from maskrt.runtime.preprocess import preprocess

ZOO: dict[str, Any] = {"num_classes": 81, "exact_anchors": True, "sampling_ratio": 0, "roi_aligned": True}
PIXELS: dict[str, Any] = {"resize": "pil", "size_rounding": "nearest_by_side", "mask_paste": "pixel_middles"}
# Of pixels from 0 to 1, R G B: detectron2/config/defaults.py has 103.53, 116.28, 123.675 for B G R, and 1.
COLOURS: dict[str, Any] = {"mean": (123.675 / 255, 116.28 / 255, 103.53 / 255), "std": (1 / 255,) * 3}


def zoo_pickle(weights: Weights, path: Path) -> Path:
    """As the model zoo's files are."""
    arrays = {key: tensor.numpy() for key, tensor in weights.items()}
    path.write_bytes(pickle.dumps({"model": arrays, "__author__": "Detectron2 Model Zoo"}))
    return path


def zoo_config(backbone: str, **settings: Any) -> MaskRcnnConfig:
    return MaskRcnnConfig(backbone=backbone, rpn_post_nms_train=1000, **(ZOO | COLOURS | PIXELS | settings))


SMALL = zoo_config("resnet18", fpn_channels=32, mask_convs=(32,) * 4)


@pytest.fixture(scope="module")
def r50(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """What is read from the file that benchmarks.foreign_checkpoints made the record with."""
    size = records.at_its_size(MaskRcnnConfig())
    sides = {"min_size_px": size.min_size_px, "max_size_px": size.max_size_px}
    confident = confident_checkpoint("resnet50", stride_in_1x1=True, **ZOO, **COLOURS, **sides)
    path = tmp_path_factory.mktemp("zoo") / "model_final.pkl"
    return load_checkpoint(zoo_pickle(detectron2_weights(confident.state_dict), path))


@pytest.fixture(scope="module")
def small() -> Weights:
    """Of a narrow R18-FPN, quick to write and read."""
    return detectron2_weights(build_mask_rcnn(SMALL).state_dict())


def test_a_zoo_file_finds_what_detectron2_found(r50: Checkpoint) -> None:
    assert r50.config == zoo_config("resnet50", stride_in_1x1=True)
    assert_finds(r50, records.read("detectron2-r50-fpn"))


@pytest.mark.full
@pytest.mark.parametrize(
    "setting",
    [
        {"exact_anchors": False},
        {"roi_aligned": False},
        {"sampling_ratio": 2},
        {"stride_in_1x1": False},
        {"mean": COLOURS["mean"][::-1]},
    ],
    ids=str,
)
def test_no_setting_could_be_another(r50: Checkpoint, setting: dict[str, Any]) -> None:
    other = dataclasses.replace(r50, config=dataclasses.replace(r50.config, **setting))
    assert differences(other, records.read("detectron2-r50-fpn"))


def test_its_classes_are_cocos_with_cocos_ids(r50: Checkpoint) -> None:
    assert len(r50.classes) == 80
    named = {c.name: c.id for c in r50.classes}
    assert (named["person"], named["stop sign"], named["toothbrush"]) == (1, 13, 90)


@pytest.mark.parametrize(
    ("backbone", "stride_in_1x1", "std"),
    [
        ("resnet18", False, COLOURS["std"]),
        ("resnet34", False, COLOURS["std"]),
        ("resnet50", True, COLOURS["std"]),
        ("resnet101", True, COLOURS["std"]),
        ("resnext101_32x4d", False, (58.395 / 255, 57.12 / 255, 57.375 / 255)),
        ("resnext101_32x8d", False, (58.395 / 255, 57.12 / 255, 57.375 / 255)),
    ],
)
def test_the_backbone_tells_the_zoos_settings(backbone: str, stride_in_1x1: bool, std: tuple) -> None:
    """The ResNeXts are not MSRA's: their stride is in the 3×3, and their pixels are divided by a deviation."""
    with torch.device("meta"):
        weights = build_mask_rcnn(MaskRcnnConfig(backbone=backbone, num_classes=4)).state_dict()
    content = {"model": detectron2_weights(weights)}
    read = from_detectron2(content, class_names=["a", "b", "c"], sha256="", source="x.pkl")
    assert (read.config.backbone, read.config.stride_in_1x1) == (backbone, stride_in_1x1)
    assert read.config.std == pytest.approx(std)
    assert [c.id for c in read.classes] == [1, 2, 3]


def test_the_keys_are_those_of_detectron2s_own_model() -> None:
    with torch.device("meta"):
        weights = detectron2_weights(build_mask_rcnn(zoo_config("resnet50")).state_dict())
    assert records.described(weights) == records.read("detectron2-r50-fpn").keys.tolist()


def c4_config(**settings: Any) -> MaskRcnnConfig:
    known = ZOO | COLOURS | PIXELS | {"canvas_stride": 1} | settings
    return dataclasses.replace(C4, stride_in_1x1=True, mask_convs=(256,), **known)


def test_a_model_without_a_pyramid_is_read() -> None:
    """Its RPN has fifteen anchors a position, the ratios of a size next to each other; ours the sizes of a ratio."""
    own = build_mask_rcnn(c4_config()).state_dict()
    weights = detectron2_c4_weights(own)
    assert records.described(weights) == records.read("detectron2-r50-c4").keys.tolist()
    read = from_detectron2({"model": weights}, class_names=None, sha256="", source="x.pkl")
    assert read.config == c4_config()
    for key in (
        "rpn.head.cls_logits.weight",
        "rpn.head.bbox_pred.bias",
        "roi_heads.box_head.res5.0.bn1.weight",
    ):
        assert torch.equal(read.state_dict[key], own[key]), key
    canvas = read.contract().canvas
    assert preprocess([np.zeros((230, 287, 3), np.uint8)], canvas).images.shape == (1, 800, 998, 3), (
        "not padded"
    )


@pytest.mark.full
def test_a_model_without_a_pyramid_finds_what_detectron2_found(tmp_path: Path) -> None:
    size = records.at_its_size(MaskRcnnConfig())
    config = c4_config(min_size_px=size.min_size_px, max_size_px=size.max_size_px)
    confident = confident_checkpoint(**{k: getattr(config, k) for k in config.to_dict()})
    path = zoo_pickle(detectron2_c4_weights(confident.state_dict), tmp_path / "model_final.pkl")
    read = load_checkpoint(path).with_settings({"canvas_stride": 32}, "the record's")
    record = records.read("detectron2-r50-c4")
    assert_finds(read, record)
    shuffled = read.state_dict | {
        key: read.state_dict[key].roll(1, 0)
        for key in read.state_dict
        if key.startswith("rpn.head.cls_logits")
    }
    assert differences(dataclasses.replace(read, state_dict=shuffled), record), "the order of anchors matters"


def test_a_dilated_model_is_refused() -> None:
    weights = {"backbone.res5.0.conv1.weight": 0, CLASS_LAYER: 0, RPN_LAYER: 0}
    with pytest.raises(CheckpointError, match=r"x\.pkl: .*its DC5. Only FPN and C4"):
        from_detectron2({"model": weights}, class_names=None, sha256="", source="x.pkl")


def test_a_model_of_boxes_alone_is_faster_rcnn() -> None:
    config = zoo_config("resnet50", task="detection", stride_in_1x1=True)
    with torch.device("meta"):
        weights = detectron2_weights(build_mask_rcnn(config).state_dict())
    read = from_detectron2({"model": weights}, class_names=None, sha256="", source="x.pkl")
    assert read.config == config
    assert read.config.family == "faster_rcnn"


def test_a_keypoint_model_is_refused_by_its_keys() -> None:
    config = zoo_config("resnet50", task="detection", num_classes=2)
    with torch.device("meta"):
        weights = detectron2_weights(build_mask_rcnn(config).state_dict())
        head = {"roi_heads.keypoint_head.conv_fcn1.weight": torch.zeros(512, 256, 3, 3)}
    with pytest.raises(CheckpointError, match=r"1 left over: roi_heads\.keypoint_head\.conv_fcn1\.weight"):
        from_detectron2({"model": weights | head}, class_names=["person"], sha256="", source="x.pkl")


def test_a_file_of_its_trainer_is_read_with_all_that_lies_in_it(small: Weights, tmp_path: Path) -> None:
    content = {"model": small, "optimizer": {"state": {}}, "scheduler": {"last_epoch": 9}, "iteration": 9}
    torch.save(content, tmp_path / "model_final.pth")
    assert load_checkpoint(tmp_path / "model_final.pth").config == SMALL


def test_buffers_of_its_older_versions_are_taken_or_checked(small: Weights, tmp_path: Path) -> None:
    cells = {
        f"proposal_generator.anchor_generator.cell_anchors.{i}": cell
        for i, cell in enumerate(build_mask_rcnn(SMALL).rpn.anchor_generator.cell_anchors)
    }
    colours = {"pixel_mean": torch.tensor([1.0, 2, 3]), "pixel_std": torch.tensor([4.0, 5, 6])}
    read = load_checkpoint(zoo_pickle(small | cells | colours, tmp_path / "old.pkl"))
    assert read.config.mean == pytest.approx((3 / 255, 2 / 255, 1 / 255))
    assert read.config.std == pytest.approx((6 / 255, 5 / 255, 4 / 255))
    first = next(iter(cells))
    with pytest.raises(CheckpointError, match=r"trained with the anchors .* on level 0 of its pyramid"):
        load_checkpoint(zoo_pickle(small | cells | {first: cells[first] * 2}, tmp_path / "other.pkl"))


def without_a_key(weights: Weights) -> None:
    del weights["backbone.bottom_up.res3.0.conv1.norm.running_var"]


def with_a_foreign_key(weights: Weights) -> None:
    weights["roi_heads.box_head.fc3.weight"] = torch.zeros(4)


def with_another_shape(weights: Weights) -> None:
    weights["roi_heads.box_head.fc2.bias"] = torch.zeros(7)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (without_a_key, r"1 missing: backbone\.bottom_up\.res3\.0\.conv1\.norm\.running_var\."),
        (with_a_foreign_key, r"1 left over: roi_heads\.box_head\.fc3\.weight\."),
        (with_another_shape, r"1 of another shape: roi_heads\.box_head\.fc2\.bias \(7,\)"),
    ],
)
def test_weights_that_do_not_fit_are_listed(
    fault: Callable[[Weights], None], message: str, small: Weights, tmp_path: Path
) -> None:
    weights = dict(small)
    fault(weights)
    with pytest.raises(CheckpointError, match=rf"x\.pkl: not the weights of a resnet18 mask_rcnn: {message}"):
        load_checkpoint(zoo_pickle(weights, tmp_path / "x.pkl"))


def test_an_unknown_backbone_is_refused_with_those_known(small: Weights, tmp_path: Path) -> None:
    deeper = small | {"backbone.bottom_up.res4.2.conv1.weight": torch.zeros(1)}
    with pytest.raises(CheckpointError, match=r"3 blocks in res4 .* none of resnet18, .*resnext101_32x8d"):
        load_checkpoint(zoo_pickle(deeper, tmp_path / "x.pkl"))


class Payload:
    def __reduce__(self) -> tuple:
        return (print, ("code ran",))


def test_a_pickle_with_code_in_it_is_refused_and_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps({"model": {"a": np.zeros(2), "b": Payload()}}))
    with pytest.raises(CheckpointError, match=r"evil\.pkl: .*it asks for builtins\.print"):
        load_checkpoint(tmp_path / "evil.pkl")
    assert "code ran" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "content", [b"", b"a note", pickle.dumps({"a": np.zeros(9)})[:40], pickle.dumps([1])]
)
def test_a_file_that_is_no_pickle_of_weights_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"x\.pkl: (not a pickle of numpy arrays|holds a list)"):
        load_checkpoint(tmp_path / "x.pkl")
