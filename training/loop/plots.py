"""Plots of a training run: its curves, and its predictions beside the ground truth."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import maskrt.training.data as data
from maskrt.runtime.files.atomic import atomic_path, write_png
from maskrt.runtime.files.kinds import PLOT
from maskrt.runtime.predictor import Predictor
from maskrt.runtime.tasks import task_of
from maskrt.runtime.tasks.metric import Metric

TILE_WIDTH_PX = 640
LOSS = "train/loss_"  # what the columns of losses begin with


def losses_of(columns: Iterable[str], first: Sequence[str] = ()) -> list[str]:
    """Names of the losses among a log's columns: those of `first` in its order, then the others by name."""
    found = {column.removeprefix("train/") for column in columns if column.startswith(LOSS)}
    return [*(name for name in first if name in found), *sorted(found.difference(first))]


def plot_curves(
    logs: list[Path], output: Path, metric: Metric | type[Metric], first: Sequence[str] = ()
) -> None:
    """Plot the losses by iteration and the metric by each epoch's last iteration, as a PNG, from CSV logs.

    first: names of losses in the order in which they are drawn, before all others.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows: list[dict[str, str]] = []
    for log in logs:
        with log.open(newline="") as stream:
            rows += csv.DictReader(stream)

    def series(name: str) -> list[list[float]]:
        points = [(float(row["step"]), float(row[name])) for row in rows if row.get(name)]
        return [list(axis) for axis in zip(*points, strict=True)]

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    for name in losses_of({column for row in rows for column in row}, first):
        if points := series(f"train/{name}"):
            left.plot(*points, label=name.removeprefix("loss_"), linewidth=1)
    left.plot(*series("train/loss"), label="total", color="black", linewidth=1.5)
    left.set(xlabel="iteration", ylabel="loss", yscale="log", title="Training loss")
    left.legend(fontsize=8)
    for name in metric.curves:
        if points := series(f"val/{name}"):
            right.plot(*points, label=name, marker="o")
    right.set(xlabel="iteration", ylabel=metric.title, ylim=(0, 1), title="Validation")
    right.grid(alpha=0.3)
    if right.lines:
        right.legend(fontsize=8)
    with atomic_path(output, PLOT) as temporary:
        figure.savefig(temporary, dpi=110)
    pyplot.close(figure)


def plot_predictions(predictor: Predictor, dataset: data.Dataset, output: Path, *, count: int = 4) -> None:
    """Plot a few images as a PNG: ground truth in the left column, predictions in the right."""
    rows, task = [], task_of(predictor.session.contract)
    for index in np.linspace(0, len(dataset) - 1, min(count, len(dataset))).astype(int):
        sample = dataset[int(index)]
        image = sample.image()
        truth = task.draw(image, task.truth(sample, dataset))
        found = task.draw(image, predictor(image)[0])
        rows.append(np.hstack([_tile(truth), _tile(found)]))
    write_png(output, np.vstack(rows))


def _tile(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height = round(image.shape[0] * TILE_WIDTH_PX / image.shape[1])
    tile = cv2.resize(image, (TILE_WIDTH_PX, height), interpolation=cv2.INTER_AREA)
    return np.pad(tile, ((2, 2), (2, 2), (0, 0)), constant_values=255)
