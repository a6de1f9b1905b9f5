"""What the configurations of all networks that give a class map have in common."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

from maskrt.models.config import ModelConfig
from maskrt.models.parts.settings import Rule, check_choices, check_ranges, counted
from maskrt.runtime.contract import CANVAS, RESIZES, Inside, Keypoints, Part, Tap
from maskrt.runtime.tasks.semantic.options import MOST_CLASSES, SEMANTIC, SemanticOptions

PLACEMENTS = ("native", "corner")
RULES = (
    counted("min_size_px max_size_px"),
    Rule(
        "num_classes",
        lambda value: type(value) is int and 1 <= value <= MOST_CLASSES,
        f"1 to {MOST_CLASSES}, since a class map has eight bits",
    ),
)


@dataclass(frozen=True)
class SemanticConfig(ModelConfig):
    """Sizes in pixels. The background, where there is one, is a class like another."""

    num_classes: int = 21
    min_size_px: int = 384
    max_size_px: int = 512
    placement: str = "native"  # not resized but to fit `max_size_px`; "corner": to `min_size_px`
    resize: str = "torch"  # whose filter: one of RESIZES (`Canvas` in runtime/contract/sections.py)
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    semantic_scores: bool = False  # beside the class map, the logits that it was made of

    def __post_init__(self) -> None:
        check_choices(self, placement=PLACEMENTS, resize=tuple(RESIZES))
        check_ranges(vars(self), RULES, {})

    @property
    def classes_found(self) -> int:
        """All of them."""
        return self.num_classes

    @property
    def resizing(self) -> dict[str, Any]:
        """As its setting says."""
        return {"resize": self.resize}

    def options(self, rows: str, keypoints: Keypoints | None) -> SemanticOptions:
        """As every family's."""
        return SemanticOptions(self.scores_stride_px if self.semantic_scores else None)

    @property
    @abstractmethod
    def score_strides_px(self) -> dict[str, int | None]:
        """The maps of scores in the order of the computation, with their strides where cells lie on a grid
        from the canvas' corner."""

    @property
    def scores_stride_px(self) -> int:
        """Canvas pixels from one cell of the output `semantic_scores` to the next."""
        return list(self.score_strides_px.values())[-1] or 1


def inside_of(maps: dict[str, int | None], backbone: tuple[str, ...], parts: tuple[Part, ...]) -> Inside:
    """Taps and parts of a network: a backbone, `parts` up to the last scores, and the class map.

    maps: all but the canvas, with their strides, in the order of the computation; backbone: those it gives.
    """
    *_, scores = maps
    return Inside(
        taps=(Tap(CANVAS, "map"), *(Tap(name, "map", stride_px=stride) for name, stride in maps.items())),
        parts=(
            Part("backbone", (CANVAS,), backbone),
            *parts,
            Part("labels", (CANVAS, scores), (SEMANTIC,)),
        ),
    )
