"""What `config.display()` of Matterport's Mask_RCNN prints, kept beside a `.h5`: how the model was set.

A line a setting, its name and its value as Python prints it; what each means: mrcnn/config.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from maskrt.models.rcnn.matterport.network import RPN_STD_DEV
from maskrt.runtime.errors import CheckpointError

LEVELS = 5
NUMBER = re.compile(r"-?\d+\.?\d*(?:e[-+]?\d+)?|-?\.\d+")

Numbers = list[float]


def _whole(values: Numbers) -> int:
    return int(values[0])


def _x_first(values: Numbers) -> tuple[float, ...]:
    """Deviations of dy dx dh dw as those of dx dy dw dh."""
    y, x, height, width = values
    return x, y, width, height


# By setting: the field of MaskRcnnConfig and what its numbers are there.
FIELDS: dict[str, tuple[str, Callable[[Numbers], Any]]] = {
    "IMAGE_MIN_DIM": ("min_size_px", _whole),
    "IMAGE_MAX_DIM": ("max_size_px", _whole),
    "MEAN_PIXEL": ("mean", lambda values: tuple(value / 255 for value in values)),
    "RPN_ANCHOR_SCALES": ("anchor_sizes_px", lambda values: tuple((int(value),) for value in values)),
    "RPN_ANCHOR_RATIOS": ("anchor_ratios", lambda values: tuple(1 / value for value in values)),
    "RPN_NMS_THRESHOLD": ("rpn_nms", lambda values: values[0]),
    "PRE_NMS_LIMIT": ("rpn_pre_nms_test", _whole),
    "POST_NMS_ROIS_INFERENCE": ("rpn_post_nms_test", _whole),
    "BBOX_STD_DEV": ("box_weights", lambda values: tuple(1 / value for value in _x_first(values))),
    "DETECTION_NMS_THRESHOLD": ("nms", lambda values: values[0]),
    "DETECTION_MAX_INSTANCES": ("max_detections", _whole),
}
# What cannot be otherwise here, where it is said.
REQUIRED = {
    "IMAGE_RESIZE_MODE": "square",
    "IMAGE_MIN_SCALE": "0",
    "BACKBONE_STRIDES": "[4, 8, 16, 32, 64]",
    "RPN_ANCHOR_STRIDE": "1",
    "POOL_SIZE": "7",
    "MASK_POOL_SIZE": "14",
}


def read_display(path: Path) -> tuple[dict[str, Any], tuple[float, ...]]:
    """Fields of MaskRcnnConfig, and the RPN's deviations of x, y, width and height.

    Settings that the text lacks are as in the base configuration. Raises CheckpointError where it is no such
    text, or sets what maskrt's model cannot be set to.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}), though it lies beside a .h5.") from error
    said = dict(line.split(maxsplit=1) for line in lines if re.match(r"[A-Z_]+\s+\S", line))
    if "RPN_ANCHOR_SCALES" not in said:
        raise CheckpointError(
            f"{path}: lies beside a .h5, but is not what Matterport's config.display() prints (no "
            "RPN_ANCHOR_SCALES in it). Move it away to have the base configuration's settings assumed."
        )
    for name, expected in REQUIRED.items():
        got = said.get(name, expected).strip()
        if got != expected:
            raise CheckpointError(f"{path}: {name} is {got}, but only {expected} can be read.")
    try:
        settings = {
            field: convert(_numbers(said[name])) for name, (field, convert) in FIELDS.items() if name in said
        }
        std_dev = _x_first(_numbers(said["RPN_BBOX_STD_DEV"])) if "RPN_BBOX_STD_DEV" in said else RPN_STD_DEV
    except (ValueError, IndexError, ZeroDivisionError) as error:
        raise CheckpointError(
            f"{path}: a setting in it has other numbers than Matterport's ({error})."
        ) from error
    if len(settings["anchor_sizes_px"]) != LEVELS:
        raise CheckpointError(
            f"{path}: RPN_ANCHOR_SCALES is {said['RPN_ANCHOR_SCALES']}, expected {LEVELS}, one a level."
        )
    return settings, std_dev


def _numbers(text: str) -> Numbers:
    return [float(number) for number in NUMBER.findall(text)]
