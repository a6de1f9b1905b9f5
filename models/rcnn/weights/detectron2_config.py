"""The `config.yaml` that Detectron2's trainer leaves beside its checkpoints: how the model was set.

Its `default_setup` (detectron2/engine/defaults.py) writes the whole configuration into OUTPUT_DIR; what each
field means is said in detectron2/config/defaults.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskrt.models.rcnn.weights.conventions import rgb_fractions
from maskrt.runtime.errors import CheckpointError

FILE = "config.yaml"
# Fields of MaskRcnnConfig, and where their values stand.
FIELDS = {
    "min_size_px": "INPUT.MIN_SIZE_TEST",
    "max_size_px": "INPUT.MAX_SIZE_TEST",
    "stride_in_1x1": "MODEL.RESNETS.STRIDE_IN_1X1",
    "rpn_pre_nms_train": "MODEL.RPN.PRE_NMS_TOPK_TRAIN",
    "rpn_pre_nms_test": "MODEL.RPN.PRE_NMS_TOPK_TEST",
    "rpn_post_nms_train": "MODEL.RPN.POST_NMS_TOPK_TRAIN",
    "rpn_post_nms_test": "MODEL.RPN.POST_NMS_TOPK_TEST",
    "rpn_nms": "MODEL.RPN.NMS_THRESH",
    "box_roi_size": "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION",
    "sampling_ratio": "MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO",
    "box_weights": "MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS",
    "score_threshold": "MODEL.ROI_HEADS.SCORE_THRESH_TEST",
    "nms": "MODEL.ROI_HEADS.NMS_THRESH_TEST",
    "max_detections": "TEST.DETECTIONS_PER_IMAGE",
}
# What cannot be otherwise here.
REQUIRED = {
    "MODEL.META_ARCHITECTURE": "GeneralizedRCNN",
    "MODEL.ANCHOR_GENERATOR.NAME": "DefaultAnchorGenerator",
    "MODEL.ANCHOR_GENERATOR.OFFSET": 0.0,
    "MODEL.FPN.FUSE_TYPE": "sum",
    "MODEL.RPN.BBOX_REG_WEIGHTS": [1.0, 1.0, 1.0, 1.0],
    "MODEL.ROI_BOX_HEAD.POOLER_TYPE": "ROIAlignV2",
    "MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE": False,
    "MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION": 14,
    "MODEL.ROI_MASK_HEAD.POOLER_TYPE": "ROIAlignV2",
}


@dataclass(frozen=True)
class Trained:
    """settings: fields of MaskRcnnConfig. bgr: the first convolution takes B G R, else R G B."""

    settings: dict[str, Any]
    bgr: bool


def read_config(path: Path, levels: int) -> Trained:
    """What a `config.yaml` says of a model whose RPN reads `levels` maps.

    Raises CheckpointError where it is no such file, or sets what maskrt's models cannot be set to.
    """
    import yaml  # of `training` and `cpu`; the readers of other files do without

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        settings = {field: _value(content, name) for field, name in FIELDS.items()}
        others = {name: _value(content, name) for name in REQUIRED}
        sizes, (ratios,) = (
            _value(content, f"MODEL.ANCHOR_GENERATOR.{n}") for n in ("SIZES", "ASPECT_RATIOS")
        )
        colours = {name: _value(content, f"MODEL.PIXEL_{name.upper()}") for name in ("mean", "std")}
        bgr = _value(content, "INPUT.FORMAT") == "BGR"
    except (OSError, yaml.YAMLError, UnicodeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path}: not a whole configuration of Detectron2 ({error!r}), though it lies beside a file of "
            "its trainer. Move it away to have the model zoo's settings assumed."
        ) from error
    for name, expected in REQUIRED.items():
        if others[name] != expected:
            raise CheckpointError(f"{path}: {name} is {others[name]!r}, but only {expected!r} can be read.")
    return Trained(
        settings=settings
        | {name: rgb_fractions(value, bgr=bgr) for name, value in colours.items()}
        | {
            "box_weights": tuple(settings["box_weights"]),
            # A single list of sizes serves every level.
            "anchor_sizes_px": tuple(map(tuple, sizes * levels if len(sizes) == 1 else sizes)),
            "anchor_ratios": tuple(ratios),
        },
        bgr=bgr,
    )


def _value(content: Any, name: str) -> Any:
    for part in name.split("."):
        content = content[part]
    return content
