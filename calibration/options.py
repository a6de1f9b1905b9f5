"""The options of `maskrt calibrate`, in groups; each refuses options that contradict each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from maskrt.calibration.flavours import CPU, FLAVOURS, METHOD
from maskrt.calibration.measure.images import WANTED
from maskrt.calibration.measure.observers import METHODS
from maskrt.runtime.commands.options import ClassName, ImageFolder, ValImageFolder, between
from maskrt.runtime.errors import CalibrationError
from maskrt.runtime.files.guard import Writes
from maskrt.runtime.files.kinds import CALIBRATION_CACHE, PARTIAL_RANGES, SCALES
from maskrt.runtime.parity.options import Allowed


@dataclass(frozen=True)
class Images:
    """The images that ranges are measured on."""

    data: Annotated[str, typer.Option(help="Images to measure on: folder, glob, annotations, synthetic[:N]")]
    images: ImageFolder = None
    max_images: Annotated[int, typer.Option(metavar="N", help="How many of DATA to take, evenly spread")] = (
        WANTED
    )


@dataclass(frozen=True)
class Asked:
    """How to quantise. Raises CalibrationError for options that contradict each other."""

    flavour: Annotated[str, typer.Option(help="cpu (ONNX Runtime) or tensorrt")] = CPU
    onto: Annotated[Path | None, typer.Option(help="tensorrt: the FP16 export, for what is not in INT8")] = (
        None
    )
    method: Annotated[
        str | None,
        typer.Option(help="Ranges by: minmax, moving-average, percentile, entropy, mse", show_default=METHOD),
    ] = None
    last_layers: Annotated[
        bool, typer.Option("--last-layers", help="Quantise class, box and RPN outputs too")
    ] = False
    plan: Annotated[Path | None, typer.Option(help="Precision plan to follow; it is not changed")] = None
    equalise: Annotated[
        bool, typer.Option("--equalise", help="First rescale channels so that their ranges match")
    ] = False
    from_cache: Annotated[Path | None, typer.Option(help="Take the ranges from TensorRT's cache")] = None

    def __post_init__(self) -> None:
        for option, got, allowed in (
            ("flavour", self.flavour, FLAVOURS),
            ("method", self.method or METHOD, tuple(METHODS)),
        ):
            if got not in allowed:
                raise CalibrationError(f"--{option} is {got!r}, expected one of {', '.join(allowed)}.")
        if self.flavour == CPU and (self.onto or self.from_cache):
            raise CalibrationError(
                "--onto and --from-cache are for --flavour tensorrt: on the CPU what is not in INT8 runs in "
                "FP32, and a cache of TensorRT knows only symmetric ranges."
            )

    def check_equalise(self, to_cache: Path | None, learned: dict[str, float]) -> None:
        """Raise CalibrationError if --equalise is combined with ranges of the model without equalisation."""
        cache = to_cache or self.from_cache
        if self.equalise and (cache or learned):
            raise CalibrationError(
                f"--equalise changes the ranges, and {cache or 'the scales that training learned'} "
                f"{'holds' if cache else 'are'} those of the model as it is. Leave --equalise out."
            )


@dataclass(frozen=True)
class Judging(Allowed):
    """How a quantised model is judged, and what it may lose. Raises CalibrationError for a wrong mask IoU."""

    val: Annotated[str | None, typer.Option(help="Annotated images to judge by; default: some of DATA")] = (
        None
    )
    val_images: ValImageFolder = None
    class_name: ClassName = "object"
    min_mask_iou: Annotated[
        float | None,
        typer.Option(help="Median mask IoU; as --limit mask_iou=", show_default="0.97"),
    ] = None
    # On trained weights the worst tensor lost 3%, and 4% where four of its channels are a hundred times
    # larger; a scale of another tensor or of other images loses most of it.
    max_distortion: Annotated[
        float,
        typer.Option(help="Share of a tensor's signal its scale may lose", callback=between(0)),
    ] = 0.3
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Write it whatever it loses; its contract says what")
    ] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_mask_iou is not None and not 0 <= self.min_mask_iou <= 1:  # NaN is neither
            raise CalibrationError(f"--min-mask-iou {self.min_mask_iou}: expected 0 to 1.")
        if self.min_mask_iou is not None and "mask_iou" in super().chosen:
            raise CalibrationError(
                "--min-mask-iou and --limit mask_iou= are one limit. Leave one of them out."
            )
        self.check_annotated(self.val, "--val ANNOTATIONS")

    @property
    def chosen(self) -> dict[str, float]:
        """The limits that were given, by name."""
        iou = {} if self.min_mask_iou is None else {"mask_iou": self.min_mask_iou}
        return iou | super().chosen


@dataclass(frozen=True)
class RangeFiles:
    """Where the ranges are kept."""

    scales: Annotated[
        Path | None,
        typer.Option(help="Measured ranges, kept; default: beside OUTPUT, .scales.json"),
        Writes(SCALES, {".partial.npz": PARTIAL_RANGES}),
    ] = None
    to_cache: Annotated[
        Path | None, typer.Option(help="Write the ranges as TensorRT's cache too"), Writes(CALIBRATION_CACHE)
    ] = None
