"""Weights under another project's names and order, put under ours; nothing left over, nothing missing."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from maskrt.models import find_family
from maskrt.models.config import ModelConfig
from maskrt.runtime.errors import CheckpointError

Edit = Callable[[Tensor], Tensor]
Name = str | Callable[[re.Match[str]], str]  # what re.sub puts
SHOWN = 8  # keys that a message lists; a wrong model would give hundreds


def translate(
    weights: Mapping[str, Any],
    config: ModelConfig,
    *,
    names: Iterable[tuple[str, Name]],
    edits: Mapping[str, Edit],
    unused: Collection[str] = (),
    missing: Iterable[str] = (),
    source: str,
) -> dict[str, Tensor]:
    """The state dict of the network of `config` out of a foreign file's weights.

    names: regular expressions, tried in turn on the whole of each of our keys, and what to put for them to
    get the file's. edits: by our key, what makes our tensor of the file's. unused: the file's keys that hold
    no weight. missing: keys that were looked for in vain before. Raises CheckpointError that lists the keys
    missing, left over, or of another shape.
    """
    patterns = [(re.compile(pattern), theirs) for pattern, theirs in names]
    lacking, misshapen, used, translated = list(missing), [], set(unused), {}
    for ours, shape in _shapes(config).items():
        theirs = _rename(ours, patterns)
        if theirs not in weights:
            lacking.append(theirs)
            continue
        used.add(theirs)
        tensor = torch.as_tensor(weights[theirs])
        edited = edits[ours](tensor) if ours in edits else tensor
        if edited.shape != shape:
            misshapen.append(f"{theirs} {tuple(tensor.shape)} (as '{ours}' it must give {tuple(shape)})")
        translated[ours] = edited.contiguous()
    faults = {"missing": lacking, "left over": sorted(set(weights) - used), "of another shape": misshapen}
    if any(faults.values()):
        raise CheckpointError(
            f"{source}: not the weights of a {config.title}: "
            + "; ".join(f"{len(keys)} {what}: {_list(keys)}" for what, keys in faults.items() if keys)
            + ". What is read is listed in docs/checkpoints.md."
        )
    return translated


def _shapes(config: ModelConfig) -> dict[str, torch.Size]:
    with torch.device("meta"):
        model = find_family(config.family).build(config)
    return {key: tensor.shape for key, tensor in model.state_dict().items() if tensor.is_floating_point()}


def _rename(ours: str, patterns: list[tuple[re.Pattern[str], Name]]) -> str:
    for pattern, theirs in patterns:
        if pattern.fullmatch(ours):
            return pattern.sub(theirs, ours)
    raise AssertionError(f"no name for {ours}")


def _list(keys: list[str]) -> str:
    return ", ".join(keys[:SHOWN]) + (", …" if len(keys) > SHOWN else "")
