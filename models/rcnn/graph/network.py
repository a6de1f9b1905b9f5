"""Mask R-CNN as one graph: canvas in, the contract's fixed-size outputs out.

A re-expression of torchvision's MaskRCNN at inference with shapes that do not depend on the data; where the
boxes are followed by heat maps or by nothing, of its KeypointRCNN or FasterRCNN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection import FasterRCNN

import maskrt.models.operators  # noqa: F401  registers the torch operators
from maskrt.models.graph import InferenceGraph
from maskrt.models.parts.backbones import FpnBackbone, body_stages
from maskrt.models.parts.boxes import blank_past
from maskrt.models.parts.canvas import NormaliseCanvas
from maskrt.models.parts.fold import fold_batch_norm
from maskrt.models.parts.roi_features import CANONICAL_LEVEL, RoiPooler
from maskrt.models.rcnn.c4 import Res5Head, SharedRes5
from maskrt.models.rcnn.graph.detections import Detections
from maskrt.models.rcnn.graph.keypoints import decode_keypoints
from maskrt.models.rcnn.graph.masks import own_class_masks
from maskrt.models.rcnn.graph.proposals import Proposals
from maskrt.models.rcnn.layout import KEYPOINT_FEATURES, KEYPOINT_LOGITS, MASK_FEATURES, MASK_LOGITS, TAPS
from maskrt.models.rcnn.mask_branch import MaskHeads
from maskrt.models.rcnn.padded import as_they_leave, as_they_were, padded_sizes
from maskrt.runtime.contract import CANVAS
from maskrt.runtime.errors import ExportError


class MaskRcnnGraph(InferenceGraph):
    """The exported forward pass. `detections`: "fixed" runs the mask head on all D rows, "dynamic" on the
    rows detected only, so that on a CPU its cost follows the number of objects.

    proposal_rules, detection_rules: what boxes are chosen by. square: pictures lie in the canvas' middle.
    """

    proposal_rules: ClassVar[type[Proposals]] = Proposals
    detection_rules: ClassVar[type[Detections]] = Detections
    square: ClassVar[bool] = False

    def __init__(self, model: FasterRCNN, *, detections: str) -> None:
        super().__init__()
        if detections not in ("fixed", "dynamic"):
            raise ExportError(f"--detections is {detections!r}, expected 'fixed' or 'dynamic'.")
        model = fold_batch_norm(model.eval())
        self.dynamic_detections = detections == "dynamic"
        mean, std = model.transform.image_mean, model.transform.image_std
        self.canvas = NormaliseCanvas(mean, std, square=self.square)
        self.by_padded = getattr(model.roi_heads, "by_padded", False)
        self.backbone = model.backbone
        self.proposals = self.proposal_rules(model)
        self.detections = self.detection_rules(model)
        self.mask_head = model.roi_heads.mask_head
        self.mask_predictor = model.roi_heads.mask_predictor
        heads = model.roi_heads
        self.mask_softmax = isinstance(heads, MaskHeads) and heads.softmax
        self.keypoint_head = model.roi_heads.keypoint_head
        self.keypoint_predictor = model.roi_heads.keypoint_predictor
        self.box_pool, self.mask_pool = model.roi_heads.box_roi_pool, model.roi_heads.mask_roi_pool
        self.keypoint_pool = model.roi_heads.keypoint_roi_pool

    def forward(self, images: Tensor, image_sizes: Tensor) -> tuple[Tensor, ...]:
        """images: (N, H, W, 3) uint8 or float32; image_sizes: (N, 2).

        Returns the contract's outputs, then the taps of the contract, in their order.
        """
        stages: dict[str, Tensor] = {}
        canvas = self.canvas(images, image_sizes)
        features = self._features(canvas, stages)
        sizes = padded_sizes(image_sizes) if self.by_padded else image_sizes
        rois, roi_counts = self.proposals(features, canvas, sizes, stages)
        numbered = image_index(rois)
        pooled = pool(self.box_pool, rois.flatten(0, 1), numbered, features)
        counts, boxes, scores, labels = self.detections(pooled, rois, roi_counts, sizes, canvas, stages)
        if self.by_padded:
            boxes = as_they_leave(boxes, image_sizes)
        outputs = [counts, boxes, scores, labels]
        pooled_from = self.detections.rois_of(boxes, image_sizes, canvas)
        if self.by_padded:
            pooled_from = as_they_were(pooled_from, image_sizes)
        for head, branch in (
            (self.mask_head, self._mask_branch),
            (self.keypoint_head, self._keypoint_branch),
        ):
            if head is not None:
                outputs.append(self._of_detections(branch, features, pooled_from, labels, counts, stages))
        return *outputs, *(stages[name] for name in TAPS if name in stages)

    def units(self) -> dict[str, list[nn.Module]]:
        """The stem, each residual block, the FPN, the RPN's head, each head of the RoIs."""
        found: dict[str, list[nn.Module]] = {}
        for name, module in self.backbone.body.items():
            if isinstance(module, nn.Sequential) and name.startswith("layer"):
                found |= {f"backbone.body.{name}.{index}": [block] for index, block in enumerate(module)}
            elif any(True for _ in module.parameters()):
                found[f"backbone.body.{name}"] = [module]
        if isinstance(self.backbone, FpnBackbone):
            found["backbone.fpn"] = [self.backbone.fpn]
        box_head = self.detections.box_head
        found |= {
            "proposals.head": [self.proposals.head],
            # res5 is called by the mask branch too, past the head that it belongs to.
            "detections.box_head": [box_head.res5 if isinstance(box_head, Res5Head) else box_head],
            "detections.box_predictor": [self.detections.box_predictor],
        }
        predictor: Any = self.mask_predictor
        if predictor is not None:
            if not isinstance(self.mask_head, SharedRes5):
                found["mask_head"] = [self.mask_head]
            found["mask_predictor"] = [m for m in predictor.children() if list(m.parameters())]
        keypoint_predictor: Any = self.keypoint_predictor
        if keypoint_predictor is not None:
            found["keypoint_head"] = [self.keypoint_head]
            found["keypoint_predictor"] = [keypoint_predictor.kps_score_lowres]
        return found

    def _features(self, canvas: Tensor, stages: dict[str, Tensor]) -> list[Tensor]:
        """canvas: (N, 3, H, W) → the maps that the RPN reads, (N, C, h, w) each."""
        body, values = self.backbone.body, canvas
        named, levels = body_stages(body), dict[str, Tensor]()
        stages[CANVAS] = canvas
        for name, module in body.items():
            values = module(values)
            if name in named:
                stages[named[name]] = values
            if name in body.return_layers:
                levels[body.return_layers[name]] = values
        if isinstance(self.backbone, FpnBackbone):
            levels = self.backbone.fpn(levels)
        stages |= dict(zip(self.backbone.layout.levels, levels.values(), strict=True))
        return list(levels.values())

    def _of_detections(
        self,
        branch: Callable[..., Tensor],
        features: list[Tensor],
        boxes: Tensor,
        labels: Tensor,
        counts: Tensor,
        stages: dict[str, Tensor],
    ) -> Tensor:
        """(N, D, …): what a branch says of each detection, zeros past the counts."""
        numbered, flat_boxes, flat_labels = image_index(boxes), boxes.flatten(0, 1), labels.flatten()
        if not self.dynamic_detections:
            found = branch(features, flat_boxes, numbered, flat_labels, stages)
            return blank_past(found.view(*boxes.shape[:2], -1), counts).view(
                *boxes.shape[:2], *found.shape[1:]
            )
        ranks = torch.arange(boxes.shape[1], device=boxes.device, dtype=torch.int32)
        rows = torch.nonzero((ranks[None] < counts[:, None]).flatten()).squeeze(1)
        found = branch(
            features,
            flat_boxes.index_select(0, rows),
            numbered.index_select(0, rows),
            flat_labels.index_select(0, rows),
            stages,
        )
        all_rows = found.new_zeros((boxes.shape[0] * boxes.shape[1], *found.shape[1:]))
        return all_rows.index_copy(0, rows, found).view(*boxes.shape[:2], *found.shape[1:])

    def _mask_branch(
        self,
        features: list[Tensor],
        boxes: Tensor,
        image: Tensor,
        labels: Tensor,
        stages: dict[str, Tensor],
    ) -> Tensor:
        """boxes (K, 4), image (K,) and labels (K,) int32 → (K, M, M) probabilities of their own class."""
        pooled = pool(self.mask_pool, boxes, image, features)
        logits, probabilities = own_class_masks(
            self.mask_predictor, self.mask_head(pooled), labels, boxes.dtype, softmax=self.mask_softmax
        )
        stages |= {MASK_FEATURES: pooled, MASK_LOGITS: logits}
        return probabilities

    def _keypoint_branch(
        self,
        features: list[Tensor],
        boxes: Tensor,
        image: Tensor,
        labels: Tensor,
        stages: dict[str, Tensor],
    ) -> Tensor:
        """boxes (K, 4), image (K,) and labels (K,) int32 → (K, points, 3): x, y, logit."""
        pooled = pool(self.keypoint_pool, boxes, image, features)
        low = self.keypoint_predictor.kps_score_lowres(self.keypoint_head(pooled))
        heat = functional.interpolate(
            low.to(boxes.dtype),  # positions are worked out in float32, also of a head in half
            scale_factor=float(self.keypoint_predictor.up_scale),
            mode="bilinear",
            align_corners=False,
            recompute_scale_factor=False,
        )
        stages |= {KEYPOINT_FEATURES: pooled, KEYPOINT_LOGITS: heat}
        return decode_keypoints(heat, boxes)


def image_index(boxes: Tensor) -> Tensor:
    """(N, R, 4) → (N·R,) int32: the image each flattened row belongs to."""
    image = torch.arange(boxes.shape[0], device=boxes.device, dtype=torch.int32)
    return image[:, None].expand(-1, boxes.shape[1]).reshape(-1)


def pool(pooler: RoiPooler, rois: Tensor, image: Tensor, features: list[Tensor]) -> Tensor:
    """The model's pooler as one PyramidRoiAlign over the levels it pools from. rois: (R, 4)."""
    height, width = pooler.output_size
    return torch.ops.maskrt.pyramid_roi_align(
        rois,
        image,
        features[: len(pooler.strides)],
        height,
        width,
        pooler.pooling.sampling_ratio,
        pooler.pooling.aligned,
        pooler.canonical_scale,
        CANONICAL_LEVEL,
        list(pooler.strides),
        pooler.pooling.method,
        pooler.pooling.mode,
    )
