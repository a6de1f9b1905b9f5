"""The mask branch, with what the paper ablates (arXiv:1703.06870, table 2b, 2e and section 4.2).

The default is torchvision's own: a fully convolutional head, a mask for each class, and a sigmoid a pixel,
so that the classes do not compete. Beside it: a softmax across the classes, one mask for whatever class, and
a fully connected head. Every predictor gives (K, classes, M, M) logits, as torchvision's does.

What it learns follows the rule that its masks are pasted by. torchvision takes a pixel's number for its
place, in the targets as in its paste; the others take its middle, half a pixel on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection.faster_rcnn import TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads, project_masks_on_boxes

if TYPE_CHECKING:
    from maskrt.models.rcnn.config import MaskRcnnConfig

MASK_HEADS = ("fcn", "mlp")
MASK_ACTIVATIONS = ("sigmoid", "softmax")
MLP_WIDTH = 1024  # table 2e


def build_mask_head(config: MaskRcnnConfig) -> nn.Module:
    """A pyramid's, from (K, C, R, R) features to what the predictor takes; masks have 2 · R pixels a side."""
    if config.mask_head == "mlp":
        return TwoMLPHead(config.fpn_channels * config.mask_roi_size**2, MLP_WIDTH)
    norm = nn.BatchNorm2d if config.mask_norm else None
    return MaskRCNNHeads(config.fpn_channels, list(config.mask_convs), 1, norm_layer=norm)


def build_mask_predictor(config: MaskRcnnConfig, channels: int) -> nn.Module:
    """Logits for every class. channels: of what a convolutional head gives."""
    classes, width = config.num_classes, config.mask_convs[-1]
    if config.mask_head == "mlp":
        predicted = 1 if config.mask_class_agnostic else classes
        return MlpMaskPredictor(predicted, classes, 2 * config.mask_roi_size)
    if config.mask_class_agnostic:
        return AgnosticMaskPredictor(channels, width, classes)
    # torchvision's own takes 256 channels whatever the mask head gives.
    return MaskRCNNPredictor(channels, width, classes)


class AgnosticMaskPredictor(MaskRCNNPredictor):
    """One mask for whatever class: its logits are every class's."""

    def __init__(self, channels: int, width: int, classes: int) -> None:
        super().__init__(channels, width, 1)
        self.classes = classes

    def forward(self, x: Tensor) -> Tensor:
        """x: (K, channels, M / 2, M / 2) → (K, classes, M, M)."""
        return super().forward(x).expand(-1, self.classes, -1, -1)


class MlpMaskPredictor(nn.Module):
    """The last layer of the fully connected branch."""

    def __init__(self, predicted: int, classes: int, size: int) -> None:
        """predicted: masks that it gives, `classes` or one for all of them; size: M."""
        super().__init__()
        self.logits = nn.Linear(MLP_WIDTH, predicted * size**2)
        self.predicted, self.classes, self.size = predicted, classes, size

    def forward(self, x: Tensor) -> Tensor:
        """x: (K, MLP_WIDTH) → (K, classes, M, M)."""
        masks = self.logits(x).unflatten(1, (self.predicted, self.size, self.size))
        return masks.expand(-1, self.classes, -1, -1)


def last_layer(predictor: nn.Module) -> Any:
    """The layer whose outputs are the logits."""
    return list(predictor.modules())[-1]


def multinomial_mask_loss(logits: Tensor, labels: Tensor, masks: Tensor) -> Tensor:
    """L_mask of table 2b's softmax: the mean over all pixels of -m log p_k - (1 - m) log p_0.

    p: softmax of a pixel's logits over the classes; k: the RoI's class; 0: the background; m: whether the
    pixel is the object's. logits: (R, classes, M, M); labels: (R,) integer, what k is; masks: (R, M, M) float
    in 0-1, what m is. Zero where there is no RoI.
    """
    if not len(labels):
        return logits.sum() * 0
    log_p = functional.log_softmax(logits, dim=1)
    own = log_p[torch.arange(len(labels), device=labels.device), labels]
    return -(masks * own + (1 - masks) * log_p[:, 0]).mean()


class MaskHeads(RoIHeads):
    """torchvision's RoIHeads but for the masks' loss and probabilities: it has them for the sigmoid only, and
    for its own place of a pixel."""

    def __init__(self, heads: RoIHeads, *, softmax: bool, middles: bool) -> None:
        """Takes over the modules and settings of `heads`. middles: a pixel's place is its middle."""
        nn.Module.__init__(self)
        self.__dict__.update(vars(heads))
        self.softmax, self.middles = softmax, middles
        self._boxes_only = False

    def has_mask(self) -> bool:
        """As torchvision's; no while it is to leave the masks to us."""
        return not self._boxes_only and bool(super().has_mask())

    def select_training_samples(self, proposals: Any, targets: Any) -> Any:
        """As torchvision's; remembered for the masks of the same samples."""
        self._sampled = super().select_training_samples(proposals, targets)
        return self._sampled

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: list[dict[str, Tensor]] | None = None,
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        """As torchvision's: detections, with (D, 1, M, M) masks, and in training losses."""
        if not super().has_mask():
            return super().forward(features, proposals, image_shapes, targets)
        self._boxes_only = True
        try:
            found, losses = super().forward(features, proposals, image_shapes, targets)
        finally:
            self._boxes_only = False
        if self.training:
            assert targets is not None
            losses["loss_mask"] = self._loss(features, image_shapes, targets)
            return found, losses
        logits = self._logits(features, [each["boxes"] for each in found], image_shapes)
        labels = torch.cat([each["labels"] for each in found])
        every = functional.softmax(logits, dim=1) if self.softmax else logits.sigmoid()
        probabilities = every[torch.arange(len(labels)), labels][:, None]
        for each, masks in zip(found, probabilities.split([len(e["labels"]) for e in found]), strict=True):
            each["masks"] = masks
        return found, losses

    def _logits(
        self, features: dict[str, Tensor], boxes: list[Tensor], image_shapes: list[tuple[int, int]]
    ) -> Tensor:
        return self.mask_predictor(self.mask_head(self.mask_roi_pool(features, boxes, image_shapes)))

    def _loss(
        self,
        features: dict[str, Tensor],
        image_shapes: list[tuple[int, int]],
        targets: list[dict[str, Tensor]],
    ) -> Tensor:
        proposals, matched, labels, _ = self._sampled
        positive = [torch.where(each > 0)[0] for each in labels]
        boxes = [each[rows] for each, rows in zip(proposals, positive, strict=True)]
        logits = self._logits(features, boxes, image_shapes)
        shift = 0.5 if self.middles else 0.0
        masks = torch.cat(
            [
                project_masks_on_boxes(target["masks"], each - shift, index[rows], logits.shape[-1])
                for target, each, index, rows in zip(targets, boxes, matched, positive, strict=True)
            ]
        )
        classes = torch.cat([each[rows] for each, rows in zip(labels, positive, strict=True)])
        if self.softmax:
            return multinomial_mask_loss(logits, classes, masks)
        if not len(classes):
            return logits.sum() * 0
        own = logits[torch.arange(len(classes), device=classes.device), classes]
        return functional.binary_cross_entropy_with_logits(own, masks)
