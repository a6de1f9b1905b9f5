"""Saves a run as it goes: best.pt and last.pt to use, last.ckpt to resume from."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint
from torch import nn

from maskrt.models.checkpoint import Checkpoint
from maskrt.models.parts.quantisers import learned_scales, plain_weights
from maskrt.runtime.contract import LEARNED_SCALES
from maskrt.training.config import TrainConfig
from maskrt.training.loop.fit import DetectorModule

BEST, LAST = "best.pt", "last.pt"
RECORD = "maskrt"  # key in last.ckpt of what the run was of


class SaveCheckpoints(Callback):
    """Writes last.pt after each epoch, and best.pt where it is the best yet (or there is no validation set).

    Stores the run's record in last.ckpt, so that only the same run resumes from it.
    """

    def __init__(
        self, folder: Path, template: Checkpoint, record: dict[str, Any], average: AveragedWeights | None
    ) -> None:
        """template: the checkpoint to save, with other weights; record: of the run."""
        self.folder, self.template, self.record, self.average = folder, template, record, average
        self.best = -math.inf

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Save. Lightning runs validation before this."""
        assert isinstance(module, DetectorModule)
        if not trainer.is_global_zero:
            return
        scales = learned_scales(module.model)
        checkpoint = dataclasses.replace(
            self.template,
            state_dict=plain_weights(self.average.model() if self.average else module.model),
            metrics=module.metrics,
            provenance=self.template.provenance
            | {"epoch": trainer.current_epoch + 1}
            | ({LEARNED_SCALES: scales} if scales else {}),
        )
        checkpoint.save(self.folder / LAST)
        score = math.inf
        if module.metrics:
            by_loss = module.config.best == "loss"
            score = -module.metrics["loss"] if by_loss else module.metrics[module.metric.main]
        if score >= self.best:
            self.best = score
            checkpoint.save(self.folder / BEST)

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the record."""
        checkpoint[RECORD] = self.record

    def state_dict(self) -> dict[str, Any]:
        """Survives a resume."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up where the killed run was."""
        best = state_dict["best"]
        self.best = (
            best if math.isfinite(best) else -math.inf
        )  # infinite: until now there was no validation set


class AveragedWeights(EMAWeightAveraging):
    """Exponential moving average of the weights, which validation and checkpoints use in their place."""

    def model(self) -> nn.Module:
        """Detector with the averaged weights."""
        assert self._average_model is not None
        module = self._average_model.module
        assert isinstance(module, DetectorModule)
        return module.model


def record(template: Checkpoint, config: TrainConfig, images: int, qat: bool) -> dict[str, Any]:
    """Record of a run in plain values; two runs with the same record take the same steps."""
    return {
        "model": template.config.to_dict(),
        "classes": [dataclasses.asdict(c) for c in template.classes],
        "run": dataclasses.asdict(config),
        "images": images,
        "qat": qat,
    }


def resumable(output: Path, every_iterations: int) -> list[Callback]:
    """Callbacks that write last.ckpt after each epoch, and every so many iterations within one (0: not)."""
    kept: dict[str, Any] = {"save_top_k": 1, "enable_version_counter": False}
    callbacks: list[Callback] = [ModelCheckpoint(output, "last", save_on_train_epoch_end=True, **kept)]
    if every_iterations:
        callbacks.append(ModelCheckpoint(output, "last", every_n_train_steps=every_iterations, **kept))
    return callbacks
