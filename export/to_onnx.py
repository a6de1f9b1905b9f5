"""`maskrt export`: a checkpoint as one ONNX file that describes itself."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path
from typing import Annotated, Any

import onnx
import torch
import typer

from export.engine.small import PROPOSALS, small_sides
from export.graphs.half import to_half
from export.graphs.mask_rcnn import MaskRcnnGraph
from export.naming import number_by_operator
from export.operators import OPSET, TRANSLATIONS, attach_bodies
from export.overflow import half_contract
from export.stages import hide_stages, show_stages
from export.weights import load_checkpoint
from runtime.cli import run, say
from runtime.contract import INPUT_NAMES, METADATA_KEY, Contract
from runtime.errors import ExportError
from runtime.files import atomic_path
from runtime.preprocess import round_up
from runtime.stages import PREFIX, stages_of
from training.checkpoint import CANVAS_STRIDE, Checkpoint

# Of the example input under dynamic shapes: sides that coincide with nothing else in the network, so that
# the exporter cannot take one for a constant.
EXAMPLE_BATCH, EXAMPLE_HEIGHT_PX, EXAMPLE_WIDTH_PX = 2, 10 * CANVAS_STRIDE, 14 * CANVAS_STRIDE


def export_onnx(checkpoint: Checkpoint, contract: Contract) -> onnx.ModelProto:
    """The checkpoint's inference graph under the contract's shapes, with weights, bodies and contract inside.

    Its precision too is the contract's; under "fp16" the units named in precision_details stay float32.
    Raises ExportError where the finished file does not pass ONNX's checker.
    """
    graph = MaskRcnnGraph(checkpoint.build(), detections=contract.detections).eval()
    if contract.precision == "fp16":
        to_half(graph, contract.precision_details["float32_units"])
    canvas = contract.canvas
    batch = contract.batch or EXAMPLE_BATCH
    height, width = canvas.height_px or EXAMPLE_HEIGHT_PX, canvas.width_px or EXAMPLE_WIDTH_PX
    images = torch.zeros((batch, height, width, 3), dtype=getattr(torch, canvas.dtype))
    image_sizes = torch.tensor([[height, width]] * batch, dtype=torch.float32)
    with _silence():
        program = torch.onnx.export(
            graph,
            (images, image_sizes),
            input_names=list(INPUT_NAMES),
            output_names=[*contract.output_names, *(PREFIX + stage for stage in stages_of(contract))],
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
            custom_translation_table=TRANSLATIONS,
            dynamic_shapes=_dynamic_shapes(contract),
        )
    assert program is not None
    model = program.model_proto
    hide_stages(model)
    number_by_operator(model)
    attach_bodies(model)
    model.producer_name, model.producer_version = "maskrt", contract.toolkit_version
    _forget_the_exporter(model)
    model.metadata_props.add(key=METADATA_KEY, value=contract.to_json())
    try:
        onnx.checker.check_model(model, full_check=True)
    except onnx.checker.ValidationError as error:
        raise ExportError(f"the exported graph is not valid ONNX: {error}") from error
    return model


def save_onnx(model: onnx.ModelProto, path: Path) -> None:
    """Write the model atomically, as one file."""
    with atomic_path(path) as temporary:
        onnx.save_model(model, temporary)


def _dynamic_shapes(contract: Contract) -> dict[str, Any] | None:
    dim = torch.export.Dim
    batch = {} if contract.batch else {0: dim("batch", min=1, max=256)}
    # Sides are multiples of the stride by construction: said as a factor, the FPN's sums are provably alike.
    sides = {
        axis: CANVAS_STRIDE * dim(name, min=1, max=1024)
        for axis, name, fixed in (
            (1, "height_over_stride", contract.canvas.height_px),
            (2, "width_over_stride", contract.canvas.width_px),
        )
        if fixed is None
    }
    return {"images": batch | sides, "image_sizes": batch} if batch or sides else None


def _forget_the_exporter(model: onnx.ModelProto) -> None:
    """Drop what the exporter noted of this machine (source paths, stack traces) on nodes and values."""
    for holder in [*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.value_info]:
        del holder.metadata_props[:]
        holder.doc_string = ""
    del model.graph.metadata_props[:]
    del model.metadata_props[:]


@contextlib.contextmanager
def _silence() -> Any:
    """Keep the exporter's progress and advice to its own developers off the user's terminal."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)


def for_small_devices(checkpoint: Checkpoint) -> Checkpoint:
    """The same weights with smaller pictures and fewer proposals (export/engine/small.py)."""
    config = checkpoint.config
    short, long = small_sides(config.min_size_px, config.max_size_px)
    proposals = min(config.rpn_post_nms_test, PROPOSALS)
    smaller = {"min_size_px": short, "max_size_px": long, "rpn_post_nms_test": proposals}
    return checkpoint.with_settings(smaller, "--jetson")


def command(
    checkpoint: Annotated[
        Path, typer.Argument(help="Checkpoint: maskrt's, or another project's: docs/checkpoints.md")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="ONNX file to write")] = Path("model.onnx"),
    height: Annotated[int | None, typer.Option(help="Canvas height in px; default: as trained")] = None,
    width: Annotated[int | None, typer.Option(help="Canvas width in px; default: as trained")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Images per call; default: 1")] = None,
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
    with_stages: Annotated[
        bool, typer.Option("--with-stages", help="Give the stages between as outputs too, for parity")
    ] = False,
) -> None:
    """Turn a checkpoint into one ONNX file with its contract inside.

    The canvas is as large as the largest landscape image that training saw, a square for Matterport's
    models, unless told otherwise; images are scaled to fit inside. Runs on ONNX Runtime as it is.

    Example: maskrt export best.pt -o model.onnx --height 800 --width 1088
    """
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
        config = loaded.config
        short_px = config.max_size_px if config.by_matterport else config.min_size_px
        height = round_up(short_px, CANVAS_STRIDE) if height is None else height
        width = round_up(config.max_size_px, CANVAS_STRIDE) if width is None else width
    contract = loaded.contract(
        height_px=height, width_px=width, batch=batch, dtype=dtype, detections=detections
    )
    if precision == "fp16":
        contract = half_contract(loaded, contract, images or [])
    model = export_onnx(loaded, contract)
    if with_stages:
        show_stages(model, str(output))
    save_onnx(model, output)
    size = "any size and batch" if dynamic else f"{batch} x {height} x {width}"
    say(
        f"{output}: {output.stat().st_size / 1e6:.0f} MB, {size}, classes: {len(loaded.classes)}, {precision}"
    )


def main(args: list[str] | None = None) -> None:
    """Run the command with `args` (default: those of the process)."""
    run(command, "maskrt export", args)


if __name__ == "__main__":
    main()
