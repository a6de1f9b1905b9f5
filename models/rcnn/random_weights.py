"""Random weights under which a network behaves as if trained: many confident, varied detections.

Freshly initialised, a detector finds nothing and its activations may overflow, so neither exactness nor
speed of a graph can be judged on it. Here every norm gets the statistics of its own input and every
prediction layer is centred and scaled. For tests and benchmarks, where no download is possible.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.mobilenetv3 import InvertedResidual
from torchvision.models.resnet import BasicBlock, Bottleneck
from torchvision.ops import FrozenBatchNorm2d

from maskrt.models.rcnn.mask_branch import last_layer

# Standard deviations of the outputs, chosen so that a COCO-like image gets tens of detections, and that no
# objectness saturates its sigmoid: equal scores have no order that two implementations would share.
OBJECTNESS_STD, PROPOSAL_DELTA_STD, CLASS_STD, BOX_DELTA_STD = 1.0, 0.1, 3.0, 0.5
MASK_STD, KEYPOINT_STD = 3.0, 3.0
# Share of a residual block's branch beside its shortcut. With as much of each, a random network of fifty
# layers amplifies rounding until the model in float32 finds other objects than the same model in float64.
# In trained networks a branch corrects its shortcut, and rounding stays small.
BRANCH_SCALE = 0.2
# Mean of the mask logits: masks are then blobs with holes, as trained ones are blobs, and not single pixels.
MASK_MEAN = 3.0


@torch.no_grad()
def randomise(model: FasterRCNN, images: list[Tensor], seed: int = 0) -> FasterRCNN:
    """Give `model`, in place, confident random weights, adapted to `images` ((3, H, W) float32 in 0–1)."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            fan_in = module.weight[0].numel()
            module.weight.normal_(0, (2 / fan_in) ** 0.5, generator=generator)
            if module.bias is not None:
                module.bias.zero_()
        elif isinstance(module, BasicBlock | Bottleneck):
            last_norm: Any = module.bn3 if isinstance(module, Bottleneck) else module.bn2
            last_norm.weight.fill_(BRANCH_SCALE)
        elif isinstance(module, InvertedResidual) and module.use_res_connect:
            projection: Any = module.block[-1]
            projection[1].weight.fill_(BRANCH_SCALE)
    rpn: Any = model.rpn.head
    heads: Any = model.roi_heads
    targets = {
        rpn.cls_logits: OBJECTNESS_STD,
        rpn.bbox_pred: PROPOSAL_DELTA_STD,
        heads.box_predictor.cls_score: CLASS_STD,
        heads.box_predictor.bbox_pred: BOX_DELTA_STD,
    }
    if heads.has_mask():
        targets[last_layer(heads.mask_predictor)] = MASK_STD
    if heads.has_keypoint():
        targets[heads.keypoint_predictor.kps_score_lowres] = KEYPOINT_STD
    hooks = [module.register_forward_hook(_adapt_output(std)) for module, std in targets.items()]
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | FrozenBatchNorm2d):
            hooks.append(module.register_forward_pre_hook(_adapt_norm()))
    try:
        model.eval()(images)
    finally:
        for hook in hooks:
            hook.remove()
    if heads.has_mask():
        last_layer(heads.mask_predictor).bias.add_(MASK_MEAN)
    return model


def _adapt_norm() -> Callable[..., None]:
    adapted = False

    def hook(module: Any, inputs: tuple[Tensor, ...]) -> None:
        nonlocal adapted
        if adapted:  # res5 of a C4 model runs for the boxes and then for the masks; the boxes decide
            return
        adapted = True
        module.running_mean.copy_(inputs[0].mean(dim=(0, 2, 3)))
        module.running_var.copy_(inputs[0].var(dim=(0, 2, 3)) + 1e-3)

    return hook


def _adapt_output(std: float) -> Callable[..., Tensor | None]:
    adapted = False

    def hook(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        nonlocal adapted
        if adapted or output.numel() == 0:  # an RPN head runs once a level; the first, largest, decides
            return None
        adapted = True
        channels = [d for d in range(output.dim()) if d != 1]
        mean, scale = output.mean(dim=channels), std / output.std()
        module.weight.mul_(scale)
        module.bias.copy_(-mean * scale)
        return module(*inputs)

    return hook
