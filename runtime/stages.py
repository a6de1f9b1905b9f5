"""The named boundaries inside a model, in the order of the computation: where parity looks.

An exported graph gives these names to its tensors, prefixed by `PREFIX`, whether they are outputs or not, and
the PyTorch reference takes the same tensors by hooks. Shapes, for N images, P RoIs and D rows of detections:

| stage | shape | what |
|---|---|---|
| canvas | N × 3 × H × W | normalised, the padding zeroed |
| stem, C2 … C5 | N × C × h × w | after the backbone's max pooling; the outputs of its four layers |
| P2 … P6 | N × C × h × w | the pyramid's outputs |
| rpn_logits.P2 …, rpn_deltas.P2 … | N × A × h × w, N × 4A × h × w | of A anchors a position |
| proposals, proposal_counts | N × P × 4, N | x1 y1 x2 y2 in canvas pixels, zero past the count; int32 |
| box_features | R × C × 7 × 7 | pooled for each proposal |
| class_logits, box_deltas | R × classes, R × 4·classes | the background is class 0 |
| mask_features | K × C × 14 × 14 | pooled for each detection |
| mask_logits | K × M² | for the detection's own class |

R is N·P, the rows of an image together, and K is N·D or, where the mask head runs on the detections found
only, their sum.
"""

from __future__ import annotations

from numpy.typing import NDArray

from runtime.contract import Contract

PREFIX = "stage."
LEVELS = ("P2", "P3", "P4", "P5", "P6")
CANVAS, PROPOSALS, PROPOSAL_COUNTS = "canvas", "proposals", "proposal_counts"
BOX_FEATURES, CLASS_LOGITS, BOX_DELTAS = "box_features", "class_logits", "box_deltas"
MASK_FEATURES, MASK_LOGITS = "mask_features", "mask_logits"
RPN_LOGITS = tuple(f"rpn_logits.{level}" for level in LEVELS)
RPN_DELTAS = tuple(f"rpn_deltas.{level}" for level in LEVELS)
MAPS = (CANVAS, "stem", "C2", "C3", "C4", "C5", *LEVELS, *RPN_LOGITS, *RPN_DELTAS)
PER_PROPOSAL = (BOX_FEATURES, CLASS_LOGITS, BOX_DELTAS)
PER_DETECTION = (MASK_FEATURES, MASK_LOGITS)
#: All there are, of any model; `stages_of` gives those of one.
STAGES = (*MAPS, PROPOSALS, PROPOSAL_COUNTS, *PER_PROPOSAL, *PER_DETECTION)

Stages = dict[str, NDArray]

#: The computation between the stages: what each part takes and gives.
PARTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "backbone": ((CANVAS,), ("stem", "C2", "C3", "C4", "C5")),
    "pyramid": (("C2", "C3", "C4", "C5"), LEVELS),
    "rpn_head": (LEVELS, (*RPN_LOGITS, *RPN_DELTAS)),
    "proposals": ((CANVAS, *LEVELS, *RPN_LOGITS, *RPN_DELTAS), (PROPOSALS, PROPOSAL_COUNTS)),
    "box_pooling": ((PROPOSALS, *LEVELS), (BOX_FEATURES,)),
    "box_head": ((BOX_FEATURES,), (CLASS_LOGITS, BOX_DELTAS)),
    "detections": (
        (PROPOSALS, PROPOSAL_COUNTS, CLASS_LOGITS, BOX_DELTAS),
        ("num_detections", "boxes", "scores", "labels"),
    ),
    "mask_pooling": (("boxes", "num_detections", *LEVELS), (MASK_FEATURES,)),
    "mask_head": (("labels", "num_detections", MASK_FEATURES), (MASK_LOGITS,)),
}


def stages_of(contract: Contract) -> tuple[str, ...]:
    """The stages that a model has, in order: one of boxes alone has none after them."""
    branch = PER_DETECTION if contract.task == "instance" else ()
    return tuple(name for name in STAGES if name not in PER_DETECTION or name in branch)


def parts_of(contract: Contract) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """The `PARTS` that a model has."""
    absent = set(STAGES) - set(stages_of(contract))
    return {part: ends for part, ends in PARTS.items() if not absent & set(ends[1])}


def tensor_name(name: str) -> str:
    """What a graph calls a stage, or an output that is none."""
    return PREFIX + name if name in STAGES else name
