"""One image of both sides: where its class maps differ, and what that says."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.boxes import Rows
from maskrt.runtime.tasks.answers import OutputError
from maskrt.runtime.tasks.comparison import Seen
from maskrt.runtime.tasks.semantic.borders import boundary_f
from maskrt.runtime.tasks.semantic.compare.marks import culprits
from maskrt.runtime.tasks.semantic.compare.tolerances import Tolerance
from maskrt.runtime.tasks.semantic.options import SEMANTIC

SUSPECTS = "another upsampling, crop or rounding of the canvas; the order of classes; what follows the scores"


@dataclass(frozen=True)
class SeenMaps(Seen):
    """Both class maps (H, W) of the valid area. margins: of the reference, float32; None where it has none:
    then every pixel is taken for a sure one."""

    ours: NDArray[np.uint8]
    theirs: NDArray[np.uint8]
    margins: NDArray[np.float32] | None
    limit: Tolerance = field(repr=False)

    @cached_property
    def differs(self) -> NDArray[np.bool_]:
        """(H, W)."""
        return self.ours != self.theirs

    @cached_property
    def sure(self) -> NDArray[np.bool_]:
        """(H, W): where the reference's class is no matter of rounding."""
        if self.margins is None:
            return np.ones(self.ours.shape, bool)
        return self.margins > self.limit.margin

    @property
    def differing(self) -> float:
        """Share of the pixels that differ."""
        return float(self.differs.mean())

    @property
    def surely_differing(self) -> float | None:
        """Share of the pixels that differ and are sure; None where margins are not known."""
        return None if self.margins is None else float((self.differs & self.sure).mean())

    @cached_property
    def boundary(self) -> float:
        """F-score of the borders."""
        return boundary_f(self.ours, self.theirs)

    @property
    def errors(self) -> list[OutputError]:
        """The map; nothing where means are judged."""
        limit, sure, reason = self.limit, self.surely_differing, ""
        if limit.on_average:
            return []
        if sure is not None and not sure <= limit.sure:
            pixels = int((self.differs & self.sure).sum())
            reason = f"{pixels} pixels differ where the reference's best class leads by over {limit.margin:g}"
        elif not self.differing <= limit.differing:
            reason = f"{self.differing:.2%} of the pixels differ, allowed {limit.differing:.2%}"
        return [OutputError(SEMANTIC, self.differing, 1 - self.differing, reason)]

    def same_rows(self, within_px: float) -> Rows:
        """A map has no rows."""
        return np.zeros(0, np.intp), np.zeros(0, np.intp)

    def causes(self, output: str) -> list[str]:
        """Marks that a fault leaves in the map; where there is none, what is known to go wrong."""
        return list(culprits(self.ours, self.theirs)) or [f"possible: {SUSPECTS}"]
