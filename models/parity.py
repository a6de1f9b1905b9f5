"""Which families know something that helps parity, for the runtime, which is blind to families.

A family's knowledge is `KNOWLEDGE` of the module `parity.knowledge` in its package. What is imported there
runs without torch: `maskrt parity check` names causes on a Jetson too.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from maskrt.models import FAMILIES
from maskrt.runtime.contract import Contract
from maskrt.runtime.parity.inside.knowledge import Knowledge


def knowledge_of(contract: Contract) -> Knowledge | None:
    """What the contract's family knows of its models, None where it knows nothing."""
    package = FAMILIES.get(contract.family)
    if package is None or find_spec(f"{package}.parity") is None:
        return None
    found: Knowledge = import_module(f"{package}.parity.knowledge").KNOWLEDGE
    return found
