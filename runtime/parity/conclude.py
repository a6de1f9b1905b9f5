"""The end of a comparison: the verdict first, then the figures, then the files and the exit code."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any, Protocol

import numpy
import typer

from maskrt.runtime.commands import terminal
from maskrt.runtime.commands.cli import say
from maskrt.runtime.contract import Contract
from maskrt.runtime.errors import EXIT_FAILED_CHECK, EXIT_UNDECIDED
from maskrt.runtime.files.atomic import write_text
from maskrt.runtime.files.kinds import PAGE, PARITY_REPORT
from maskrt.runtime.parity.page import page
from maskrt.runtime.parity.report import Report, counts, shown, spreads
from maskrt.runtime.tasks import task_of
from maskrt.runtime.tasks.metric import Metric

FAILURES_SHOWN = 10
HEADINGS = {"each": "worst", "mean": "mean", "quantiles": "one in ten"}  # of the column beside the median


class Model(Protocol):
    """A side of a comparison: a session, or a bundle that stands for one."""

    @property
    def name(self) -> str:
        """The file, for messages."""

    @property
    def contract(self) -> Contract:
        """What it promises."""

    @property
    def has_stages(self) -> bool:
        """True if it was looked into."""


def conclude(
    report: Report,
    reference: Model,
    candidate: Model,
    *,
    output: Path | None,
    html: Path | None,
    as_json: bool,
) -> None:
    """Print the verdict, write the files, and end the program with 1 where the verdict is no."""
    for side in (reference, candidate):
        if not side.has_stages:
            say(f"{side.name}: cannot be looked into, so results alone were compared")
    facts = {
        "reference": reference.name,
        "candidate": candidate.name,
        "precision": candidate.contract.precision.name,
        "classes": candidate.contract.class_names,
        "chosen_settings": candidate.contract.chosen_settings,
        "environment": environment(candidate.contract),
        "verdict": report.undecided or (report.failures or [verdict(report, candidate)])[0],
        **report.to_dict(),
    }
    if chosen := candidate.contract.chosen_settings:
        named = ", ".join(f"{name}={value}" for name, value in chosen.items())
        say(f"chosen at export, not read from the checkpoint, and taken for both sides: {named}")
    text, scored = json.dumps(facts), task_of(candidate.contract).metric(candidate.contract)
    if output:
        write_text(output, text, PARITY_REPORT)
    if html:
        write_text(html, page(facts, report, scored, beside=output), PAGE)
    if as_json:
        print(text)
    else:
        _print(report, candidate, facts, scored)
    if report.failures:
        raise typer.Exit(EXIT_FAILED_CHECK)
    if report.undecided:
        raise typer.Exit(EXIT_UNDECIDED)


def environment(contract: Contract) -> dict[str, str]:
    """Where the comparison ran, and by what."""
    return {
        "maskrt": contract.origin.toolkit_version,
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "machine": f"{platform.system()} {platform.machine()}",
    }


def verdict(report: Report, candidate: Model) -> str:
    """What a comparison without a failure shows: no more than was compared."""
    lacking = [] if candidate.has_stages and report.stages.errors else ["what is inside"]
    if not report.unseen.probed:
        lacking.append("parts on made inputs")
    if not report.unseen.complete:
        lacking += report.coverage.missing()
        held, known = report.unseen.weights
        lacking += (
            [f"weights ({held} of {known})" if held else "weights"] if held < known or not known else []
        )
    if not lacking:
        return "the same model"
    return f"the same in all that was compared, which leaves out {', '.join(lacking)}"


def evidence(report: Report) -> list[str]:
    """What the verdict rests on, a line a kind."""
    unseen, lines = report.unseen, [f"images: {line}" for line in report.coverage.lines()]
    if unseen.precision:
        lines.append(f"graph: {unseen.precision}")
    if unseen.weights[0]:
        lines.append(
            f"weights and anchors: {unseen.weights[0]} of the checkpoint's {unseen.weights[1]} were held"
        )
    if unseen.findings:
        parts = ", ".join(dict.fromkeys(one.part for one in unseen.findings))
        lines.append(f"made inputs: {len(unseen.findings)} probes, of every level and class, of {parts}")
    if unseen.reason:
        lines.append(f"no made inputs: {unseen.reason}")
    return lines


def _print(report: Report, candidate: Model, facts: dict[str, Any], scored: Metric) -> None:
    console = terminal.console()
    failures = facts["failures"]
    if failures:
        console.print(f"[red]failed[/]: not the same model. {failures[0]}", highlight=False)
        for failure in failures[1:FAILURES_SHOWN]:
            console.print(f"[red]✗[/] {failure}", highlight=False)
        if len(failures) > FAILURES_SHOWN:
            console.print(f"… and {len(failures) - FAILURES_SHOWN} more (-o FILE writes all)")
    elif report.undecided:
        console.print(f"[yellow]undecided[/]: {report.undecided}", highlight=False)
    else:
        console.print(f"[green]passed[/]: {verdict(report, candidate)}", highlight=False)
    for doubt in report.doubts:
        if doubt != report.undecided:
            console.print(f"  {doubt}", highlight=False)
    for line in evidence(report):
        console.print(f"  {line}", highlight=False)
    first = report.stages.first
    for culprit in first.culprits[1:] if first and failures else ():
        console.print(f"  also: {culprit}", highlight=False)
    console.print(_table(report))
    for kind, score in (report.scores or {}).items():
        console.print(
            f"{scored.named(kind)} {100 * score['reference']:.2f} → {100 * score['candidate']:.2f}: "
            f"{100 * score['difference']:+.2f} "
            f"(95% interval {100 * score['low']:+.2f} to {100 * score['high']:+.2f})",
            highlight=False,
        )
    if spent_ms := facts["time_ms"]:
        parts = ", ".join(f"{stage} {ms:.0f}" for stage, ms in spent_ms.items())
        console.print(f"{sum(spent_ms.values()):.0f} ms an image: {parts}", highlight=False)


def _table(report: Report) -> Any:
    """The rows of the results' comparison; what the models do not give is left out."""
    from rich.table import Table

    results = report.results
    rows = spreads(results.rows)
    table = Table(title=f"{results.title} in {len(results.images)} images")
    judged = HEADINGS[max((row.judged for row in rows), default="each", key=list(HEADINGS).index)]
    for heading in ("", "median", judged, "allowed"):
        table.add_column(heading, justify="right" if heading else "left")
    for row in shown(rows):
        table.add_row(row.label, *row.shown)
    for count in counts(results.rows):
        note = f" ({count.note})" if count.note else ""
        table.add_row(f"{count.name}{note}", "", str(count.total), count.allowed)
    return table
