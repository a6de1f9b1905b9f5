"""Training module for Lightning: losses, schedule, validation by COCO AP or loss."""

from __future__ import annotations

import math
from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

import maskrt.training.data as data
from maskrt.models import find_family
from maskrt.models.parts.quantisers import scale_parameters
from maskrt.runtime.contract import Canvas, Contract
from maskrt.runtime.predictor import Predictor
from maskrt.runtime.tasks import task_of
from maskrt.training.config import TrainConfig
from maskrt.training.loop.draws import Draws, sample_by_draw
from maskrt.training.loop.loader import TrainingImages, training_loader

STEP_FRACTIONS = (2 / 3, 8 / 9)  # of the run: Detectron's 60k and 80k of 90k iterations


class DetectorModule(lightning.LightningModule):
    """Detector in training. It validates through the same predictor that `maskrt evaluate` uses."""

    def __init__(
        self,
        model: nn.Module,
        config: TrainConfig,
        contract: Contract,
        dataset: data.Dataset,
        validation: data.Dataset | None,
        *,
        epoch: int = 0,
        batches_done: int = 0,
    ) -> None:
        """epoch, batches_done: where a resumed run goes on."""
        super().__init__()
        self.model, self.config, self.contract = model, config, contract
        self.family = find_family(contract.family)
        self.metric = task_of(contract).metric(contract)
        self.dataset, self.validation = dataset, validation
        self.begin = {"epoch": epoch, "batches_done": batches_done}
        self.samplers = sample_by_draw(model, config.seed)
        self.metrics: dict[str, float] = {}
        self._found: dict[int, tuple[Any, float]] = {}  # by image: the metric's part, loss

    def train_dataloader(self) -> Any:
        """Loader of this process's share of the images."""
        draws = Draws(
            len(self.dataset) * self.config.passes,
            self.config.seed,
            batch=self.config.batch,
            rank=self.trainer.global_rank,
            world=self.trainer.world_size,
            **self.begin,
        )
        return _loader(self.dataset, self.contract.canvas, self.config, draws)

    def training_step(self, batch: tuple[list[Tensor], list[dict[str, Any]]], index: int) -> Tensor:
        """Sum of the losses that the network gives, each of which is logged under its name. R-CNN's:
        docs/training.md.

        Raises FloatingPointError where the sum is not finite.
        """
        losses = self._losses(*batch)
        total = torch.stack(list(losses.values())).sum()
        if not bool(torch.isfinite(total)):
            raise FloatingPointError(f"loss is {total.item()} in step {self.global_step}")
        named = {f"train/{name}": value.detach() for name, value in losses.items()}
        shared: dict[str, Any] = {"batch_size": len(batch[0]), "sync_dist": self.trainer.world_size > 1}
        self.log_dict(named, **shared)
        self.log("train/loss", total.detach(), prog_bar=True, **shared)
        for name in self.family.losses_in_bar:
            if (shown := losses.get(name)) is not None:
                short = name.removeprefix("loss_")
                self.log(short, shown.detach(), prog_bar=True, logger=False, batch_size=len(batch[0]))
        return total

    def _losses(self, images: list[Tensor], targets: list[dict[str, Any]]) -> dict[str, Tensor]:
        for sampler in self.samplers:
            sampler.draws = [target["draw"] for target in targets]
        return self.model(images, targets)

    def val_dataloader(self) -> Any:
        """Loader of the indices of this process's share of the validation set; at least one image, or none at
        all."""
        if self.validation is None:
            return []
        count, rank = len(self.validation), self.trainer.global_rank
        return range(rank, count, self.trainer.world_size) or [rank % count]

    def on_validation_epoch_start(self) -> None:
        """Clear the predictions."""
        self._found = {}

    def validation_step(self, index: int, batch_index: int) -> None:
        """Predict one image, in float32 whatever the training precision: AP is that of the saved weights."""
        assert self.validation is not None
        sample = self.validation[index]
        with torch.autocast(self.device.type, enabled=False):
            session = self.family.reference(self.model, self.contract, name="model", device=str(self.device))
            part = self.metric.part(sample, Predictor(session)(sample.image(), min_score=0)[0])
            self._found[index] = part, self._validation_loss(index) if self.config.best == "loss" else 0.0

    def _validation_loss(self, index: int) -> float:
        assert self.validation is not None
        image, target = TrainingImages(self.validation, self.contract.canvas, "none", 0)[index]
        target = {k: v.to(self.device) if isinstance(v, Tensor) else v for k, v in target.items()}
        self.model.train()  # a network gives losses in training mode alone
        for module in self.model.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        losses = self._losses([image.to(self.device)], [target])
        self.model.eval()
        return float(torch.stack(list(losses.values())).sum())

    def on_validation_epoch_end(self) -> None:
        """Compute the figures of the validation set, and the mean loss where best.pt is chosen by it."""
        if self.trainer.sanity_checking or self.validation is None:
            return
        found = self._of_all_processes()
        parts = [found[index][0] for index in sorted(found)]
        self.metrics = self.metric.figures(self.validation, parts)
        if self.config.best == "loss":
            self.metrics["loss"] = sum(loss for _, loss in found.values()) / len(found)
        self.log_dict({f"val/{k}": v for k, v in self.metrics.items()})
        self.log_dict(self.metric.progress(self.metrics), prog_bar=True, logger=False)

    def _of_all_processes(self) -> dict[int, tuple[Any, float]]:
        parts: list[Any] = [self._found]
        if self.trainer.world_size > 1:
            parts = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(parts, self._found)
        return {index: one for part in parts for index, one in part.items()}

    def configure_optimizers(self) -> Any:
        """Create SGD with momentum or AdamW, with linear warm-up and a step or cosine schedule, per
        iteration."""
        config, groups = self.config, parameter_groups(self.model, self.config)
        optimizer: torch.optim.Optimizer
        if config.optimizer == "sgd":
            optimizer = torch.optim.SGD(
                groups, lr=config.peak_lr, momentum=0.9, weight_decay=config.weight_decay
            )
        else:
            optimizer = torch.optim.AdamW(groups, lr=config.peak_lr, weight_decay=config.weight_decay)
        total = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: lr_factor(step, total, config))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def parameter_groups(model: nn.Module, config: TrainConfig) -> list[dict[str, Any]]:
    """Parameters to learn, in an optimiser's groups: weights, and a quantised model's scales at their own
    rate.

    AdamW moves a number by about its learning rate a step, whatever the gradient. At the rate of the weights
    the logarithm of a scale would stay where it began.
    """
    scales = {id(p) for p in scale_parameters(model)}
    learned = [p for p in model.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [{"params": [p for p in learned if id(p) not in scales]}]
    if scales:
        of_scales = [p for p in learned if id(p) in scales]
        groups.append({"params": of_scales, "lr": config.scale_lr, "weight_decay": 0.0})
    return groups


def first_batches(dataset: data.Dataset, canvas: Canvas, config: TrainConfig) -> Any:
    """First batches of a new run, the same for any number of processes."""
    return _loader(
        dataset, canvas, config, Draws(len(dataset) * config.passes, config.seed, batch=config.batch)
    )


def _loader(dataset: data.Dataset, canvas: Canvas, config: TrainConfig, draws: Draws) -> Any:
    images = TrainingImages(dataset, canvas, config.augment, config.seed, config.crop_px, config.crop_scales)
    return training_loader(images, draws, workers=config.workers)


def lr_factor(step: int, total: int, config: TrainConfig) -> float:
    """Learning rate of an iteration as a fraction of the configured one.

    Linear warm-up from 1/1000, then "step" or "cosine" (arXiv:1608.03983, eq. 5, without restarts).
    """
    warmup = min(1.0, 1e-3 + step / max(config.warmup_iterations, 1))
    if config.schedule == "step":
        return warmup * math.prod(0.1 for fraction in STEP_FRACTIONS if step >= fraction * total)
    return warmup * 0.5 * (1 + math.cos(math.pi * min(step / max(total, 1), 1.0)))
