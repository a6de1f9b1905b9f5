"""FCN on VGG16 by the published description alone: functions of a state dict, none of ours."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

#: What Caffe's FCN subtracts of a picture's B G R (shelhamer/fcn.berkeleyvision.org, voc_layers.py).
MEAN_BGR = (104.00698793, 116.66876762, 122.67891434)
CONVOLUTIONS = {1: 2, 2: 2, 3: 3, 4: 3, 5: 3}  # a block
Weights = dict[str, Tensor]


def bilinear(side: int, classes: int) -> Tensor:
    """(C, C, side, side): the filter of Caffe's BilinearFiller on the diagonal."""
    factor = (side + 1) // 2
    centre = factor - 0.5 if side % 2 == 0 else factor - 1.0
    along = torch.tensor([1 - abs(i - centre) / factor for i in range(side)])
    return torch.eye(classes)[:, :, None, None] * (along[:, None] * along)


def write(network: str, width: int, fc: int, classes: int, seed: int = 0) -> Weights:
    """Confident random weights under the published names. width: channels of conv1."""
    generator = torch.Generator().manual_seed(seed)
    weights: Weights = {}

    def layer(name: str, given: int, made: int, side: int) -> int:
        deviation = (2 / (given * side**2)) ** 0.5
        weights[f"{name}.weight"] = torch.randn((made, given, side, side), generator=generator) * deviation
        weights[f"{name}.bias"] = torch.randn(made, generator=generator) * 0.1
        return made

    channels, pooled = 3, {}
    for block, count in CONVOLUTIONS.items():
        for number in range(1, count + 1):
            channels = layer(f"conv{block}_{number}", channels, width * min(2 ** (block - 1), 8), 3)
        pooled[block] = channels
    layer("fc6", channels, fc, 7)
    layer("fc7", fc, fc, 1)
    layer("score_fr", fc, classes, 1)
    ups = {"fcn32s": {"upscore": 64}, "fcn16s": {"upscore2": 4, "upscore16": 32}}
    ups["fcn8s"] = {"upscore2": 4, "upscore_pool4": 4, "upscore8": 16}
    if network != "fcn32s":
        layer("score_pool4", pooled[4], classes, 1)
    if network == "fcn8s":
        layer("score_pool3", pooled[3], classes, 1)
    return weights | {f"{name}.weight": bilinear(side, classes) for name, side in ups[network].items()}


def run(weights: Weights, image: Tensor, scales: tuple[float, float] = (1.0, 1.0)) -> Tensor:
    """image: (3, H, W) RGB, 0–255. Returns scores (C, H, W). scales: of pool4 and pool3."""

    def conv(name: str, values: Tensor, padding: int = 0) -> Tensor:
        return functional.conv2d(values, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=padding)

    def up(name: str, values: Tensor) -> Tensor:
        weight = weights[f"{name}.weight"]
        return functional.conv_transpose2d(values, weight, stride=weight.shape[2] // 2)

    def crop(values: Tensor, offset: int, like: Tensor) -> Tensor:
        return values[:, :, offset : offset + like.shape[2], offset : offset + like.shape[3]]

    picture = (image.flip(0) - torch.tensor(MEAN_BGR)[:, None, None])[None]
    values, pools = picture, {}
    for block, count in CONVOLUTIONS.items():
        for number in range(1, count + 1):
            padding = 100 if (block, number) == (1, 1) else 1
            values = functional.relu(conv(f"conv{block}_{number}", values, padding))
        values = pools[block] = functional.max_pool2d(values, 2, stride=2, ceil_mode=True)
    values = functional.relu(conv("fc7", functional.relu(conv("fc6", values))))
    scores = conv("score_fr", values)
    if "upscore.weight" in weights:
        return crop(up("upscore", scores), 19, picture)[0]
    scores = up("upscore2", scores)
    scores = scores + crop(conv("score_pool4", pools[4] * scales[0]), 5, scores)
    if "upscore16.weight" in weights:
        return crop(up("upscore16", scores), 27, picture)[0]
    scores = up("upscore_pool4", scores)
    scores = scores + crop(conv("score_pool3", pools[3] * scales[1]), 9, scores)
    return crop(up("upscore8", scores), 31, picture)[0]
