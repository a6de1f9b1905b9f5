"""The task "semantic" in a contract: its options, and the outputs that they promise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from maskrt.runtime.contract.options import Options
from maskrt.runtime.contract.sections import Canvas, Side
from maskrt.runtime.contract.tensors import BATCH, Tensor, map_axes
from maskrt.runtime.structs import Format, wrong

SEMANTIC, SCORES = "semantic", "semantic_scores"
#: Beside the outputs of a PyTorch reference: by how much the best class's score is above the second's.
MARGINS = "margins"
IGNORED = 255  # in annotated maps: pixels that are neither learned nor measured
MOST_CLASSES = 255


@dataclass(frozen=True)
class SemanticOptions(Options):
    """A class for each pixel of the canvas: value k of the map is the contract's class k, and a background is
    a class like another.

    scores_stride_px: canvas pixels from one cell of the output `semantic_scores`, the classes' logits, to the
    next; None where the model does not give it.
    """

    FORMAT: ClassVar[Format] = Format(1)
    TASK: ClassVar[str] = "semantic"
    scores_stride_px: Side | None = None

    def check(self, classes: int) -> None:
        """Raise FieldError for more classes than a map of eight bits holds beside IGNORED."""
        if classes > MOST_CLASSES:
            raise wrong("classes", f"{classes} classes", f"at most {MOST_CLASSES}, in a map of eight bits")

    def tensors(self, batch: int | None, canvas: Canvas, classes: int) -> tuple[Tensor, ...]:
        """The class map and, where there are, the scores."""
        images = batch or BATCH
        labels = Tensor(SEMANTIC, "uint8", (images, *map_axes(canvas, 1)))
        if self.scores_stride_px is None:
            return (labels,)
        cells = map_axes(canvas, self.scores_stride_px)
        return labels, Tensor(SCORES, "float32", (images, classes, *cells))

    def beside(self, batch: int | None, canvas: Canvas) -> tuple[Tensor, ...]:
        """The reference's margins, by which parity tells a tie from a fault."""
        return (Tensor(MARGINS, "float32", (batch or BATCH, *map_axes(canvas, 1))),)


OPTIONS = SemanticOptions
