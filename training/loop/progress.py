"""The training progress bar."""

from __future__ import annotations

from typing import Any

import lightning
from lightning.pytorch.callbacks import TQDMProgressBar


class LossBar(TQDMProgressBar):
    """Lightning's bar with ETA, without its logger's version number."""

    def get_metrics(
        self, trainer: lightning.Trainer, module: lightning.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """The losses and APs marked for the bar."""
        metrics: dict[str, Any] = super().get_metrics(trainer, module)
        metrics.pop("v_num", None)
        return metrics

    def on_exception(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Close the bar where it stands: left open it is drawn once more when Python ends."""
        if self._train_progress_bar is not None:
            self._train_progress_bar.close()
