"""R-CNN's answers, where Matterport's rules leave them true."""

from __future__ import annotations

from dataclasses import replace

from maskrt.models.rcnn.parity.knowledge import RcnnKnowledge
from maskrt.runtime.backends.session import Session
from maskrt.runtime.contract import Contract
from maskrt.runtime.parity.inside.knowledge import Facts


class MatterportKnowledge(RcnnKnowledge):
    """Of a network whose choice of boxes is made of other nodes."""

    def unprobed(self, contract: Contract) -> str:
        """Probes know torchvision's rules alone."""
        return "made inputs are by torchvision's rules, and this model follows Matterport's"

    def facts(self, reference: Session) -> Facts:
        """As R-CNN's, without the attributes of its NMS."""
        found = super().facts(reference)
        return replace(found, operators=[each for each in found.operators if each[0] != "GroupedNms"])


KNOWLEDGE = MatterportKnowledge()
