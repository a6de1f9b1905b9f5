"""What YOLACT's contract says of its inside: taps, parts, and the names of its layers.

| tap | shape | what |
|---|---|---|
| canvas, stem, C2 … C5 | N × C × h × w | the trunk's maps (models/yolact/trunks.py) |
| P3 … P7 | N × C × h × w | the pyramid's |
| class_logits.P3 … | N × A·classes × h × w | of A priors a cell; the background is class 0 |
| box_deltas.P3 … | N × A·4 × h × w | of the prior's centre and sides |
| coefficient_logits.P3 … | N × A·K × h × w | of K prototypes, before their tanh |
| prototype_logits | N × K × 2h × 2w | of P3's h and w, before their ReLU |
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maskrt.runtime.contract import CANVAS, Inside, Layers, Part, Tap
from maskrt.runtime.tasks.instances.options import COEFFICIENTS, DETECTED, MASKS, PROTOTYPES

if TYPE_CHECKING:
    from maskrt.models.yolact.config import YolactConfig

LEVELS = ("P3", "P4", "P5", "P6", "P7")
TRUNK = ("stem", "C2", "C3", "C4", "C5")
#: In the order in which an error travels: from the pyramid's top down, then up to what is made of P5.
TOP_DOWN = ("P5", "P4", "P3", "P6", "P7")
CLASS_LOGITS, BOX_DELTAS, COEFFICIENT_LOGITS = (
    tuple(f"{kind}.{level}" for level in LEVELS)
    for kind in ("class_logits", "box_deltas", "coefficient_logits")
)
OF_PRIORS = (*CLASS_LOGITS, *BOX_DELTAS, *COEFFICIENT_LOGITS)
PROTOTYPE_LOGITS = "prototype_logits"
STRIDES_PX = dict(zip(LEVELS, (8, 16, 32, 64, 128), strict=True))
PROTOTYPES_MAP_PX, PROTOTYPES_TIMES = STRIDES_PX["P3"], 2  # twice as many cells as P3 has

OUTPUT_LAYERS = "outputs"  # boxes, coefficients, prototypes: an error of theirs is one of the whole object
MOST_BLOCKS = 23  # of a stage: ResNet-101's third
#: The first that fits counts. Darknet and MobileNet number their stages otherwise than ResNets.
GROUPS = (
    ("backbone.body.conv1", "stem"),
    ("backbone.body.stem", "stem"),
    *((f"backbone.body.layer{number}", f"layer{number}") for number in (1, 2, 3, 4, 5)),
    ("backbone.body", "trunk"),
    ("backbone.fpn", "fpn"),
    ("protonet.last", OUTPUT_LAYERS),
    ("protonet", "protonet"),
    ("head.boxes", OUTPUT_LAYERS),
    ("head.coefficients", OUTPUT_LAYERS),
    ("mask_iou", OUTPUT_LAYERS),
    ("head", "head"),
)
UNITS = (
    *(f"backbone.body.layer{number}.*" for number in (1, 2, 3, 4, 5)),
    "backbone.body.*",
    "backbone.fpn",
    "protonet",
    "head",
)


def inside_of(config: YolactConfig) -> Inside:
    """The taps and parts of a model."""
    taps = [Tap(name, "map", stride_px=STRIDES_PX.get(name)) for name in (CANVAS, *TRUNK, *LEVELS)]
    taps += [Tap(name, "map") for name in (*OF_PRIORS, PROTOTYPE_LOGITS)]
    made = (COEFFICIENTS, PROTOTYPES) if config.mask_outputs == "factors" else (MASKS,)
    return Inside(
        tuple(taps),
        (
            Part("backbone", (CANVAS,), TRUNK),
            Part("pyramid", ("C3", "C4", "C5"), TOP_DOWN),
            Part("head", LEVELS, OF_PRIORS),
            Part("protonet", ("P3",), (PROTOTYPE_LOGITS,)),
            Part("detections", (CANVAS, *OF_PRIORS, PROTOTYPE_LOGITS), (*DETECTED, *made)),
        ),
    )


def layers_of(config: YolactConfig) -> Layers:
    """How a model's layers are named and grouped.

    Class logits are outputs too where they cost no more than the coefficients. Those of many classes cost
    several hundredths of all work, and are rounded.
    """
    few = [("head.classes", OUTPUT_LAYERS)] * (config.num_classes <= config.prototypes)
    return Layers((*_offsets(config.deformable_every), *few, *GROUPS), OUTPUT_LAYERS, (), UNITS)


def _offsets(every: int) -> list[tuple[str, str]]:
    """The groups of what moves the samples of deformable convolutions: rounded, it would round places."""
    blocks = range(0, MOST_BLOCKS, every) if every else ()
    return [
        (f"backbone.body.layer{stage}.{block}.conv2.offsets", OUTPUT_LAYERS)
        for stage in (2, 3, 4)
        for block in blocks
    ]
