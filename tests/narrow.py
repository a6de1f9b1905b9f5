"""A ResNet-18 of a quarter of its channels, for tests of what a network's width changes nothing of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from torchvision.models import resnet

from maskrt.models.parts import backbones

TIMES = 4


class NarrowResNet(resnet.ResNet):
    """As narrow in each layer after the stem."""

    def _make_layer(self, block: Any, planes: int, *arguments: Any, **options: Any) -> Any:
        return super()._make_layer(block, planes // TIMES, *arguments, **options)


def resnet18(weights: None, norm_layer: Any) -> NarrowResNet:
    """torchvision's function of that name, narrower."""
    return NarrowResNet(resnet.BasicBlock, [2, 2, 2, 2], norm_layer=norm_layer)


@contextmanager
def narrow_resnets() -> Iterator[None]:
    """Meanwhile resnet18 is the narrow one, wherever it is asked for, and group norms have as many fewer groups."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(resnet, "resnet18", resnet18)
        patched.setattr(backbones, "GROUP_NORM_GROUPS", backbones.GROUP_NORM_GROUPS // TIMES)
        yield
