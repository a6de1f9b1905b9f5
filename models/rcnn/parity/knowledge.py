"""R-CNN's answers to what parity asks of a family. Imports no torch: see `facts`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module

from maskrt.models.parts.layout import layout_of
from maskrt.models.rcnn.parity.causes import marks_of, possible_causes
from maskrt.models.rcnn.parity.levels import proposals_by_level
from maskrt.models.rcnn.parity.probes.run import probe
from maskrt.models.rcnn.parity.probes.setting import Setting
from maskrt.models.rcnn.parity.ties import tied_proposals
from maskrt.models.rcnn.parity.weights import stage_of_weight
from maskrt.runtime.backends.session import Session
from maskrt.runtime.contract import Contract
from maskrt.runtime.parity.inside.evidence import Evidence
from maskrt.runtime.parity.inside.knowledge import Facts, Finding, Knowledge
from maskrt.runtime.parity.inside.parts import GraphParts
from maskrt.runtime.parity.inside.samples import Sample
from maskrt.runtime.parity.tolerances import StageTolerance
from maskrt.runtime.preprocess import Batch


class RcnnKnowledge(Knowledge):
    """Of Mask, Faster and Keypoint R-CNN, on a pyramid or on C4."""

    has_probes = True

    def unprobed(self, contract: Contract) -> str:
        """They are, but for boxes that leave by the padded picture's scale."""
        if contract.config.get("scale_by_padded"):
            return "made inputs are by torchvision's scale of boxes, and this model has another's"
        return ""

    def facts(self, reference: Session) -> Facts:
        """From the PyTorch model, in a module that imports torch, and so is imported here and not above."""
        found: Facts = import_module("maskrt.models.rcnn.parity.facts").facts_of(reference)
        return found

    def probe(
        self, contract: Contract, facts: Facts, parts: GraphParts, in_float: set[str], limit: StageTolerance
    ) -> Iterator[Finding]:
        """Of each part behind the maps."""
        assert facts.parts is not None
        yield from probe(Setting.of(contract, facts, parts), facts.parts, parts, in_float, limit)

    def stage_of_weight(self, name: str, contract: Contract) -> str:
        """By the beginning of its name."""
        return stage_of_weight(name, layout_of(contract.config).levels)

    def tied(self, samples: Mapping[str, Sample]) -> float:
        """Of the proposals."""
        return tied_proposals(samples)

    def exercised(
        self, contract: Contract, samples: Mapping[str, Sample], batch: Batch, facts: Facts | None
    ) -> dict[str, int]:
        """Proposals by the level whose anchors they are of."""
        return proposals_by_level(contract, samples, batch, None if facts is None else facts.more)

    def causes(self, stage: str, evidence: Evidence) -> list[str]:
        """Marks in proposals, and in what is pooled for a box."""
        return marks_of(stage, evidence)

    def possible(self, stage: str) -> str:
        """By the beginning of the stage's name."""
        return possible_causes(stage)


KNOWLEDGE = RcnnKnowledge()
