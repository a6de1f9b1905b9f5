"""Creates Lightning's trainer from a run's settings: processes, precision, callbacks, logs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, LearningRateMonitor
from lightning.pytorch.strategies import DDPStrategy

from maskrt.models.checkpoint import Checkpoint
from maskrt.runtime.errors import DataError, MaskrtError
from maskrt.training.config import TrainConfig
from maskrt.training.layers import TrainLayers
from maskrt.training.loop.loggers import check_loggers, make_loggers, shown_settings
from maskrt.training.loop.progress import LossBar
from maskrt.training.loop.saving import AveragedWeights, SaveCheckpoints, resumable


def check_settings(config: TrainConfig, images: int, *, has_validation: bool, qat: bool) -> None:
    """Raise MaskrtError for settings that this machine or this data cannot serve."""
    check_loggers(config.logger)
    step = config.batch * config.devices * config.nodes
    if config.devices * config.nodes > 1 and images < step:
        raise DataError(
            f"{images} images for {config.devices * config.nodes} processes of {config.batch} at a time, "
            f"expected at least {step}. Use fewer --devices, or a smaller --batch."
        )
    gpus = torch.cuda.device_count()
    if gpus and config.devices > gpus:
        raise MaskrtError(f"--devices {config.devices}: {gpus} GPUs here. Use at most as many.")
    if config.sync_bn and not gpus:
        raise MaskrtError(
            "--set sync_bn=True: synchronised batch norm needs GPUs; here is none. Leave it out."
        )
    if config.ema_decay and qat:
        raise MaskrtError("--set ema_decay with --qat: scales are not averaged. Leave it out.")
    if config.best == "loss" and not has_validation:
        raise MaskrtError("--set best=loss: the loss is that of validation data. Give it: --val DATA")


def make_trainer(
    config: TrainConfig, template: Checkpoint, record: dict[str, Any], output: Path
) -> lightning.Trainer:
    """Create the trainer of a run that leaves its files in `output`.

    template, record: as SaveCheckpoints takes them.
    """
    processes = config.devices * config.nodes
    strategy: Any = "auto"
    if processes > 1:
        # A layer that does not learn yet has no gradient to wait for.
        strategy = DDPStrategy(find_unused_parameters=config.layers != "all")
    average = AveragedWeights(decay=config.ema_decay) if config.ema_decay else None
    callbacks: list[Callback] = [
        LossBar(),
        LearningRateMonitor("step"),
        *([TrainLayers(config.layers)] if config.layers != "all" else []),
        SaveCheckpoints(output, template, record, average),
        *([average] if average else []),
        *resumable(output, config.save_every_iterations),
    ]
    return lightning.Trainer(
        accelerator="auto",
        devices=config.devices,
        num_nodes=config.nodes,
        strategy=strategy,
        use_distributed_sampler=False,  # Draws shares out the images
        sync_batchnorm=config.sync_bn,
        accumulate_grad_batches=config.accumulate,
        max_epochs=config.epochs,
        precision=config.precision,  # type: ignore[arg-type]
        gradient_clip_val=config.clip or None,
        # On a CPU every operator used is deterministic already. Asked for, torchvision swaps its RoIAlign for
        # one in Python, which doubles the step.
        deterministic=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        enable_model_summary=False,
        logger=make_loggers(config.logger, output, shown_settings(template.config, config)),
        callbacks=callbacks,
    )
