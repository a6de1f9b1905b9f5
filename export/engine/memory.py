"""Memory for a build: what it needs at least, and what to try when TensorRT runs out of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import onnx
from onnx import ModelProto

from maskrt.export.engine.values import without_weights
from maskrt.runtime.backends.trt.device import Gpu
from maskrt.runtime.backends.trt.engine_file import Shape
from maskrt.runtime.cli import say
from maskrt.runtime.contract import IMAGE_SIZES, IMAGES
from maskrt.runtime.errors import ExportError

T = TypeVar("T")

MIB = 1 << 20
LEAST_WORKSPACE_MIB = 32
STEP = 4  # from a rung of the ladder to the next
RUNGS = 4
#: TensorRT's words for a lack of memory; the first it says when no kernel of a layer fits into the workspace.
OUT_OF_MEMORY = ("could not find any implementation", "out of memory", "outofmemory", "insufficient memory")


def needed_bytes(model: ModelProto, largest: Shape | None) -> int:
    """The least device memory that a build of this model takes: its weights, and the largest layer's tensors.

    A lower bound: TensorRT also keeps copies of weights, other tensors, and workspace. model: prepared, types
    inferred. largest: (N, H, W) of the largest profile; None where the shapes are fixed.
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

    Where the GPU shares its memory with the CPU, what is free changes with every program: that is a warning.
    """
    if needed <= gpu.free_bytes:
        return
    told = (
        f"{source}: weights and the largest layer need {needed / MIB:.0f} MiB of GPU memory at "
        f"least, and {gpu.free_bytes / MIB:.0f} MiB are free. End other programs on the GPU (a desktop, "
        "too), take smaller shapes (--max 1x640x640), or export a smaller model: maskrt export CHECKPOINT "
        "--height 640 --width 640"
    )
    if not gpu.shares_memory:
        raise ExportError(told)
    say(f"{told}. Trying all the same, since the CPU may give up memory that this GPU shares with it")


def ladder(asked_mib: int | None, free: int) -> list[int]:
    """Workspace limits in bytes to try in turn: the one asked for, or half of what is free, then quarters."""
    first = asked_mib or max(free // 2 // MIB, LEAST_WORKSPACE_MIB)

    def rungs() -> Iterator[int]:
        rung = first
        for _ in range(RUNGS):
            yield rung * MIB
            rung //= STEP
            if rung < LEAST_WORKSPACE_MIB:
                return

    return list(rungs())


def is_out_of_memory(words: str) -> bool:
    """Whether TensorRT's words mean that it ran out of memory."""
    return any(phrase in words.lower() for phrase in OUT_OF_MEMORY)


def climb_down(
    attempt: Callable[[int], T | None],
    words: Callable[[], str],
    rungs: list[int],
    source: str,
    say: Callable[[str], None],
) -> T:
    """The first plan that `attempt(workspace in bytes)` gives; where memory ran out, less workspace follows.

    words: what TensorRT said during the last attempt. Raises ExportError for every other failure at once,
    and where the last rung failed.
    """
    for number, workspace in enumerate(rungs, 1):
        if (plan := attempt(workspace)) is not None:
            return plan
        if not is_out_of_memory(said := words()):
            raise ExportError(
                f"{source}: TensorRT could not build it. {said}. Building from the function bodies "
                "(--operators body) shows whether the plugins are at fault; what is installed: maskrt doctor"
            )
        if number < len(rungs):
            say(
                f"{source}: out of memory with a workspace of {workspace // MIB} MiB; trying "
                f"{rungs[number] // MIB} MiB"
            )
    tried = ", ".join(str(rung // MIB) for rung in rungs)
    raise ExportError(
        f"{source}: TensorRT ran out of memory with every workspace tried ({tried} MiB). {said}. It does "
        "not mean that the model is wrong: a layer's tensors and kernels did not fit. End other programs on "
        "the GPU, take smaller shapes (--max), a smaller batch, or the preset for small devices: --jetson"
    )
