"""Checks that a graph's inputs and outputs have the shapes that its contract promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from maskrt.runtime.contract import INPUT_NAMES, Contract
from maskrt.runtime.errors import ContractError

Shape = Sequence[int | str | None]  # of a graph: a side that varies is no number


def promised_shapes(contract: Contract) -> dict[str, tuple[int | None, ...]]:
    """Of every input and output; None: any."""
    return {
        tensor.name: tuple(axis if isinstance(axis, int) else None for axis in tensor.axes)
        for tensor in (*contract.inputs, *contract.outputs)
    }


def check_shapes(contract: Contract, name: str, shapes: Mapping[str, Shape]) -> None:
    """Raise ContractError where a tensor of the graph has another shape than promised. name: the file.

    An input varies just where the contract says so; an output may vary anywhere, as rows do that follow the
    number of detections.
    """
    for tensor, promised in promised_shapes(contract).items():
        if tensor not in shapes:
            continue
        got = [side if isinstance(side, int) else None for side in shapes[tensor]]
        same = len(got) == len(promised) and all(
            have == want or (tensor not in INPUT_NAMES and have is None)
            for have, want in zip(got, promised, strict=True)
        )
        if not same:
            raise ContractError(
                f"{name}: its tensor '{tensor}' is {_words(got)}, but its contract says {_words(promised)}. "
                f"Export the model again: maskrt export CHECKPOINT -o {name}"
            )


def _words(shape: Sequence[int | None]) -> str:
    return " x ".join("any" if side is None else str(side) for side in shape)
