"""What TensorRT's layers over feature maps compute (NvInfer.h), in torch: convolution, pooling, resizing, Q/DQ."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

Parameters = dict[str, Any]
Inputs = dict[int, Tensor]

EXPLICIT, EXPLICIT_ROUND_UP = (
    0,
    1,
)  # PaddingMode: of pooling alone, the second has the last, partial window too
ACTIVATIONS = {
    0: lambda x, p: x.relu(),
    1: lambda x, p: x.sigmoid(),
    2: lambda x, p: x.tanh(),
    8: lambda x, p: x.clamp(p["alpha"], p["beta"]),
    9: lambda x, p: (p["alpha"] * x + p["beta"]).clamp(0, 1),
}


def _pads(parameters: Parameters, sides: int) -> list[int]:
    """As torch's pad takes them: of the last axis first, before and after."""
    if parameters.get("paddingMode", 0) not in (EXPLICIT, EXPLICIT_ROUND_UP):
        raise ValueError(f"padding mode {parameters['paddingMode']} is not known here")
    before = parameters.get("prePadding", [0] * sides)
    after = parameters.get("postPadding", [0] * sides)
    return [pad for ends in reversed(list(zip(before, after, strict=True))) for pad in ends]


def _weights(
    parameters: Parameters, inputs: Inputs, channels: int, first: int
) -> tuple[Tensor, Tensor | None]:
    """Kernel and bias, given as constants or as tensors. channels: along the kernel's second axis."""
    values = parameters["kernelWeights"]
    if 1 in inputs:
        kernel = inputs[1]
    else:
        kernel = torch.from_numpy(values).float().reshape(first, channels, *parameters["kernelSize"])
    bias = parameters["biasWeights"]
    return kernel, inputs.get(2, None if bias is None else torch.from_numpy(bias).float())


def convolution(p: Parameters, x: Inputs, spare: int) -> list[Tensor]:
    """IConvolutionLayer."""
    groups = p.get("nbGroups", 1)
    kernel, bias = _weights(p, x, x[0].shape[1] // groups, p["nbOutputMaps"])
    sides = kernel.ndim - 2
    padded = functional.pad(x[0], _pads(p, sides))
    stride, dilation = p.get("strideNd", [1] * sides), p.get("dilationNd", [1] * sides)
    convolve = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}[sides]
    return [convolve(padded, kernel, bias, stride, 0, dilation, groups)]


def deconvolution(p: Parameters, x: Inputs, spare: int) -> list[Tensor]:
    """IDeconvolutionLayer: padding is cut off from the result."""
    groups = p.get("nbGroups", 1)
    kernel, bias = _weights(p, x, p["nbOutputMaps"] // groups, x[0].shape[1])
    whole = functional.conv_transpose2d(x[0], kernel, bias, p.get("strideNd", [1, 1]), 0, 0, groups)
    return [functional.pad(whole, [-pad for pad in _pads(p, 2)])]


def pooling(p: Parameters, x: Inputs, spare: int) -> list[Tensor]:
    """IPoolingLayer: the maximum, or the average of what is inside."""
    window, pads = p["windowSize"], _pads(p, 2)
    stride = p.get("strideNd", window)
    if p["type"] == 0:
        padded = functional.pad(x[0], pads, value=-torch.inf)
        up = p.get("paddingMode", EXPLICIT) == EXPLICIT_ROUND_UP
        return [functional.max_pool2d(padded, window, stride, ceil_mode=up)]
    if any(pads):
        raise ValueError("an average over padding is not known here")
    return [functional.avg_pool2d(x[0], window, stride)]


def activation(p: Parameters, x: Inputs, spare: int) -> list[Tensor]:
    """IActivationLayer."""
    return [ACTIVATIONS[p["type"]](x[0], p)]


def scale(p: Parameters, x: Inputs, spare: int) -> list[Tensor]:
    """IScaleLayer: (x * scale + shift) ** power."""
    shape = [1] * x[0].ndim
    if p["mode"] == 1:
        shape[p.get("channelAxis", 1)] = -1
    shift, factor, power = (
        default if p[name] is None else torch.from_numpy(p[name]).float().reshape(shape)
        for name, default in (("shift", 0.0), ("scale", 1.0), ("power", 1.0))
    )
    return [(x[0] * factor + shift) ** power]


def resize(p: Parameters, x: Inputs, spare: int) -> list[Tensor]:
    """IResizeLayer, nearest and linear."""
    given = x[0].shape
    if 1 in x:
        target = x[1].tolist()
    elif "outputDimensions" in p:
        target = p["outputDimensions"]
    else:
        target = [int(extent * factor) for extent, factor in zip(given, p["scales"], strict=True)]
    result = x[0]
    for axis, (old, new) in enumerate(zip(given, target, strict=True)):
        if old == new:
            continue
        ratio = p["scales"][axis] if "scales" in p and 1 not in x else new / old
        at = torch.arange(new, dtype=torch.float64)
        at = {1: at / ratio, 2: (at + 0.5) / ratio - 0.5}[p.get("coordinateTransformation", 1)]
        if p.get("resizeMode", 0) == 0:
            nearest = {0: torch.floor(at + 0.5), 1: torch.ceil(at - 0.5), 2: at.floor(), 3: at.ceil()}
            result = result.index_select(axis, nearest[p.get("nearestRounding", 2)].long().clamp(0, old - 1))
        else:
            at = at.clamp(0, old - 1)
            low, part = at.floor().long(), (at - at.floor()).float()
            part = part.reshape([-1 if i == axis else 1 for i in range(result.ndim)])
            high = (low + 1).clamp(max=old - 1)
            result = result.index_select(axis, low) * (1 - part) + result.index_select(axis, high) * part
    return [result]


def quantise(p: Parameters, x: Inputs, spare: int) -> list[Tensor]:
    """IQuantizeLayer: symmetric, to the nearest and to the even one of two."""
    return [(x[0] / _scales(p, x)).round().clamp(-128, 127)]


def dequantise(p: Parameters, x: Inputs, spare: int) -> list[Tensor]:
    """IDequantizeLayer."""
    return [x[0] * _scales(p, x)]


def _scales(p: Parameters, x: Inputs) -> Tensor:
    """Of the whole tensor, or one a row of an axis. A zero point, where given, is the parser's: all zeros."""
    if 2 in x and x[2].any():
        raise ValueError("a zero point that is not 0")
    shape = [1] * x[0].ndim
    if x[1].numel() > 1:
        shape[p["axis"]] = -1
    return x[1].reshape(shape)
