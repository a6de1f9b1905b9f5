"""The config.yaml beside a checkpoint of Detectron2's trainer says how the model was set."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from benchmarks.originals.files import Weights, detectron2_weights
from maskrt.models.load import load_checkpoint
from maskrt.models.rcnn.config import MaskRcnnConfig
from maskrt.models.rcnn.network import build_mask_rcnn
from maskrt.runtime.errors import CheckpointError

Fields = dict[str, Any]


def dump() -> Fields:
    """What is read of `cfg.dump()` of detectron2's mask_rcnn_R_50_FPN_3x.yaml."""
    align = {"POOLER_SAMPLING_RATIO": 0, "POOLER_TYPE": "ROIAlignV2"}
    return {
        "INPUT": {"FORMAT": "BGR", "MIN_SIZE_TEST": 800, "MAX_SIZE_TEST": 1333},
        "MODEL": {
            "META_ARCHITECTURE": "GeneralizedRCNN",
            "PIXEL_MEAN": [103.53, 116.28, 123.675],
            "PIXEL_STD": [1.0, 1.0, 1.0],
            "ANCHOR_GENERATOR": {
                "NAME": "DefaultAnchorGenerator",
                "OFFSET": 0.0,
                "SIZES": [[32], [64], [128], [256], [512]],
                "ASPECT_RATIOS": [[0.5, 1.0, 2.0]],
            },
            "FPN": {"FUSE_TYPE": "sum"},
            "RESNETS": {"STRIDE_IN_1X1": True},
            "RPN": {
                "BBOX_REG_WEIGHTS": [1.0, 1.0, 1.0, 1.0],
                "NMS_THRESH": 0.7,
                "PRE_NMS_TOPK_TRAIN": 2000,
                "PRE_NMS_TOPK_TEST": 1000,
                "POST_NMS_TOPK_TRAIN": 1000,
                "POST_NMS_TOPK_TEST": 1000,
            },
            "ROI_HEADS": {"NMS_THRESH_TEST": 0.5, "SCORE_THRESH_TEST": 0.05},
            "ROI_BOX_HEAD": align
            | {
                "BBOX_REG_WEIGHTS": [10.0, 10.0, 5.0, 5.0],
                "POOLER_RESOLUTION": 7,
                "USE_SIGMOID_CE": False,
            },
            "ROI_MASK_HEAD": align | {"POOLER_RESOLUTION": 14},
        },
        "TEST": {"DETECTIONS_PER_IMAGE": 100},
    }


@pytest.fixture(scope="module")
def weights() -> Weights:
    """Of a narrow R18-FPN, quick to write and read."""
    config = MaskRcnnConfig(backbone="resnet18", num_classes=3, fpn_channels=32, mask_convs=(32,) * 4)
    return build_mask_rcnn(config).state_dict()


@pytest.fixture
def file(weights: Weights, tmp_path: Path) -> Path:
    torch.save({"model": detectron2_weights(weights), "iteration": 9}, tmp_path / "model_final.pth")
    return tmp_path / "model_final.pth"


def beside(file: Path, fields: Fields) -> None:
    file.with_name("config.yaml").write_text(yaml.safe_dump(fields))


def test_the_zoos_own_configuration_changes_nothing(file: Path) -> None:
    without = load_checkpoint(file, ["a", "b"]).config
    beside(file, dump())
    assert load_checkpoint(file, ["a", "b"]).config == without


