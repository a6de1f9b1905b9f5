"""Reads an ONNX file's contract, and checks that its graph keeps it: the names and shapes of its ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from maskrt.runtime.contract import METADATA_KEY, PREFIX, Contract, Tensor
from maskrt.runtime.errors import ContractError
from maskrt.runtime.tasks import check_task

Shape = Sequence[int | str | None]  # of a graph: a side that varies is no number


def read_promises(metadata: Mapping[str, str], name: str, use: str = "run") -> Contract:
    """The contract in an ONNX file's metadata. name: the file; use: what it was to be, for messages.

    Raises ContractError where there is none, or none that can be read; ModelError for a task that this
    maskrt does not run.
    """
    if METADATA_KEY not in metadata:
        raise ContractError(
            f"{name}: an ONNX file without a maskrt contract (no '{METADATA_KEY}' in its metadata). "
            f"Only files made by maskrt can be {use}: maskrt export CHECKPOINT -o {name}"
        )
    contract = Contract.from_json(metadata[METADATA_KEY], name)
    check_task(contract, name)
    return contract


def check_graph(
    contract: Contract, name: str, inputs: Mapping[str, Shape], outputs: Mapping[str, Shape]
) -> None:
    """Raise ContractError where the graph's inputs or outputs, in order, are others than promised.

    inputs, outputs: their shapes by name; stages among the outputs are passed over. name: the file. An input
    varies just where the contract says so; an output may vary anywhere, as rows do that follow the number of
    detections.
    """
    results = {tensor: shape for tensor, shape in outputs.items() if not tensor.startswith(PREFIX)}
    _check("inputs", name, inputs, contract.inputs, may_vary=False)
    _check("outputs", name, results, contract.outputs, may_vary=True)


def _check(
    kind: str, name: str, shapes: Mapping[str, Shape], tensors: Sequence[Tensor], *, may_vary: bool
) -> None:
    expected = tuple(tensor.name for tensor in tensors)
    if tuple(shapes) != expected:
        raise ContractError(f"{name}: {kind} are {tuple(shapes)}, expected {expected}. Export it again.")
    for tensor in tensors:
        promised = [axis if isinstance(axis, int) else None for axis in tensor.axes]
        got = [side if isinstance(side, int) else None for side in shapes[tensor.name]]
        same = len(got) == len(promised) and all(
            have == want or (may_vary and have is None) for have, want in zip(got, promised, strict=True)
        )
        if not same:
            raise ContractError(
                f"{name}: its tensor '{tensor.name}' is {_words(got)}, but its contract says "
                f"{_words(promised)}. Export the model again: maskrt export CHECKPOINT -o {name}"
            )


def _words(shape: Sequence[int | None]) -> str:
    return " x ".join("any" if side is None else str(side) for side in shape)
