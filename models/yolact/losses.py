"""YOLACT's losses (arXiv:1904.02689, section 3.4 and 5), as its authors' code computes them.

| loss | what |
|---|---|
| class | cross-entropy of positive priors and of three times as many background priors, an image's hardest |
| box | smooth L1 of positive priors' deltas |
| mask | binary cross-entropy within the object's box, over the box's area, of positive priors |
| mask_iou | of YOLACT++: smooth L1 of what is said of these masks' IoU (models/yolact/rescoring.py) |
| semantic | binary cross-entropy of each class on P3, over the map's area, of all images |

All but the last are sums over the batch, divided by its positive priors. Objects smaller than `min_box_px`
are left out: the authors mean to leave those out that are below 4 px of 550, but compare pixels with 4 /
550.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from maskrt.models.yolact.layout import LEVELS
from maskrt.models.yolact.matching import BACKGROUND, matched
from maskrt.models.yolact.priors import corners, encoded, per_prior, prior_sides, priors_of
from maskrt.models.yolact.rescoring import iou_loss
from maskrt.runtime.preprocess import round_up

if TYPE_CHECKING:
    from maskrt.models.yolact.config import YolactConfig
    from maskrt.models.yolact.network import Yolact

CROP_PADDING = 1.0  # cells of the prototypes that a mask reaches past its box, to either side


def losses_of(model: Yolact, images: list[Tensor], targets: list[dict[str, Any]]) -> dict[str, Tensor]:
    """The losses of images (3, h, w) in 0–1 and their targets (training/loop/loader.py)."""
    config = model.config
    canvas = batched(images, config)
    size = (canvas.shape[2], canvas.shape[3])
    maps = model.backbone(canvas)
    levels = [maps[name] for name in LEVELS]
    prototypes, semantic = functional.relu(model.protonet(levels[0])), model.semantic(levels[0])
    logits, deltas, coefficients = (
        per_prior(said, values).float()
        for said, values in zip(model.head(levels), (config.num_classes, 4, config.prototypes), strict=True)
    )
    sides = prior_sides(config).to(canvas.device)
    priors = priors_of(sides, [(m.shape[2], m.shape[3]) for m in levels], size)
    learned = [_learned(target, config.min_box_px, size) for target in targets]
    found = [
        matched(
            boxes,
            labels,
            corners(priors),
            positive=config.positive_iou,
            negative=config.negative_iou,
        )
        for boxes, labels, _ in learned
    ]
    positives = sum(int((classes > 0).sum()) for classes, _ in found) or 1
    sums = {"loss_class": logits.sum() * 0, "loss_box": deltas.sum() * 0, "loss_mask": prototypes.sum() * 0}
    ious = prototypes.float().sum() * 0
    for row, ((boxes, _, masks), (classes, objects)) in enumerate(zip(learned, found, strict=True)):
        own = classes > 0
        if not own.any():
            continue
        sums["loss_class"] = sums["loss_class"] + _class_loss(logits[row], classes, config)
        wanted = encoded(boxes[objects[own]], priors[own])
        sums["loss_box"] = sums["loss_box"] + functional.smooth_l1_loss(
            deltas[row, own], wanted, reduction="sum"
        )
        of_masks, of_ious = _mask_loss(
            model,
            prototypes[row].float(),
            torch.tanh(coefficients[row, own]),
            boxes[objects[own]],
            masks,
            (objects[own], classes[own]),
            size,
        )
        sums["loss_mask"], ious = sums["loss_mask"] + of_masks, ious + of_ious
    judged = {"loss_mask_iou": ious * config.mask_iou_weight / positives} if config.mask_iou else {}
    return judged | {
        "loss_class": sums["loss_class"] / positives,
        "loss_box": sums["loss_box"] * config.box_weight / positives,
        "loss_mask": sums["loss_mask"] * config.mask_weight / positives,
        "loss_semantic": _semantic_loss(semantic.float(), learned) * config.semantic_weight,
    }


def batched(images: list[Tensor], config: YolactConfig) -> Tensor:
    """Images (3, h, w) in 0–1, normalised, padded with zeros to one size that the stride divides:
    (N, 3, H, W)."""
    mean, std = (images[0].new_tensor(c)[:, None, None] for c in (config.mean, config.std))
    height, width = (round_up(max(one.shape[axis] for one in images), config.stride) for axis in (1, 2))
    return torch.stack(
        [
            functional.pad((one - mean) / std, (0, width - one.shape[2], 0, height - one.shape[1]))
            for one in images
        ]
    )


def inside_boxes(boxes: Tensor, height: int, width: int) -> Tensor:
    """(K, height, width) bool: the cells of the prototypes that a mask may have.

    boxes: (K, 4) x1 y1 x2 y2 in cells, any numbers. A column x is in where x1 - 1 ≤ x < x2 + 1, a row alike.
    """
    first, last = boxes[:, :2] - CROP_PADDING, boxes[:, 2:] + CROP_PADDING
    x, y = (torch.arange(cells, dtype=boxes.dtype, device=boxes.device) for cells in (width, height))
    columns = (x >= first[:, :1]) & (x < last[:, :1])
    rows = (y >= first[:, 1:]) & (y < last[:, 1:])
    return rows[:, :, None] & columns[:, None, :]


def _learned(target: dict[str, Any], least_px: float, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes (G, 4), labels (G,) and masks (G, H, W) float32, padded to the canvas, of the objects that are
    large enough."""
    boxes, labels, masks = target["boxes"].float(), target["labels"], target["masks"]
    large = (boxes[:, 2:] - boxes[:, :2]).amin(dim=1) >= least_px if len(boxes) else labels > 0
    height, width = size
    padded = functional.pad(masks[large].float(), (0, width - masks.shape[2], 0, height - masks.shape[1]))
    return boxes[large], labels[large], padded


