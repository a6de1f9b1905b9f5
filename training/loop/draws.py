"""Random choices in training, as a function of the seed and of each draw's number alone.

A draw is one image's use in one epoch; its number is that of the image plus the images of all epochs before.
Augmentation and the RoIs sampled follow from it. So a run gives the same result whether or not it was
interrupted, in one process or several, in one batch or by accumulated gradients.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Sampler
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler


class Draws(Sampler[int]):
    """Draws of one process: every image once an epoch, in an order of that epoch's own.

    A step takes `batch` images for each of `world` processes, in rank's order. Images that do not fill the
    last step wait for another epoch, unless there are fewer in all.
    """

    def __init__(
        self,
        count: int,
        seed: int,
        *,
        batch: int,
        epoch: int = 0,
        batches_done: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        """epoch, batches_done: where to begin, in this process's batches."""
        self.count, self.seed, self.batch, self.rank, self.world = count, seed, batch, rank, world
        self.epoch, self.batches_done = epoch, batches_done

    def set_epoch(self, epoch: int) -> None:
        """Select the epoch. Lightning calls this before each."""
        if epoch != self.epoch:
            self.epoch, self.batches_done = epoch, 0

    def __iter__(self) -> Iterator[int]:
        order = torch.randperm(self.count, generator=torch.Generator().manual_seed(self.seed + self.epoch))
        if self.count >= self.batch * self.world:
            steps = order[: len(self) * self.world].view(-1, self.world, self.batch)
            order = steps[:, self.rank].flatten()
        return iter((order[self.batches_done * self.batch :] + self.epoch * self.count).tolist())

    def __len__(self) -> int:
        step = self.batch * self.world
        return self.count // step * self.batch if self.count >= step else self.count


class SampleByDraw:
    """Sampler of anchors or RoIs as torchvision's, reseeded for each image with its draw's number."""

    def __init__(self, sampler: BalancedPositiveNegativeSampler, seed: int) -> None:
        self.sampler, self.seed, self.draws = sampler, seed, [0]

    def __call__(self, matched: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """matched: for each image (A,), 1 or more where positive, 0 negative, -1 neither. Two masks each."""
        positive, negative = [], []
        for draw, one in zip(self.draws, matched, strict=True):
            torch.manual_seed(self.seed + draw)
            of_positive, of_negative = self.sampler([one])
            positive += of_positive
            negative += of_negative
        return positive, negative


def sample_by_draw(model: nn.Module, seed: int) -> list[SampleByDraw]:
    """Make a model sample by draw wherever it has torchvision's `fg_bg_sampler`, and give the samplers: set
    their `draws` before each step."""
    samplers = []
    parts: Iterator[Any] = model.modules()
    for part in parts:
        if hasattr(part, "fg_bg_sampler"):
            part.fg_bg_sampler = SampleByDraw(part.fg_bg_sampler, seed)
            samplers.append(part.fg_bg_sampler)
    return samplers
