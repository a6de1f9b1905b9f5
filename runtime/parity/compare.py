"""`maskrt parity`: run two models on the same canvases and compare what they find."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from runtime.cli import run, say, track
from runtime.errors import (
    EXIT_FAILED_CHECK,
    EXIT_PARTIAL,
    ImageError,
    MissingDependencyError,
    ModelError,
    ParityError,
)
from runtime.files import write_text
from runtime.parity.judge import expect, judge
from runtime.parity.report import Report
from runtime.parity.tolerances import BY_PRECISION, Tolerance
from runtime.preprocess import preprocess
from runtime.session import Session, open_session
from runtime.sources import find_images, read_image


def compare(
    reference: Session, candidate: Session, name: str, image: NDArray[np.uint8], report: Report
) -> None:
    """Run both on one image, on the candidate's canvas, and add the outcome to the report.

    Boxes and masks are compared in canvas pixels: what the models see, whatever the image's size.
    """
    contract = candidate.contract
    batch = preprocess([image] * (contract.batch or 1), contract.canvas)
    expected = expect(reference, batch, look=reference.has_stages and candidate.has_stages)
    judge(name, batch, expected, candidate, report)


def open_looking(path: Path, device: str, class_names: list[str] | None = None) -> Session:
    """The model with its stages or, where it has none that can be looked at, without."""
    try:
        return open_session(path, device=device, class_names=class_names, stages=True)
    except (ModelError, MissingDependencyError):
        return open_session(path, device=device, class_names=class_names)


def tolerance_for(reference: Session, candidate: Session) -> Tolerance:
    """The tolerance of the candidate's precision. Raises ParityError where the two cannot be compared."""
    ours, theirs = candidate.contract, reference.contract
    for field in ("task", "family", "classes"):
        if getattr(ours, field) != getattr(theirs, field):
            raise ParityError(
                f"{candidate.name} and {reference.name} are not the same model: {field} is "
                f"{getattr(ours, field)} and {getattr(theirs, field)}. Compare a model with its checkpoint."
            )
    if ours.precision not in BY_PRECISION:
        raise ParityError(
            f"{candidate.name}: no tolerances are known for precision {ours.precision!r}, "
            f"only for {', '.join(BY_PRECISION)}. Export it in one of these."
        )
    return BY_PRECISION[ours.precision]


def command(
    reference: Annotated[Path, typer.Argument(help="The checkpoint that was trained (.pt)")],
    candidate: Annotated[Path, typer.Argument(help="The model to be deployed (.onnx)")],
    inputs: Annotated[list[str], typer.Argument(help="Image files, folders and globs")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write the report (JSON)")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print the report on stdout")] = False,
) -> None:
    """Prove that a model file finds what its checkpoint finds.

    Both see the same canvas. Exit code 0 within tolerances, 1 outside, 3 if an image was skipped.

    Example: maskrt parity best.pt model.onnx val2017/ -o parity.json
    """
    paths = find_images(inputs)
    candidate_session = open_looking(candidate, device)
    names = candidate_session.contract.class_names
    reference_session = open_looking(reference, device, names)
    report = Report(tolerance_for(reference_session, candidate_session))
    skipped = 0
    for path in track(paths, "Comparing"):
        try:
            image = read_image(path)
        except ImageError as error:
            say(f"skipped {error}")
            skipped += 1
            continue
        compare(reference_session, candidate_session, str(path), image, report)
    if not report.images:
        raise ParityError("no image could be read, so nothing was compared.")
    for session in (reference_session, candidate_session):
        if not session.has_stages:
            say(f"{session.name}: cannot be looked into, so results alone were compared")
    text = json.dumps({"reference": str(reference), "candidate": str(candidate), **report.to_dict()})
    if output:
        write_text(output, text)
    if as_json:
        print(text)
    else:
        _print_table(report)
    if report.failures:
        raise typer.Exit(EXIT_FAILED_CHECK)
    if skipped:
        raise typer.Exit(EXIT_PARTIAL)


def _print_table(report: Report) -> None:
    from rich.console import Console
    from rich.table import Table

    facts = report.to_dict()
    summary, limit = facts["summary"], report.tolerance
    table = Table(title=f"{summary['instances']} instances in {summary['images']} images")
    judged = "mean" if limit.on_average else "worst"
    for heading in ("", "median", judged, "allowed"):
        table.add_column(heading, justify="right" if heading else "left")
    for label, key, worst, allowed in (
        ("score difference", "score_difference", "max", f"{limit.score:g}"),
        ("box difference (px)", "box_difference_px", "max", f"{limit.box_px:g}"),
        ("mask IoU", "mask_iou", "min", f"≥ {limit.mask_iou:g}"),
    ):
        spread = summary[key]
        values = (
            ("–", "–")
            if spread is None
            else tuple(
                "NaN" if spread[k] is None else f"{spread[k]:.3g}"
                for k in ("median", "mean" if limit.on_average else worst)
            )
        )
        table.add_row(label, *values, allowed)
    few = "0" if limit.matched == 1 else f"{1 - limit.matched:.0%}"
    table.add_row("missed", "", str(summary["missed"]), few)
    table.add_row("extra", "", str(summary["extra"]), few)
    console = Console()
    console.print(table)
    for failure in report.failures[:10]:
        console.print(f"[red]✗[/] {failure}", highlight=False)
    verdict = "[green]passed[/]: the same model" if facts["passed"] else "[red]failed[/]: not the same model"
    console.print(verdict)


def main(args: list[str] | None = None) -> None:
    """Run the command with `args` (default: those of the process)."""
    run(command, "maskrt parity", args)


if __name__ == "__main__":
    main()
