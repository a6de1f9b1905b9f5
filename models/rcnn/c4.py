"""The heads of a C4 model: RoIs pooled from C4, and the ResNet's last layer run on each of them.

arXiv:1703.06870, section 3, "Network Architecture", and figure 4, left; the box head is that of
arXiv:1512.03385, appendix A. Settings that differ from an FPN model's: maskrt.models.rcnn.config.C4.
"""

from __future__ import annotations

from torch import Tensor, nn


class Res5Head(nn.Module):
    """The ResNet's last layer ("res5") on each RoI, averaged over its positions."""

    def __init__(self, res5: nn.Module) -> None:
        super().__init__()
        self.res5 = res5

    def forward(self, pooled: Tensor) -> Tensor:
        """pooled: (R, C4 channels, 14, 14) → (R, C5 channels)."""
        return self.res5(pooled).mean(dim=(2, 3))


class SharedRes5(nn.Module):
    """The same layer for the mask branch, which begins with its 7×7 map.

    Its weights are the box head's. They are not registered here (a tuple is not), so that they stand once in
    the checkpoint and in the graph.
    """

    def __init__(self, box_head: Res5Head) -> None:
        super().__init__()
        self._shared = (box_head.res5,)

    def forward(self, pooled: Tensor) -> Tensor:
        """pooled: (K, C4 channels, 14, 14) → (K, C5 channels, 7, 7)."""
        return self._shared[0](pooled)
