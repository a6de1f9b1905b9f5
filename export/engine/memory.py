"""Memory for a build: the least that it needs, and the workspaces to try when TensorRT runs out of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import onnx
from onnx import ModelProto

from maskrt.export.engine.values import without_weights
from maskrt.runtime.backends.trt.device import Gpu
from maskrt.runtime.backends.trt.engine_file import Shape
from maskrt.runtime.commands.cli import say
from maskrt.runtime.contract import IMAGE_SIZES, IMAGES
from maskrt.runtime.errors import ExportError

T = TypeVar("T")

MIB = 1 << 20
LEAST_WORKSPACE_MIB = 32
SMALLER, TRIALS = 4, 4  # each workspace limit is a quarter of the one before
#: How TensorRT reports a lack of memory; the first where no kernel of a layer fits into the workspace.
OUT_OF_MEMORY = ("could not find any implementation", "out of memory", "outofmemory", "insufficient memory")


def needed_bytes(model: ModelProto, largest: Shape | None) -> int:
    """A lower bound of the device memory that a build takes: its weights, and the largest layer's tensors.

    TensorRT also keeps copies of weights, other tensors, and workspace. model: prepared, types inferred.
    largest: (N, H, W) of the largest profile; None where the shapes are fixed.
    """
    weights = {t.name: _tensor_bytes(t.data_type, t.dims) for t in model.graph.initializer}
    with without_weights(model):
        shaped = _with_shapes(model, largest) if largest else model
    tensors = {}
    for value in [*shaped.graph.input, *shaped.graph.value_info, *shaped.graph.output]:
        kind = value.type.tensor_type
        tensors[value.name] = _tensor_bytes(kind.elem_type, [d.dim_value for d in kind.shape.dim])
    for name in weights.keys() & tensors.keys():
        del tensors[name]
    layers = (sum(tensors.get(name, 0) for name in (*n.input, *n.output)) for n in shaped.graph.node)
    return sum(weights.values()) + max(layers, default=0)


def _tensor_bytes(element_type: int, dims: Any) -> int:
    """0 where a side is not known."""
    if not element_type:
        return 0
    return int(math.prod(dims)) * int(onnx.helper.tensor_dtype_to_np_dtype(element_type).itemsize)


def _with_shapes(model: ModelProto, shape: Shape) -> ModelProto:
    """A copy with its inputs fixed, and the shapes after them inferred again."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    n, height, width = shape
    sides = {IMAGES: (n, height, width, 3), IMAGE_SIZES: (n, 2)}
    for value in fixed.graph.input:
        for dim, side in zip(value.type.tensor_type.shape.dim, sides[value.name], strict=True):
            dim.dim_value = side
    del fixed.graph.value_info[:]
    return onnx.shape_inference.infer_shapes(fixed, data_prop=True)


def check_memory(source: str, needed: int, gpu: Gpu) -> None:
    """Raise ExportError where a build cannot fit into the free memory of the GPU.

    Where the GPU shares its memory with the CPU it is a warning: what is free changes with every program.
    """
    if needed <= gpu.free_bytes:
        return
    problem = (
        f"{source}: weights and the largest layer need {needed / MIB:.0f} MiB of GPU memory at "
        f"least, and {gpu.free_bytes / MIB:.0f} MiB are free. End other programs on the GPU (a desktop, "
        "too), take smaller shapes (--max 1x640x640), or export a smaller model: maskrt export CHECKPOINT "
        "--height 640 --width 640"
    )
    if not gpu.shares_memory:
        raise ExportError(problem)
    say(f"{problem}. Trying all the same, since the CPU may give up memory that this GPU shares with it")


def workspace_limits(asked_mib: int | None, free: int) -> list[int]:
    """Workspace limits in bytes to try in turn: the one asked for, or half of `free`, then a quarter of the
    one before."""
    first = asked_mib or max(free // 2 // MIB, LEAST_WORKSPACE_MIB)
    limits = (first // SMALLER**i for i in range(TRIALS))
    return [mib * MIB for i, mib in enumerate(limits) if i == 0 or mib >= LEAST_WORKSPACE_MIB]


def is_out_of_memory(errors: str) -> bool:
    """True if TensorRT's error messages mean that it ran out of memory."""
    return any(phrase in errors.lower() for phrase in OUT_OF_MEMORY)


def build_within(
    attempt: Callable[[int], T | None],
    errors: Callable[[], str],
    limits: list[int],
    source: str,
    say: Callable[[str], None],
) -> T:
    """The first plan that `attempt(workspace in bytes)` gives; where memory ran out the next limit is tried.

    errors: what TensorRT reported during the last attempt. limits: in bytes. Raises ExportError for every
    other failure at once, and where the last limit failed too.
    """
    for number, workspace in enumerate(limits, 1):
        if (plan := attempt(workspace)) is not None:
            return plan
        if not is_out_of_memory(reported := errors()):
            raise ExportError(
                f"{source}: TensorRT could not build it. {reported}. Building from the function bodies "
                "(--operators body) shows whether the plugins are at fault; what is installed: maskrt doctor"
            )
        if number < len(limits):
            say(
                f"{source}: out of memory with a workspace of {workspace // MIB} MiB; trying "
                f"{limits[number] // MIB} MiB"
            )
    tried = ", ".join(str(limit // MIB) for limit in limits)
    raise ExportError(
        f"{source}: TensorRT ran out of memory with every workspace tried ({tried} MiB). {reported}. It does "
        "not mean that the model is wrong: a layer's tensors and kernels did not fit. End other programs on "
        "the GPU, take smaller shapes (--max), a smaller batch, or the preset for small devices: --jetson"
    )
