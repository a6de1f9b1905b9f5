"""The box head with static shapes: RoIs in, a fixed number of detections out."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection import FasterRCNN

from maskrt.models.parts.boxes import at_least, blank_past, clip, decode, gather_rows
from maskrt.models.rcnn.layout import BOX_DELTAS, BOX_FEATURES, CLASS_LOGITS

INVALID = -1.0  # below any probability
LEAST_SIDE_PX = 1e-2  # torchvision's RoIHeads.postprocess_detections
# TensorRT's TopK takes at most 3840. A box is a candidate only above the score threshold, so at the usual
# 0.05 an image would need hundreds of overlapping confident objects to have more.
MAX_CANDIDATES = 3840


class Detections(nn.Module):
    """torchvision's RoIHeads.postprocess_detections, decoding only the candidates it can keep."""

    def __init__(self, model: FasterRCNN) -> None:
        super().__init__()
        heads = model.roi_heads
        self.box_head, self.box_predictor = heads.box_head, heads.box_predictor
        self.delta_weights = heads.box_coder.weights
        self.score_threshold, self.iou_threshold = heads.score_thresh, heads.nms_thresh
        self.count = heads.detections_per_img
        self.least_side_px = getattr(heads, "least_side_px", LEAST_SIDE_PX)
        self.per_class = getattr(heads, "per_class", self.count)

    def forward(
        self,
        pooled: Tensor,
        rois: Tensor,
        roi_counts: Tensor,
        image_sizes: Tensor,
        canvas: Tensor,
        stages: dict[str, Tensor],
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """pooled: (N·P, C, 7, 7); rois: (N, P, 4); roi_counts: (N,) int32; image_sizes: (N, 2); canvas:
        (N, 3, H, W), for its shape; stages: takes the boundaries that it passes, by name.

        Returns num_detections (N,) int32, boxes (N, D, 4), scores (N, D), labels (N, D) int32; label 0 is
        the first class after the background.
        """
        logits, deltas = self._heads(pooled, rois.dtype, stages)
        classes = logits.shape[1]
        foreground = classes - 1
        per_image = rois.shape[1]
        probabilities = functional.softmax(logits, dim=-1)[:, 1:]
        probabilities = probabilities.reshape(-1, per_image, foreground)
        real = torch.arange(per_image, device=rois.device, dtype=torch.int32)[None] < roi_counts[:, None]
        candidates = torch.where(real[:, :, None], probabilities, INVALID).flatten(1)
        scores, rows = torch.topk(candidates, min(MAX_CANDIDATES, per_image * foreground))
        roi = rows // foreground
        label = rows - roi * foreground
        delta = gather_rows(deltas.reshape(-1, per_image * classes, 4), roi * classes + label + 1)
        boxes = clip(decode(delta, gather_rows(rois, roi), self.delta_weights), image_sizes)
        scores = torch.where(at_least(boxes, self.least_side_px), scores, INVALID)
        keep, counts = self._suppressed(boxes, scores, label, foreground)
        return self._filled(
            counts, gather_rows(boxes, keep), torch.gather(scores, 1, keep), torch.gather(label, 1, keep)
        )

    def _heads(self, pooled: Tensor, dtype: torch.dtype, stages: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Class logits (N·P, classes) and box deltas (N·P, 4·classes) of the RoIs' `dtype`: float32 also of a
        head in half, since scores and boxes are computed in it."""
        logits, deltas = (x.to(dtype) for x in self.box_predictor(self.box_head(pooled)))
        stages |= {BOX_FEATURES: pooled, CLASS_LOGITS: logits, BOX_DELTAS: deltas}
        return logits, deltas

    def rois_of(self, boxes: Tensor, image_sizes: Tensor, canvas: Tensor) -> Tensor:
        """The RoIs of detections (N, D, 4), for what is pooled from them: the boxes themselves."""
        return boxes

    def _suppressed(
        self, boxes: Tensor, scores: Tensor, label: Tensor, foreground: int
    ) -> tuple[Tensor, Tensor]:
        """The rows that the NMS of each class keeps, (N, K) int64 in the order of the scores, and counts."""
        most = min(self.count, boxes.shape[1])
        if foreground == 1:
            most = min(most, self.per_class)
        capped = most > self.per_class  # then a class may have more rows than it is to keep
        keep, counts = torch.ops.maskrt.grouped_nms(
            boxes,
            scores,
            label.to(torch.int32),
            self.iou_threshold,
            self.score_threshold,
            boxes.shape[1] if capped else most,
            foreground,
        )
        keep = keep.to(torch.int64)
        if capped:
            return _first_of_each(keep, counts, torch.gather(label, 1, keep), self.per_class, most)
        return keep, counts

    def _filled(
        self, counts: Tensor, boxes: Tensor, scores: Tensor, label: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The contract's rows: zeros past the counts, and as many as it says."""
        missing = self.count - boxes.shape[1]  # rows of the contract that this model can never fill
        boxes = functional.pad(blank_past(boxes, counts), (0, 0, 0, missing))
        scores = functional.pad(blank_past(scores, counts), (0, missing))
        labels = functional.pad(blank_past(label.to(torch.int32), counts), (0, missing))
        return counts, boxes, scores, labels


def _first_of_each(
    keep: Tensor, counts: Tensor, label: Tensor, per_class: int, most: int
) -> tuple[Tensor, Tensor]:
    """Of rows (N, R) in the order of their scores, of which `counts` are there, the first `per_class` of each
    class, and of these the first `most`: rows (N, most) and counts. label: (N, R)."""
    rank = torch.arange(keep.shape[1], device=keep.device)
    before = (rank[:, None] < rank[None, :]) & (
        label[:, :, None] == label[:, None, :]
    )  # (N, row before, row)
    left = (rank[None] < counts[:, None]) & (torch.where(before, 1.0, 0.0).sum(dim=1) < per_class)
    order = torch.where(left, (keep.shape[1] - rank).to(torch.float32), 0.0)  # the first has the largest
    found, rows = torch.topk(order, most)
    return torch.gather(keep, 1, rows), (found > 0).to(torch.int32).sum(dim=1, dtype=torch.int32)
