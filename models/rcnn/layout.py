"""What R-CNN's contract says of its inside: taps, parts, and the names of its layers.

| tap | shape | what |
|---|---|---|
| maps | N × C × h × w | models/parts/layout.py |
| proposals, proposal_counts | N × P × 4, N | x1 y1 x2 y2 in canvas pixels, zero past the count; int32 |
| box_features | R × C × S × S | pooled for each proposal, S = 7 on a pyramid, 14 on C4 |
| class_logits, box_deltas | R × classes, R × 4·classes | the background is class 0 |
| mask_features | K × C × 14 × 14 | pooled for each detection |
| mask_logits | K × M² | for the detection's own class |
| keypoint_features | K × C × 14 × 14 | pooled for each detection |
| keypoint_logits | K × points × 56 × 56 | the heat maps |

R is N·P, the rows of an image together, and K is N·D or, where the mask head runs on the detections found
only, their sum. Which maps a model has is its `Layout`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maskrt.models.parts.layout import LAYOUTS, STEM, Layout, layout_of
from maskrt.runtime.contract import CANVAS, Inside, Layers, Part, Tap
from maskrt.runtime.tasks.instances.options import BOXES, DETECTED, LABELS, NUM_DETECTIONS

if TYPE_CHECKING:
    from maskrt.models.rcnn.config import MaskRcnnConfig

PROPOSALS, PROPOSAL_COUNTS = "proposals", "proposal_counts"
BOX_FEATURES, CLASS_LOGITS, BOX_DELTAS = "box_features", "class_logits", "box_deltas"
MASK_FEATURES, MASK_LOGITS = "mask_features", "mask_logits"
KEYPOINT_FEATURES, KEYPOINT_LOGITS = "keypoint_features", "keypoint_logits"
PER_PROPOSAL = (BOX_FEATURES, CLASS_LOGITS, BOX_DELTAS)
#: By the task of the configuration: what is pooled for each detection, and what its head makes of it.
PER_DETECTION: dict[str, tuple[str, ...]] = {
    "instance": (MASK_FEATURES, MASK_LOGITS),
    "detection": (),
    "keypoint": (KEYPOINT_FEATURES, KEYPOINT_LOGITS),
}


def _of_any(kind: str) -> list[str]:
    return sorted({name for layout in LAYOUTS for name in getattr(layout, kind)})


#: All taps there are, of any model, in an order that is right for each.
RPN_LOGITS = tuple(_of_any("rpn_logits"))
MAPS = tuple(
    dict.fromkeys(
        (CANVAS, STEM, *_of_any("backbone"), *_of_any("levels"), *RPN_LOGITS, *_of_any("rpn_deltas"))
    )
)
TAPS = (
    *(*MAPS, PROPOSALS, PROPOSAL_COUNTS, *PER_PROPOSAL),
    *(name for branch in PER_DETECTION.values() for name in branch),
)

OUTPUT_LAYERS = "outputs"  # class logits, box deltas, RPN outputs

#: Of a backbone's body, by the names of its modules in torchvision.
RESNET_GROUPS = (
    ("backbone.body.conv1", "stem"),
    ("backbone.body.layer1", "layer1"),
    ("backbone.body.layer2", "layer2"),
    ("backbone.body.layer3", "layer3"),
    ("backbone.body.layer4", "layer4"),
)
MOBILENET_GROUPS = tuple(  # MobileNetV3-large's numbered blocks, by the size of their maps
    (f"backbone.body.{block}.", group)
    for group, blocks in (
        ("stem", range(2)),
        ("C2", range(2, 4)),
        ("C3", range(4, 7)),
        ("C4", range(7, 13)),
        ("C5", range(13, 17)),
    )
    for block in blocks
)
GROUPS = (
    ("backbone.fpn", "fpn"),
    ("proposals.head.conv", "rpn"),
    ("proposals.head", OUTPUT_LAYERS),
    ("detections.box_head", "box_head"),
    ("detections.box_predictor", OUTPUT_LAYERS),
    ("mask_head", "mask_head"),
    ("mask_predictor.conv5_mask", "mask_head"),
    ("mask_predictor", OUTPUT_LAYERS),
    ("keypoint_head", "keypoint_head"),
    ("keypoint_predictor", OUTPUT_LAYERS),
)
#: What the exported graph (graph/network.py) calls the modules of the network.
POINTS = (
    ("rpn.head.", "proposals.head."),
    ("roi_heads.box_head.", "detections.box_head."),
    ("roi_heads.mask_", "mask_"),
    ("roi_heads.keypoint_", "keypoint_"),
)
#: As models/parts/half.py switches them: a residual block, or another module of the body; then the heads.
UNITS = (
    *(f"backbone.body.layer{number}.*" for number in (1, 2, 3, 4)),
    "backbone.body.*",
    "backbone.fpn",
    "proposals.head",
    "detections.box_head",
    "detections.box_predictor",
    "mask_head",
    "mask_predictor",
    "keypoint_head",
    "keypoint_predictor",
)


def inside_of(config: MaskRcnnConfig) -> Inside:
    """The taps and parts of a model."""
    layout = layout_of(vars(config))
    return Inside(tuple(_taps(config, layout)), tuple(_parts(config, layout)))


def layers_of(config: MaskRcnnConfig) -> Layers:
    """How a model's layers are named and grouped."""
    body = MOBILENET_GROUPS if config.backbone.startswith("mobilenet") else RESNET_GROUPS
    return Layers((*body, *GROUPS), OUTPUT_LAYERS, POINTS, UNITS)


