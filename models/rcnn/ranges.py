"""The ranges in which the numbers of a model's configuration make sense."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from maskrt.runtime.errors import CheckpointError

MOST = 10**6  # of what is counted, or a side in px: more than any network has, and less than takes all memory


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _are_numbers(values: Any) -> bool:
    return isinstance(values, tuple) and all(map(_is_number, values))


#: By the settings' names: what a value must fulfil, and that in words.
_RULES: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    (
        "canvas_stride fpn_channels min_size_px max_size_px rpn_convs rpn_pre_nms_train rpn_pre_nms_test "
        "rpn_post_nms_train rpn_post_nms_test rpn_samples box_roi_size box_samples max_detections "
        "mask_roi_size num_keypoints keypoint_roi_size",
        lambda value: type(value) is int and 1 <= value <= MOST,
        f"at least 1, and a whole number to {MOST}",
    ),
    (
        "num_classes",
        lambda value: type(value) is int and 2 <= value <= MOST,
        "at least 2 (background and one class)",
    ),
    (
        "rpn_nms rpn_foreground_iou rpn_background_iou rpn_positive_fraction box_foreground_iou "
        "box_background_iou box_positive_fraction score_threshold nms",
        lambda value: _is_number(value) and 0 <= value <= 1,
        "0 to 1",
    ),
    ("rpn_score_threshold", lambda value: _is_number(value) and 0 <= value < 1, "0, or more and below 1"),
    ("frozen_bn_epsilon", lambda value: _is_number(value) and 0 <= value <= 1, "0 to 1"),
    ("sampling_ratio", lambda value: type(value) is int and value <= MOST, "a whole number"),
    ("mean", lambda values: _are_numbers(values) and len(values) == 3, "three numbers"),
    (
        "std",
        lambda values: _are_numbers(values) and len(values) == 3 and min(values) > 0,
        "three numbers above 0",
    ),
    (
        "box_weights",
        lambda values: _are_numbers(values) and len(values) == 4 and min(values) > 0,
        "four numbers above 0",
    ),
    (
        "anchor_ratios mask_convs keypoint_convs",
        lambda values: _are_numbers(values) and min(values, default=0) > 0,
        "at least one number, all above 0",
    ),
    (
        "anchor_sizes_px",
        lambda levels: (
            isinstance(levels, tuple)
            and all(_are_numbers(sizes) and min(sizes, default=0) > 0 for sizes in levels)
            and len(set(map(len, levels))) == 1
        ),
        "as many numbers above 0 for each level",
    ),
)


def check_ranges(config: Mapping[str, Any]) -> None:
    """Raise CheckpointError for the first setting of `config`, by name, that is out of its range."""
    for names, fits, expected in _RULES:
        for name in names.split():
            if not fits(config[name]):
                raise CheckpointError(
                    f"model configuration: {name} is {config[name]!r}, expected {expected}."
                )
    for name, lower in (
        ("max_size_px", "min_size_px"),
        ("rpn_foreground_iou", "rpn_background_iou"),
        ("box_foreground_iou", "box_background_iou"),
    ):
        if config[name] < config[lower]:
            raise CheckpointError(
                f"model configuration: {name} is {config[name]}, expected at least {lower}, {config[lower]}."
            )
