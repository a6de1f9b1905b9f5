"""What a file promises of itself, held to what its checkpoint would give, field by field.

A model that computes the same tensors is another model to its users where its contract says otherwise: the
canvas an image is laid on, the names of the classes, the threshold of a mask are taken from there.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from maskrt.runtime.contract import Contract

#: Chosen at export, and so no difference: how a file computes, not what. `chosen_settings` names fields of
#: the configuration that were chosen too; the reference is opened with them.
CHOSEN_AT_EXPORT = {
    *("batch", "detections", "precision", "precision_details", "toolkit_version", "format_version"),
    *("chosen_settings", "canvas.height_px", "canvas.width_px", "canvas.dtype"),
}
IDENTITY = "checkpoint_sha256"
DIGITS = 12  # of a SHA-256, shown
CHARACTERS = 100  # of a value, shown


def broken_promises(reference: Contract, candidate: Contract) -> list[str]:
    """A sentence for each field of the candidate's contract that its checkpoint would have given otherwise.

    A field that either side does not have is left out: older files know fewer. So is the checkpoint's
    identity where the reference has none, since it was not read from a file.
    """
    ours, theirs = _fields(reference), _fields(candidate)
    broken = []
    if reference.checkpoint_sha256 and ours[IDENTITY] != theirs[IDENTITY]:
        broken.append(
            f"a stale file: its contract says it was made from checkpoint {_identity(candidate)}, "
            f"the reference is {_identity(reference)}"
        )
    return broken + [
        f"its contract says {name} {_short(theirs[name])}, the reference's {_short(value)}"
        for name, value in ours.items()
        if name in theirs and name not in CHOSEN_AT_EXPORT | {IDENTITY} and theirs[name] != value
    ]


def _fields(contract: Contract) -> dict[str, Any]:
    """By name, those of the canvas and of the configuration too, as JSON has them: a tuple is a list."""
    fields: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(contract)))
    for group in ("canvas", "config"):
        fields |= {f"{group}.{name}": value for name, value in fields.pop(group).items()}
    return fields


def _identity(contract: Contract) -> str:
    return contract.checkpoint_sha256[:DIGITS] or "unknown"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= CHARACTERS else f"{text[:CHARACTERS]}…"
