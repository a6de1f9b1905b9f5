"""What is exported of the toy: the best cells of each image, a fixed number of them."""

from __future__ import annotations

import copy

import torch
from torch import Tensor
from torch.nn import functional

from maskrt.models.graph import InferenceGraph
from maskrt.models.parts.boxes import blank_past, clip, gather_rows
from maskrt.models.parts.canvas import NormaliseCanvas
from tests.conformance.toy.network import Toy


class ToyGraph(InferenceGraph):
    """Its taps are canvas, features and cells."""

    def __init__(self, model: Toy) -> None:
        super().__init__()
        model = copy.deepcopy(model)
        self.canvas = NormaliseCanvas(*model.colours)
        self.features, self.head = model.features, model.head
        self.config, self.said = model.config, model.said

    def forward(self, images: Tensor, image_sizes: Tensor) -> tuple[Tensor, ...]:
        """As every family's."""
        count, classes = self.config.max_detections, self.config.num_classes
        canvas = self.canvas(images, image_sizes)
        features = self.features(canvas)
        cells = self.head(features)
        logits, boxes, masks = self.said(cells.to(canvas.dtype))
        # As many cells more as detections, so that a small canvas has enough.
        scores, boxes, masks = (
            functional.pad(values, (0, 0, 0, count)) for values in (torch.sigmoid(logits), boxes, masks)
        )
        best, place = torch.topk(scores.flatten(1), count)
        found = (best > self.config.score_threshold).to(torch.int32).sum(dim=1, dtype=torch.int32)
        cell = place // classes
        outputs = (
            found,
            blank_past(clip(gather_rows(boxes, cell), image_sizes), found),
            blank_past(best, found),
            blank_past((place - cell * classes).to(torch.int32), found),
            blank_past(torch.sigmoid(gather_rows(masks, cell)), found).unflatten(
                2, (self.config.mask_size, self.config.mask_size)
            ),
        )
        return *outputs, canvas, features, cells
