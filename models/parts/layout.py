"""The maps of a backbone and its neck: what they are called, and their strides.

| map | shape | what |
|---|---|---|
| canvas | N × 3 × H × W | normalised, the padding zeroed, or black where the placement is "square" |
| stem, C2 … C5 | N × C × h × w | after the backbone's first layer or pooling; its last map of each size |
| P2 … P6 | N × C × h × w | the pyramid's outputs |
| rpn_logits.P2 …, rpn_deltas.P2 … | N × A × h × w, N × 4A × h × w | of A anchors a position |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from maskrt.runtime.contract import CANVAS

STEM = "stem"


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
#: One map for RPN and RoIs alike: C5 through a pyramid of a single level.
C5 = Layout((STEM, "C2", "C3", "C4", "C5"), {"P5": 32}, pooled=1)
#: torchvision's pyramid on MobileNetV3-large has two levels of stride 32 and one of 64. Its rule goes by the
#: stride, and so every RoI is pooled from the first.
MOBILENET_FPN = Layout((STEM, "C2", "C3", "C4", "C5a", "C5b"), {"P5a": 32, "P5b": 32, "P6": 64}, pooled=1)
LAYOUTS = (FPN, C4, C5, MOBILENET_FPN)


def layout_of(config: Mapping[str, Any]) -> Layout:
    """The maps of a model, from its configuration, as in a contract."""
    if config.get("neck") == "c4":  # files from before there was a choice have no neck in them
        return C4
    if config.get("neck") == "c5":
        return C5
    return MOBILENET_FPN if str(config.get("backbone")).startswith("mobilenet") else FPN
