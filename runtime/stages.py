"""The named boundaries inside a model, in the order of the computation: where parity looks.

An exported graph gives these names to its tensors, prefixed by `PREFIX`, whether they are outputs or not, and
the PyTorch reference takes the same tensors by hooks. Shapes, for N images, P RoIs and D rows of detections:

| stage | shape | what |
|---|---|---|
| canvas | N × 3 × H × W | normalised, the padding zeroed, or black where the placement is "square" |
| stem, C2 … C5 | N × C × h × w | after the backbone's first layer or pooling; its last map of each size |
| P2 … P6 | N × C × h × w | the pyramid's outputs |
| rpn_logits.P2 …, rpn_deltas.P2 … | N × A × h × w, N × 4A × h × w | of A anchors a position |
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

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from maskrt.runtime.contract import PREFIX as PREFIX

CANVAS, STEM, PROPOSALS, PROPOSAL_COUNTS = "canvas", "stem", "proposals", "proposal_counts"
BOX_FEATURES, CLASS_LOGITS, BOX_DELTAS = "box_features", "class_logits", "box_deltas"
MASK_FEATURES, MASK_LOGITS = "mask_features", "mask_logits"
KEYPOINT_FEATURES, KEYPOINT_LOGITS = "keypoint_features", "keypoint_logits"


@dataclass(frozen=True)
class Layout:
    """The maps of one kind of model.

    backbone: in order. strides_px: of the maps that the RPN reads, by name, in order; RoIs are pooled from
    the first `pooled` of them.
    """

    backbone: tuple[str, ...]
    strides_px: Mapping[str, int]
    pooled: int

    @property
    def levels(self) -> tuple[str, ...]:
        """The maps that the RPN reads."""
        return tuple(self.strides_px)

    @property
    def pooled_strides_px(self) -> tuple[int, ...]:
        """Strides of the maps that RoIs are pooled from."""
        return tuple(self.strides_px.values())[: self.pooled]

    @property
    def top_down(self) -> tuple[str, ...]:
        """The levels in the order in which a pyramid makes them: P6 is pooled from the top."""
        return (
            *(name for name in reversed(self.levels) if name != "P6"),
            *(n for n in self.levels if n == "P6"),
        )

    @property
    def rpn_logits(self) -> tuple[str, ...]:
        """The RPN's logits, a map a level."""
        return tuple(f"rpn_logits.{level}" for level in self.levels)

    @property
    def rpn_deltas(self) -> tuple[str, ...]:
        """The RPN's box deltas, a map a level."""
        return tuple(f"rpn_deltas.{level}" for level in self.levels)

    @property
    def maps(self) -> tuple[str, ...]:
        """All maps, in the order of the computation."""
        named = (CANVAS, *self.backbone, *self.levels, *self.rpn_logits, *self.rpn_deltas)
        return tuple(dict.fromkeys(named))


#: A pyramid on a ResNet; P6 serves the RPN alone (arXiv:1612.03144, section 4.1).
FPN = Layout((STEM, "C2", "C3", "C4", "C5"), {"P2": 4, "P3": 8, "P4": 16, "P5": 32, "P6": 64}, pooled=4)
#: A ResNet's C4 for RPN and RoIs alike (arXiv:1703.06870, section 3).
C4 = Layout((STEM, "C2", "C3", "C4"), {"C4": 16}, pooled=1)
#: torchvision's pyramid on MobileNetV3-large has two levels of stride 32 and one of 64. Its rule goes by the
#: stride, and so every RoI is pooled from the first.
MOBILENET_FPN = Layout((STEM, "C2", "C3", "C4", "C5a", "C5b"), {"P5a": 32, "P5b": 32, "P6": 64}, pooled=1)
LAYOUTS = (FPN, C4, MOBILENET_FPN)

PER_PROPOSAL = (BOX_FEATURES, CLASS_LOGITS, BOX_DELTAS)
BRANCHES = {
    "instance": (MASK_FEATURES, MASK_LOGITS),
    "detection": (),
    "keypoint": (KEYPOINT_FEATURES, KEYPOINT_LOGITS),
}
PER_DETECTION = tuple(name for branch in BRANCHES.values() for name in branch)


def _of_any(kind: str) -> list[str]:
    return sorted({name for layout in LAYOUTS for name in getattr(layout, kind)})


#: All there are, of any model, in an order that is right for each.
RPN_LOGITS = tuple(_of_any("rpn_logits"))
MAPS = tuple(
    dict.fromkeys(
        (CANVAS, STEM, *_of_any("backbone"), *_of_any("levels"), *RPN_LOGITS, *_of_any("rpn_deltas"))
    )
)
STAGES = (*MAPS, PROPOSALS, PROPOSAL_COUNTS, *PER_PROPOSAL, *PER_DETECTION)

Stages = dict[str, NDArray]


def layout_of(config: Mapping[str, Any]) -> Layout:
    """The maps of a model, from its configuration (maskrt.models.rcnn.MaskRcnnConfig, as in a contract)."""
    if config.get("neck") == "c4":  # files from before there was a choice have no neck in them
        return C4
    return MOBILENET_FPN if str(config.get("backbone")).startswith("mobilenet") else FPN
