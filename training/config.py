"""Settings of a training run. The model's, and the presets of both, are in the families of models/."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from maskrt.models import all_families
from maskrt.models.config import ModelConfig
from maskrt.models.family import Preset
from maskrt.models.settings import replaced
from maskrt.runtime.errors import MaskrtError
from maskrt.training.layers import parse_plan
from maskrt.training.loop.augment import AUGMENTATIONS
from maskrt.training.loop.loggers import logger_names
from maskrt.training.run_file import RunFile

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")  # Lightning's names
MOST_SEED = 2**32 - 1


@dataclass(frozen=True)
class TrainConfig:
    """Settings of a run, except the model's own."""

    epochs: int = 12
    passes: int = 1  # over the data in an epoch, after which it is validated and saved
    batch: int = 2  # images a process takes at a time
    accumulate: int = 1  # batches whose gradients make one step
    devices: int = 1  # processes a machine, one a GPU
    nodes: int = 1  # machines
    layers: str = "all"  # which learn, and until when: training/layers.py
    optimizer: str = "sgd"  # or "adamw"
    lr: float = 0.0025
    scale_lr: float = 0.03  # of the scales that --qat learns: octaves a step, as AdamW takes them
    lr_images: int = 0  # images a step that lr is meant for, and scaled from (arXiv:1706.02677); 0: as it is
    weight_decay: float = 1e-4
    schedule: str = "step"  # lr / 10 at 2/3 and 8/9 of the run (Detectron's), or "cosine" to zero
    warmup_iterations: int = 500  # linear, from lr / 1000
    clip: float = 0.0  # largest gradient norm; 0: no clipping
    precision: str = "32-true"
    augment: str = "flip"  # training/loop/augment.py
    crop_px: int = 0  # side of the square that is cut from each image, of label maps alone; 0: no crop
    crop_scales: tuple[float, float] = (0.75, 2.0)  # the least and the most that it is enlarged by before
    sync_bn: bool = False  # batch norms see the images of all GPUs
    ema_decay: float = 0.0  # of the exponential moving average of the weights, which is what is kept; 0: none
    best: str = "ap"  # of the validation set, what makes best.pt: "ap" (of masks if there are) or "loss"
    save_every_iterations: int = 0  # to resume in the middle of an epoch; 0: saved after each epoch
    seed: int = 0
    logger: str = "tensorboard"  # beside the CSV file; several by comma: training/loop/loggers.py
    workers: int = 4  # processes that load images; 0: the training process itself

    def __post_init__(self) -> None:
        for name, got, allowed in (
            ("optimizer", self.optimizer, ("sgd", "adamw")),
            ("schedule", self.schedule, ("step", "cosine")),
            ("augment", self.augment, tuple(AUGMENTATIONS)),
            ("precision", self.precision, PRECISIONS),
            ("best", self.best, ("ap", "loss")),
        ):
            if got not in allowed:
                raise MaskrtError(f"training configuration: {name} is {got!r}, expected one of {allowed}.")
        for least, names in (
            (1, ("epochs", "passes", "batch", "accumulate", "devices", "nodes")),
            (0, ("lr", "scale_lr", "lr_images", "weight_decay", "warmup_iterations", "clip", "ema_decay")),
            (0, ("save_every_iterations", "seed", "workers", "crop_px")),
        ):
            for name in names:
                if not least <= getattr(self, name) < math.inf:
                    raise MaskrtError(
                        f"training configuration: {name} is {getattr(self, name)}, expected at least {least}."
                    )
        if self.seed > MOST_SEED:
            raise MaskrtError(
                f"training configuration: seed is {self.seed}, expected at most {MOST_SEED}, as numpy's."
            )
        if self.ema_decay >= 1:
            raise MaskrtError(
                f"training configuration: ema_decay is {self.ema_decay}, expected below 1, e.g. 0.999."
            )
        if not (len(self.crop_scales) == 2 and 0 < self.crop_scales[0] <= self.crop_scales[1] < math.inf):
            raise MaskrtError(
                f"training configuration: crop_scales is {self.crop_scales}, expected the least and the "
                "most, both positive, e.g. (0.75, 2.0)."
            )
        parse_plan(self.layers)
        logger_names(self.logger)

    @property
    def images_per_step(self) -> int:
        """Number of images whose gradients make one step, over all processes."""
        return self.batch * self.accumulate * self.devices * self.nodes

    @property
    def peak_lr(self) -> float:
        """Learning rate after warm-up."""
        return self.lr * self.images_per_step / self.lr_images if self.lr_images else self.lr


# Fine-tuning in eight bits (--qat): the network knows its task, and only has to find weights that round well.
QAT = TrainConfig(
    epochs=3,
    optimizer="adamw",
    lr=1e-4,
    schedule="cosine",
    warmup_iterations=20,
    clip=10.0,
    workers=0,
)


def preset_names() -> list[str]:
    """Names that `--preset` accepts, of every family. Raises MaskrtError as `preset` does."""
    return list(_presets())


def preset(name: str) -> tuple[ModelConfig, TrainConfig]:
    """Model and run settings of a preset, which must be one of `preset_names`.

    Raises MaskrtError for a name that means two presets, and for a wrong setting of the run.
    """
    family, found = _presets()[name]
    return found.config, replaced(TrainConfig(), found.run, f"preset {name!r} of the family {family!r}: run")


def _presets() -> dict[str, tuple[str, Preset[Any]]]:
    """By name: the family that has it first, and the preset."""
    found: dict[str, tuple[str, Preset[Any]]] = {}
    for family in all_families():
        for name, own in family.presets.items():
            first, known = found.setdefault(name, (family.name, own))
            if known != own:
                raise MaskrtError(
                    f"preset {name!r}: the families {first!r} and {family.name!r} have one each, "
                    "expected one in all. Rename it in `presets` of one of them."
                )
    return found


def from_file(
    run: RunFile, model_config: ModelConfig, config: TrainConfig, source: str
) -> tuple[ModelConfig, TrainConfig]:
    """Both configurations, updated from a run's file. Raises MaskrtError as `replaced` does."""
    return (
        replaced(model_config, model_config.without_retired(run.model), f"{source}: model"),
        replaced(config, run.run, f"{source}: run"),
    )
