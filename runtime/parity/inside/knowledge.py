"""What parity asks of a model's family, and the answers that hold for any.

Stages, parts, weights and types are compared without knowing what a model is. Its family alone knows which
inputs show a part's faults, what marks faults leave, and which levels of the model an image exercised. A
family that knows overrides `Knowledge`. Of a family that does not, the report says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from maskrt.runtime.backends.session import Session
from maskrt.runtime.contract import Contract
from maskrt.runtime.parity.inside.evidence import Evidence
from maskrt.runtime.parity.inside.parts import GraphParts, Parts
from maskrt.runtime.parity.inside.samples import Sample
from maskrt.runtime.parity.inside.stages import results_of
from maskrt.runtime.parity.tolerances import StageTolerance
from maskrt.runtime.preprocess import Batch
from maskrt.runtime.siblings import parity_knowledge

#: An operator's type, the stage it serves, and its attributes.
Operator = tuple[str, str, dict[str, Any]]
NO_PROBES = "no probes exist for this family of models"
WEIGHTS = "other weights: a stale file, a transposed layer, a batch norm folded otherwise"


@dataclass(frozen=True)
class Finding:
    """What a probe found. part: one of the contract's; about: what was probed ("NMS").

    cause: what is measured to be otherwise, empty where nothing is. A probe that only shows that something is
    wrong, and not what, says so by `named` being False.
    """

    part: str
    about: str
    cause: str = ""
    named: bool = True


@dataclass(frozen=True)
class Facts:
    """What a checkpoint is known to make before any image.

    operators: of its export, in the order of the graph; parts: the reference's, to be run on made inputs,
    None where there are no probes; more: for the family alone.
    """

    operators: list[Operator] = field(default_factory=list)
    parts: Parts | None = None
    more: Any = None


class Knowledge:
    """What a family knows of its models; as it stands, what is known of any."""

    #: Whether there are inputs made for the parts of its models.
    has_probes = False
    #: What `exercised` counts by level, a word for the report.
    counted = "proposals"

    def unprobed(self, contract: Contract) -> str:
        """Why no part is run on made inputs; empty where they are."""
        return NO_PROBES

    def facts(self, reference: Session) -> Facts:
        """What the PyTorch reference makes before any image."""
        return Facts()

    def probe(
        self, contract: Contract, facts: Facts, parts: GraphParts, in_float: set[str], limit: StageTolerance
    ) -> Iterator[Finding]:
        """What each probe finds, in the order of the computation.

        in_float: the parts without eight bits in them; the others' ranges were measured on images, and made
        inputs are none. limit: of tensors that are compared as stages are.
        """
        return iter(())

    def stage_of_weight(self, name: str, contract: Contract) -> str:
        """The first stage that a weight changes, by its name in the graph."""
        return results_of(contract)[0]

    def tied(self, samples: Mapping[str, Sample]) -> float:
        """The share of an image's boxes inside that nothing but rounding chooses, 1 at most."""
        return 0.0

    def exercised(
        self, contract: Contract, samples: Mapping[str, Sample], batch: Batch, facts: Facts | None
    ) -> dict[str, int]:
        """By level of the model how many boxes inside an image gave; empty where there are no levels."""
        return {}

    def causes(self, stage: str, evidence: Evidence) -> list[str]:
        """Sentences on why a stage is out of tolerance, the likeliest first; empty where no mark is found."""
        return []

    def possible(self, stage: str) -> str:
        """What is known to go wrong at a stage."""
        return WEIGHTS


def knowledge_of(contract: Contract) -> Knowledge:
    """What is known of the models of a contract's family."""
    known: Knowledge | None = parity_knowledge(contract)
    return Knowledge() if known is None else known
