"""How a training run goes, and presets for it. What the model is: training/models."""

from __future__ import annotations

import ast
import dataclasses
from dataclasses import dataclass
from typing import Any

from runtime.errors import MaskrtError
from training.augment import AUGMENTATIONS
from training.models import MaskRcnnConfig

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")  # Lightning's names


@dataclass(frozen=True)
class TrainConfig:
    """Every choice of a run but the model's own."""

    epochs: int = 12
    batch: int = 2
    optimizer: str = "sgd"  # or "adamw"
    lr: float = 0.0025
    weight_decay: float = 1e-4
    schedule: str = "step"  # lr / 10 at 2/3 and 8/9 of the run (Detectron's), or "cosine" to zero
    warmup_iterations: int = 500  # linear, from lr / 1000
    clip: float = 0.0  # largest gradient norm; 0: no clipping
    precision: str = "32-true"
    augment: str = "flip"  # training/augment.py
    seed: int = 0
    workers: int = 4  # processes that load images; 0: the training process itself

    def __post_init__(self) -> None:
        for name, got, allowed in (
            ("optimizer", self.optimizer, ("sgd", "adamw")),
            ("schedule", self.schedule, ("step", "cosine")),
            ("augment", self.augment, tuple(AUGMENTATIONS)),
            ("precision", self.precision, PRECISIONS),
        ):
            if got not in allowed:
                raise MaskrtError(f"training configuration: {name} is {got!r}, expected one of {allowed}.")
        if min(self.epochs, self.batch) < 1 or min(self.lr, self.clip, self.workers) < 0:
            raise MaskrtError(
                f"training configuration: epochs {self.epochs}, batch {self.batch}, lr {self.lr}, clip "
                f"{self.clip}, workers {self.workers}; the first two must be at least 1, the rest at least 0."
            )


# The paper's schedule (section 3.1: lr 0.02 for 16 images) for one machine with a batch of 2: lr scales
# linearly with the batch (arXiv:1706.02677).
PAPER = (MaskRcnnConfig(), TrainConfig())

# Learns a few hundred instances from scratch on two CPU cores within minutes. Most of a step's cost is in
# the FPN's and RPN's convolutions on P2, which half the channels quarter, and in the sampled RoIs. Batch norm
# must be trainable where nothing was learned before.
SMALL = (
    MaskRcnnConfig(
        backbone="resnet18",
        norm="bn",
        fpn_channels=128,
        mask_convs=(128, 128, 128, 128),
        min_size_px=384,
        max_size_px=704,
        rpn_samples=128,
        rpn_post_nms_train=1000,
        rpn_post_nms_test=300,
        box_samples=96,
    ),
    TrainConfig(
        epochs=8,
        optimizer="adamw",
        lr=4e-4,
        schedule="cosine",
        warmup_iterations=20,
        clip=10.0,
        precision="bf16-mixed",
        augment="full",
        workers=0,
    ),
)

# Fine-tuning in eight bits (--qat): the network knows its task, and only has to find weights that round well.
QAT = TrainConfig(
    epochs=3,
    optimizer="adamw",
    lr=2e-5,
    schedule="cosine",
    warmup_iterations=20,
    clip=10.0,
    workers=0,
)

PRESETS = {"small": SMALL, "paper": PAPER}


def override(config: Any, values: dict[str, str]) -> Any:
    """A copy of a frozen config with fields set from text; a tuple is written 1,2,3 or (1,),(2,).

    Raises MaskrtError for an unknown field or a value of the wrong kind.
    """
    fields = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    parsed: dict[str, Any] = {}
    for name, text in values.items():
        if name not in fields:
            raise MaskrtError(f"--set {name}: no such setting. Known: {', '.join(sorted(fields))}")
        try:
            parsed[name] = _parse(text, fields[name])
        except (ValueError, SyntaxError) as error:
            raise MaskrtError(
                f"--set {name}={text}: expected {type(fields[name]).__name__} like {fields[name]!r}."
            ) from error
    return dataclasses.replace(config, **parsed)


def _parse(text: str, example: Any) -> Any:
    if isinstance(example, str):
        return text
    value = ast.literal_eval(f"({text},)" if isinstance(example, tuple) and "," not in text else text)
    if isinstance(example, bool) != isinstance(value, bool):
        raise ValueError(text)
    if isinstance(example, float) and isinstance(value, int):
        return float(value)
    if not isinstance(value, type(example)):
        raise ValueError(text)
    return value
