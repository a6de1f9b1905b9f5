"""The inference graph of a network by Matterport's rules: proposals and detections.

What they are, and in which coordinates: models/rcnn/matterport/network.py. RoIs are in its stretched px.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from maskrt.models.parts.boxes import decode, gather_rows
from maskrt.models.parts.canvas import corners_in_middle, sides_of
from maskrt.models.rcnn.graph.detections import INVALID, Detections
from maskrt.models.rcnn.graph.network import MaskRcnnGraph
from maskrt.models.rcnn.graph.proposals import DELTA_WEIGHTS, Proposals, top_rows


class AllLevelsProposals(Proposals):
    """The best of all levels together, clipped to the canvas whatever the picture's size, in one NMS."""

    def _decoded(
        self, delta: Tensor, anchors: Tensor, canvas: Tensor, image_sizes: Tensor
    ) -> tuple[Tensor, Tensor]:
        sides = sides_of(canvas)
        boxes = decode(delta, _stretched(anchors, sides), DELTA_WEIGHTS)
        boxes = torch.minimum(boxes.clamp(min=0), sides)
        return boxes, torch.ones_like(boxes[..., 0], dtype=torch.bool)

    def _shortlist(self, boxes: Tensor, scores: Tensor, levels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        best, rows = top_rows(scores, min(self.per_level, boxes.shape[1]))
        return gather_rows(boxes, rows), best, torch.zeros_like(rows, dtype=torch.int32)


class BestClassDetections(Detections):
    """A RoI is of its likeliest class or of none; boxes are clipped to the picture in the canvas' middle."""

    def forward(
        self,
        pooled: Tensor,
        rois: Tensor,
        roi_counts: Tensor,
        image_sizes: Tensor,
        canvas: Tensor,
        stages: dict[str, Tensor],
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """As `Detections.forward`; boxes are from the picture's corner."""
        logits, deltas = self._heads(pooled, rois.dtype, stages)
        classes, per_image = logits.shape[1], rois.shape[1]
        best, label = functional.softmax(logits, dim=-1).topk(1)
        best, label = best.view(-1, per_image), label.view(-1, per_image)
        roi = torch.arange(per_image, device=rois.device)
        delta = gather_rows(deltas.reshape(-1, per_image * classes, 4), roi * classes + label)
        sides = sides_of(canvas)
        corner = corners_in_middle(image_sizes, canvas)
        edges = torch.cat([corner, corner + image_sizes.flip(1)], dim=1)
        window = _stretched(edges, sides)[:, None]
        boxes = decode(delta, rois, self.delta_weights)
        boxes = torch.minimum(torch.maximum(boxes, _twice(window[..., :2])), _twice(window[..., 2:]))
        real = roi.to(torch.int32)[None] < roi_counts[:, None]
        scores = torch.where(real & (label > 0), best, INVALID)
        label = label - (label > 0).to(label.dtype)
        rows, counts = self._suppressed(boxes, scores, label, classes - 1)
        edges = _unstretched(gather_rows(boxes, rows), sides) - _twice(corner)[:, None]
        return self._filled(counts, edges, torch.gather(scores, 1, rows), torch.gather(label, 1, rows))

    def rois_of(self, boxes: Tensor, image_sizes: Tensor, canvas: Tensor) -> Tensor:
        """The RoIs of detections, to pool masks from."""
        corner = corners_in_middle(image_sizes, canvas)
        return _stretched(boxes + _twice(corner)[:, None], sides_of(canvas))


class MatterportGraph(MaskRcnnGraph):
    """The graph of Mask R-CNN by these rules."""

    proposal_rules = AllLevelsProposals
    detection_rules = BestClassDetections
    square = True


def _twice(points: Tensor) -> Tensor:
    """(…, 2) → (…, 4): for both corners of a box."""
    return torch.cat([points, points], dim=-1)


def _stretched(edges: Tensor, sides: Tensor) -> Tensor:
    """sides: (4,) W H W H of the canvas."""
    return (edges - _last_pixel(sides)) * (sides / (sides - 1))


def _unstretched(boxes: Tensor, sides: Tensor) -> Tensor:
    return boxes * ((sides - 1) / sides) + _last_pixel(sides)


def _last_pixel(sides: Tensor) -> Tensor:
    return torch.tensor([0.0, 0.0, 1.0, 1.0], dtype=sides.dtype, device=sides.device)
