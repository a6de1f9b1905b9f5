"""Random weights under which a YOLACT behaves as if trained: many confident, varied detections.

As models/rcnn/random_weights.py says of R-CNNs: every norm gets the statistics of its own input, and what the
head says is centred and scaled. For tests and benchmarks, where no download is possible.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck
from torchvision.ops import FrozenBatchNorm2d

from maskrt.models.yolact.layout import LEVELS
from maskrt.models.yolact.losses import batched
from maskrt.models.yolact.network import Yolact
from maskrt.models.yolact.rescoring import LEAST_CELLS

CLASS_STD, BOX_STD, COEFFICIENT_STD, PROTOTYPE_STD = 3.0, 1.0, 1.0, 1.0
IOU, IOU_STD = 0.7, 0.05  # of what the mask-IoU net says
BRANCH_SCALE = 0.2  # of a residual block's branch: with more, rounding grows from block to block
BACKGROUND = 6.0  # what the background's logits are raised by: of some thousand priors, tens are an object


@torch.no_grad()
def randomise(model: Yolact, image: Tensor, seed: int = 0) -> Yolact:
    """Give `model`, in place, confident random weights, adapted to an image (3, h, w) float32 in 0–1."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.normal_(0, (2 / module.weight[0].numel()) ** 0.5, generator=generator)
            if module.bias is not None:
                module.bias.zero_()
        elif isinstance(module, BasicBlock | Bottleneck):
            last: Any = module.bn3 if isinstance(module, Bottleneck) else module.bn2
            last.weight.fill_(BRANCH_SCALE)
    head, protonet = model.head, model.protonet
    targets = {
        head.classes: CLASS_STD,
        head.boxes: BOX_STD,
        head.coefficients: COEFFICIENT_STD,
        protonet.last: PROTOTYPE_STD,
    }
    hooks = [module.register_forward_hook(_adapt_output(std)) for module, std in targets.items()]
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | FrozenBatchNorm2d):
            hooks.append(module.register_forward_pre_hook(_adapt_norm()))
    try:
        maps = model.eval().backbone(batched([image], model.config))
        model.head([maps[name] for name in LEVELS])
        model.protonet(maps[LEVELS[0]])
    finally:
        for hook in hooks:
            hook.remove()
    if model.mask_iou is not None:
        masks = torch.rand((4, LEAST_CELLS, LEAST_CELLS), generator=generator)
        hook = model.mask_iou.last.register_forward_hook(_adapt_output(IOU_STD))
        model.mask_iou(masks)
        hook.remove()
        iou_bias: Any = model.mask_iou.last.bias
        iou_bias += IOU
    bias: Any = head.classes.bias
    bias[:: model.config.num_classes] += BACKGROUND
    return model


def _adapt_norm() -> Callable[..., None]:
    def hook(module: Any, inputs: tuple[Tensor, ...]) -> None:
        module.running_mean.copy_(inputs[0].mean(dim=(0, 2, 3)))
        module.running_var.copy_(inputs[0].var(dim=(0, 2, 3)) + 1e-3)

    return hook


def _adapt_output(std: float) -> Callable[..., Tensor | None]:
    adapted = False

    def hook(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        nonlocal adapted
        if adapted:  # the head runs once a level; the first, largest, decides
            return None
        adapted = True
        scale = std / output.std()
        module.weight.mul_(scale)
        module.bias.copy_(-output.mean(dim=(0, 2, 3)) * scale)
        return module(*inputs)

    return hook
