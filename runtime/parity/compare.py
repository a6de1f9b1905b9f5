"""`maskrt parity`: run two models on the same canvases and compare what they find."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from runtime.cli import errors_as_sentences, run, say, track
from runtime.errors import (
    EXIT_PARTIAL,
    ImageError,
    MissingDependencyError,
    ModelError,
    ParityError,
)
from runtime.parity.conclude import Model, conclude
from runtime.parity.forced import ForcedParts
from runtime.parity.judge import expect, judge
from runtime.parity.report import Report
from runtime.parity.task import Task
from runtime.parity.tolerances import BY_PRECISION, Tolerance
from runtime.preprocess import preprocess
from runtime.session import Session, open_session
from runtime.siblings import bisect_command, load_dataset
from runtime.sources import find_images, read_image


def compare(
    reference: Session,
    candidate: Session,
    name: str,
    image: NDArray[np.uint8],
    report: Report,
    task: Task | None = None,
    forced: ForcedParts | None = None,
) -> None:
    """Run both on one image, on the candidate's canvas, and add the outcome to the report.

    Boxes and masks are compared in canvas pixels: what the models see, whatever the image's size.
    """
    batch = preprocess([image], candidate.contract.canvas)
    look = reference.has_stages and (candidate.has_stages or forced is not None)
    with report.time.measure("reference"):
        expected = expect(reference, batch, look=look)
    if forced is not None:
        with report.time.measure("parts"):
            report.parts.add(forced.run(batch, expected, report.tolerance))
    outputs = judge(name, batch, expected, candidate, report)
    if task is not None and (image_id := task.image_id(Path(name).name)) is not None:
        results = reference.results(expected.outputs, batch), candidate.results(outputs, batch)
        task.add(image_id, *(one[0].to_coco(image_id) for one in results))


def open_looking(path: Path, device: str, class_names: list[str] | None = None) -> Session:
    """The model with its stages or, where it has none that can be looked at, without."""
    try:
        return open_session(path, device=device, class_names=class_names, stages=True)
    except (ModelError, MissingDependencyError):
        return open_session(path, device=device, class_names=class_names)


def load_task(data: str, class_name: str, candidate: Session) -> Task:
    """The annotations of a data set of the candidate's classes. Raises DataError where it has others."""
    dataset = load_dataset(data, class_name=class_name)
    contract = candidate.contract
    return Task(dataset.with_classes(contract.classes).to_coco(), contract.task)


def tolerance_for(reference: Model, candidate: Model) -> Tolerance:
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
    candidate: Annotated[Path, typer.Argument(help="The model to be deployed: .onnx or .engine")],
    inputs: Annotated[list[str], typer.Argument(help="Image files, folders and globs")],
    data: Annotated[str | None, typer.Option(help="Annotations of the images: compare AP too")] = None,
    forced: Annotated[
        bool, typer.Option("--forced", help="Run each part of an ONNX file on the reference's inputs too")
    ] = False,
    class_name: Annotated[str, typer.Option(help="VIA without class attributes: its name")] = "object",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write the report (JSON)")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    html: Annotated[Path | None, typer.Option(help="Write the report as a page (.html)")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report on stdout")] = False,
) -> None:
    """Prove that a model file finds what its checkpoint finds.

    Both see the same canvas. Exit code 0 within tolerances, 1 outside, 3 if an image was skipped.
    Where there is no PyTorch: maskrt parity record --help, maskrt parity check --help. Which layers are to
    blame in FP16 and INT8: maskrt parity bisect --help.

    Example: maskrt parity best.pt model.onnx val2017/ -o parity.json
    """
    paths = find_images(inputs)
    candidate_session = open_looking(candidate, device)
    names = candidate_session.contract.class_names
    reference_session = open_looking(reference, device, names)
    report = Report(tolerance_for(reference_session, candidate_session))
    task = load_task(data, class_name, candidate_session) if data else None
    parts = _parts(candidate, candidate_session, reference_session, device) if forced else None
    skipped = 0
    for path in track(paths, "Comparing"):
        try:
            image = read_image(path)
        except ImageError as error:
            say(f"skipped {error}")
            skipped += 1
            continue
        compare(reference_session, candidate_session, str(path), image, report, task, parts)
    if not report.images:
        raise ParityError("no image could be read, so nothing was compared.")
    if task is not None:
        report.task = task.difference()
    conclude(report, reference_session, candidate_session, output=output, html=html, as_json=as_json)
    if skipped:
        raise typer.Exit(EXIT_PARTIAL)


def _parts(path: Path, candidate: Session, reference: Session, device: str) -> ForcedParts:
    if not reference.has_stages:
        raise ModelError(f"{reference.name}: cannot be looked into, so --forced has no inputs to give.")
    return ForcedParts(path, candidate.contract, device=device)


def main(args: list[str] | None = None) -> None:
    """Run the command with `args` (default: those of the process)."""
    from runtime.parity import check, record

    args = sys.argv[1:] if args is None else args
    named: dict[str, Callable[[], Callable[..., None]]] = {
        "compare": lambda: command,
        "record": lambda: record.command,
        "check": lambda: check.command,
        "bisect": bisect_command,  # in another stage, which may not be installed here
    }
    if args and args[0] in named:
        prog = f"maskrt parity {args[0]}"
        with errors_as_sentences(prog):
            run(named[args[0]](), prog, args[1:])
    else:
        run(command, "maskrt parity", args)


if __name__ == "__main__":
    main()
