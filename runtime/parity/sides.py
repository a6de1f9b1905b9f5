"""The two sides of a comparison: how they are opened, and whether they can be compared at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from maskrt.runtime.backends.open import Session, open_session
from maskrt.runtime.backends.ort_session import OrtSession
from maskrt.runtime.contract import LEARNED_SCALES, Contract
from maskrt.runtime.errors import MissingDependencyError, ModelError, ParityError
from maskrt.runtime.parity.annotated import Annotated
from maskrt.runtime.parity.conclude import Model
from maskrt.runtime.parity.inside.stages import order_of
from maskrt.runtime.parity.inside.unseen import Unseen, finer
from maskrt.runtime.parity.options import Allowed, Limits
from maskrt.runtime.parity.promises import broken_promises
from maskrt.runtime.parity.report import Report
from maskrt.runtime.siblings import load_dataset
from maskrt.runtime.tasks import task_of
from maskrt.runtime.tasks.comparison import Comparison

OWN = Limits()  # those of the tolerance


def open_looking(path: Path, device: str, **options: Any) -> Session:
    """The model with its stages or, where it has none that can be looked at, without.

    options: of a checkpoint, as `open_session` takes them.
    """
    try:
        return open_session(path, device=device, stages=True, **options)
    except (ModelError, MissingDependencyError):
        if path.suffix == ".onnx":  # weights that are no numbers are a finding here
            return OrtSession(path, device=device, checked=False)
        return open_session(path, device=device, **options)


def open_reference(path: Path, device: str, candidate: Contract) -> Session:
    """The checkpoint as the candidate was exported from it: its class names, and the settings chosen then."""
    return open_looking(path, device, class_names=candidate.class_names, settings=candidate.chosen_settings)


def judged_by_score_alone(candidate: Contract) -> bool:
    """True of weights trained for eight bits: what they compute in float is not what was trained."""
    return LEARNED_SCALES in candidate.precision.details


def load_annotated(data: str, class_name: str, candidate: Session) -> Annotated:
    """The annotations of a data set of the candidate's classes. Raises DataError where it has others."""
    return annotated_by(load_dataset(data, class_name=class_name), candidate)


def annotated_by(dataset: Any, candidate: Session) -> Annotated:
    """Both sides over a data set of the candidate's classes. Raises DataError where it has others."""
    contract = candidate.contract
    return Annotated(dataset.for_model(contract.task, contract.classes), task_of(contract).metric(contract))


def report_for(
    reference: Model, candidate: Model, unseen: Unseen | None = None, limits: Limits = OWN
) -> Report:
    """An empty report, but for what the candidate's contract promises otherwise than the reference's. Raises
    ParityError where the two cannot be compared, OptionError for limits that their task has not."""
    broken, claimed = (
        broken_promises(reference.contract, candidate.contract),
        candidate.contract.precision.name,
    )
    found = unseen or Unseen()
    results = comparison_for(reference, candidate, finer(claimed, found.precision or claimed), limits)
    broken += found.broken_claim(claimed)
    report = Report(results, promises=broken, unseen=found)
    if isinstance(limits, Allowed):
        report.max_drop = limits.max_ap_drop
    report.stages.order, report.stages.unseen = order_of(candidate.contract), found.faults
    return report


def comparison_for(
    reference: Model, candidate: Model, precision: str | None = None, limits: Limits = OWN
) -> Comparison:
    """An empty comparison of their results, by the tolerance of a precision; None: the candidate's.

    Raises ParityError where the two cannot be compared, OptionError for limits that their task has not.
    """
    ours, theirs = candidate.contract, reference.contract
    for field in ("task", "output_names", "classes"):
        if getattr(ours, field) != getattr(theirs, field):
            raise ParityError(
                f"{candidate.name} and {reference.name} are not the same model: {field} is "
                f"{getattr(ours, field)} and {getattr(theirs, field)}. Compare a model with its checkpoint."
            )
    return limits.comparison(task_of(ours), precision or ours.precision.name)
