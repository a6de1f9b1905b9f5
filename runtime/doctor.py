"""`maskrt doctor`: what this machine has, what can run on it, and the remedy for what is missing."""

from __future__ import annotations

import importlib
import json
import platform
import sys
from dataclasses import asdict
from importlib import metadata
from typing import Annotated

import typer

from maskrt.runtime.commands import terminal
from maskrt.runtime.commands.program import Program
from maskrt.runtime.machine.findings import Finding
from maskrt.runtime.machine.findings_cpu import cpu_findings
from maskrt.runtime.machine.findings_gpu import gpu_findings
from maskrt.runtime.packages import install

PACKAGES = {  # import name: (distribution, what it is for, extra)
    "torch": ("torch", "training, export, the PyTorch reference", "train"),
    "torchvision": ("torchvision", "training, export, the PyTorch reference", "train"),
    "lightning": ("lightning", "training", "train"),
    "onnx": ("onnx", "export", "export"),
    "onnxscript": ("onnxscript", "export", "export"),
    "onnxruntime": ("onnxruntime", "running ONNX files", "cpu"),
    "openvino": (
        "openvino",
        "running ONNX files on Intel's and AMD's CPUs (--backend openvino, or auto)",
        "openvino",
    ),
    "ray": ("ray", "runs over a cluster, and buckets", "ray"),
    "pycocotools": ("pycocotools", "COCO metrics", "cpu"),
    "scipy": ("scipy", "parity", "cpu"),
    "tensorrt": ("tensorrt", "TensorRT engines", "gpu"),
}
TENSORRT = ("tensorrt", "tensorrt-cu12", "tensorrt-cu13")  # pip's names for the module `tensorrt`


def examine() -> list[Finding]:
    """Look at this machine. Imports nothing heavy but onnxruntime."""
    return [
        Finding(
            "Python",
            (3, 10) <= sys.version_info[:2] <= (3, 13),
            platform.python_version(),
            "Use Python 3.10 to 3.13",
            "every stage takes it",
        ),
        *cpu_findings(),
        *gpu_findings(_version(*TENSORRT)),
        *(_package(*entry) for entry in PACKAGES.items()),
        _providers(),
    ]


def verdicts(findings: list[Finding]) -> dict[str, bool]:
    """Which stages can run here."""
    usable = {f.subject: f.usable for f in findings}

    def has(*subjects: str) -> bool:
        return all(usable.get(s, False) for s in subjects)

    return {
        "train": has("torch", "torchvision", "lightning", "pycocotools"),
        "export": has("torch", "torchvision", "onnx", "onnxscript"),
        "calibrate": has("onnx", "onnxruntime", "scipy"),
        "build": has("tensorrt", "CUDA", "onnx"),
        "infer (.onnx)": has("onnxruntime"),
        "infer (.onnx, OpenVINO)": has("openvino", "onnx"),
        "infer (.engine)": has("tensorrt", "CUDA"),
        "infer --ray": has("ray"),
        "evaluate (.onnx)": has("onnxruntime", "pycocotools"),
        "parity (.pt against .onnx)": has("torch", "torchvision", "onnxruntime", "scipy"),
    }


def _package(module: str, entry: tuple[str, str, str]) -> Finding:
    distribution, purpose, extra = entry
    if importlib.util.find_spec(module) is None:
        return Finding(module, False, f"not installed (for {purpose})", install(extra))
    names = TENSORRT if module == "tensorrt" else (distribution, f"{distribution}-gpu")
    return Finding(module, True, _version(*names) or "version unknown", meaning=f"for {purpose}")


def _version(*distributions: str) -> str | None:
    """Of the first of these that is installed, without importing it."""
    for name in distributions:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def _providers() -> Finding:
    try:
        import onnxruntime
    except ImportError:
        return Finding("ONNX Runtime on a GPU", False, "no onnxruntime", install("gpu"))
    providers = [p.removesuffix("ExecutionProvider") for p in onnxruntime.get_available_providers()]
    return Finding(
        "ONNX Runtime on a GPU",
        "CUDA" in providers,
        f"providers: {', '.join(providers)}",
        f"{install('gpu')} where there is an NVIDIA GPU",
        "ONNX files run there with --device cuda",
    )


def command(
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON")] = False,
) -> None:
    """Say what this machine has, what can run here, and what to do about the rest.

    Example: maskrt doctor --json
    """
    findings = examine()
    stages = verdicts(findings)
    if as_json:
        print(json.dumps({"findings": [asdict(f) for f in findings], "stages": stages}))
        return
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="This machine")
    for heading in ("", "", "found", "what it means, or the remedy"):
        table.add_column(heading, overflow="fold")
    for f in findings:
        table.add_row(
            "[green]✓[/]" if f.usable else "[yellow]–[/]",
            f.subject,
            escape(f.found),
            escape(f.meaning if f.usable else f.remedy),
        )
    console = terminal.console()
    console.print(table)
    for stage, works in stages.items():
        console.print(f"{'[green]✓[/]' if works else '[red]✗[/]'} {stage}", highlight=False)


main = Program("maskrt doctor", command)

if __name__ == "__main__":
    main()
