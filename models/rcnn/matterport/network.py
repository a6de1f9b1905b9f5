"""Mask R-CNN by the rules of Matterport's Mask_RCNN 2.x (mrcnn/model.py, utils.py, config.py), for inference.

The layers are torchvision's; what is done between them is not. One top k and one NMS serve all levels; of a
RoI only its best class counts; RoIs are cropped, not aligned (models/parts/roi_features.py); the picture
lies in the middle of a black square.

Coordinates. The original divides pixels by the canvas' side less one, and takes one px off a box's lower and
right edge before it (norm_boxes): 0 is the first pixel, 1 the last. Boxes here are those numbers times the
canvas' side, px that are stretched by L / (L - 1). All that the original does to boxes (decode, clip, IoU)
is the same in either; clipping to 0–1 is clipping to the canvas; and the level of a RoI, log2 of
√(h w) / (224 / √area) with h and w of 0–1, rounded, is that of √(h w) in these px over 224, so

    level = 4 + round(log2(s / 224)) = floor(4 + log2(√2 s / 224)),

the rule of the paper with 224 / √2 in the place of 224. What leaves the network is whole pixels' edges again.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import clip_boxes_to_image, nms

from maskrt.models.parts.roi_features import CANONICAL_SCALE_PX
from maskrt.models.rcnn.anchors import ExactAnchors
from maskrt.models.rcnn.config import MaskRcnnConfig
from maskrt.models.rcnn.network import build_mask_rcnn
from maskrt.runtime.errors import CheckpointError
from maskrt.runtime.preprocess import corner

CANONICAL_SCALE = CANONICAL_SCALE_PX / 2**0.5
NOT_TRAINED = (
    "a network by Matterport's rules can be run and exported, not trained. Train one with maskrt's own: "
    "docs/from-matterport.md"
)
RPN_WIDTH = 512  # rpn_graph's shared convolution
RPN_STD_DEV = (0.1, 0.1, 0.2, 0.2)  # RPN_BBOX_STD_DEV, of x y w h; the box head's are its coder's weights


def build_matterport(config: MaskRcnnConfig) -> FasterRCNN:
    """The network, randomly initialised: torchvision's with other parts between its layers."""
    model = build_mask_rcnn(
        config,
        anchors_of=lambda strides: StretchedAnchors(config.anchor_sizes_px, config.anchor_ratios, strides),
        canonical_scale=CANONICAL_SCALE,
    )
    body: Any = model.backbone.body
    # TensorFlow's "same" pads even sides at the end alone: the window of the last cell hangs over.
    body.maxpool = nn.MaxPool2d(3, stride=2, ceil_mode=True)
    head: Any = model.rpn.head
    _widen(head)
    model.rpn = AllLevelsRpn(model.rpn)
    model.roi_heads = BestClassHeads(model.roi_heads)
    return model


def _widen(head: RPNHead) -> None:
    channels, anchors = head.cls_logits.in_channels, head.cls_logits.out_channels
    head.conv[0][0] = nn.Conv2d(channels, RPN_WIDTH, kernel_size=3, padding=1)
    head.cls_logits = nn.Conv2d(RPN_WIDTH, anchors, kernel_size=1)
    head.bbox_pred = nn.Conv2d(RPN_WIDTH, 4 * anchors, kernel_size=1)


def stretched(boxes: Tensor, canvas: tuple[Any, Any]) -> Tensor:
    """Edges of pixels (…, 4) x1 y1 x2 y2 → the coordinates that boxes have here. canvas: (height, width)."""
    height, width = canvas
    last = boxes.new_tensor([0.0, 0.0, 1.0, 1.0])
    scale = boxes.new_tensor([width / (width - 1), height / (height - 1)]).repeat(2)
    return (boxes - last) * scale


def unstretched(boxes: Tensor, canvas: tuple[Any, Any]) -> Tensor:
    """The reverse of `stretched`."""
    height, width = canvas
    last = boxes.new_tensor([0.0, 0.0, 1.0, 1.0])
    scale = boxes.new_tensor([(width - 1) / width, (height - 1) / height]).repeat(2)
    return boxes * scale + last


class StretchedAnchors(ExactAnchors):
    """Anchors around the upper left corner of every cell, in stretched pixels."""

    def forward(self, image_list: ImageList, feature_maps: list[Tensor]) -> list[Tensor]:
        """As torchvision's: (anchors, 4) of each image."""
        height, width = image_list.tensors.shape[2:]
        return [stretched(one, (height, width)) for one in super().forward(image_list, feature_maps)]


