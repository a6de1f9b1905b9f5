"""`maskrt engine`: look into an engine file, or take TensorRT's plan out of it. Needs no GPU."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from maskrt.runtime.backends.trt.engine_file import EngineHeader, Profile, read_header, read_plan
from maskrt.runtime.commands import terminal
from maskrt.runtime.commands.cli import say
from maskrt.runtime.commands.program import Program
from maskrt.runtime.files.atomic import atomic_path
from maskrt.runtime.files.guard import Writes
from maskrt.runtime.files.kinds import TENSORRT_PLAN

SUMMARY = """Look into an engine file, or take TensorRT's plan out of it.

Example: maskrt engine inspect model.engine
"""
File = Annotated[Path, typer.Argument(help="Engine file, as `maskrt build` makes it")]


def inspect(
    engine: File,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole header as JSON")] = False,
) -> None:
    """Say what an engine is, what it was built with, and where it runs.

    Example: maskrt engine inspect model.engine --json
    """
    header, plan_bytes = read_header(engine), read_plan(engine).nbytes
    if as_json:
        print(json.dumps({**json.loads(header.to_json()), "plan_bytes": plan_bytes}))
        return
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(str(engine)), show_header=False)
    for subject, found in describe(header, plan_bytes).items():
        table.add_row(subject, escape(found))
    terminal.console().print(table)


def describe(header: EngineHeader, plan_bytes: int) -> dict[str, str]:
    """The header's lines as a person reads them, by subject."""
    contract, canvas = header.contract, header.contract.canvas
    profiles = [f"{p.name}: {_range(p)}" for p in header.profiles] or ["none, the shape is fixed"]
    return {
        "model": f"{contract.family}, {len(contract.classes)} classes, {header.precision}, "
        f"canvas {canvas.dtype} {canvas.height_px or 'any'}x{canvas.width_px or 'any'}",
        "from": f"ONNX {header.onnx_sha256[:12]}, checkpoint {contract.origin.checkpoint_sha256[:12]}",
        "TensorRT": header.tensorrt_version
        + (" and later of its major version" if header.version_compatible else ""),
        "GPU": f"{header.gpu_name}, compute capability {header.compute_capability}"
        + (", or any from 8.0 on" if header.hardware_compatible else ""),
        "platform": f"{header.platform}, CUDA {header.cuda_version}, driver for CUDA {header.driver_version}",
        "profiles (N, H, W)": "\n".join(profiles),
        "operators": _operators(header),
        "plan": f"{plan_bytes / 2**20:.1f} MiB",
    }


def _range(profile: Profile) -> str:
    low, best, high = ("x".join(map(str, shape)) for shape in (profile.min, profile.opt, profile.max))
    return low if low == high else f"{low} to {high}, tuned for {best}"


def _operators(header: EngineHeader) -> str:
    if header.operators == "body":
        return "ONNX function bodies, no plugin needed"
    if header.plugin_sha256 is None:
        return "plugins in Python"
    where = "embedded" if header.plugin_embedded else "to be loaded beside it"
    return f"plugin library {header.plugin_sha256[:12]}, {where}"


def unpack(
    engine: File,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Where the plan goes"), Writes(TENSORRT_PLAN)
    ],
) -> None:
    """Write the plan alone, for trtexec, Triton, DeepStream or a program of your own.

    Example: maskrt engine unpack model.engine -o model.plan
    """
    header = read_header(engine)
    with atomic_path(output, TENSORRT_PLAN) as temporary, temporary.open("wb") as file:
        file.write(read_plan(engine))
    needs = (
        "" if header.operators == "body" or header.plugin_embedded else "; it needs the plugin library too"
    )
    say(f"{output}: plan for TensorRT {header.tensorrt_version} on {header.gpu_name}{needs}")


main = Program("maskrt engine", verbs={"inspect": inspect, "unpack": unpack}, summary=SUMMARY)

if __name__ == "__main__":
    main()
