"""Reads an ONNX file's contract, and checks that its graph keeps it: its ends' names, dtypes and shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from maskrt.runtime.contract import METADATA_KEY, PREFIX, Contract, Tensor
from maskrt.runtime.errors import ContractError

#: Of a graph's tensor: the dtype, as numpy calls it, and the shape, where a side that varies is no number.
Given = tuple[str, Sequence[int | str | None]]


def read_promises(metadata: Mapping[str, str], name: str, use: str = "run") -> Contract:
    """The contract in an ONNX file's metadata. name: the file; use: what it was to be, for messages.

    Raises ContractError where there is none, or none that can be read.
    """
    if METADATA_KEY not in metadata:
        raise ContractError(
            f"{name}: an ONNX file without a maskrt contract (no '{METADATA_KEY}' in its metadata). "
            f"Only files made by maskrt can be {use}: maskrt export CHECKPOINT -o {name}"
        )
    return Contract.from_json(metadata[METADATA_KEY], name)


def check_graph(
    contract: Contract, name: str, inputs: Mapping[str, Given], outputs: Mapping[str, Given]
) -> None:
    """Raise ContractError where the graph's inputs or outputs, in order, are others than promised.

    inputs, outputs: dtypes and shapes by name; stages among the outputs are passed over. name: the file. An
    input varies just where the contract says so; an output may vary anywhere, as rows do that follow the
    number of detections.
    """
    results = {tensor: given for tensor, given in outputs.items() if not tensor.startswith(PREFIX)}
    for kind, given, tensors in (
        ("inputs", inputs, contract.inputs),
        ("outputs", results, contract.outputs),
    ):
        expected = tuple(tensor.name for tensor in tensors)
        if tuple(given) != expected:
            raise ContractError(f"{name}: {kind} are {tuple(given)}, expected {expected}. Export it again.")
        if problem := wrong_tensor(given, tensors, may_vary=kind == "outputs"):
            again = f"Export the model again: maskrt export CHECKPOINT -o {name}"
            raise ContractError(f"{name}: {problem}. {again}")


def wrong_tensor(given: Mapping[str, Given], tensors: Sequence[Tensor], *, may_vary: bool) -> str | None:
    """The first tensor that has another dtype or shape in the graph, in words; None: all are right."""
    for tensor in tensors:
        dtype, shape = given[tensor.name]
        if dtype != tensor.dtype:
            return f"its tensor '{tensor.name}' is {dtype}, but its contract says {tensor.dtype}"
        promised = [axis if isinstance(axis, int) else None for axis in tensor.axes]
        got = [side if isinstance(side, int) else None for side in shape]
        same = len(got) == len(promised) and all(
            have == want or (may_vary and have is None) for have, want in zip(got, promised, strict=True)
        )
        if not same:
            return (
                f"its tensor '{tensor.name}' is {in_words(got)}, but its contract says {in_words(promised)}"
            )
    return None


def in_words(shape: Sequence[int | None]) -> str:
    """ "1 x any x 4"; None: any."""
    return " x ".join("any" if side is None else str(side) for side in shape)
