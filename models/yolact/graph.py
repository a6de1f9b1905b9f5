"""What is exported of YOLACT: canvas in, the contract's fixed-size outputs out."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from maskrt.models.graph import InferenceGraph
from maskrt.models.parts.boxes import blank_past, gather_rows
from maskrt.models.parts.canvas import NormaliseCanvas
from maskrt.models.parts.fold import fold_batch_norm
from maskrt.models.yolact.deformable import DeformableConv
from maskrt.models.yolact.detections import Detections
from maskrt.models.yolact.layout import LEVELS, TRUNK
from maskrt.models.yolact.losses import inside_boxes
from maskrt.models.yolact.network import Yolact
from maskrt.models.yolact.rescoring import MaskIou, rescored


class YolactGraph(InferenceGraph):
    """The exported forward pass. Its taps are those of models/yolact/layout.py."""

    def __init__(self, model: Yolact) -> None:
        super().__init__()
        copied = fold_batch_norm(model.eval())
        assert isinstance(copied, Yolact)
        self.config = model.config
        self.canvas = NormaliseCanvas(model.config.mean, model.config.std)
        self.backbone, self.protonet, self.head = copied.backbone, copied.protonet, copied.head
        self.detections = Detections(model.config)
        self.mask_iou = copied.mask_iou
        for module in copied.modules():
            if isinstance(module, DeformableConv):
                module.as_operator = True

    def forward(self, images: Tensor, image_sizes: Tensor) -> tuple[Tensor, ...]:
        """As every family's."""
        canvas = self.canvas(images, image_sizes)
        maps = self.backbone(canvas)
        levels = [maps[name] for name in LEVELS]
        said = self.head(levels)
        sums = self.protonet(levels[0])
        *found, coefficients = self.detections(*said, canvas, image_sizes)
        prototypes = functional.relu(sums.to(canvas.dtype))
        if self.mask_iou is not None:
            found, coefficients = self._rescored(self.mask_iou, found, coefficients, prototypes, canvas)
        taps = (*(maps[name] for name in (*TRUNK, *LEVELS)), *(one for kind in said for one in kind), sums)
        if self.config.mask_outputs == "factors":
            return *found, coefficients, prototypes, canvas, *taps
        return *found, assembled(prototypes, coefficients, found[1], canvas), canvas, *taps

    def _rescored(
        self, judge: MaskIou, found: list[Tensor], coefficients: Tensor, prototypes: Tensor, canvas: Tensor
    ) -> tuple[list[Tensor], Tensor]:
        """The detections by the scores of their masks, in the order of these."""
        counts, boxes, scores, labels = found
        masks = assembled(prototypes, coefficients, boxes, canvas)
        of_masks = rescored(
            judge, masks.flatten(0, 1), scores.flatten(), labels.flatten().to(torch.int64)
        ).view(scores.shape)
        there = torch.arange(scores.shape[1], device=scores.device)[None] < counts[:, None]
        scores, order = torch.topk(torch.where(there, of_masks, -1.0), scores.shape[1])
        boxes, coefficients = gather_rows(boxes, order), gather_rows(coefficients, order)
        return [counts, boxes, blank_past(scores, counts), torch.gather(labels, 1, order)], coefficients

    def units(self) -> dict[str, list[nn.Module]]:
        """Each stage's blocks or another module of the trunk, the pyramid, the protonet, the head."""
        found: dict[str, list[nn.Module]] = {}
        for name, module in self.backbone.body.items():
            if isinstance(module, nn.Sequential) and name.startswith("layer"):
                found |= {f"backbone.body.{name}.{index}": [block] for index, block in enumerate(module)}
            elif any(True for _ in module.parameters()):
                found[f"backbone.body.{name}"] = [module]
        return found | {
            "backbone.fpn": [self.backbone.fpn],
            "protonet": [self.protonet],
            "head": [self.head],
        }


def assembled(prototypes: Tensor, coefficients: Tensor, boxes: Tensor, canvas: Tensor) -> Tensor:
    """Masks over the whole canvas, cropped to their boxes: (N, D, h, w) probabilities.

    prototypes: (N, K, h, w); coefficients: (N, D, K); boxes: (N, D, 4) in canvas pixels; canvas: for its
    shape. A box without area, as those past an image's count, has no mask.
    """
    height, width = prototypes.shape[2:]
    masks = torch.sigmoid(torch.matmul(coefficients, prototypes.flatten(2))).unflatten(2, (height, width))
    scale = torch.stack(
        [
            torch.scalar_tensor(cells, dtype=boxes.dtype) / torch.scalar_tensor(px, dtype=boxes.dtype)
            for cells, px in ((width, canvas.shape[3]), (height, canvas.shape[2]))
        ]
    ).to(boxes.device)
    cells = (boxes * scale.repeat(2)).flatten(0, 1)
    sized = ((boxes[..., 2:] - boxes[..., :2]).amin(dim=-1) > 0)[..., None, None]
    inside = inside_boxes(cells, height, width).unflatten(0, (-1, boxes.shape[1]))
    return torch.where(inside & sized, masks, 0.0)
