"""The PyTorch reference of YOLACT: its authors' steps as they are told, one image and one class after
another.

It shares the network's layers with the exported graph, and the meaning of a prior; not how detections are
chosen.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torchvision.ops import box_iou, nms

from maskrt.models.eager import Found, Reference
from maskrt.models.yolact.layout import BOX_DELTAS, CLASS_LOGITS, COEFFICIENT_LOGITS, LEVELS, PROTOTYPE_LOGITS
from maskrt.models.yolact.network import Yolact
from maskrt.models.yolact.priors import decoded, per_prior, prior_sides, priors_of
from maskrt.models.yolact.rescoring import rescored
from maskrt.runtime.backends.session import Outputs
from maskrt.runtime.contract import CANVAS, Stages


class YolactReference(Reference[Yolact]):
    """A model in eval mode, at any canvas size and batch."""

    def found(self, canvas: Tensor, sizes: list[tuple[int, int]]) -> list[Found]:
        """As every reference's."""
        return self._found(self._maps(canvas), canvas, sizes)

    def _maps(self, canvas: Tensor) -> dict[str, Tensor]:
        """Every map there is, by the name of its tap."""
        maps = {CANVAS: canvas, **self.model.backbone(canvas)}
        levels = [maps[name] for name in LEVELS]
        for names, said in zip(
            (CLASS_LOGITS, BOX_DELTAS, COEFFICIENT_LOGITS), self.model.head(levels), strict=True
        ):
            maps |= dict(zip(names, said, strict=True))
        return maps | {PROTOTYPE_LOGITS: self.model.protonet(levels[0])}

    @torch.inference_mode()
    def _run_with_stages(self, images: NDArray, image_sizes: NDArray[np.float32]) -> tuple[Outputs, Stages]:
        canvas, sizes = self._normalised(images, image_sizes)
        maps = self._maps(canvas)
        outputs = self._packed(self._found(maps, canvas, sizes), images.shape[1:3])
        return outputs, {name: maps[name].cpu().numpy() for name in self.contract.inside.names}

    def _found(self, maps: dict[str, Tensor], canvas: Tensor, sizes: list[tuple[int, int]]) -> list[Found]:
        config = self.model.config
        logits, deltas, coefficients = (
            per_prior([maps[name] for name in names], values)
            for names, values in (
                (CLASS_LOGITS, config.num_classes),
                (BOX_DELTAS, 4),
                (COEFFICIENT_LOGITS, config.prototypes),
            )
        )
        grids = [(maps[name].shape[2], maps[name].shape[3]) for name in LEVELS]
        size = (canvas.shape[2], canvas.shape[3])
        priors = priors_of(prior_sides(config).to(canvas), grids, size)
        return [
            self._of_one(scores, boxes, own, priors, area, prototypes, size)
            for scores, boxes, own, prototypes, area in zip(
                functional.softmax(logits, dim=-1)[..., 1:],
                decoded(deltas, priors),
                torch.tanh(coefficients),
                functional.relu(maps[PROTOTYPE_LOGITS]),
                sizes,
                strict=True,
            )
        ]

    def _of_one(
        self,
        scores: Tensor,
        boxes: Tensor,
        coefficients: Tensor,
        priors: Tensor,
        area: tuple[int, int],
        prototypes: Tensor,
        size: tuple[int, int],
    ) -> Found:
        config, (height, width) = self.model.config, area
        sure = scores.amax(dim=1) > config.score_threshold
        sure &= (priors[:, 0] < width) & (priors[:, 1] < height)
        scores, boxes, coefficients = scores[sure], boxes[sure], coefficients[sure]
        inside = torch.stack([boxes[:, k].clamp(0, (width, height)[k % 2]) for k in range(4)], dim=1)
        rows, labels = self._kept(scores, inside if config.clip_before_nms else boxes)
        best = scores[rows, labels].sort(descending=True, stable=True).indices[: config.max_detections]
        rows, labels = rows[best], labels[best]
        own = scores[rows, labels]
        if self.model.mask_iou is not None and len(rows):
            masks = self._masks(prototypes, coefficients[rows], inside[rows], size)
            own = rescored(self.model.mask_iou, masks, own, labels)
            best = own.sort(descending=True, stable=True).indices
            rows, labels, own = rows[best], labels[best], own[best]
        found: Found = {
            "boxes": inside[rows],
            "scores": own,
            "labels": labels,
            "coefficients": coefficients[rows],
            "prototypes": prototypes,
        }
        if config.mask_outputs == "masks":
            found["masks"] = self._masks(prototypes, coefficients[rows], inside[rows], size)
        return found

    def _masks(
        self, prototypes: Tensor, coefficients: Tensor, boxes: Tensor, size: tuple[int, int]
    ) -> Tensor:
        """Over the whole canvas, (K, h, w) probabilities, 0 outside of the boxes."""
        masks = torch.einsum("phw,kp->khw", prototypes, coefficients).sigmoid()
        for mask, box in zip(masks, boxes.tolist(), strict=True):
            for axis, (first, last) in enumerate(((box[1], box[3]), (box[0], box[2]))):
                a_px = mask.shape[axis] / size[axis]
                place = torch.arange(mask.shape[axis], device=mask.device)
                outside = (place < first * a_px - 1) | (place >= last * a_px + 1) | (first >= last)
                mask[outside if axis == 0 else (slice(None), outside)] = 0
        return masks

    def _kept(self, scores: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """scores: (P, classes) and boxes (P, 4) of an image. Returns row and label of each that the NMS
        leaves."""
        config = self.model.config
        if config.nms_kind == "fast_cross_class":
            best, labels = scores.max(dim=1)
            rows = self._fast(best, boxes)
            return rows, labels[rows]
        if config.nms_kind == "greedy":
            rows, labels = torch.where(scores > config.score_threshold)
            left = greedy(boxes[rows], scores[rows, labels], labels, config.nms)
            return rows[left], labels[left]
        least = config.score_threshold if config.score_every_class else -1.0
        kept = [self._fast(of_class, boxes, least) for of_class in scores.T]
        labels = torch.cat([torch.full_like(rows, label) for label, rows in enumerate(kept)])
        return torch.cat(kept), labels

    def _fast(self, scores: Tensor, boxes: Tensor, least: float = -1.0) -> Tensor:
        """The rows (K,) that are left of one class: of the best, those that no better one overlaps."""
        best = scores.sort(descending=True, stable=True).indices[: self.model.config.nms_a_class]
        overlap = (
            box_iou(boxes[best], boxes[best]).triu(diagonal=1).amax(dim=0) if len(best) else scores[best]
        )
        return best[(overlap <= self.model.config.nms) & (scores[best] > least)]


def greedy(boxes: Tensor, scores: Tensor, labels: Tensor, iou: float) -> Tensor:
    """The rows (K,) that torchvision's NMS leaves of each class; without moving boxes apart by class, which
    rounds them."""
    left = torch.zeros_like(scores, dtype=torch.bool)
    for label in labels.unique():
        rows = torch.where(labels == label)[0]
        left[rows[nms(boxes[rows], scores[rows], iou)]] = True
    return torch.where(left)[0]
