"""The region proposal network with static shapes: FPN maps in, a fixed number of RoIs out."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN

from maskrt.models.parts.boxes import at_least, blank_past, clip, decode, gather_rows
from maskrt.models.parts.tensorrt_limits import TOPK_LIMIT
from maskrt.models.rcnn.layout import PROPOSAL_COUNTS, PROPOSALS

INVALID_LOGIT = torch.finfo(torch.float32).min  # below any logit
DELTA_WEIGHTS = (1.0, 1.0, 1.0, 1.0)


class Proposals(nn.Module):
    """torchvision's RegionProposalNetwork at inference: what it keeps, in the order it keeps it.

    The top k of each level is taken on the logits before anything is decoded, and anchors are worked out
    for the kept positions only, from the shapes of the maps: nothing depends on one canvas size. NMS ranks by
    logits too, which is the order of their sigmoids without the ties that float32 makes of those above 16.6.
    """

    def __init__(self, model: FasterRCNN) -> None:
        super().__init__()
        self.head = model.rpn.head
        self.layout = model.backbone.layout
        for level, anchors in enumerate(model.rpn.anchor_generator.cell_anchors):  # (A, 4), around 0, 0
            self.register_buffer(f"anchors_{level}", anchors.clone())  # under which name the file has them
        # Of a generator that knows them; else torchvision's, which follow from the canvas.
        self.strides_px = getattr(model.rpn.anchor_generator, "strides_px", None)
        self.per_level = model.rpn._pre_nms_top_n["testing"]
        self.count = model.rpn._post_nms_top_n["testing"]
        self.iou_threshold = model.rpn.nms_thresh
        self.least_side_px = model.rpn.min_size
        threshold = model.rpn.score_thresh
        self.least_logit = math.log(threshold / (1 - threshold)) if threshold else -math.inf

    def forward(
        self, features: list[Tensor], canvas: Tensor, image_sizes: Tensor, stages: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """features: (N, C, H_l, W_l) a level; canvas: (N, 3, H, W), for its shape; image_sizes: (N, 2);
        stages: takes the boundaries that it passes, by name.

        Returns rois (N, P, 4) float32, x1 y1 x2 y2 in canvas pixels, zero past the count, and counts
        (N,) int32.
        """
        all_boxes, all_scores, all_levels = [], [], []
        logits, deltas = self.head(features)
        stages.update(zip(self.layout.rpn_logits, logits, strict=True))
        stages.update(zip(self.layout.rpn_deltas, deltas, strict=True))
        for level, (feature, logit, delta) in enumerate(zip(features, logits, deltas, strict=True)):
            logit, delta = logit.to(image_sizes.dtype), delta.to(image_sizes.dtype)  # of a head in half
            best, anchors, rows = self._top(level, feature, logit, canvas)
            anchors_shape = (delta.shape[0], -1, 4)
            delta = delta.permute(0, 2, 3, 1).reshape(anchors_shape)
            boxes, usable = self._decoded(gather_rows(delta, rows), anchors, canvas, image_sizes)
            valid = usable & (best > self.least_logit)
            all_boxes.append(boxes)
            all_scores.append(torch.where(valid, best, INVALID_LOGIT))
            all_levels.append(torch.full_like(rows, level, dtype=torch.int32))
        boxes, scores, groups = self._shortlist(
            torch.cat(all_boxes, dim=1), torch.cat(all_scores, dim=1), torch.cat(all_levels, dim=1)
        )
        keep, counts = torch.ops.maskrt.grouped_nms(
            boxes,
            scores,
            groups,
            self.iou_threshold,
            INVALID_LOGIT,
            min(self.count, boxes.shape[1]),
            len(features),
        )
        rois = blank_past(gather_rows(boxes, keep.to(torch.int64)), counts)
        stages |= {PROPOSALS: rois, PROPOSAL_COUNTS: counts}
        return rois, counts

    def _decoded(
        self, delta: Tensor, anchors: Tensor, canvas: Tensor, image_sizes: Tensor
    ) -> tuple[Tensor, Tensor]:
        """delta, anchors: (N, k, 4). Returns boxes (N, k, 4) and which of them count, (N, k) bool."""
        boxes = clip(decode(delta, anchors, DELTA_WEIGHTS), image_sizes)
        return boxes, at_least(boxes, self.least_side_px)

    def _shortlist(self, boxes: Tensor, scores: Tensor, levels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What goes into the NMS, and its groups: here all, by level. (N, R, 4), (N, R), (N, R) int32."""
        return boxes, scores, levels

    def _top(
        self, level: int, feature: Tensor, logit: Tensor, canvas: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The best positions of one level: logits (N, k), anchors (N, k, 4), rows (N, k) of the map."""
        cell = self.get_buffer(f"anchors_{level}").to(logit)
        flat = logit.permute(0, 2, 3, 1).reshape(logit.shape[0], -1)  # (N, H·W·A), anchors fastest
        if isinstance(flat.shape[1], int):
            best, rows = top_rows(flat, min(self.per_level, flat.shape[1]))
        else:
            # A level of unknown size may hold fewer than k: pad, so that k stays a constant.
            padding = flat.new_full((flat.shape[0], self.per_level), -torch.inf)
            best, rows = top_rows(torch.cat([flat, padding], dim=1), self.per_level)
            rows = torch.where(best > -torch.inf, rows, 0)
        if self.strides_px:
            stride_y = stride_x = self.strides_px[level]
        else:
            # The canvas over the map, rounded down. Not a power of two for P6 of 800 px.
            stride_y = canvas.shape[2] // feature.shape[2]
            stride_x = canvas.shape[3] // feature.shape[3]
        cells_per_row = feature.shape[3] * cell.shape[0]
        y = rows // cells_per_row
        in_row = rows - y * cells_per_row
        x = in_row // cell.shape[0]
        kind = in_row - x * cell.shape[0]
        shift_x, shift_y = (x * stride_x).to(cell.dtype), (y * stride_y).to(cell.dtype)
        shifts = torch.stack([shift_x, shift_y, shift_x, shift_y], dim=-1)
        shapes = torch.index_select(cell, 0, kind.reshape(-1)).view(*rows.shape, 4)
        return best, shifts + shapes, rows


def top_rows(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest of each row of values (N, R) and their positions, descending, each (N, count).

    In steps of what TensorRT's TopK takes, each blind for what the ones before it took: C4 keeps more.
    """
    best, rows = torch.topk(values, min(count, TOPK_LIMIT))
    if count <= TOPK_LIMIT:
        return best, rows
    left = values.scatter(1, rows, -torch.inf)
    more_best, more_rows = top_rows(left, count - TOPK_LIMIT)
    return torch.cat([best, more_best], dim=1), torch.cat([rows, more_rows], dim=1)
