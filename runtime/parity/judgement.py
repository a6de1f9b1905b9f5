"""The judgement that `maskrt calibrate`, `parity` and `evaluate` share: on annotated images, as a table."""

from __future__ import annotations

from typing import Any

import typer

from maskrt.runtime.backends.open import Session
from maskrt.runtime.commands import terminal
from maskrt.runtime.commands.cli import say, track
from maskrt.runtime.errors import EXIT_FAILED_CHECK, EXIT_UNDECIDED
from maskrt.runtime.parity.compare import compare
from maskrt.runtime.parity.options import Allowed
from maskrt.runtime.parity.report import Report, counts
from maskrt.runtime.parity.sides import annotated_by, comparison_for, judged_by_score_alone

ANSWERS = {"holds": "", "loses": "loses too much", "open": "cannot tell"}


def judge_on(
    reference: Session, candidate: Session, dataset: Any, allowed: Allowed
) -> tuple[Report, list[Any]]:
    """Run both models over annotated images. Returns the report, and the metric's parts of the candidate.

    A candidate that was trained otherwise than the reference is judged by its score alone. Raises ParityError
    where the two cannot be compared, DataError where the data set has other classes.
    """
    report = Report(comparison_for(reference, candidate, limits=allowed), max_drop=allowed.max_ap_drop)
    origins = {side.contract.origin.checkpoint_sha256 for side in (reference, candidate)}
    report.by_score_alone = len(origins) > 1 or judged_by_score_alone(candidate.contract)
    annotated = annotated_by(dataset, candidate)
    for place in track(range(len(dataset)), "Comparing"):
        sample = dataset[place]
        compare(reference, candidate, sample.source, sample.image(), report, annotated)
    report.score(annotated)
    return report, annotated.candidate.parts


def table(report: Report, title: str) -> Any:
    """What is held to a limit, as rich's table: the figure, its interval, the limit and the answer."""
    from rich.table import Table

    found = Table(title=title)
    for heading in ("against the float model", "is", "95% interval", "allowed", ""):
        found.add_column(heading, justify="left" if heading in ("against the float model", "") else "right")
    for one in report.findings:
        least, ends = "≥ " if one.at_least else "", f"{one.low:.3g} to {one.high:.3g}"
        found.add_row(one.name, f"{one.value:.3g}", ends, f"{least}{one.limit:g}", ANSWERS[one.answer])
    for count in counts(report.results.rows):
        note = f" ({count.note})" if count.note else ""
        found.add_row(f"{count.name}{note}", str(count.total), "", "", "")
    return found


def show(report: Report, title: str) -> None:
    """Print the table on stderr, and what the images are too few to tell."""
    console = terminal.console(stderr=True)
    console.print(table(report, title))
    for doubt in report.doubts:
        console.print(doubt, highlight=False)


def end_with(report: Report) -> None:
    """End the program with 1 where too much is lost, with 4 where the images cannot tell."""
    if report.failures:
        say(f"loses too much: {'; '.join(report.failures)}")
        raise typer.Exit(EXIT_FAILED_CHECK)
    if report.undecided:
        say(f"undecided: {report.undecided}")
        raise typer.Exit(EXIT_UNDECIDED)


def facts(report: Report) -> dict[str, Any]:
    """The judgement, for JSON."""
    return {
        "passed": not report.failures and not report.undecided,
        "failures": report.failures,
        "undecided": report.undecided,
        "doubts": report.doubts,
        "findings": [found.to_dict() for found in report.findings],
    }
