"""The command `maskrt build`: builds a TensorRT engine from an ONNX file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from maskrt.export.engine.choose import KINDS
from maskrt.runtime.backends.trt.engine_file import EngineHeader, Profile
from maskrt.runtime.commands.cli import say
from maskrt.runtime.commands.program import Program
from maskrt.runtime.errors import ExportError
from maskrt.runtime.files.guard import Writes
from maskrt.runtime.files.kinds import ENGINE


def command(
    model: Annotated[Path, typer.Argument(help="ONNX file, as `maskrt export` makes it")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Engine file"), Writes(ENGINE)] = Path(
        "model.engine"
    ),
    least: Annotated[list[str] | None, typer.Option("--min", help="Smallest NxHxW of a profile")] = None,
    best: Annotated[list[str] | None, typer.Option("--opt", help="NxHxW it is fastest at")] = None,
    most: Annotated[list[str] | None, typer.Option("--max", help="Largest NxHxW; repeat for more")] = None,
    operators: Annotated[str, typer.Option(help=f"{', '.join(KINDS)}: what RoIAlign and NMS are")] = "auto",
    workspace: Annotated[int | None, typer.Option(min=1, help="MiB at most; half of what is free")] = None,
    optimization_level: Annotated[int | None, typer.Option(min=0, max=5, help="TensorRT's own: 3")] = None,
    version_compatible: Annotated[
        bool, typer.Option("--version-compatible", help="For later TensorRT of this major version")
    ] = False,
    hardware_compatible: Annotated[
        bool, typer.Option("--hardware-compatible", help="For any GPU of capability 8.0 and later")
    ] = False,
    jetson: Annotated[bool, typer.Option("--jetson", help="At most 640 px, a small workspace")] = False,
    dla: Annotated[bool, typer.Option("--dla", help="Refused: says why")] = False,
) -> None:
    """Build a TensorRT engine for this machine, in the precision that the ONNX file was exported in.

    Example: maskrt build model.onnx -o model.engine --min 1x320x320 --opt 1x800x1344 --max 4x800x1344
    """
    # Imported here, since --help needs no onnx.
    from maskrt.export.build_engine import build
    from maskrt.export.engine.configure import Options

    if dla:
        raise ExportError(
            "--dla: a DLA runs no plugins, and none of the TopK, Gather and NMS between backbone and heads; "
            "tensors would go back and forth between it and the GPU. Build for the GPU: leave --dla out."
        )
    started = time.monotonic()
    header, _ = build(
        model,
        output,
        profiles=(least or [], best or [], most or []),
        operators=operators,
        options=Options(workspace, optimization_level, version_compatible, hardware_compatible),
        small=jetson,
    )
    say(
        f"{output}: {output.stat().st_size / 1e6:.0f} MB, {header.precision}, {_operators(header)}, "
        f"profiles: {_profiles(header.profiles)}; {time.monotonic() - started:.0f} s"
    )


def _operators(header: EngineHeader) -> str:
    if header.operators == "body":
        return "function bodies"
    if header.plugin_sha256 is None:
        return "plugins in Python"
    return "plugins, in the file" if header.plugin_embedded else "plugins, whose library must come along"


def _profiles(profiles: tuple[Profile, ...]) -> str:
    return ", ".join(p.name for p in profiles) or "none, the shape is fixed"


main = Program("maskrt build", command)

if __name__ == "__main__":
    main()
