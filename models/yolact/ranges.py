"""The ranges in which the numbers of YOLACT's configuration make sense."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from maskrt.models.yolact.layout import LEVELS
from maskrt.runtime.errors import CheckpointError

MOST = 10**6  # of what is counted, or a side in px


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _are_positive(values: Any) -> bool:
    return isinstance(values, tuple) and bool(values) and all(_is_number(v) and v > 0 for v in values)


#: By the settings' names: what a value must fulfil, and that in words.
_RULES: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    (
        "channels prototypes min_size_px max_size_px nms_a_class nms_candidates max_detections "
        "masks_an_image",
        lambda value: type(value) is int and 1 <= value <= MOST,
        f"a whole number from 1 to {MOST}",
    ),
    (
        "num_classes",
        lambda value: type(value) is int and 2 <= value <= MOST,
        "at least 2 (background and one class)",
    ),
    (
        "score_threshold nms positive_iou negative_iou frozen_bn_epsilon",
        lambda value: _is_number(value) and 0 <= value <= 1,
        "0 to 1",
    ),
    (
        "negatives_a_positive box_weight mask_weight semantic_weight min_box_px",
        lambda value: _is_number(value) and 0 <= value <= MOST,
        f"0 to {MOST}",
    ),
    (
        "mean",
        lambda values: isinstance(values, tuple) and len(values) == 3 and all(map(_is_number, values)),
        "three numbers",
    ),
    ("std", lambda values: _are_positive(values) and len(values) == 3, "three numbers above 0"),
    ("prior_ratios", _are_positive, "at least one number, all above 0"),
    (
        "prior_sizes_px",
        lambda levels: (
            isinstance(levels, tuple)
            and len(levels) == len(LEVELS)
            and all(map(_are_positive, levels))
            and len(set(map(len, levels))) == 1
        ),
        f"as many numbers above 0 for each of {', '.join(LEVELS)}",
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
    for name, lower in (("max_size_px", "min_size_px"), ("positive_iou", "negative_iou")):
        if config[name] < config[lower]:
            raise CheckpointError(
                f"model configuration: {name} is {config[name]}, expected at least {lower}, {config[lower]}."
            )
