"""`maskrt export`: a checkpoint as one ONNX file that describes itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from maskrt.runtime.cli import say
from maskrt.runtime.contract.sections import MOST_SIDE_PX
from maskrt.runtime.contract.tensors import MOST_IMAGES
from maskrt.runtime.errors import ExportError
from maskrt.runtime.files.atomic import write_text
from maskrt.runtime.files.guard import Writes
from maskrt.runtime.files.kinds import MODEL_CARD, ONNX
from maskrt.runtime.preprocess import round_up
from maskrt.runtime.program import Program
from maskrt.runtime.progress import steps


def command(
    checkpoint: Annotated[
        Path, typer.Argument(help="Checkpoint: maskrt's, or another project's: docs/checkpoints.md")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="ONNX file to write"), Writes(ONNX)] = Path(
        "model.onnx"
    ),
    height: Annotated[
        int | None,
        typer.Option(min=0, max=MOST_SIDE_PX, metavar="PX", help="Canvas height; default: as trained"),
    ] = None,
    width: Annotated[
        int | None,
        typer.Option(min=0, max=MOST_SIDE_PX, metavar="PX", help="Canvas width; default: as trained"),
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, max=MOST_IMAGES, metavar="N", help="Images per call; default: 1")
    ] = None,
    dynamic: Annotated[bool, typer.Option("--dynamic", help="Any batch, height and width")] = False,
    detections: Annotated[
        str, typer.Option(help="Mask head on: 'fixed' rows (TensorRT) or the 'dynamic' number found (CPU)")
    ] = "fixed",
    dtype: Annotated[
        str, typer.Option(help="Of the canvas: uint8, or float32 to match torchvision's resize")
    ] = "uint8",
    classes: Annotated[str | None, typer.Option(help="name1,name2,… for a checkpoint without names")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE of the model, where the file cannot say it")
    ] = None,
    precision: Annotated[str, typer.Option(help="fp32, or fp16: scores and boxes stay float32")] = "fp32",
    images: Annotated[
        list[str] | None, typer.Option(help="fp16: what passes its range on these images stays float32")
    ] = None,
    jetson: Annotated[
        bool, typer.Option("--jetson", help="For small devices: at most 640 px, 300 proposals")
    ] = False,
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
    # PyTorch is imported here, since --help does not need it.
    from maskrt.export.model_card import model_card
    from maskrt.export.onnx_model import EXPORT_STEPS, WRITE, export_onnx, for_small_devices, save_onnx
    from maskrt.export.overflow import half_contract
    from maskrt.export.stages import ShowStages
    from maskrt.models.load import load_checkpoint

    names = [name.strip() for name in classes.split(",")] if classes else None
    loaded = load_checkpoint(checkpoint, names)
    loaded = loaded.with_settings(settings or [], "--set")
    if jetson:
        loaded = for_small_devices(loaded)
    if dtype not in ("uint8", "float32"):
        raise ExportError(f"--dtype is {dtype!r}, expected uint8 or float32.")
    if precision not in ("fp32", "fp16") or (images and precision == "fp32"):
        raise ExportError(
            f"--precision is {precision!r}{' with --images' if images else ''}, expected fp32, or fp16 with "
            "--images. For int8: maskrt calibrate MODEL.onnx --data IMAGES"
        )
    if dynamic and (height or width or batch):
        raise ExportError("--dynamic leaves batch, height and width open: give them, or --dynamic, not both.")
    if not dynamic:
        batch = batch or 1
        canvas = loaded.contract().canvas
        short_px = canvas.max_size_px if canvas.placement == "square" else canvas.min_size_px
        height = round_up(short_px, canvas.stride) if height is None else height
        width = round_up(canvas.max_size_px, canvas.stride) if width is None else width
    contract = loaded.contract(
        height_px=height, width_px=width, batch=batch, dtype=dtype, detections=detections
    )
    if precision == "fp16":
        contract = half_contract(loaded, contract, images or [])
    with steps(EXPORT_STEPS) as under_way:
        model = export_onnx(loaded, contract, under_way.begin)
        if with_stages:
            ShowStages(str(output))(model)
        under_way.begin(WRITE)
        save_onnx(model, output)
    if card:
        write_text(card, model_card(loaded, contract, output, checkpoint), MODEL_CARD)
    size = "any size and batch" if dynamic else f"{batch} x {height} x {width}"
    say(
        f"{output}: {output.stat().st_size / 1e6:.0f} MB, {size}, classes: {len(loaded.classes)}, {precision}"
    )


main = Program("maskrt export", command)

if __name__ == "__main__":
    main()
