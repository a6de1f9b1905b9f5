"""What goes wrong at a stage of an R-CNN: marks that a fault leaves there, and what else is known to."""

from __future__ import annotations

from collections.abc import Callable

from maskrt.models.parts.layout import layout_of
from maskrt.models.rcnn.layout import (
    BOX_FEATURES,
    KEYPOINT_FEATURES,
    KEYPOINT_LOGITS,
    MASK_FEATURES,
    MASK_LOGITS,
    PROPOSALS,
)
from maskrt.models.rcnn.parity.rois import pooling_culprits, proposal_culprits
from maskrt.runtime.parity.inside.evidence import Evidence
from maskrt.runtime.parity.inside.knowledge import WEIGHTS
from maskrt.runtime.tasks.instances.compare.seen import SeenInstances

ROI_ALIGN = (
    "RoIAlign: half a pixel (aligned), its sampling ratio, RoIs grown or of another level, a stale plugin"
)
#: By the beginning of a stage's name; of the others, WEIGHTS.
POSSIBLE = {
    "P": f"{WEIGHTS}; a pyramid that is upsampled otherwise",
    PROPOSALS: "anchors, decoding, clipping, least side; NMS threshold; number kept, a level or in all",
    BOX_FEATURES: ROI_ALIGN,
    "class_logits": f"{WEIGHTS}; features flattened in another order",
    "box_deltas": f"{WEIGHTS}; features flattened in another order",
    MASK_FEATURES: ROI_ALIGN,
    MASK_LOGITS: f"the mask of another class is taken; {WEIGHTS} of the mask head",
    KEYPOINT_FEATURES: ROI_ALIGN,
    KEYPOINT_LOGITS: f"{WEIGHTS} of the keypoint head; heat maps enlarged otherwise",
}


def possible_causes(stage: str) -> str:
    """What is known to go wrong at a stage."""
    return next((said for start, said in POSSIBLE.items() if stage.startswith(start)), WEIGHTS)


def marks_of(stage: str, evidence: Evidence) -> list[str]:
    """Sentences on the marks that are found in a stage's tensors; none of a stage that bears none."""
    marks = MARKS.get(stage)
    return [] if marks is None else marks(evidence)


def _of_proposals(evidence: Evidence) -> list[str]:
    return proposal_culprits(
        evidence.samples[PROPOSALS].values, evidence.stages[PROPOSALS], _seen(evidence).limit.box_px
    )


def _pooled_for_proposals(evidence: Evidence) -> list[str]:
    boxes = evidence.samples[PROPOSALS].values
    return pooling_culprits(evidence.aligned[BOX_FEATURES], boxes, _strides_px(evidence))


def _pooled_for_detections(stage: str) -> Callable[[Evidence], list[str]]:
    return lambda evidence: pooling_culprits(
        evidence.aligned[stage], _seen(evidence).reference.boxes, _strides_px(evidence)
    )


def _seen(evidence: Evidence) -> SeenInstances:
    """R-CNNs find instances."""
    assert isinstance(evidence.seen, SeenInstances)
    return evidence.seen


def _strides_px(evidence: Evidence) -> tuple[int, ...]:
    return layout_of(evidence.contracts[0].config).pooled_strides_px


MARKS: dict[str, Callable[[Evidence], list[str]]] = {
    PROPOSALS: _of_proposals,
    BOX_FEATURES: _pooled_for_proposals,
    MASK_FEATURES: _pooled_for_detections(MASK_FEATURES),
    KEYPOINT_FEATURES: _pooled_for_detections(KEYPOINT_FEATURES),
}
