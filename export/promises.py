"""Checks that what a family's graph gives is what its contract says, before a file is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import onnx

from maskrt.runtime.backends.promises import Given, in_words, wrong_tensor
from maskrt.runtime.contract import CANVAS, PREFIX, Contract, Tap
from maskrt.runtime.errors import ExportError


def given_names(contract: Contract) -> list[str]:
    """What a graph gives, in its order: the contract's outputs, then the taps."""
    return [*contract.output_names, *(PREFIX + tap for tap in contract.inside.names)]


def check_promises(model: onnx.ModelProto, contract: Contract) -> None:
    """Raise ExportError where the graph's tensors have another number, name, dtype or shape than promised.

    model: as PyTorch's exporter gives it, with the taps among its outputs.
    """
    if problem := _broken_promise(model, contract):
        raise ExportError(
            f"the graph of the family '{contract.family}': {problem}. Mend what its "
            "`InferenceGraph` returns, or what its configuration says (docs/architecture.md, Adding)."
        )


def _broken_promise(model: onnx.ModelProto, contract: Contract) -> str | None:
    names, wanted = [value.name for value in model.graph.output], given_names(contract)
    if names != wanted:
        lacking = [name for name in wanted if name not in names]
        which = f"without '{lacking[0]}'" if lacking else f"with '{names[-1]}'"
        count = len(wanted)
        return f"it gives {len(names)} tensors, {which}, but its contract says {count}: {', '.join(wanted)}"
    given = {value.name: _given(value) for value in (*model.graph.input, *model.graph.output)}
    return (
        wrong_tensor(given, contract.inputs, may_vary=False)
        or wrong_tensor(given, contract.outputs, may_vary=True)
        or next(_wrong_taps(contract, given), None)
    )


def _wrong_taps(contract: Contract, given: Mapping[str, Given]) -> Iterator[str]:
    for tap in contract.inside.taps:
        dtype, sides = given[PREFIX + tap.name]
        shape = [side if isinstance(side, int) else None for side in sides]
        allowed = ("int32",) if tap.kind == "counts" else ("float32", "float16")
        if dtype not in allowed:
            yield f"its tap '{tap.name}' is {dtype}, but a tap of kind '{tap.kind}' is {' or '.join(allowed)}"
        promised, more = _shape_of(tap, contract)
        fits = len(shape) >= len(promised) if more else len(shape) == len(promised)
        if not fits or any(None not in (h, w) and h != w for h, w in zip(shape, promised, strict=False)):
            said = in_words(promised) + (" x …" if more else "")
            yield f"its tap '{tap.name}' is {in_words(shape)}, but its contract says {said}"


def _shape_of(tap: Tap, contract: Contract) -> tuple[list[int | None], bool]:
    """What the contract says of a tap's shape (the table of `Tap`), and whether more axes may follow."""
    batch = contract.batch
    if tap.kind == "counts":
        return [batch], False
    if tap.kind == "boxes":
        return [batch, tap.rows, 4], False
    if tap.kind in ("rows", "classes"):
        return [_rows(tap, contract), None], tap.kind == "rows"
    stride = 1 if tap.name == CANVAS else tap.stride_px
    canvas = contract.canvas
    # Of a side that is no multiple of the stride, as of the coarsest maps, the last cell is cut off or not.
    sides = [
        side // stride if side and stride and side % stride == 0 else None
        for side in (canvas.height_px, canvas.width_px)
    ]
    return [batch, 3 if tap.name == CANVAS else None, *sides], False


def _rows(tap: Tap, contract: Contract) -> int | None:
    boxes = next((one for one in contract.inside.taps if one.name == tap.rows_of), None)
    counted = {tensor.name: tensor.axes[1] for tensor in contract.outputs if tensor.counted_by}
    of_image = boxes.rows if boxes else counted.get(tap.rows_of or "")
    return contract.batch * of_image if contract.batch and isinstance(of_image, int) else None


def _given(value: onnx.ValueInfoProto) -> Given:
    tensor = value.type.tensor_type
    shape = [side.dim_value if side.HasField("dim_value") else None for side in tensor.shape.dim]
    return str(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)), shape
