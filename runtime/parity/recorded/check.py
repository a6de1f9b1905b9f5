"""`maskrt parity check`: a model against a recorded bundle, on a machine without PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from maskrt.runtime.commands.cli import track
from maskrt.runtime.commands.options import Device
from maskrt.runtime.parity.conclude import conclude
from maskrt.runtime.parity.inside.unseen import look_without_images
from maskrt.runtime.parity.judge import judge
from maskrt.runtime.parity.options import Limits, ReportFiles
from maskrt.runtime.parity.recorded.bundle import open_bundle
from maskrt.runtime.parity.sides import open_looking, report_for


def command(
    bundle: Annotated[Path, typer.Argument(help="Made by maskrt parity record (.npz)")],
    candidate: Annotated[Path, typer.Argument(help="The deployed model: .onnx or .engine")],
    *,
    device: Device = "cpu",
    limits: Limits,
    files: ReportFiles,
) -> None:
    """Prove that a model finds here what its checkpoint found where the bundle was recorded.

    Exit code 0 within tolerances, 1 outside, 4 where the images cannot tell.

    Example: maskrt parity check bundle.npz model.engine --html parity.html
    """
    recorded = open_bundle(bundle)
    session = open_looking(candidate, device)
    unseen = look_without_images(recorded, candidate, session, device=device)
    report = report_for(recorded, session, unseen, limits)
    for name, batch, expected in track(recorded, "Checking", total=len(recorded.images)):
        judge(name, batch, expected, session, report)
    conclude(report, recorded, session, **vars(files))
