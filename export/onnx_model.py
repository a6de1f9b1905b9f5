"""The inference graph of a checkpoint as an ONNX model, with weights, operators and contract inside."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import torch

from maskrt.export.engine.small import PROPOSALS, small_sides
from maskrt.export.naming import NumberByOperator
from maskrt.export.promises import check_promises, given_names
from maskrt.export.stages import HideStages
from maskrt.models.checkpoint import Checkpoint
from maskrt.models.operators import OPSET, TRANSLATIONS, attach_bodies
from maskrt.models.parts.half import to_half
from maskrt.runtime.contract import INPUT_NAMES, METADATA_KEY, Contract
from maskrt.runtime.contract.sections import MOST_SIDE_PX
from maskrt.runtime.errors import ExportError
from maskrt.runtime.files.atomic import atomic_path
from maskrt.runtime.files.kinds import ONNX
from maskrt.runtime.preprocess import round_up

# Of the example input under dynamic shapes, sides in the least ones: they coincide with nothing else in the
# network, so that the exporter cannot take one for a constant.
EXAMPLE_BATCH, EXAMPLE_HEIGHT, EXAMPLE_WIDTH = 2, 10, 14
LEAST_SIDE_PX = 32  # of any size, whatever the stride: the exporter sees a map of one cell as another case


FOLLOW, TAKE_APART, TRANSLATE, CHECK, WRITE = (
    "Following the network",
    "Taking operators apart",
    "Translating to ONNX",
    "Checking",
    "Writing",
)
#: What an export takes its time for: shares of it, measured on R18-FPN of any size and batch.
EXPORT_STEPS = {FOLLOW: 0.32, TAKE_APART: 0.51, TRANSLATE: 0.10, CHECK: 0.04, WRITE: 0.03}
# What PyTorch's exporter prints as it begins with them. Where it says it otherwise, the bar waits.
HEARD = {"Run decompositions...": TAKE_APART, "Translate the graph into ONNX...": TRANSLATE}


def export_onnx(
    checkpoint: Checkpoint, contract: Contract, begin: Callable[[str], None] = lambda step: None
) -> onnx.ModelProto:
    """The checkpoint's inference graph under the contract's shapes, with weights, bodies and contract inside.

    Its precision too is the contract's; under "fp16" the units named in precision_details stay float32.
    begin: told of the steps, FOLLOW to CHECK, as they begin.
    Raises ExportError where the graph gives other tensors than the contract says, and where the finished file
    does not pass ONNX's checker.
    """
    begin(FOLLOW)
    graph = checkpoint.family.graph(checkpoint.build(), detections=contract.options.detections).eval()
    if contract.precision.name == "fp16":
        to_half(graph, contract.precision.details["float32_units"])
    canvas = contract.canvas
    batch = contract.batch or EXAMPLE_BATCH
    least = round_up(LEAST_SIDE_PX, canvas.stride)
    height = canvas.height_px or EXAMPLE_HEIGHT * least
    width = canvas.width_px or EXAMPLE_WIDTH * least
    images = torch.zeros((batch, height, width, 3), dtype=getattr(torch, canvas.dtype))
    image_sizes = torch.tensor([[height, width]] * batch, dtype=torch.float32)
    with _silence(begin):
        program = torch.onnx.export(
            graph,
            (images, image_sizes),
            input_names=list(INPUT_NAMES),
            output_names=given_names(contract),
            opset_version=OPSET,
            dynamo=True,
            verbose=None,  # heard by `begin` alone
            custom_translation_table=TRANSLATIONS,
            dynamic_shapes=_dynamic_shapes(contract),
        )
    assert program is not None
    begin(CHECK)
    model = program.model_proto
    check_promises(model, contract)
    HideStages()(model)
    NumberByOperator()(model)
    attach_bodies(model)
    model.producer_name, model.producer_version = "maskrt", contract.origin.toolkit_version
    _forget_the_exporter(model)
    model.metadata_props.add(key=METADATA_KEY, value=contract.to_json())
    try:
        onnx.checker.check_model(model, full_check=True)
    except onnx.checker.ValidationError as error:
        raise ExportError(f"the exported graph is not valid ONNX: {error}") from error
    return model


def save_onnx(model: onnx.ModelProto, path: Path) -> None:
    """Write the model atomically, as one file."""
    with atomic_path(path, ONNX) as temporary:
        onnx.save_model(model, temporary)


def _dynamic_shapes(contract: Contract) -> dict[str, Any] | None:
    dim = torch.export.Dim
    batch = {} if contract.batch else {0: dim("batch", min=1, max=256)}
    # Sides are multiples of the stride by construction: said as a factor, the FPN's sums are provably alike.
    stride = contract.canvas.stride
    sides = {
        axis: stride * dim(name, min=-(-LEAST_SIDE_PX // stride), max=max(1024, MOST_SIDE_PX // stride))
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


class _Listener(io.StringIO):
    """Takes what is printed, and tells of the steps in it."""

    def __init__(self, begin: Callable[[str], None]) -> None:
        super().__init__()
        self._begin = begin

    def write(self, text: str) -> int:
        """Take in a text."""
        if step := HEARD.get(text):
            self._begin(step)
        return len(text)


@contextlib.contextmanager
def _silence(begin: Callable[[str], None]) -> Any:
    """Keep the exporter's progress and advice to its own developers off the user's terminal; `begin` is told
    of the steps that it speaks of."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(_Listener(begin)):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)


def for_small_devices(checkpoint: Checkpoint) -> Checkpoint:
    """The same weights with smaller pictures (export/engine/small.py) and less to compute beside."""
    canvas = checkpoint.contract().canvas
    short, long = small_sides(canvas.min_size_px, canvas.max_size_px)
    fewer = checkpoint.family.for_small_devices(checkpoint.config, PROPOSALS)
    return checkpoint.with_settings({"min_size_px": short, "max_size_px": long, **fewer}, "--jetson")
