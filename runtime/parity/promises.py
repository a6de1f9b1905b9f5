"""What a file promises of itself, held to what its checkpoint would give, field by field.

A model that computes the same tensors is another model to its users where its contract says otherwise: the
canvas an image is laid on, the names of the classes, the threshold of a mask are taken from there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from maskrt.runtime.contract import Contract

#: Chosen at export, and so no difference: how a file computes, not what. `chosen_settings` names fields of
#: the configuration that were chosen too; the reference is opened with them. Inputs and outputs follow from
#: the other fields; where to look inside, and how layers are named, is how a version of maskrt has it.
CHOSEN_AT_EXPORT = {
    *("inputs", "outputs", "inside", "layers", "precision", "origin", "format_version", "chosen_settings"),
    *("canvas.height_px", "canvas.width_px", "canvas.dtype"),
}
Fields = dict[str, Any]
DIGITS = 12  # of a SHA-256, shown
CHARACTERS = 100  # of a value, shown


def broken_promises(reference: Contract, candidate: Contract) -> list[str]:
    """A sentence for each field of the candidate's contract that its checkpoint would have given otherwise.

    A field that either side does not have is left out: older files know fewer. So is the checkpoint's
    identity where the reference has none, since it was not read from a file.
    """
    broken = []
    known = reference.origin.checkpoint_sha256
    if known and known != candidate.origin.checkpoint_sha256:
        broken.append(
            f"a stale file: its contract says it was made from checkpoint {_identity(candidate)}, "
            f"the reference is {_identity(reference)}"
        )
    ours, theirs = (json.loads(contract.to_json()) for contract in (reference, candidate))
    chosen = {f"{reference.task}.{field}" for field in reference.options.CHOSEN_AT_EXPORT}
    return broken + [
        f"its contract says {name} {_short(got)}, the reference's {_short(expected)}"
        for name, expected, got in _differences(ours, theirs)
        if name not in chosen
    ]


def _differences(
    ours: dict[str, Any], theirs: dict[str, Any], at: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Name and both values of each field that is not the same, as JSON has them."""
    for key, value in ours.items():
        name = f"{at}{key}"
        if key not in theirs or name in CHOSEN_AT_EXPORT or theirs[key] == value:
            continue
        if isinstance(value, dict) and isinstance(theirs[key], dict):
            yield from _differences(value, theirs[key], f"{name}.")
        else:
            yield name, value, theirs[key]


def _identity(contract: Contract) -> str:
    return contract.origin.checkpoint_sha256[:DIGITS] or "unknown"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= CHARACTERS else f"{text[:CHARACTERS]}…"
