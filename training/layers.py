"""Which layers learn, and until when: Matterport's layers="heads", "5+", "4+", "3+" and "all".

A plan is written as LAYERS:EPOCH, comma-separated, EPOCH the one at whose end the next begins:
"heads:20,4+:40,all" trains the heads for 20 epochs, C4 up for another 20, then everything.
"""

from __future__ import annotations

import re
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from maskrt.runtime.errors import MaskrtError

LOWEST_STAGE = {"heads": 6, "5+": 5, "4+": 4, "3+": 3, "all": 1}  # of the ResNet; the heads stand above C5
HEADS = 6


def parse_plan(text: str) -> tuple[tuple[str, float], ...]:
    """(layers, epochs done when they end) in order; the last has no end. Raises MaskrtError."""
    steps: list[tuple[str, float]] = []
    for part in text.split(","):
        name, _, until = part.strip().partition(":")
        if name not in LOWEST_STAGE or (until and not until.isdigit()):
            raise MaskrtError(
                f"--layers {text}: {part.strip()!r} is none of {', '.join(LOWEST_STAGE)}, with or without "
                ":EPOCH. For example: --layers heads:20,4+:40,all"
            )
        steps.append((name, int(until) if until else float("inf")))
    ends = [end for _, end in steps]
    if ends != sorted(set(ends)) or ends[-1] != float("inf"):
        raise MaskrtError(
            f"--layers {text}: the epochs must rise, and the last part has none. "
            "For example: --layers heads:20,4+:40,all"
        )
    return tuple(steps)


def layers_at(plan: tuple[tuple[str, float], ...], epoch: int) -> str:
    """What learns in an epoch, counted from 0."""
    return next(name for name, end in plan if epoch < end)


def stage_of(name: str) -> int:
    """The ResNet stage that a parameter or module of a detector is in: 1 (stem) to 5, or above it the heads.

    As Matterport names them: conv2_x of arXiv:1512.03385, table 1 (torchvision's layer1) is stage 2.
    """
    if not name.startswith("backbone.") or name.startswith("backbone.fpn."):
        return HEADS
    layer = re.search(r"\blayer([1-4])\b", name)
    return int(layer[1]) + 1 if layer else 1


def set_trained(model: nn.Module, layers: str) -> None:
    """Let only these layers of a detector learn; the batch norms of the others keep their statistics.

    Raises MaskrtError for a stage that the backbone has not.
    """
    lowest = LOWEST_STAGE[layers]
    stages = {stage_of(name) for name, _ in model.named_parameters()}
    if lowest not in stages and layers not in ("heads", "all"):
        raise MaskrtError(f"--layers {layers}: this backbone has no stage {lowest}. Choose heads or all.")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(stage_of(name) >= lowest)
    for name, module in model.named_modules():
        if isinstance(module, _BatchNorm):
            module.train(stage_of(name) >= lowest)


class TrainLayers(Callback):
    """Follows a plan. It acts on steps, not on epochs' starts, so that a run resumed in an epoch is right."""

    def __init__(self, plan: str) -> None:
        self.plan, self.now = parse_plan(plan), ""

    def on_train_batch_start(self, trainer: lightning.Trainer, module: Any, batch: Any, index: int) -> None:
        """Freeze and thaw where a part of the plan begins."""
        layers = layers_at(self.plan, trainer.current_epoch)
        if layers != self.now:
            set_trained(module.model, layers)
            self.now = layers
