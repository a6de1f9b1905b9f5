"""Matterport's .h5 files: read whole or refused by name, and then the same model."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from benchmarks.originals.matterport_files import Layers, matterport_layers, write_h5
from benchmarks.originals.matterport_oracle import Found, Matterport
from benchmarks.samples import confident_checkpoint, scene
from maskrt.export import to_onnx
from maskrt.models.checkpoint import Checkpoint
from maskrt.models.foreign.class_names import COCO
from maskrt.models.load import load_checkpoint
from maskrt.models.rcnn.config import MaskRcnnConfig
from maskrt.models.rcnn.matterport.config import MatterportConfig
from maskrt.models.rcnn.reference.network import EagerSession
from maskrt.runtime.errors import CheckpointError, MissingDependencyError
from maskrt.runtime.files.atomic import write_png
from maskrt.runtime.parity.command import main as parity
from maskrt.runtime.preprocess import preprocess

NAMES = [f"class {i}" for i in range(1, 9)]
SIDES: dict[str, Any] = {"min_size_px": 128, "max_size_px": 192}
MIN_SCORE = 0.05
# Float32 and folded weights against float64 and the file's own: 4e-4 px, 2e-6 and 7e-5 were seen.
BOX_PX, SCORE, MASK = 5e-3, 1e-4, 2e-3


class Saved(NamedTuple):
    """A file, its layers, what was read of it, what is found in a picture by its definition, and the canvas."""

    path: Path
    layers: Layers
    read: Checkpoint
    found: Found
    batch: Any


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """ResNet-50 under a narrow pyramid, confident."""
    narrow = {"fpn_channels": 32, "mask_convs": (32,) * 4, "num_classes": 9}
    checkpoint = confident_checkpoint("resnet50", 5, kind=MatterportConfig, **SIDES | narrow)
    for kind in ("weight", "bias"):  # so sure as it is, float32 makes ties of its scores
        checkpoint.state_dict[f"roi_heads.box_predictor.cls_score.{kind}"] *= 0.4
    layers = matterport_layers(checkpoint.state_dict)
    path = write_h5(tmp_path_factory.mktemp("logs") / "mask_rcnn_shapes_0010.h5", layers)
    batch = preprocess([scene()], checkpoint.contract().canvas)
    (height, width), (h, w) = batch.images.shape[1:3], (int(side) for side in batch.image_sizes[0])
    top, left = (height - h) // 2, (width - w) // 2
    found = Matterport(path).detect(batch.images[0], (top, left, top + h, left + w), MIN_SCORE)
    edges = found.boxes * (np.array([height, width] * 2) - 1) + [0, 0, 1, 1] - [top, left, top, left]
    read = load_checkpoint(path, NAMES)
    return Saved(path, layers, read, dataclasses.replace(found, boxes=edges[:, [1, 0, 3, 2]]), batch)


def differences(checkpoint: Checkpoint, saved: Saved) -> list[str]:
    """What the definition finds and the checkpoint does not find the same; empty if nothing."""
    outputs = EagerSession(checkpoint.build(), checkpoint.contract(), name="read").infer(
        saved.batch.images, saved.batch.image_sizes
    )
    assert outputs["masks"] is not None
    count, found = int(outputs["num_detections"][0]), saved.found
    said = [f"{count} detections, not {len(found.boxes)}"] if count != len(found.boxes) else []
    apart_px = np.abs(found.boxes[:, None] - outputs["boxes"][0, None, :count]).max(axis=2)
    apart_px[found.classes[:, None] - 1 != outputs["labels"][0, None, :count]] = np.inf
    for row, nearest in enumerate(apart_px.argmin(axis=1)):
        apart = (
            apart_px[row, nearest] / BOX_PX,
            abs(found.scores[row] - outputs["scores"][0, nearest]) / SCORE,
            np.abs(found.masks[row] - outputs["masks"][0, nearest]).max() / MASK,
        )
        if max(apart) > 1:
            said.append(f"detection {row}: box, score and mask {apart} times what is allowed apart")
    return said


def changed(saved: Saved, **changes: Any) -> Checkpoint:
    """What was read, with changes in its settings."""
    return dataclasses.replace(saved.read, config=dataclasses.replace(saved.read.config, **SIDES | changes))


def test_a_file_finds_what_its_definition_finds(saved: Saved) -> None:
    assert len(saved.found.boxes) >= 50
    assert len(set(saved.found.classes)) >= 4
    config = saved.read.config
    assert (config.backbone, config.num_classes, config.fpn_channels) == ("resnet50", 9, 32)
    assert (config.min_size_px, config.max_size_px) == (800, 1024)
    assert differences(changed(saved), saved) == []


@pytest.mark.parametrize(
    "changes",
    [{"roi_pool": "align_avg"}, {"anchor_ratios": (0.5, 1.0, 2.0)}, {"frozen_bn_epsilon": 1e-5}],
    ids=lambda changes: next(iter(changes)),
)
def test_by_other_rules_it_would_find_something_else(saved: Saved, changes: dict[str, Any]) -> None:
    assert differences(changed(saved, **changes), saved)


def test_into_torchvisions_network_it_does_not_fit(saved: Saved) -> None:
    with pytest.raises(CheckpointError, match="do not fit"):
        dataclasses.replace(saved.read, config=MaskRcnnConfig(**vars(saved.read.config))).build()


def test_what_save_writes_with_the_optimizer_is_read_alike(saved: Saved, tmp_path: Path) -> None:
    whole = load_checkpoint(write_h5(tmp_path / "whole.h5", saved.layers, whole_model=True), NAMES).state_dict
    assert whole.keys() == saved.read.state_dict.keys()
    assert all((whole[key] == weight).all() for key, weight in saved.read.state_dict.items())


def test_names_are_asked_for_and_counted(saved: Saved) -> None:
    with pytest.raises(
        CheckpointError, match=r"0010\.h5: tells 8 classes apart, and has no names.*--classes"
    ):
        load_checkpoint(saved.path)
    with pytest.raises(CheckpointError, match=r"tells 8 classes apart, and 2 names were given"):
        load_checkpoint(saved.path, ["a", "b"])


def test_cocos_classes_are_known(saved: Saved, tmp_path: Path) -> None:
    wide = {
        "mrcnn_class_logits": {"kernel": np.zeros((1024, 81)), "bias": np.zeros(81)},
        "mrcnn_bbox_fc": {"kernel": np.zeros((1024, 324)), "bias": np.zeros(324)},
        "mrcnn_mask": {"kernel": np.zeros((1, 1, 32, 81)), "bias": np.zeros(81)},
    }
    read = load_checkpoint(write_h5(tmp_path / "mask_rcnn_coco.h5", saved.layers | wide))
    assert read.classes == COCO


def test_weights_that_do_not_fit_are_listed(saved: Saved, tmp_path: Path) -> None:
    layers = dict(saved.layers)
    layers["fpn_p7"] = layers.pop("fpn_p4")
    layers["mrcnn_mask_bn2"] = {k: v for k, v in layers["mrcnn_mask_bn2"].items() if k != "gamma"}
    layers["res2a_branch2a"] = {"kernel": layers["res2a_branch2a"]["kernel"]}
    layers["mrcnn_mask"] = layers["mrcnn_mask"] | {"bias": np.zeros(7)}
    with pytest.raises(CheckpointError) as refused:
        load_checkpoint(write_h5(tmp_path / "odd.h5", layers), NAMES)
    message = str(refused.value)
    assert "4 missing: mrcnn_mask_bn2/gamma, res2a_branch2a/bias, fpn_p4/kernel, fpn_p4/bias" in message
    assert "left over: fpn_p7/bias, fpn_p7/kernel" in message
    assert (
        "mrcnn_mask/bias (7,) (as 'roi_heads.mask_predictor.mask_fcn_logits.bias' it must give (9,))"
        in message
    )


def test_another_backbone_is_refused(saved: Saved, tmp_path: Path) -> None:
    layers = {name: weights for name, weights in saved.layers.items() if not name.startswith("res4f")}
    with pytest.raises(CheckpointError, match=r"of 5 blocks in stage 4, is none of resnet50, resnet101"):
        load_checkpoint(write_h5(tmp_path / "short.h5", layers), NAMES)


def test_a_file_that_was_cut_off_is_said_so(saved: Saved, tmp_path: Path) -> None:
    (tmp_path / "cut.h5").write_bytes(saved.path.read_bytes()[:50_000])
    with pytest.raises(
        CheckpointError, match=r"cut\.h5: not a readable file of Keras' weights \(50000 bytes"
    ):
        load_checkpoint(tmp_path / "cut.h5", NAMES)


def test_another_network_of_keras_is_refused(tmp_path: Path) -> None:
    path = write_h5(tmp_path / "vgg.h5", {"block1_conv1": {"kernel": np.zeros((3, 3, 3, 64))}})
    with pytest.raises(CheckpointError, match=r"vgg\.h5: neither .* nor a Mask R-CNN of Matterport"):
        load_checkpoint(path)


def test_without_h5py_it_names_the_extra(saved: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(MissingDependencyError, match=r"needs the package 'h5py'.*\[keras\]"):
        load_checkpoint(saved.path)


DISPLAY = """
Configurations:
BACKBONE                       resnet50
BACKBONE_STRIDES               [4, 8, 16, 32, 64]
BBOX_STD_DEV                   [0.1 0.1 0.2 0.2]
DETECTION_MAX_INSTANCES        400
DETECTION_NMS_THRESHOLD        0.3
IMAGE_MAX_DIM                  512
IMAGE_META_SIZE                14
IMAGE_MIN_DIM                  512
IMAGE_MIN_SCALE                0
IMAGE_RESIZE_MODE              square
LOSS_WEIGHTS                   {'rpn_class_loss': 1.0, 'rpn_bbox_loss': 1.0}
MEAN_PIXEL                     [43.53 39.56 48.22]
RPN_ANCHOR_RATIOS              [0.5, 1, 4]
RPN_ANCHOR_SCALES              (8, 16, 32, 64, 128)
RPN_BBOX_STD_DEV               [0.1 0.2 0.4 0.8]
RPN_NMS_THRESHOLD              0.9
"""


def with_display(saved: Saved, folder: Path, text: str) -> Path:
    """The file, with what `config.display()` printed beside it."""
    (folder / "mask_rcnn_nucleus_0040.txt").write_text(text)
    path = folder / "mask_rcnn_nucleus_0040.h5"
    path.symlink_to(saved.path)
    return path


def test_how_it_was_set_is_read_beside_it(saved: Saved, tmp_path: Path) -> None:
    read = load_checkpoint(with_display(saved, tmp_path, DISPLAY), NAMES)
    assert read.config.anchor_sizes_px == ((8,), (16,), (32,), (64,), (128,))
    assert read.config.anchor_ratios == (2.0, 1.0, 0.25), "height / width, as ours are"
    assert read.config.mean == (43.53 / 255, 39.56 / 255, 48.22 / 255)
    assert (read.config.min_size_px, read.config.max_size_px) == (512, 512)
    assert (read.config.rpn_nms, read.config.max_detections, read.config.rpn_pre_nms_test) == (0.9, 400, 6000)
    ratio = read.state_dict["rpn.head.bbox_pred.bias"] / saved.read.state_dict["rpn.head.bbox_pred.bias"]
    # The file's dy dx dh dw: 0.1 of y as it was, 0.2 of x where it was 0.1, 0.4 of the height and 0.8 of the width.
    np.testing.assert_allclose(ratio[:4], [2, 1, 4, 2], rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("square", "pad64"), "IMAGE_RESIZE_MODE is pad64, but only square can be read"),
        (("(8, 16, 32, 64, 128)", "(8, 16)"), r"RPN_ANCHOR_SCALES is \(8, 16\), expected 5"),
        (("[0.1 0.2 0.4 0.8]", "[0.1]"), "a setting in it has other numbers"),
        (("RPN_ANCHOR_SCALES", "SCALES"), r"not what Matterport's config\.display\(\) prints"),
    ],
)
def test_what_it_cannot_be_set_to_is_refused(
    saved: Saved, tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    with pytest.raises(CheckpointError, match=r"0040\.txt: .*" + message):
        load_checkpoint(with_display(saved, tmp_path, DISPLAY.replace(*change)), NAMES)


@pytest.mark.full
def test_a_file_goes_through_export_and_parity(saved: Saved, tmp_path: Path) -> None:
    model, picture, names = tmp_path / "m.onnx", tmp_path / "picture.png", ["--classes", ",".join(NAMES)]
    with pytest.raises(SystemExit) as finished:
        to_onnx.main([str(saved.path), "-o", str(model), "--height", "192", "--width", "192", *names])
    assert not finished.value.code
    write_png(picture, scene(1))
    with pytest.raises(SystemExit) as finished:
        parity([str(saved.path), str(model), str(picture)])
    assert not finished.value.code