def _taps(config: MaskRcnnConfig, layout: Layout) -> list[Tap]:
    strides_px = layout.strides_px
    taps = [Tap(name, "map", stride_px=strides_px.get(name)) for name in layout.maps]
    taps += [
        Tap(PROPOSALS, "boxes", PROPOSAL_COUNTS, rows=config.rpn_post_nms_test),
        Tap(PROPOSAL_COUNTS, "counts"),
        Tap(BOX_FEATURES, "rows", PROPOSALS),
        Tap(CLASS_LOGITS, "classes", PROPOSALS),
        Tap(BOX_DELTAS, "rows", PROPOSALS),
    ]
    return taps + [Tap(name, "rows", BOXES) for name in PER_DETECTION[config.task]]


def _parts(config: MaskRcnnConfig, layout: Layout) -> list[Part]:
    levels, pooled = layout.levels, layout.levels[: layout.pooled]
    rpn = (*layout.rpn_logits, *layout.rpn_deltas)
    parts = [Part("backbone", (CANVAS,), layout.backbone)]
    if not set(levels) <= set(layout.backbone):
        parts.append(Part("pyramid", layout.backbone[1:], layout.top_down))
    parts += [
        Part("rpn_head", levels, rpn),
        Part("proposals", (CANVAS, *levels, *rpn), (PROPOSALS, PROPOSAL_COUNTS)),
        Part("box_pooling", (PROPOSALS, *pooled), (BOX_FEATURES,)),
        Part("box_head", (BOX_FEATURES,), (CLASS_LOGITS, BOX_DELTAS)),
        Part("detections", (PROPOSALS, PROPOSAL_COUNTS, CLASS_LOGITS, BOX_DELTAS), DETECTED),
    ]
    if config.task == "instance":
        parts += [
            Part("mask_pooling", (BOXES, NUM_DETECTIONS, *pooled), (MASK_FEATURES,)),
            Part("mask_head", (LABELS, NUM_DETECTIONS, MASK_FEATURES), (MASK_LOGITS,)),
        ]
    if config.task == "keypoint":
        parts += [
            Part("keypoint_pooling", (BOXES, NUM_DETECTIONS, *pooled), (KEYPOINT_FEATURES,)),
            Part("keypoint_head", (KEYPOINT_FEATURES,), (KEYPOINT_LOGITS,)),
        ]
    return parts
