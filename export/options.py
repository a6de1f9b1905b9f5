"""The options of `maskrt export`, in groups: each refuses what contradicts itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from maskrt.runtime.contract.options import ROWS
from maskrt.runtime.contract.sections import MOST_SIDE_PX
from maskrt.runtime.contract.tensors import MOST_IMAGES
from maskrt.runtime.errors import ExportError


@dataclass(frozen=True)
class Shape:
    """What the model takes and gives. Raises ExportError for what contradicts itself."""

    height: Annotated[
        int | None,
        typer.Option(min=0, max=MOST_SIDE_PX, metavar="PX", help="Canvas height; default: as trained"),
    ] = None
    width: Annotated[
        int | None,
        typer.Option(min=0, max=MOST_SIDE_PX, metavar="PX", help="Canvas width; default: as trained"),
    ] = None
    batch: Annotated[
        int | None, typer.Option(min=1, max=MOST_IMAGES, metavar="N", help="Images per call; default: 1")
    ] = None
    dynamic: Annotated[bool, typer.Option("--dynamic", help="Any batch, height and width")] = False
    detections: Annotated[
        str, typer.Option(help="Mask head on: 'fixed' rows (TensorRT) or the 'dynamic' number found (CPU)")
    ] = "fixed"
    dtype: Annotated[
        str, typer.Option(help="Of the canvas: uint8, or float32 to match torchvision's resize")
    ] = "uint8"

    def __post_init__(self) -> None:
        if self.dtype not in ("uint8", "float32"):
            raise ExportError(f"--dtype is {self.dtype!r}, expected uint8 or float32.")
        if self.detections not in ROWS:
            raise ExportError(
                f"--detections is {self.detections!r}, expected {' or '.join(map(repr, ROWS))}."
            )
        if self.dynamic and (self.height or self.width or self.batch):
            raise ExportError(
                "--dynamic leaves batch, height and width open: give them, or --dynamic, not both."
            )


@dataclass(frozen=True)
class Reading:
    """How the checkpoint is read, where it does not say it or is to be another model."""

    classes: Annotated[str | None, typer.Option(help="name1,name2,… for a checkpoint without names")] = None
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE of the model, where the file cannot say it")
    ] = None
    jetson: Annotated[
        bool, typer.Option("--jetson", help="For small devices: at most 640 px, 300 proposals")
    ] = False


@dataclass(frozen=True)
class Numbers:
    """In which numbers the model computes. Raises ExportError for others, and for images without need."""

    precision: Annotated[str, typer.Option(help="fp32, or fp16: scores and boxes stay float32")] = "fp32"
    images: Annotated[
        list[str] | None, typer.Option(help="fp16: what passes its range on these images stays float32")
    ] = None

    def __post_init__(self) -> None:
        if self.precision not in ("fp32", "fp16") or (self.images and self.precision == "fp32"):
            with_images = " with --images" if self.images else ""
            raise ExportError(
                f"--precision is {self.precision!r}{with_images}, expected fp32, or fp16 with --images. "
                "For int8: maskrt calibrate MODEL.onnx --data IMAGES"
            )
