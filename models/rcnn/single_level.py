"""What the single-level Mask R-CNN does otherwise than torchvision's, beside its one map.

https://github.com/Okery/PyTorch-Simple-MaskRCNN: the RPN's boxes learn by L1 (model/rpn.py); of each class
the best 100 detections are kept, whatever the other classes have, and none below 1 px (model/roi_heads.py,
model/box_ops.py); boxes may be scaled by the padded picture (models/rcnn/padded.py).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import clip_boxes_to_image, nms, remove_small_boxes

from maskrt.models.rcnn.config import MaskRcnnConfig
from maskrt.models.rcnn.mask_branch import MaskHeads
from maskrt.models.rcnn.padded import as_they_leave, padded_sizes


class SingleLevelRpn(RegionProposalNetwork):
    """torchvision's but for the loss of the box deltas, and for what proposals are clipped to."""

    def __init__(self, rpn: RegionProposalNetwork, config: MaskRcnnConfig) -> None:
        """Takes over the modules and settings of `rpn`."""
        nn.Module.__init__(self)
        self.__dict__.update(vars(rpn))
        self.l1, self.by_padded = config.rpn_loss == "l1", config.scale_by_padded

    def forward(
        self, images: ImageList, features: dict[str, Tensor], targets: Any = None
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """As torchvision's."""
        if self.by_padded and not self.training:
            images = ImageList(images.tensors, _padded(images.image_sizes))
        return super().forward(images, features, targets)

    def compute_loss(
        self,
        objectness: Tensor,
        pred_bbox_deltas: Tensor,
        labels: list[Tensor],
        regression_targets: list[Tensor],
    ) -> tuple[Tensor, Tensor]:
        """As torchvision's: objectness and deltas of all anchors (R, 1) and (R, 4); labels and targets of
        each image's."""
        if not self.l1:
            return super().compute_loss(objectness, pred_bbox_deltas, labels, regression_targets)
        positive, negative = (torch.where(torch.cat(rows))[0] for rows in self.fg_bg_sampler(labels))
        sampled = torch.cat([positive, negative])
        boxes = functional.l1_loss(
            pred_bbox_deltas[positive], torch.cat(regression_targets)[positive], reduction="sum"
        )
        classes = functional.binary_cross_entropy_with_logits(
            objectness.flatten()[sampled], torch.cat(labels)[sampled]
        )
        return classes, boxes / max(len(sampled), 1)


class ByClassHeads(MaskHeads):
    """As MaskHeads but for the choice of detections."""

    def __init__(self, heads: RoIHeads, config: MaskRcnnConfig, *, softmax: bool, middles: bool) -> None:
        """As MaskHeads."""
        super().__init__(heads, softmax=softmax, middles=middles)
        self.least_side_px, self.by_padded = config.least_side_px, config.scale_by_padded
        self.per_class = config.max_detections_per_class or config.max_detections

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: Any = None,
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        """As torchvision's."""
        if self.training or not self.by_padded:
            return super().forward(features, proposals, image_shapes, targets)
        found, losses = super().forward(features, proposals, _padded(image_shapes))
        for one, size in zip(found, image_shapes, strict=True):
            one["boxes"] = as_they_leave(one["boxes"][None], one["boxes"].new_tensor([size]))[0]
        return found, losses

    def postprocess_detections(
        self,
        class_logits: Tensor,
        box_regression: Tensor,
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """As torchvision's: boxes, scores and labels of each image."""
        counts = [len(each) for each in proposals]
        decoded = self.box_coder.decode(box_regression, proposals).split(counts)  # (RoIs, classes, 4)
        probabilities = functional.softmax(class_logits, dim=-1).split(counts)
        results = [
            self._chosen(boxes, scores, size)
            for boxes, scores, size in zip(decoded, probabilities, image_shapes, strict=True)
        ]
        boxes, scores, labels = (list(column) for column in zip(*results, strict=True))
        return boxes, scores, labels

    def _chosen(self, boxes: Tensor, scores: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """Of an image: boxes (RoIs, classes, 4) and scores (RoIs, classes), the background's first."""
        kept: list[tuple[Tensor, Tensor, Tensor]] = []
        for label in range(1, scores.shape[1]):
            rows = torch.where(scores[:, label] > self.score_thresh)[0]
            own, score = clip_boxes_to_image(boxes[rows, label], size), scores[rows, label]
            large = remove_small_boxes(own, self.least_side_px)
            own, score = own[large], score[large]
            best = nms(own, score, self.nms_thresh)[: self.per_class]
            kept.append((own[best], score[best], torch.full_like(best, label)))
        every, score, labels = (torch.cat(column) for column in zip(*kept, strict=True))
        first = score.sort(descending=True, stable=True).indices[: self.detections_per_img]
        return every[first], score[first], labels[first]


def _padded(sizes: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return [(int(height), int(width)) for height, width in padded_sizes(torch.tensor(sizes)).tolist()]
