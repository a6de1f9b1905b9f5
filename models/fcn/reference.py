"""The PyTorch side of parity: the network as it was trained, neither folded nor grouped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from maskrt.models.eager import Found, Reference
from maskrt.models.fcn.segmenter import Segmenter
from maskrt.runtime.contract import Contract
from maskrt.runtime.tasks.semantic.options import MARGINS, SCORES, SEMANTIC

#: The margin of a class without another; infinity would pass for broken weights.
ALONE = 1e6


class SemanticReference(Reference[Segmenter]):
    """The class of the highest score at each pixel, and the scores."""

    def __init__(
        self, model: Any, contract: Contract, taps: Mapping[str, str], *, name: str, device: str = "cpu"
    ) -> None:
        """taps: as `Reference` has them, of this network."""
        super().__init__(model, contract, name=name, device=device)
        self.taps = taps

    def found(self, canvas: Tensor, sizes: list[tuple[int, int]]) -> list[Found]:
        """As every family's."""
        scores, logits = self.model.whole(canvas)
        given = scores if self.model.config.scores_stride_px > 1 else logits
        return [
            {SEMANTIC: of_one.argmax(dim=0), SCORES: its_scores, MARGINS: margins(of_one)}
            for of_one, its_scores in zip(logits, given, strict=True)
        ]


def margins(logits: Tensor) -> Tensor:
    """(C, H, W) → (H, W): by how much the best class' logit is above the second's; of one class `ALONE`."""
    best = logits.topk(min(2, len(logits)), dim=0).values
    return best[0] - best[1] if len(best) > 1 else torch.full_like(best[0], ALONE)
