"""How a training run goes, and presets for it. What the model is: models/rcnn/config.py."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from maskrt.models.rcnn.config import C4, MOBILENET, MaskRcnnConfig
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
    """Every choice of a run but the model's own."""

    epochs: int = 12
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
            (1, ("epochs", "batch", "accumulate", "devices", "nodes")),
            (0, ("lr", "scale_lr", "lr_images", "weight_decay", "warmup_iterations", "clip", "ema_decay")),
            (0, ("save_every_iterations", "seed", "workers")),
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
        parse_plan(self.layers)
        logger_names(self.logger)

    @property
    def images_per_step(self) -> int:
        """Images whose gradients make one step, over all processes."""
        return self.batch * self.accumulate * self.devices * self.nodes

    @property
    def peak_lr(self) -> float:
        """The learning rate after warm-up."""
        return self.lr * self.images_per_step / self.lr_images if self.lr_images else self.lr


# The paper's, as Detectron's 1x schedule has it: short side 800, 8 GPUs × 2 images, lr 0.02 with warm-up over
# 500 iterations, a tenth of it from 60k and again from 80k of 90k iterations, which are 12.3 epochs of the
# 117,266 annotated images of train2017. On fewer GPUs lr is scaled down with the images a step, and the
# epochs stay.
PAPER = (MaskRcnnConfig(), TrainConfig(lr=0.02, lr_images=16))

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

# Learns plain shapes in minutes (maskrt demo). Half of SMALL's channels, few regions a picture: a step costs
# half of one of SMALL on the same canvas.
TINY = (
    replace(
        SMALL[0],
        fpn_channels=64,
        mask_convs=(64, 64),
        min_size_px=192,
        max_size_px=256,
        rpn_pre_nms_train=500,
        rpn_post_nms_train=300,
        box_samples=64,
    ),
    replace(SMALL[1], epochs=3, batch=4, lr=8e-4),
)

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

PRESETS = {
    "small": SMALL,
    "tiny": TINY,
    "paper": PAPER,
    "c4": (C4, PAPER[1]),
    "mobilenet": (MOBILENET, PAPER[1]),
}


def from_file(
    run: RunFile, model_config: MaskRcnnConfig, config: TrainConfig, source: str
) -> tuple[MaskRcnnConfig, TrainConfig]:
    """Both configurations with what a run's file says of them. Raises MaskrtError as `replaced` does."""
    return (
        replaced(model_config, run.model, f"{source}: model"),
        replaced(config, run.run, f"{source}: run"),
    )
