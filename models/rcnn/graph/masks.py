"""The end of the mask branch: for each detection the mask of its own class."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection.mask_rcnn import MaskRCNNPredictor

from maskrt.models.rcnn.mask_branch import AgnosticMaskPredictor


def own_class_masks(
    predictor: nn.Module, features: Tensor, labels: Tensor, dtype: torch.dtype, *, softmax: bool
) -> tuple[Tensor, Tensor]:
    """features: of the mask head, K rows; labels: (K,) int32, 0 the first class after the background.

    Returns logits (K, M²), of the predictor's type, and probabilities (K, M, M), of `dtype`. But for softmax
    these are made of those: logits that nothing reads would be cut off by whoever simplifies the graph.
    """
    channel = labels.to(torch.int64) + 1
    if isinstance(predictor, MaskRCNNPredictor) and not softmax:
        logits, sides = _convolve_own_class(predictor, features, channel)
        return logits, torch.sigmoid(logits.to(dtype)).view(-1, *sides)
    every = predictor(features)
    logits = _own_class(every, channel).flatten(1)
    if softmax:
        return logits, _own_class(functional.softmax(every.to(dtype), dim=1), channel)
    return logits, torch.sigmoid(logits.to(dtype)).view(-1, *every.shape[2:])


def _convolve_own_class(
    predictor: MaskRCNNPredictor, features: Tensor, channel: Tensor
) -> tuple[Tensor, torch.Size]:
    """The last, 1×1 convolution has a row of weights a class, of which one is needed.

    Returns logits (K, M²), and the sides of the masks.
    """
    maps = predictor.relu(predictor.conv5_mask(features))
    last = predictor.mask_fcn_logits
    if isinstance(predictor, AgnosticMaskPredictor):
        channel = torch.zeros_like(channel)
    weights = last.weight.flatten(1).index_select(0, channel)
    logits = torch.bmm(weights[:, None], maps.flatten(2)).squeeze(1)
    return logits + last.bias.index_select(0, channel)[:, None], maps.shape[2:]


def _own_class(masks: Tensor, channel: Tensor) -> Tensor:
    """(K, classes, M, M) → (K, M, M)."""
    index = channel[:, None, None, None].expand(-1, 1, *masks.shape[2:])
    return torch.gather(masks, 1, index).squeeze(1)
