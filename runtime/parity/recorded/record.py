"""`maskrt parity record`: what the reference says of images, in a file for machines without PyTorch."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from maskrt.runtime.backends.session import Session
from maskrt.runtime.commands.cli import say, track
from maskrt.runtime.commands.options import Device, ImageNames, TrainedFile
from maskrt.runtime.contract import Canvas
from maskrt.runtime.contract.sections import MOST_SIDE_PX
from maskrt.runtime.errors import EXIT_PARTIAL, ImageError, ParityError
from maskrt.runtime.files.atomic import atomic_path
from maskrt.runtime.files.guard import Writes
from maskrt.runtime.files.kinds import BUNDLE
from maskrt.runtime.inputs.images import find_images, read_image
from maskrt.runtime.parity.judge import expect
from maskrt.runtime.parity.recorded.bundle import BundleWriter
from maskrt.runtime.parity.sides import open_looking
from maskrt.runtime.preprocess import preprocess


def command(
    reference: TrainedFile,
    inputs: ImageNames,
    output: Annotated[Path, typer.Option("-o", "--output", help="Bundle to write (.npz)"), Writes(BUNDLE)],
    height: Annotated[
        int | None,
        typer.Option(min=1, max=MOST_SIDE_PX, help="Canvas height in px, as the model's to be checked"),
    ] = None,
    width: Annotated[
        int | None,
        typer.Option(min=1, max=MOST_SIDE_PX, help="Canvas width in px; both: any size, as trained"),
    ] = None,
    dtype: Annotated[str, typer.Option(help="Of that model's canvas: uint8 or float32")] = "uint8",
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE of the model, as given to maskrt export")
    ] = None,
    device: Device = "cpu",
) -> None:
    """Record what a checkpoint finds, to check a model against it where there is no PyTorch.

    Holds the canvases, the results and samples of every stage inside: about 2 MB an image.

    Example: maskrt parity record best.pt val2017/ -o bundle.npz --height 800 --width 1088
    """
    if (height is None) != (width is None) or dtype not in ("uint8", "float32"):
        raise ParityError(
            f"--height {height}, --width {width}, --dtype {dtype}: expected both sides or neither, and "
            "uint8 or float32. What an engine takes: maskrt engine inspect MODEL.engine"
        )
    paths = find_images(inputs)
    session = open_looking(reference, device, settings=settings)
    canvas = dataclasses.replace(session.contract.canvas, height_px=height, width_px=width, dtype=dtype)
    with atomic_path(output, BUNDLE) as temporary:
        bundle = BundleWriter(temporary, str(reference), session.contract)
        recorded = record(session, paths, canvas, bundle)
        bundle.close()
    say(f"{output}: {recorded} images, {output.stat().st_size / 1e6:.1f} MB")
    if recorded < len(paths):
        raise typer.Exit(EXIT_PARTIAL)


def record(session: Session, paths: list[Path], canvas: Canvas, bundle: BundleWriter) -> int:
    """Put what a session finds on images into a bundle; gives how many of them could be read.

    Raises ParityError where none could.
    """
    recorded = 0
    for path in track(paths, "Recording"):
        try:
            batch = preprocess([read_image(path)], canvas)
        except ImageError as error:
            say(f"skipped {error}")
            continue
        bundle.add(str(path), batch, expect(session, batch, look=session.has_stages))
        recorded += 1
    if not recorded:
        raise ParityError("no image could be read, so nothing was recorded.")
    return recorded