def _class_loss(logits: Tensor, classes: Tensor, config: YolactConfig) -> Tensor:
    """logits: (P, classes); classes: (P,), of which one at least is positive. A sum."""
    own, background = classes > 0, classes == BACKGROUND
    hardness = torch.logsumexp(logits.detach(), dim=1) - logits.detach()[:, 0]
    hardness = torch.where(background, hardness, -torch.inf)
    wanted = int(config.negatives_a_positive * int(own.sum()))
    hardest = hardness.topk(min(wanted, int(background.sum()))).indices
    chosen = torch.cat([torch.where(own)[0], hardest])
    return functional.cross_entropy(logits[chosen], classes[chosen], reduction="sum")


def _mask_loss(
    model: Yolact,
    prototypes: Tensor,
    coefficients: Tensor,
    boxes: Tensor,
    masks: Tensor,
    matched_to: tuple[Tensor, Tensor],
    size: tuple[int, int],
) -> tuple[Tensor, Tensor]:
    """prototypes: (K, h, w); coefficients: (R, K), after their tanh, boxes (R, 4) in canvas px, objects and
    classes (R,) of positive priors; masks: (G, H, W). Returns the masks' loss and that of their IoU.

    Of more than `masks_an_image` rows some are learned, and make up for the others in the first."""
    objects, classes = matched_to
    rows, most = len(objects), model.config.masks_an_image
    if rows > most:
        drawn = torch.randperm(rows, device=objects.device)[:most]
        coefficients, boxes = coefficients[drawn], boxes[drawn]
        objects, classes = objects[drawn], classes[drawn]
    height, width = prototypes.shape[1:]
    wanted = _at_size(masks, height, width)[objects]
    cells = boxes * boxes.new_tensor([width / size[1], height / size[0]] * 2)
    logits = (coefficients @ prototypes.flatten(1)).view(-1, height, width)
    each = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    inside = inside_boxes(cells, height, width)
    areas = (cells[:, 2] - cells[:, 0]) * (cells[:, 3] - cells[:, 1])
    loss = (torch.where(inside, each, 0).sum(dim=(1, 2)) / areas).sum() * rows / len(objects)
    if model.mask_iou is None:
        return loss, logits.sum() * 0
    predicted = torch.where(inside, logits.sigmoid(), 0)
    return loss, iou_loss(model.mask_iou, predicted, wanted, classes - 1)


def _semantic_loss(logits: Tensor, learned: list[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
    """logits: (N, classes, h, w), of the classes without background."""
    height, width = logits.shape[2:]
    wanted = torch.zeros_like(logits)
    for row, (_, labels, masks) in enumerate(learned):
        covered = _at_size(masks, height, width)
        for label, mask in zip(labels, covered, strict=True):
            wanted[row, label - 1] = torch.maximum(wanted[row, label - 1], mask)
    found = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="sum")
    return found / (height * width * len(logits))


def _at_size(masks: Tensor, height: int, width: int) -> Tensor:
    """Masks (G, H, W) as 0 and 1 on a smaller grid, (G, height, width) float32."""
    if not len(masks):
        return masks.new_zeros((0, height, width))
    smaller = functional.interpolate(masks[None], (height, width), mode="bilinear", align_corners=False)[0]
    return (smaller > 0.5).float()
