"""torchvision's own model in the parts between its stages, for inputs that no image need have given.

The same modules that run in the whole, each by itself; an exported graph's parts are held to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.image_list import ImageList

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
from maskrt.models.rcnn.reference.ranking import ranking_in_double
from maskrt.runtime.contract import CANVAS, IMAGE_SIZES, Contract

Given = Mapping[str, NDArray]
UNSEEN = ("backbone", "pyramid", "rpn_head")  # parts of convolutions alone, which any image exercises


class GivenHead(nn.Module):
    """An RPN head that says what it was told."""

    def __init__(self, logits: list[Tensor], deltas: list[Tensor]) -> None:
        super().__init__()
        self._said = logits, deltas

    def forward(self, _: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Whatever the maps are."""
        return self._said


class EagerParts:
    """A model in eval mode, in parts. What is given and made is a batch of one, as in a graph's parts."""

    def __init__(self, model: FasterRCNN, contract: Contract) -> None:
        self._model, self._layout = model, layout_of(contract.config)
        self._device = next(model.parameters()).device
        self.names: Iterable[str] = [part.name for part in contract.inside.parts if part.name not in UNSEEN]

    @property
    def cells(self) -> dict[str, NDArray[np.float32]]:
        """Of each level that the RPN reads, its anchors (A, 4) around the position 0, 0."""
        cells = self._model.rpn.anchor_generator.cell_anchors
        return {level: cell.cpu().numpy() for level, cell in zip(self._layout.levels, cells, strict=True)}

    @torch.inference_mode()
    def run(self, part: str, given: Given) -> dict[str, NDArray]:
        """What a part makes, by the names of stages and outputs."""
        tensors = {name: torch.from_numpy(values).to(self._device) for name, values in given.items()}
        made = getattr(self, f"_{part}")(tensors)
        return {name: values.cpu().numpy() for name, values in made.items()}

    def _proposals(self, given: dict[str, Tensor]) -> dict[str, Tensor]:
        rpn, layout = self._model.rpn, self._layout
        sizes = [(int(h), int(w)) for h, w in given[IMAGE_SIZES]]
        features = {name: given[name] for name in layout.levels}
        head = rpn.head
        rpn.head = GivenHead(
            [given[name] for name in layout.rpn_logits], [given[name] for name in layout.rpn_deltas]
        )
        try:
            with ranking_in_double(rpn):
                (boxes,), _ = rpn(ImageList(given[CANVAS], sizes), features)
        finally:
            rpn.head = head
        return {PROPOSALS: boxes[None], PROPOSAL_COUNTS: torch.tensor([len(boxes)])}

    def _box_pooling(self, given: dict[str, Tensor]) -> dict[str, Tensor]:
        return {BOX_FEATURES: self._pooled(self._model.roi_heads.box_roi_pool, given, given[PROPOSALS][0])}

    def _mask_pooling(self, given: dict[str, Tensor]) -> dict[str, Tensor]:
        return {MASK_FEATURES: self._pooled(self._model.roi_heads.mask_roi_pool, given, given["boxes"][0])}

    def _keypoint_pooling(self, given: dict[str, Tensor]) -> dict[str, Tensor]:
        pool = self._model.roi_heads.keypoint_roi_pool
        return {KEYPOINT_FEATURES: self._pooled(pool, given, given["boxes"][0])}

    def _pooled(self, pool: nn.Module, given: dict[str, Tensor], boxes: Tensor) -> Tensor:
        levels = self._layout.levels[: self._layout.pooled]
        maps = {str(number): given[name] for number, name in enumerate(levels)}
        sizes = [(int(h), int(w)) for h, w in given[IMAGE_SIZES]]
        return pool(maps, [boxes], sizes)

    def _box_head(self, given: dict[str, Tensor]) -> dict[str, Tensor]:
        heads = self._model.roi_heads
        logits, deltas = heads.box_predictor(heads.box_head(given[BOX_FEATURES]))
        return {CLASS_LOGITS: logits, BOX_DELTAS: deltas}

    def _detections(self, given: dict[str, Tensor]) -> dict[str, Tensor]:
        count = int(given[PROPOSAL_COUNTS][0])
        sizes = [(int(h), int(w)) for h, w in given[IMAGE_SIZES]]
        found = self._model.roi_heads.postprocess_detections(
            given[CLASS_LOGITS][:count], given[BOX_DELTAS][:count], [given[PROPOSALS][0, :count]], sizes
        )
        (boxes,), (scores,), (labels,) = found
        return {
            "num_detections": torch.tensor([len(scores)]),
            "boxes": boxes[None],
            "scores": scores[None],
            "labels": labels[None] - 1,
        }

    def _mask_head(self, given: dict[str, Tensor]) -> dict[str, Tensor]:
        heads, count = self._model.roi_heads, int(given["num_detections"][0])
        logits = heads.mask_predictor(heads.mask_head(given[MASK_FEATURES][:count]))
        channel = given["labels"][0, :count].long() + 1
        return {MASK_LOGITS: logits[torch.arange(count, device=logits.device), channel].flatten(1)}

    def _keypoint_head(self, given: dict[str, Tensor]) -> dict[str, Tensor]:
        heads = self._model.roi_heads
        return {KEYPOINT_LOGITS: heads.keypoint_predictor(heads.keypoint_head(given[KEYPOINT_FEATURES]))}
