"""What passes the taps (models/rcnn/layout.py) of torchvision's own model, taken by hooks on its modules.

The model is left as torchvision runs it: what an exported graph is held to must not be of our making.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN

from maskrt.models.parts.backbones import body_stages
from maskrt.models.parts.layout import layout_of
from maskrt.models.rcnn.layout import (
    BOX_DELTAS,
    BOX_FEATURES,
    CLASS_LOGITS,
    KEYPOINT_FEATURES,
    KEYPOINT_LOGITS,
    MASK_FEATURES,
    MASK_LOGITS,
    PROPOSAL_COUNTS,
    PROPOSALS,
)
from maskrt.runtime.backends.session import Outputs
from maskrt.runtime.contract import CANVAS, Contract, Stages


class StageHooks:
    """Hooks on a model for the length of a `with`; then `taken` gives what they saw of the last call."""

    def __init__(self, model: FasterRCNN, contract: Contract) -> None:
        """contract: the model's, whose stages are taken."""
        self._model, self._stages = model, contract.inside.names
        self._layout = layout_of(contract.config)
        self._proposals = contract.inside.tap(PROPOSALS).rows or 0
        self._seen: dict[str, Any] = {}
        self._handles: list[Any] = []

    def __enter__(self) -> StageHooks:
        body, heads = self._model.backbone.body, self._model.roi_heads
        self._handles = [
            self._model.backbone.register_forward_hook(self._take_levels),
            *(
                module.register_forward_hook(self._take(name))
                for name, module in (
                    *((stage, body[module]) for module, stage in body_stages(body).items()),
                    ("rpn", self._model.rpn.head),
                    (PROPOSALS, self._model.rpn),
                    (BOX_FEATURES, heads.box_roi_pool),
                    ("box", heads.box_predictor),
                    (MASK_FEATURES, heads.mask_roi_pool),
                    (MASK_LOGITS, heads.mask_predictor),
                    (KEYPOINT_FEATURES, heads.keypoint_roi_pool),
                    (KEYPOINT_LOGITS, heads.keypoint_predictor),
                )
                if module is not None
            ),
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _take(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, given: Any, output: Any) -> None:
            self._seen[name] = output

        return hook

    def _take_levels(self, module: nn.Module, given: tuple[Tensor], output: dict[str, Tensor]) -> None:
        self._seen[CANVAS] = given[0]
        self._seen |= dict(zip(self._layout.levels, output.values(), strict=True))

    def taken(self, outputs: Outputs) -> Stages:
        """The stages of the last call, as the contract's taps are laid out. outputs: what the call gave."""
        seen = dict(self._seen)
        logits, deltas = seen.pop("rpn")
        seen |= dict(zip(self._layout.rpn_logits, logits, strict=True))
        seen |= dict(zip(self._layout.rpn_deltas, deltas, strict=True))
        seen[CLASS_LOGITS], seen[BOX_DELTAS] = seen.pop("box")
        proposals, _ = seen[PROPOSALS]
        seen[PROPOSAL_COUNTS] = torch.tensor([len(boxes) for boxes in proposals], dtype=torch.int32)
        # No more than the model keeps: torchvision gives as many as there are, and these rows are to fill up.
        seen[PROPOSALS] = torch.stack(
            [nn.functional.pad(boxes, (0, 0, 0, self._proposals - len(boxes))) for boxes in proposals]
        )
        if MASK_LOGITS in seen:
            seen[MASK_LOGITS] = self._own_class(seen[MASK_LOGITS], outputs)
        return {name: _array(seen[name]) for name in self._stages}

    def _own_class(self, logits: Tensor, outputs: Outputs) -> Tensor:
        """logits: (K, classes, M, M), a row a detection of all images. Returns (K, M²)."""
        labels = np.concatenate(
            [row[:count] for row, count in zip(outputs["labels"], outputs["num_detections"], strict=True)]
        )
        channel = torch.from_numpy(labels).to(logits.device, torch.int64) + 1
        return logits[torch.arange(len(channel), device=logits.device), channel].flatten(1)


def _array(values: Tensor) -> NDArray:
    return values.detach().cpu().numpy()
