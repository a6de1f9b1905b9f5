"""Progress bar of training."""

from __future__ import annotations

from typing import Any

import lightning
from lightning.pytorch.callbacks import TQDMProgressBar


class LossBar(TQDMProgressBar):
    """Lightning's bar with ETA, without its logger's version number."""

    def get_metrics(
        self, trainer: lightning.Trainer, module: lightning.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """Losses and APs that are marked for the bar."""
        metrics: dict[str, Any] = super().get_metrics(trainer, module)
        metrics.pop("v_num", None)
        return metrics

    def on_exception(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Close the bar in place: an open one would be drawn once more when Python ends."""
        if self._train_progress_bar is not None:
            self._train_progress_bar.close()
