"""Where a wrong weight of an R-CNN is seen first."""

from __future__ import annotations

from maskrt.models.parts.layout import STEM
from maskrt.models.rcnn.layout import BOX_DELTAS, CLASS_LOGITS, KEYPOINT_LOGITS, MASK_LOGITS, PROPOSALS
from maskrt.runtime.contract import CANVAS
from maskrt.runtime.tasks.instances.compare.seen import DETECTIONS

#: By the beginning of a weight's name in the graph.
STAGES = (
    ("canvas.", CANVAS),
    ("backbone.body.layer1", "C2"),
    ("backbone.body.layer2", "C3"),
    ("backbone.body.layer3", "C4"),
    ("backbone.body.layer4", "C5"),
    ("backbone.body.", STEM),
    ("proposals.head.bbox_pred", "rpn_deltas"),
    ("proposals.head.", "rpn_logits"),
    ("proposals.", PROPOSALS),
    ("detections.box_predictor.bbox_pred", BOX_DELTAS),
    ("detections.", CLASS_LOGITS),
    ("mask_", MASK_LOGITS),
    ("keypoint_", KEYPOINT_LOGITS),
)
#: A number follows: the level's.
PYRAMID = ("backbone.fpn.inner_blocks.", "backbone.fpn.layer_blocks.")


def stage_of_weight(name: str, levels: tuple[str, ...]) -> str:
    """The first stage that the weight changes. levels: the maps that the RPN reads, by name, in order."""
    for start in PYRAMID:
        if name.startswith(start):
            return levels[int(name.removeprefix(start).split(".")[0])]
    stage = next((stage for start, stage in STAGES if name.startswith(start)), DETECTIONS)
    return f"{stage}.{levels[0]}" if stage.startswith("rpn_") else stage
