"""Answers parity's questions about a model's family; parity itself knows no family.

A family's knowledge is `KNOWLEDGE` of the module `parity.knowledge` in its package, which is optional. What
is imported there and here runs without torch: `maskrt parity check` names causes on a Jetson too.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from maskrt.models import FAMILIES, find_family
from maskrt.runtime.backends.session import Session
from maskrt.runtime.contract import Contract
from maskrt.runtime.parity.inside.knowledge import Knowledge


def knowledge_of(contract: Contract) -> Knowledge | None:
    """What the contract's family knows of its models, None where it knows nothing."""
    package = FAMILIES.get(contract.family)
    if package is None or find_spec(f"{package}.parity") is None:
        return None
    found: Knowledge = import_module(f"{package}.parity.knowledge").KNOWLEDGE
    return found


def weights_of(reference: Session) -> dict[str, NDArray[np.float32]]:
    """Weights of a PyTorch reference by the names that `maskrt export` gives them, batch norms folded.

    Other constants in float, as anchors, are among them.
    """
    family = find_family(reference.contract.family)
    held = family.graph(getattr(reference, "model"), detections="fixed").state_dict()  # noqa: B009
    return {
        name: values.detach().cpu().float().numpy()
        for name, values in held.items()
        if values.is_floating_point()
    }
