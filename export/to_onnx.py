"""`maskrt export`: a checkpoint as one ONNX file that describes itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maskrt.export.options import Numbers, Reading, Shape
from maskrt.runtime.commands.cli import say
from maskrt.runtime.commands.program import Program
from maskrt.runtime.commands.progress import steps
from maskrt.runtime.contract import Contract
from maskrt.runtime.files.atomic import write_text
from maskrt.runtime.files.guard import Writes
from maskrt.runtime.files.kinds import MODEL_CARD, ONNX
from maskrt.runtime.preprocess import largest_canvas

if TYPE_CHECKING:  # PyTorch is imported where a file is made: --help has no need of it
    from maskrt.models.checkpoint import Checkpoint


def command(
    checkpoint: Annotated[
        Path, typer.Argument(help="Checkpoint: maskrt's, or another project's: docs/checkpoints.md")
    ],
    *,
    output: Annotated[Path, typer.Option("-o", "--output", help="ONNX file to write"), Writes(ONNX)] = Path(
        "model.onnx"
    ),
    shape: Shape,
    reading: Reading,
    numbers: Numbers,
    card: Annotated[
        Path | None, typer.Option(help="Write a model card too (Markdown)"), Writes(MODEL_CARD)
    ] = None,
    with_stages: Annotated[
        bool, typer.Option("--with-stages", help="Give the stages between as outputs too, for parity")
    ] = False,
) -> None:
    """Turn a checkpoint into one ONNX file with its contract inside.

    The canvas is as large as the largest landscape image that training saw, a square for Matterport's
    models, unless told otherwise; images are scaled to fit inside. Runs on ONNX Runtime as it is.

    Example: maskrt export best.pt -o model.onnx --height 800 --width 1088
    """
    loaded = read(checkpoint, reading)
    contract = contract_of(loaded, shape, numbers)
    write(loaded, contract, output, with_stages=with_stages)
    if card:
        from maskrt.export.model_card import model_card

        write_text(card, model_card(loaded, contract, output, checkpoint), MODEL_CARD)
    canvas = contract.canvas
    fixed = f"{contract.batch} x {canvas.height_px} x {canvas.width_px}"
    size = "any size and batch" if shape.dynamic else fixed
    say(
        f"{output}: {output.stat().st_size / 1e6:.0f} MB, {size}, classes: {len(loaded.classes)}, "
        f"{numbers.precision}"
    )


def read(path: Path, reading: Reading) -> Checkpoint:
    """The checkpoint, with the settings that were chosen. Raises CheckpointError as `load_checkpoint`."""
    from maskrt.export.onnx_model import for_small_devices
    from maskrt.models.load import load_checkpoint

    names = [name.strip() for name in reading.classes.split(",")] if reading.classes else None
    loaded = load_checkpoint(path, names).with_settings(reading.settings or [], "--set")
    return for_small_devices(loaded) if reading.jetson else loaded


def contract_of(loaded: Checkpoint, shape: Shape, numbers: Numbers) -> Contract:
    """What the file promises: of the shape that was asked for, or of the largest image as in training."""
    from maskrt.export.overflow import half_contract

    height, width, batch = shape.height, shape.width, shape.batch
    if not shape.dynamic:
        largest = largest_canvas(loaded.contract().canvas)
        height = largest[0] if height is None else height
        width = largest[1] if width is None else width
        batch = batch or 1
    contract = loaded.contract(
        height_px=height, width_px=width, batch=batch, dtype=shape.dtype, detections=shape.detections
    )
    return half_contract(loaded, contract, numbers.images or []) if numbers.precision == "fp16" else contract


def write(loaded: Checkpoint, contract: Contract, output: Path, *, with_stages: bool) -> None:
    """Write the ONNX file, with the time left shown at the terminal."""
    from maskrt.export.onnx_model import EXPORT_STEPS, WRITE, export_onnx, save_onnx
    from maskrt.export.stages import ShowStages

    with steps(EXPORT_STEPS) as under_way:
        model = export_onnx(loaded, contract, under_way.begin)
        if with_stages:
            ShowStages(str(output))(model)
        under_way.begin(WRITE)
        save_onnx(model, output)


main = Program("maskrt export", command)

if __name__ == "__main__":
    main()
