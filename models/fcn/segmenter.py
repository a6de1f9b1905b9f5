"""What the networks of this package have in common: from pictures to the losses of their scores."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from maskrt.models.fcn.semantic_config import SemanticConfig
from maskrt.runtime.tasks.semantic.options import IGNORED, SEMANTIC


class Segmenter(nn.Module):
    """A network whose maps end in scores, which are enlarged to the canvas."""

    config: SemanticConfig
    #: Submodules that a network has for its training alone.
    training_only: tuple[str, ...] = ()

    @abstractmethod
    def maps(self, canvas: Tensor) -> dict[str, Tensor]:
        """canvas: (N, 3, H, W) normalised → all taps but the canvas, by name; the last are the scores."""

    @abstractmethod
    def enlarged(self, scores: Tensor, canvas: Tensor) -> Tensor:
        """scores: (N, C, h, w); canvas: (N, 3, H, W). Returns logits (N, C, H, W)."""

    @abstractmethod
    def score_layers(self) -> list[nn.Conv2d]:
        """The layers whose outputs, added where they are several, are scores."""

    def whole(self, canvas: Tensor) -> tuple[Tensor, Tensor]:
        """canvas: (N, 3, H, W) → the last scores (N, C, h, w), and logits (N, C, H, W)."""
        *_, scores = self.maps(canvas).values()
        return scores, self.enlarged(scores, canvas)

    def losses(self, canvas: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """labels: (N, H, W) int64 with `IGNORED`."""
        return {"loss_semantic": cross_entropy(self.whole(canvas)[1], labels)}

    def forward(self, images: list[Tensor], targets: list[dict[str, Any]]) -> dict[str, Tensor]:
        """In training: the losses of images (3, h, w) in 0–1, and label maps (h, w) uint8 as `semantic`."""
        canvas, labels = self.stacked(images, [target[SEMANTIC] for target in targets])
        with torch.random.fork_rng(devices=[canvas.device] if canvas.is_cuda else []):
            # What dropout takes follows from the draws alone (training/loop/draws.py).
            torch.manual_seed(sum(int(target.get("draw", 0)) for target in targets))
            return self.losses(canvas, labels)

    def stacked(self, images: list[Tensor], labels: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Normalised images as one canvas (N, 3, H, W), zero past each, and their labels (N, H, W) int64."""
        first, stride = images[0], self.config.stride
        mean, std = (first.new_tensor(c)[:, None, None] for c in (self.config.mean, self.config.std))
        height, width = (max(-(-one.shape[k] // stride) for one in images) * stride for k in (1, 2))
        canvas = first.new_zeros((len(images), 3, height, width))
        wanted = torch.full((len(images), height, width), IGNORED, dtype=torch.int64, device=first.device)
        for row, image, of_one in zip(range(len(images)), images, labels, strict=True):
            canvas[row, :, : image.shape[1], : image.shape[2]] = (image - mean) / std
            wanted[row, : image.shape[1], : image.shape[2]] = of_one
        return canvas, wanted


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over the labelled pixels, zero where there are none. logits: (N, C, H, W); labels: (N, H, W)."""
    total = functional.cross_entropy(logits.float(), labels, ignore_index=IGNORED, reduction="sum")
    return total / (labels != IGNORED).sum().clamp(min=1)
