"""The ranges in which the numbers of YOLACT's configuration make sense."""

from __future__ import annotations

from maskrt.models.parts.settings import CLASSES, MEAN, MOST, STD, Rule, are_positive, counted, from_0_to
from maskrt.models.yolact.layout import LEVELS

RULES = (
    counted(
        "channels prototypes min_size_px max_size_px nms_a_class nms_candidates max_detections masks_an_image"
    ),
    CLASSES,
    from_0_to(1, "score_threshold nms positive_iou negative_iou frozen_bn_epsilon"),
    from_0_to(MOST, "negatives_a_positive box_weight mask_weight semantic_weight mask_iou_weight min_box_px"),
    MEAN,
    STD,
    Rule(
        "deformable_every",
        lambda value: type(value) is int and 0 <= value <= MOST,
        f"a whole number from 0 to {MOST}",
    ),
    Rule("prior_ratios", are_positive, "at least one number, all above 0"),
    Rule(
        "prior_sizes_px",
        lambda levels: (
            isinstance(levels, tuple)
            and len(levels) == len(LEVELS)
            and all(map(are_positive, levels))
            and len(set(map(len, levels))) == 1
        ),
        f"as many numbers above 0 for each of {', '.join(LEVELS)}",
    ),
)
AT_LEAST = {"max_size_px": "min_size_px", "positive_iou": "negative_iou"}
