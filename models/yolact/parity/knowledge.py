"""YOLACT's answers to what parity asks of a family. Imports no torch."""

from __future__ import annotations

from maskrt.models.yolact.layout import BOX_DELTAS, CLASS_LOGITS, COEFFICIENT_LOGITS, LEVELS, PROTOTYPE_LOGITS
from maskrt.runtime.contract import CANVAS, Contract
from maskrt.runtime.parity.inside.knowledge import WEIGHTS, Knowledge
from maskrt.runtime.tasks.instances.compare.seen import DETECTIONS

OF_A_CELL = "what belongs to a prior and what to a class, box or prototype taken in another order"
#: By the beginning of a stage's name; of the others, WEIGHTS.
POSSIBLE = {
    "P": "the pyramid's levels exchanged or in the reverse order; sums that are upsampled otherwise than "
    f"bilinearly; a ReLU too many or too few; {WEIGHTS}",
    "class_logits": f"{OF_A_CELL}; {WEIGHTS}",
    "box_deltas": f"{OF_A_CELL}; {WEIGHTS}",
    "coefficient_logits": f"{OF_A_CELL}; {WEIGHTS}",
    PROTOTYPE_LOGITS: f"upsampling otherwise than bilinearly by two, a ReLU before it or after; {WEIGHTS}",
}
#: By the beginning of a weight's name in the graph.
STAGES = (
    ("canvas.", CANVAS),
    ("backbone.body.layer1", "C2"),
    ("backbone.body.layer2", "C3"),
    ("backbone.body.layer3", "C4"),
    ("backbone.body.layer4", "C5"),
    ("backbone.body.", "stem"),
    ("protonet.", PROTOTYPE_LOGITS),
    ("head.boxes", BOX_DELTAS[0]),
    ("head.coefficients", COEFFICIENT_LOGITS[0]),
    ("head.", CLASS_LOGITS[0]),
)
#: A number follows: the level's, from P3 on.
PYRAMID = {"backbone.fpn.laterals.": 0, "backbone.fpn.levels.": 0, "backbone.fpn.extra.": 3}


class YolactKnowledge(Knowledge):
    """Which weight is seen where, and what is known to go wrong."""

    def stage_of_weight(self, name: str, contract: Contract) -> str:
        """By the beginning of its name; the trunk's by a ResNet's stages."""
        for start, first in PYRAMID.items():
            if name.startswith(start):
                return LEVELS[first + int(name.removeprefix(start).split(".")[0])]
        known = {tap.name for tap in contract.inside.taps}
        stage = next((stage for start, stage in STAGES if name.startswith(start)), DETECTIONS)
        return stage if stage in known else DETECTIONS

    def possible(self, stage: str) -> str:
        """By the beginning of the stage's name."""
        return next((said for start, said in POSSIBLE.items() if stage.startswith(start)), WEIGHTS)


KNOWLEDGE = YolactKnowledge()
