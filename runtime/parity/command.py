"""`maskrt parity`: compares a model file with its checkpoint. Its other verbs: record, check, bisect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from maskrt.runtime.backends.open import Session
from maskrt.runtime.commands.cli import say, track
from maskrt.runtime.commands.options import ClassName, Device, ImageNames, TrainedFile
from maskrt.runtime.commands.program import Later, Program
from maskrt.runtime.errors import EXIT_PARTIAL, ImageError, ModelError, ParityError
from maskrt.runtime.inputs.images import find_images, read_image
from maskrt.runtime.parity.compare import compare
from maskrt.runtime.parity.conclude import conclude
from maskrt.runtime.parity.inside.forced import ForcedParts
from maskrt.runtime.parity.inside.unseen import look_without_images
from maskrt.runtime.parity.options import Allowed, ReportFiles
from maskrt.runtime.parity.recorded import check, record
from maskrt.runtime.parity.sides import (
    judged_by_score_alone,
    load_annotated,
    open_looking,
    open_reference,
    report_for,
)
from maskrt.runtime.siblings import bisect_command


def command(
    reference: TrainedFile,
    candidate: Annotated[Path, typer.Argument(help="The model to be deployed: .onnx or .engine")],
    inputs: ImageNames,
    *,
    data: Annotated[str | None, typer.Option(help="Annotations of the images: compare AP too")] = None,
    forced: Annotated[
        bool, typer.Option("--forced", help="Run each part of an ONNX file on the reference's inputs too")
    ] = False,
    class_name: ClassName = "object",
    device: Device = "cpu",
    allowed: Allowed,
    files: ReportFiles,
) -> None:
    """Prove that a model file finds what its checkpoint finds.

    Both see the same canvas. Exit code 0 within tolerances, 1 outside, 3 if an image was skipped, 4 where
    the images cannot tell.
    Where there is no PyTorch: maskrt parity record --help, maskrt parity check --help. Which layers are to
    blame in FP16 and INT8: maskrt parity bisect --help.

    Example: maskrt parity best.pt model.onnx val2017/ -o parity.json
    """
    allowed.check_annotated(data, "--data ANNOTATIONS")
    paths = find_images(inputs)
    candidate_session = open_looking(candidate, device)
    reference_session = open_reference(reference, device, candidate_session.contract)
    unseen = look_without_images(reference_session, candidate, candidate_session, device=device)
    report = report_for(reference_session, candidate_session, unseen, allowed)
    annotated = load_annotated(data, class_name, candidate_session) if data else None
    parts = _parts(candidate, candidate_session, reference_session, device) if forced else None
    skipped = 0
    for path in track(paths, "Comparing"):
        try:
            image = read_image(path)
        except ImageError as error:
            say(f"skipped {error}")
            skipped += 1
            continue
        compare(reference_session, candidate_session, str(path), image, report, annotated, parts)
    if not report.results.images:
        raise ParityError("no image could be read, so nothing was compared.")
    if annotated is not None:
        report.score(annotated)
        report.by_score_alone = judged_by_score_alone(candidate_session.contract)
    conclude(report, reference_session, candidate_session, **vars(files))
    if skipped:
        raise typer.Exit(EXIT_PARTIAL)


def _parts(path: Path, candidate: Session, reference: Session, device: str) -> ForcedParts:
    if not reference.has_stages:
        raise ModelError(f"{reference.name}: cannot be looked into, so --forced has no inputs to give.")
    return ForcedParts(path, candidate.contract, device=device)


main = Program(
    "maskrt parity",
    command,
    verbs={
        "compare": command,
        "record": record.command,
        "check": check.command,
        "bisect": Later(bisect_command),  # in another package, which may not be installed here
    },
)

if __name__ == "__main__":
    main()
