"""Options that several commands share: types of single options, and groups of options (groups.py)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

MOST_THREADS = 1024  # a machine is slower with more of them than cores, and is brought down by 100000
ONE_PIXEL = 1e-6  # in megapixels


def between(low: float, high: float = math.inf) -> Callable[[float], float]:
    """Make a callback that refuses numbers outside `low` to `high`, NaN and infinity."""

    def check(value: float) -> float:
        if not (math.isfinite(value) and low <= value <= high):
            most = f" to {high:g}" if math.isfinite(high) else " on"
            raise typer.BadParameter(f"{value:g} is not a number from {low:g}{most}.")
        return value

    return check


ModelFile = Annotated[Path, typer.Argument(help="Model file: .onnx, .engine, or a checkpoint (.pt)")]
TrainedFile = Annotated[Path, typer.Argument(help="The checkpoint that was trained (.pt)")]
ImageNames = Annotated[list[str], typer.Argument(help="Image files, folders and globs")]
Device = Annotated[str, typer.Option(help="cpu or cuda")]
Threads = Annotated[
    int | None,
    typer.Option(min=1, max=MOST_THREADS, metavar="N", help="Of the CPU, for ONNX files; default: all"),
]
MinScore = Annotated[float, typer.Option(callback=between(0, 1), help="Keep detections above this score")]
MaxMegapixels = Annotated[
    float, typer.Option(callback=between(ONE_PIXEL), help="Refuse larger images, before decoding")
]
BatchWait = Annotated[float, typer.Option(callback=between(0), help="How long a batch waits to fill")]
ClassName = Annotated[str, typer.Option(help="Class of a format without any")]
ImageFolder = Annotated[Path | None, typer.Option(help="Folder of DATA's images")]
ValImageFolder = Annotated[Path | None, typer.Option(help="Folder of VAL's images")]


@dataclass(frozen=True)
class Compute:
    """Device, backend and threads that a model runs on; the fields are parameters of `open_session`."""

    device: Annotated[str, typer.Option(help="cpu or cuda; an engine takes its GPU")] = "cpu"
    backend: Annotated[
        str, typer.Option(help="ONNX on the CPU: onnxruntime, openvino, openvino-bf16, auto")
    ] = "onnxruntime"
    threads: Threads = None


@dataclass(frozen=True)
class Labelled:
    """Options for reading the annotations of a data set."""

    format: Annotated[str, typer.Option(help="auto, or one of docs/training.md")] = "auto"
    images: ImageFolder = None
    class_name: ClassName = "object"
    class_attribute: Annotated[str | None, typer.Option(help="VIA region attribute with the class")] = None

    def reading(self) -> dict[str, Any]:
        """Arguments of `load_dataset` for every data set; `images` belongs to the first alone."""
        return {
            "format": self.format,
            "class_name": self.class_name,
            "class_attribute": self.class_attribute,
        }


@dataclass(frozen=True)
class LabelledPair(Labelled):
    """As `Labelled`, for a command that reads validation data too."""

    val_images: ValImageFolder = None