class AllLevelsRpn(RegionProposalNetwork):
    """The original's ProposalLayer: the best anchors of all levels, clipped to the canvas, and one NMS."""

    def __init__(self, rpn: RegionProposalNetwork) -> None:
        """Takes over the modules and settings of `rpn`, whose top k is then of all levels."""
        nn.Module.__init__(self)
        self.__dict__.update(vars(rpn))

    def forward(
        self, images: ImageList, features: dict[str, Tensor], targets: Any = None
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """As torchvision's. Raises CheckpointError in training, whose targets would be others too."""
        if self.training:
            raise CheckpointError(NOT_TRAINED)
        height, width = images.tensors.shape[2:]
        whole = ImageList(images.tensors, [(height, width)] * len(images.tensors))
        return super().forward(whole, features)

    def filter_proposals(
        self,
        proposals: Tensor,
        objectness: Tensor,
        image_shapes: list[tuple[int, int]],
        num_anchors_per_level: list[int],
    ) -> tuple[list[Tensor], list[Tensor]]:
        """proposals: (N, anchors, 4); objectness: (N · anchors, 1). Gives boxes and scores of each image."""
        found, scores = [], []
        probabilities = torch.sigmoid(objectness.reshape(len(proposals), -1))
        for boxes, score, canvas in zip(proposals, probabilities, image_shapes, strict=True):
            score, best = score.topk(min(self.pre_nms_top_n(), len(score)))
            score, best = score[score >= self.score_thresh], best[score >= self.score_thresh]
            boxes = clip_boxes_to_image(boxes[best], canvas)
            keep = nms(boxes, score, self.nms_thresh)[: self.post_nms_top_n()]
            found.append(boxes[keep])
            scores.append(score[keep])
        return found, scores


class BestClassHeads(RoIHeads):
    """DetectionLayer of the original: a RoI is of its likeliest class and no other, background included.

    Boxes leave in canvas pixels from the picture's upper left corner, which is in the middle of the canvas.
    """

    def __init__(self, heads: RoIHeads) -> None:
        """Takes over the modules and settings of `heads`."""
        nn.Module.__init__(self)
        self.__dict__.update(vars(heads))

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: Any = None,
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        """As torchvision's, at inference. image_shapes: (height, width) of each picture on its canvas."""
        pooler: Any = self.box_roi_pool
        height, width = (side * pooler.strides[0] for side in features["0"].shape[2:])
        self._canvas = height, width
        found, losses = super().forward(features, proposals, image_shapes)
        for one, size in zip(found, image_shapes, strict=True):
            top, left = corner(size, self._canvas, "square")
            offset = one["boxes"].new_tensor([left, top, left, top])
            one["boxes"] = unstretched(one["boxes"], self._canvas) - offset
        return found, losses

    def postprocess_detections(
        self,
        class_logits: Tensor,
        box_regression: Tensor,
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """As torchvision's: boxes, scores and labels of each image; the boxes are stretched."""
        counts = [len(each) for each in proposals]
        every = self.box_coder.decode(box_regression, proposals)  # (RoIs, classes, 4)
        best, classes = functional.softmax(class_logits, dim=1).max(dim=1)
        own = every[torch.arange(len(classes), device=classes.device), classes]
        results = []
        for boxes, score, label, size in zip(
            own.split(counts), best.split(counts), classes.split(counts), image_shapes, strict=True
        ):
            top, left = corner(size, self._canvas, "square")
            edges = boxes.new_tensor([left, top, left + size[1], top + size[0]])
            x1, y1, x2, y2 = stretched(edges, self._canvas).tolist()
            boxes = torch.stack([boxes[:, k].clamp((x1, y1)[k % 2], (x2, y2)[k % 2]) for k in range(4)], 1)
            kept = torch.zeros_like(score, dtype=torch.bool)
            for category in label[label > 0].unique():  # torchvision's batched_nms moves boxes, which rounds
                rows = torch.where((label == category) & (score > self.score_thresh))[0]
                kept[rows[nms(boxes[rows], score[rows], self.nms_thresh)]] = True
            keep = score.where(kept, -1).sort(descending=True, stable=True).indices
            keep = keep[: min(int(kept.sum()), self.detections_per_img)]
            results.append((boxes[keep], score[keep], label[keep]))
        boxes, scores, labels = (list(column) for column in zip(*results, strict=True))
        return boxes, scores, labels
