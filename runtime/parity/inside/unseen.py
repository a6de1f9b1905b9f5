"""What is known of a file before any image: its types, weights and attributes, and its parts on made inputs.

Images exercise what they happen to show. A level that gave no proposal, a class that was not found, a weight
that some eight bits hide: all of it is in the file, and is held to the checkpoint by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.backends.session import Session
from maskrt.runtime.errors import MissingDependencyError, ModelError, first_line
from maskrt.runtime.parity.inside.knowledge import Facts, Finding, Knowledge, Operator, knowledge_of
from maskrt.runtime.parity.inside.parts import GraphParts
from maskrt.runtime.parity.inside.stage_report import Fault
from maskrt.runtime.parity.inside.stages import order_of, results_of
from maskrt.runtime.parity.inside.weights import weight_faults
from maskrt.runtime.parity.tolerances import STAGES_BY_PRECISION
from maskrt.runtime.siblings import examine, expected_weights

FINEST_FIRST = ("fp32", "fp16", "int8")


def finer(one: str, other: str) -> str:
    """The finer of two precisions. One without a place among them is finer than none."""
    known = [precision for precision in (one, other) if precision in FINEST_FIRST]
    return min(known, key=FINEST_FIRST.index) if len(known) == 2 else one


MADE = "made inputs"
THE_FILE = "the file itself"


@dataclass
class Unseen:
    """What was found without an image. weights: how many of the checkpoint's were held, of how many.

    precisions: by stage and output what the graph shows, the coarsest of what it is computed from; empty
    where the file could not be read. reason: why parts were not run on made inputs, empty where they were.
    """

    outputs: tuple[str, ...] = ()  # of the candidate
    precisions: dict[str, str] = field(default_factory=dict)
    weights: tuple[int, int] = (0, 0)
    findings: list[Finding] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    reason: str = ""
    probed: bool = True  # whether probes exist for the model's family
    parts: set[str] = field(default_factory=set)  # that made inputs are for
    facts: Facts | None = None  # of the checkpoint, where it could be read

    @property
    def precision(self) -> str | None:
        """Of the outputs: what the graph shows, None where it is not known."""
        shown = [self.precisions[name] for name in self.outputs if name in self.precisions]
        return max(shown, key=FINEST_FIRST.index, default=None)

    @property
    def complete(self) -> bool:
        """True if every weight was held, and every part run on made inputs of every level and class."""
        held, known = self.weights
        return 0 < known == held and not self.reason and {one.part for one in self.findings} == self.parts

    def broken_claim(self, claimed: str) -> list[str]:
        """What the contract says of the precision and the graph does not show."""
        shown = self.precision
        if shown is None or claimed not in FINEST_FIRST or finer(claimed, shown) == claimed:
            return []
        return [
            f"its contract says {claimed}, but nothing in its graph is coarser than {shown}: it is "
            f"judged as {shown}"
        ]

    def causes(self, stage: str) -> list[str]:
        """What is measured to be wrong at a stage."""
        return [fault.culprits[0] for fault in self.faults if fault.stage == stage]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "precisions": self.precisions,
            "weights_held": self.weights[0],
            "weights": self.weights[1],
            "probes": [{"part": f.part, "about": f.about, "cause": f.cause} for f in self.findings],
            "probes_exist": self.probed,
            "reason": self.reason,
        }


def look_without_images(reference: Any, path: Path, candidate: Session, *, device: str) -> Unseen:
    """Hold the file at `path` to the checkpoint without an image, as far as both can be read here.

    reference: a session or, in its place, a bundle.
    """
    known = knowledge_of(candidate.contract)
    found = Unseen(outputs=candidate.contract.output_names, probed=known.has_probes)
    if path.suffix != ".onnx":
        found.reason = "an engine shows neither its weights nor its parts"
        return found
    try:
        shown = examine(path)
    except MissingDependencyError:
        found.reason = "the package onnx is not installed here"
        return found
    found.precisions = shown.stages
    if not hasattr(reference, "model"):
        found.reason = f"{reference.name} is no checkpoint, whose weights and parts are known"
        return found
    facts = found.facts = known.facts(reference)
    found.parts = set() if facts.parts is None else set(facts.parts.names)
    _hold_weights(found, expected_weights(reference), shown, known, candidate)
    found.faults += _operator_faults(facts.operators, shown.operators)
    if reason := known.unprobed(candidate.contract):
        found.reason = reason
        return found
    try:
        parts = GraphParts(path, candidate.contract, device=device)
        _run_on_made_inputs(found, facts, shown, parts, known, candidate)
    except (ModelError, RuntimeError) as error:  # PyTorch's too, where a part is of another shape
        found.reason = first_line(error)
    return found


def _run_on_made_inputs(
    found: Unseen, facts: Facts, shown: Any, theirs: GraphParts, known: Knowledge, candidate: Session
) -> None:
    in_float = {name for name, precision in shown.parts.items() if precision != "int8"}
    coarsest = max((shown.parts[name] for name in in_float), key=FINEST_FIRST.index, default="fp32")
    limit = STAGES_BY_PRECISION[coarsest]
    found.findings = list(known.probe(candidate.contract, facts, theirs, in_float, limit))
    order, results = order_of(candidate.contract), results_of(candidate.contract)
    first = {part.name: part.gives[0] for part in candidate.contract.inside.parts}
    for one in _worth_naming(found.findings):
        stage = next((name for name in (one.about, first[one.part]) if name in order), results[0])
        found.faults.append(Fault(stage, MADE, one.about, (one.cause,)))


def _worth_naming(findings: list[Finding]) -> list[Finding]:
    """Those with a cause: what only shows that a part is wrong is left out where another says what is."""
    wrong = [one for one in findings if one.cause]
    named = {one.part for one in wrong if one.named}
    return [one for one in wrong if one.named or one.part not in named]


def _hold_weights(
    found: Unseen, expected: dict[str, NDArray[np.float32]], shown: Any, known: Knowledge, candidate: Session
) -> None:
    details = candidate.contract.precision.details
    if details.get("equalised") or details.get("learned_scales"):
        found.reason = "its weights were changed for eight bits, as its contract says"
        return
    faults, held = weight_faults(expected, shown.weights)
    found.weights = len(held), len(expected)
    for name, what in faults.items():
        stage = known.stage_of_weight(name, candidate.contract)
        cause = f"{name} is not the checkpoint's: {what}"
        found.faults.append(Fault(stage, THE_FILE, f"{name}: {what}", (cause,)))


def _operator_faults(
    expected: list[Operator], found: tuple[tuple[str, str, dict[str, Any]], ...]
) -> list[Fault]:
    """Attributes by name: ONNX Runtime runs a body that reads few of them, TensorRT's plugin all."""
    faults = []
    for kind in sorted({operator for operator, _, _ in expected}):
        ours = [(stage, attributes) for operator, stage, attributes in expected if operator == kind]
        theirs = [attributes for operator, _, attributes in found if operator == kind]
        if len(ours) != len(theirs):  # inlined, or another graph
            continue
        for (stage, wanted), given in zip(ours, theirs, strict=True):
            faults += [
                Fault(
                    stage,
                    THE_FILE,
                    f"attribute {name}",
                    (f"{kind}'s attribute {name} is {given[name]}, the checkpoint's {value}",),
                )
                for name, value in wanted.items()
                if name in given and not _same(given[name], value)
            ]
    return faults


def _same(given: Any, wanted: Any) -> bool:
    if isinstance(wanted, float):
        return abs(given - wanted) <= 1e-6 * max(1.0, abs(wanted))
    return bool(given == wanted)
