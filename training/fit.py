"""The training loop, on Lightning: losses, schedule, validation by COCO AP, checkpoints."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torchvision.models.detection import FasterRCNN

import training.data as data
from runtime.coco_metrics import KINDS, coco_metrics
from runtime.contract import LEARNED_SCALES, Contract
from runtime.predictor import Predictor
from training.checkpoint import Checkpoint
from training.config import TrainConfig
from training.eager import EagerSession
from training.qat import learned_scales, plain_weights

STEP_FRACTIONS = (2 / 3, 8 / 9)  # of the run: Detectron's 60k and 80k of 90k iterations


class DetectorModule(lightning.LightningModule):
    """One detector in training. Validates through the same predictor that `maskrt evaluate` uses."""

    def __init__(
        self, model: FasterRCNN, config: TrainConfig, contract: Contract, validation: data.Dataset | None
    ) -> None:
        super().__init__()
        self.model, self.config, self.contract, self.validation = model, config, contract, validation
        self.metrics: dict[str, float] = {}
        self._rows: list[dict[str, Any]] = []

    def training_step(self, batch: tuple[list[Tensor], list[dict[str, Tensor]]], index: int) -> Tensor:
        """Sum of the RPN's two losses and L_cls + L_box + L_mask (arXiv:1703.06870, section 3), the last
        where the task has masks."""
        # The anchors and RoIs sampled follow from the step, so that a resumed run repeats them.
        torch.manual_seed(self.config.seed + self.global_step)
        losses = self.model(*batch)
        total = torch.stack(list(losses.values())).sum()
        if not bool(torch.isfinite(total)):
            raise FloatingPointError(f"loss is {total.item()} in step {self.global_step}")
        named = {f"train/{name}": value.detach() for name, value in losses.items()}
        self.log_dict(named, batch_size=len(batch[0]))
        self.log("train/loss", total.detach(), prog_bar=True, batch_size=len(batch[0]))
        if "loss_mask" in losses:
            shown = losses["loss_mask"].detach()
            self.log("mask", shown, prog_bar=True, logger=False, batch_size=len(batch[0]))
        return total

    def val_dataloader(self) -> Any:
        """Indices of the validation set, or none."""
        return [] if self.validation is None else range(len(self.validation))

    def on_validation_epoch_start(self) -> None:
        """Start with no predictions."""
        self._rows = []

    def validation_step(self, index: int, batch_index: int) -> None:
        """Predict one image, in float32 whatever the training precision: AP is that of the saved weights."""
        assert self.validation is not None
        sample = self.validation[index]
        with torch.autocast(self.device.type, enabled=False):
            session = EagerSession(self.model, self.contract, name="model", device=str(self.device))
            self._rows += Predictor(session)(sample.image())[0].to_coco(sample.image_id)

    def on_validation_epoch_end(self) -> None:
        """COCO AP over the validation set."""
        if self.trainer.sanity_checking or self.validation is None:
            return
        self.metrics = coco_metrics(self.validation.to_coco(), self._rows, self.contract.task)
        self.log_dict({f"val/{k}": v for k, v in self.metrics.items()})
        kind = KINDS[self.contract.task][0]
        shown = {"mAP": self.metrics[f"{kind}_ap"], "mAP50": self.metrics[f"{kind}_ap50"]}
        self.log_dict(shown, prog_bar=True, logger=False)

    def configure_optimizers(self) -> Any:
        """SGD with momentum or AdamW, with linear warm-up and a step or cosine schedule, per iteration."""
        parameters = [p for p in self.parameters() if p.requires_grad]
        config = self.config
        optimizer: torch.optim.Optimizer
        if config.optimizer == "sgd":
            optimizer = torch.optim.SGD(
                parameters, lr=config.lr, momentum=0.9, weight_decay=config.weight_decay
            )
        else:
            optimizer = torch.optim.AdamW(parameters, lr=config.lr, weight_decay=config.weight_decay)
        total = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: lr_factor(step, total, config))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def lr_factor(step: int, total: int, config: TrainConfig) -> float:
    """Learning rate of an iteration as a fraction of the configured one.

    Linear warm-up from 1/1000, then "step" or "cosine" (arXiv:1608.03983, eq. 5, without restarts).
    """
    warmup = min(1.0, 1e-3 + step / max(config.warmup_iterations, 1))
    if config.schedule == "step":
        return warmup * math.prod(0.1 for fraction in STEP_FRACTIONS if step >= fraction * total)
    return warmup * 0.5 * (1 + math.cos(math.pi * min(step / max(total, 1), 1.0)))


class SaveCheckpoints(Callback):
    """Writes last.pt after each epoch, and best.pt where AP rose (or there is no validation set)."""

    def __init__(self, folder: Path, template: Checkpoint) -> None:
        self.folder, self.template, self.best = folder, template, -math.inf

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Save. Lightning runs validation before this."""
        assert isinstance(module, DetectorModule)
        checkpoint = Checkpoint(
            config=self.template.config,
            classes=self.template.classes,
            state_dict=plain_weights(module.model),
            metrics=module.metrics,
            provenance=self.template.provenance
            | {"epoch": trainer.current_epoch + 1}
            | ({LEARNED_SCALES: scales} if (scales := learned_scales(module.model)) else {}),
        )
        checkpoint.save(self.folder / "last.pt")
        score = module.metrics.get(f"{KINDS[module.contract.task][0]}_ap", math.inf)
        if score >= self.best:
            self.best = score
            checkpoint.save(self.folder / "best.pt")

    def state_dict(self) -> dict[str, Any]:
        """Survives a resume."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up where the killed run was."""
        best = state_dict["best"]
        self.best = (
            best if math.isfinite(best) else -math.inf
        )  # infinite: until now there was no validation set
