"""Creates Lightning's loggers by name."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
from pathlib import Path
from typing import Any

from maskrt.runtime.errors import MaskrtError, MissingDependencyError

PROJECT = "maskrt"
#: What may be asked for, and the package that it needs besides Lightning. A CSV file is always written.
PACKAGES = {"csv": None, "tensorboard": "tensorboard", "wandb": "wandb", "mlflow": "mlflow"}


def logger_names(text: str) -> list[str]:
    """Split a setting such as "tensorboard,wandb". Raises MaskrtError for an unknown logger."""
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in PACKAGES:
            raise MaskrtError(
                f"training configuration: logger is {name!r}, expected {', '.join(PACKAGES)}, or several."
            )
    return names


def check_loggers(text: str) -> None:
    """Raise MissingDependencyError, before the work begins, where a logger's package is not installed."""
    for name in logger_names(text):
        package = PACKAGES[name]
        if package and importlib.util.find_spec(package) is None:
            raise MissingDependencyError(
                f"--logger {name} needs the package {package}, which is not installed here. "
                f"Install it: pip install {package}"
            )


def make_loggers(text: str, output: Path, settings: dict[str, Any]) -> list[Any]:
    """Create the loggers of a run that leaves its files in `output`: the CSV file's, and those asked for.

    settings: of the model and the run, which W&B and MLflow show beside the curves. MLflow writes to
    $MLFLOW_TRACKING_URI, or to a folder in `output`; W&B goes by its own variables ($WANDB_MODE=offline).
    """
    from lightning.pytorch import loggers

    # A resumed run logs to a file of its own: Lightning's logger deletes what it finds.
    csv = loggers.CSVLogger(output, name="", version=f"csv-{len(list(output.glob('csv-*'))) + 1:02d}")
    made: list[Any] = [csv]
    for name in logger_names(text):
        if name == "tensorboard":
            made.append(loggers.TensorBoardLogger(output, name="", version="tensorboard"))
        elif name == "wandb":
            made.append(loggers.WandbLogger(project=PROJECT, name=output.name, save_dir=output))
            made[-1].log_hyperparams(settings)
        elif name == "mlflow":
            uri = os.environ.get("MLFLOW_TRACKING_URI") or f"file:{(output / 'mlflow').resolve()}"
            made.append(loggers.MLFlowLogger(experiment_name=PROJECT, run_name=output.name, tracking_uri=uri))
            made[-1].log_hyperparams(settings)
    return made


def shown_settings(*configs: Any) -> dict[str, Any]:
    """Fields of the configurations, by name."""
    return {name: value for config in configs for name, value in dataclasses.asdict(config).items()}
