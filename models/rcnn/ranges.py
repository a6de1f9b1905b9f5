"""The ranges in which the numbers of a model's configuration make sense."""

from __future__ import annotations

from maskrt.models.parts.settings import (
    CLASSES,
    MEAN,
    MOST,
    STD,
    Rule,
    are_positive,
    counted,
    from_0_to,
    is_number,
)

RULES = (
    counted(
        "canvas_stride fpn_channels min_size_px max_size_px rpn_convs rpn_pre_nms_train rpn_pre_nms_test "
        "rpn_post_nms_train rpn_post_nms_test rpn_samples box_roi_size box_samples max_detections "
        "mask_roi_size num_keypoints keypoint_roi_size"
    ),
    CLASSES,
    from_0_to(
        1,
        "rpn_nms rpn_foreground_iou rpn_background_iou rpn_positive_fraction box_foreground_iou "
        "box_background_iou box_positive_fraction score_threshold nms frozen_bn_epsilon",
    ),
    from_0_to(MOST, "rpn_least_side_px least_side_px"),
    Rule(
        "max_detections_per_class",
        lambda value: type(value) is int and 0 <= value <= MOST,
        f"a whole number from 0 to {MOST}",
    ),
    Rule("rpn_score_threshold", lambda value: is_number(value) and 0 <= value < 1, "0, or more and below 1"),
    Rule("sampling_ratio", lambda value: type(value) is int and value <= MOST, "a whole number"),
    MEAN,
    STD,
    Rule("box_weights", lambda values: are_positive(values) and len(values) == 4, "four numbers above 0"),
    Rule("anchor_ratios mask_convs keypoint_convs", are_positive, "at least one number, all above 0"),
    Rule(
        "anchor_sizes_px",
        lambda levels: (
            isinstance(levels, tuple) and all(map(are_positive, levels)) and len(set(map(len, levels))) == 1
        ),
        "as many numbers above 0 for each level",
    ),
)
AT_LEAST = {
    "max_size_px": "min_size_px",
    "rpn_foreground_iou": "rpn_background_iou",
    "box_foreground_iou": "box_background_iou",
}
