"""Which families know something that helps parity, for the runtime, which is blind to families.

What is imported here runs where there is no torch: `maskrt parity check` names causes on a Jetson too.
"""

from __future__ import annotations

from maskrt.models.rcnn.parity.knowledge import RcnnKnowledge
from maskrt.runtime.contract import Contract
from maskrt.runtime.parity.inside.knowledge import Knowledge

KNOWN: dict[str, Knowledge] = dict.fromkeys(("mask_rcnn", "faster_rcnn", "keypoint_rcnn"), RcnnKnowledge())


def knowledge_of(contract: Contract) -> Knowledge | None:
    """What the contract's family knows of its models, None where it knows nothing."""
    return KNOWN.get(contract.family)