def test_what_was_trained_otherwise_is_set_so(file: Path, weights: Weights) -> None:
    fields = dump()
    fields["INPUT"] |= {"FORMAT": "RGB", "MIN_SIZE_TEST": 640}
    fields["MODEL"] |= {"PIXEL_MEAN": [123.675, 116.28, 103.53], "PIXEL_STD": [58.395, 57.12, 57.375]}
    fields["MODEL"]["ANCHOR_GENERATOR"]["SIZES"] = [[8], [16], [32], [64], [128]]
    fields["MODEL"]["ROI_HEADS"]["SCORE_THRESH_TEST"] = 0.3
    fields["TEST"]["DETECTIONS_PER_IMAGE"] = 300
    beside(file, fields)
    read = load_checkpoint(file, ["a", "b"])
    assert read.config.min_size_px == 640
    assert read.config.mean == pytest.approx((0.485, 0.456, 0.406), abs=1e-3)
    assert read.config.std == pytest.approx((0.229, 0.224, 0.225), abs=1e-3)
    assert read.config.anchor_sizes_px == ((8,), (16,), (32,), (64,), (128,))
    assert (read.config.score_threshold, read.config.max_detections) == (0.3, 300)
    first = "backbone.body.conv1.weight"
    # The file was made for B G R; taken for R G B, its channels stay as they are.
    assert torch.equal(read.state_dict[first], weights[first].flip(1))


def test_anchors_of_several_sizes_are_put_in_our_order(tmp_path: Path) -> None:
    """Detectron2 has the ratios of a size next to each other, torchvision the sizes of a ratio."""
    sizes = ((16, 24), (32, 48), (64, 96), (128, 192), (256, 384))
    config = MaskRcnnConfig(
        backbone="resnet18", num_classes=3, fpn_channels=32, mask_convs=(32,) * 4, anchor_sizes_px=sizes
    )
    weights = detectron2_weights(build_mask_rcnn(config).state_dict())
    key = "proposal_generator.rpn_head.objectness_logits.bias"
    # By size, then ratio: 16 px has 0, 1, 2 and 24 px has 3, 4, 5.
    torch.save({"model": weights | {key: torch.arange(6.0)}}, tmp_path / "model_final.pth")
    fields = dump()
    fields["MODEL"]["ANCHOR_GENERATOR"]["SIZES"] = [list(level) for level in sizes]
    beside(tmp_path / "model_final.pth", fields)
    read = load_checkpoint(tmp_path / "model_final.pth", ["a", "b"])
    assert read.state_dict["rpn.head.cls_logits.bias"].tolist() == [0, 3, 1, 4, 2, 5]


def with_rotated_anchors(fields: Fields) -> None:
    fields["MODEL"]["ANCHOR_GENERATOR"]["NAME"] = "RotatedAnchorGenerator"


def with_roi_align_of_old(fields: Fields) -> None:
    fields["MODEL"]["ROI_BOX_HEAD"]["POOLER_TYPE"] = "ROIAlign"


def without_a_section(fields: Fields) -> None:
    del fields["MODEL"]["RPN"]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (with_rotated_anchors, r"ANCHOR_GENERATOR\.NAME is 'RotatedAnchorGenerator', but only 'Default"),
        (with_roi_align_of_old, r"ROI_BOX_HEAD\.POOLER_TYPE is 'ROIAlign', but only 'ROIAlignV2'"),
        (without_a_section, r"not a whole configuration of Detectron2 \(KeyError\('RPN'\)\)"),
    ],
)
def test_what_cannot_be_honoured_is_refused(
    fault: Callable[[Fields], None], message: str, file: Path
) -> None:
    fields = dump()
    fault(fields)
    beside(file, fields)
    with pytest.raises(CheckpointError, match=rf"config\.yaml: .*{message}"):
        load_checkpoint(file, ["a", "b"])


def test_a_zoo_file_is_not_read_by_a_stray_configuration(file: Path, weights: Weights) -> None:
    fields = dump()
    fields["TEST"]["DETECTIONS_PER_IMAGE"] = 7
    beside(file, fields)
    assert load_checkpoint(file, ["a", "b"]).config.max_detections == 7
    arrays = {key: tensor.numpy() for key, tensor in detectron2_weights(weights).items()}
    zoo = file.with_suffix(".pkl")
    zoo.write_bytes(pickle.dumps({"model": arrays, "__author__": "Detectron2 Model Zoo"}))
    assert load_checkpoint(zoo, ["a", "b"]).config.max_detections == 100
