"""FP16: which units of the graph compute in half precision, and which hold values too large for it.

A unit is what is switched as one: the stem, a residual block, the FPN, the RPN's head, each head of the RoIs.
Its weights get its type and so does what enters it; what leaves keeps the type until the next unit. Box
decoding, RoI coordinates, NMS, softmax and sigmoid stay float32, because the graph returns to it there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from maskrt.models.graph import InferenceGraph

HALF_MAX = float(torch.finfo(torch.float16).max)  # 65504
# A unit stays float32 from half of that on: images that were not scanned go somewhat further.
LIMIT = HALF_MAX / 2


def to_half(graph: InferenceGraph, keep_float32: Iterable[str] = ()) -> InferenceGraph:
    """Set the graph's types in place: every unit half but those named in `keep_float32`."""
    kept = set(keep_float32)
    for name, modules in graph.units().items():
        dtype = torch.float32 if name in kept else torch.float16
        for module in modules:
            module.to(dtype).register_forward_pre_hook(_cast_inputs(dtype))
    return graph


def _cast_inputs(dtype: torch.dtype) -> Callable[..., Any]:
    def cast(value: Any) -> Any:
        if isinstance(value, dict):
            return type(value)((key, cast(item)) for key, item in value.items())
        return [cast(item) for item in value] if isinstance(value, list) else value.to(dtype)

    return lambda module, inputs: tuple(cast(value) for value in inputs)


def too_large(peaks: dict[str, float]) -> dict[str, float]:
    """Of the tensors' peaks (see `watch`), those that half precision cannot be trusted with."""
    return {name: peak for name, peak in peaks.items() if not peak < LIMIT}


def unit_of(tensor: str, graph: InferenceGraph) -> str:
    """The unit that a tensor named by `watch` belongs to."""
    return next(name for name in graph.units() if tensor.startswith((f"{name}.", f"{name} ")))


@contextmanager
def watch(graph: InferenceGraph) -> Iterator[dict[str, float]]:
    """Collect, while the float32 graph runs, the largest absolute value of every tensor in its units.

    Keys are "<module> input" and "<module> output". The sum of a residual block is the input of its last
    ReLU, that of the FPN's top-down path the input of its 3×3 convolutions; weights count as well.
    """
    peaks: dict[str, float] = {}
    hooks = []
    names = {module: name for name, module in graph.named_modules()}

    def note(name: str, value: Any) -> None:
        if isinstance(value, Tensor) and value.numel():
            peaks[name] = max(peaks.get(name, 0.0), float(value.abs().max()))

    def before(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        note(f"{names[module]} input", inputs[0])

    def after(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        note(f"{names[module]} output", output)

    for modules in graph.units().values():
        for module in (leaf for unit in modules for leaf in unit.modules() if not list(leaf.children())):
            hooks.append(module.register_forward_pre_hook(before))
            hooks.append(module.register_forward_hook(after))
            for kind, weight in module.named_parameters():
                note(f"{names[module]} {kind}", weight)
    try:
        yield peaks
    finally:
        for hook in hooks:
            hook.remove()
