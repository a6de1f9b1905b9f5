"""Fake quantisation for training: the forward pass rounds to eight bits, the backward pass ignores it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

INT8_MIN, INT8_MAX = -128, 127
PERCENTILE = 0.9999  # of the magnitudes that are not 0: where a scale begins
SAMPLES = 1 << 17  # values of a tensor that the percentile is taken of, evenly spread


def round_through(values: Tensor) -> Tensor:
    """Round half to even, with the gradient of the identity (arXiv:1308.3432, section 4)."""
    return values + (values.round() - values).detach()


class FakeQuantise(nn.Module):
    """Rounds a tensor to symmetric int8 with a learned scale (Learned Step Size Quantization,
    arXiv:1902.08153).

    The scale's gradient is that of the paper's eq. 3, by automatic differentiation through clamp and
    division. Its logarithm is learned, so that a step is a share of the scale whatever its size
    (arXiv:1903.08066, section 3.2). The paper's division by √(127 · count) is left out: it is for steps that
    follow the gradient's size, and it took those of the heads to 1e-9, below AdamW's epsilon.
    """

    peak: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.log2_scale = nn.Parameter(torch.zeros(()))
        self.observing = False
        self.register_buffer("peak", torch.zeros(()), persistent=False)

    @property
    def scale(self) -> float:
        """Size of one of the 127 steps."""
        return float(torch.exp2(self.log2_scale.detach()))

    def forward(self, values: Tensor) -> Tensor:
        """Round to the scale's steps; values stay unchanged while observing."""
        if self.observing:
            self._observe(values.detach())
            return values
        # In float32 whatever the values' type: bfloat16 cannot hold the scale.
        scale = torch.exp2(self.log2_scale)
        steps = (values.float() / scale).clamp(INT8_MIN, INT8_MAX)
        return (round_through(steps) * scale).to(values.dtype)

    def _observe(self, values: Tensor) -> None:
        magnitudes = values.flatten()[:: values.numel() // SAMPLES | 1].abs()
        magnitudes = magnitudes[magnitudes > 0].float()
        if magnitudes.numel():
            self.peak = torch.maximum(self.peak, torch.quantile(magnitudes, PERCENTILE))
            self.log2_scale.data = torch.log2(self.peak / INT8_MAX)


class RoundedWeight(nn.Module):
    """Rounds weights to symmetric int8, with a scale for each output channel: its largest magnitude over 127.

    For torch.nn.utils.parametrize. A batch norm with fixed statistics scales whole output channels, so
    rounding before it is folded gives the steps of rounding after.
    """

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, weight: Tensor) -> Tensor:
        """weight: any shape with output channels along `axis`."""
        others = [i for i in range(weight.ndim) if i != self.axis]
        scale = weight.detach().abs().amax(dim=others, keepdim=True) / INT8_MAX
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        return round_through(weight / scale) * scale
