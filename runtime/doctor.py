"""`maskrt doctor`: what this machine has, what can run on it, and the remedy for what is missing."""

from __future__ import annotations

import importlib
import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from runtime.cli import run
from runtime.errors import MissingDependencyError


@dataclass(frozen=True)
class Finding:
    """One line: what was looked for, whether it is usable, what was found, and the remedy if not."""

    subject: str
    usable: bool
    found: str
    remedy: str = ""


PACKAGES = {  # import name: (distribution, what it is for, extra)
    "torch": ("torch", "training, export, the PyTorch reference", "train"),
    "torchvision": ("torchvision", "training, export, the PyTorch reference", "train"),
    "lightning": ("lightning", "training", "train"),
    "onnx": ("onnx", "export", "export"),
    "onnxscript": ("onnxscript", "export", "export"),
    "onnxruntime": ("onnxruntime", "running ONNX files", "cpu"),
    "openvino": ("openvino", "running ONNX files on Intel's and AMD's CPUs", "openvino"),
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
        ),
        _cpu(),
        _gpu(),
        *(_package(*entry) for entry in PACKAGES.items()),
        _providers(),
        _cuda(),
        _plugins(),
    ]


def verdicts(findings: list[Finding]) -> dict[str, bool]:
    """Which stages can run here."""
    usable = {f.subject: f.usable for f in findings}

    def has(*subjects: str) -> bool:
        return all(usable.get(s, False) for s in subjects)

    return {
        "train": has("torch", "torchvision", "lightning", "pycocotools"),
        "export": has("torch", "torchvision", "onnx", "onnxscript"),
        "infer (.onnx)": has("onnxruntime"),
        "infer (.engine)": has("tensorrt", "CUDA"),
        "evaluate (.onnx)": has("onnxruntime", "pycocotools"),
        "parity (.pt against .onnx)": has("torch", "torchvision", "onnxruntime", "scipy"),
    }


def _package(module: str, entry: tuple[str, str, str]) -> Finding:
    distribution, purpose, extra = entry
    if importlib.util.find_spec(module) is None:
        return Finding(module, False, f"not installed (for {purpose})", f"pip install 'maskrt[{extra}]'")
    names = TENSORRT if module == "tensorrt" else (distribution, f"{distribution}-gpu")
    return Finding(module, True, f"{_version(*names) or 'version unknown'} ({purpose})")


def _version(*distributions: str) -> str | None:
    """Of the first of these that is installed, without importing it."""
    for name in distributions:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def _cpu() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    flags: set[str] = set()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith(("flags", "Features")):
                flags = set(line.split(":", 1)[1].split())
                break
    wanted = {
        "avx2": "AVX2",
        "avx512f": "AVX-512",
        "avx512_vnni": "VNNI (fast INT8)",
        "avx512_bf16": "bf16",
        "amx_int8": "AMX (INT8, bf16)",
        "asimddp": "dot product (INT8)",
    }
    names = [name for flag, name in wanted.items() if flag in flags]
    return Finding(
        "CPU", True, f"{platform.machine()}, {cores} cores, {', '.join(names) or 'no extensions known'}"
    )


def _gpu() -> Finding:
    tegra = Path("/etc/nv_tegra_release")
    if tegra.is_file():
        return Finding("GPU", True, f"Jetson, L4T {tegra.read_text().split(',')[0].lstrip('# ')}")
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return Finding("GPU", False, "no nvidia-smi on the PATH", "Everything but TensorRT runs on the CPU")
    query = [tool, "--query-gpu=name,driver_version,memory.total,compute_cap", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
    except (subprocess.SubprocessError, OSError) as error:
        return Finding("GPU", False, f"nvidia-smi failed: {error}", "Install or repair the NVIDIA driver")
    return Finding("GPU", True, answer.stdout.strip().replace("\n", "; "))


def _providers() -> Finding:
    try:
        import onnxruntime
    except ImportError:
        return Finding("ONNX Runtime on a GPU", False, "no onnxruntime", "pip install 'maskrt[gpu]'")
    providers = [p.removesuffix("ExecutionProvider") for p in onnxruntime.get_available_providers()]
    return Finding(
        "ONNX Runtime on a GPU",
        "CUDA" in providers,
        f"providers: {', '.join(providers)}",
        "pip install 'maskrt[gpu]' where there is an NVIDIA GPU",
    )


def _cuda() -> Finding:
    """The GPU as TensorRT will see it: through the driver, not through nvidia-smi."""
    from runtime.device import CudaError, describe_gpu

    try:
        gpu = describe_gpu()
    except MissingDependencyError:
        return Finding("CUDA", False, "no cuda-python (for TensorRT engines)", "pip install cuda-python")
    except CudaError as error:
        remedy = "Install an NVIDIA driver, or a cuda-python no newer than the driver: docs/jetson.md"
        return Finding("CUDA", False, str(error).split(". ")[0], remedy)
    return Finding(
        "CUDA",
        True,
        f"{gpu.name}, compute capability {gpu.compute_capability}, driver for CUDA {gpu.driver_version}, "
        f"cuda-python {gpu.cuda_version}, {gpu.free_bytes / 2**30:.1f} of {gpu.memory_bytes / 2**30:.1f} "
        "GiB free",
    )


def _plugins() -> Finding:
    from runtime.trt_plugins import PluginError, find_libraries

    subject, remedy = "TensorRT plugins", "maskrt build-plugins"
    version = _version(*TENSORRT)
    if version is None:
        return Finding(subject, False, "no TensorRT whose version is known", "pip install 'maskrt[gpu]'")
    try:
        libraries = find_libraries(version)
    except PluginError as error:
        return Finding(subject, False, str(error).split(". ")[0], remedy)
    if not libraries:
        return Finding(subject, False, f"no library for TensorRT {version}", remedy)
    return Finding(subject, True, ", ".join(map(str, libraries)))


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
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="This machine")
    for heading in ("", "", "found", "remedy"):
        table.add_column(heading)
    for f in findings:
        table.add_row(
            "[green]✓[/]" if f.usable else "[yellow]–[/]",
            f.subject,
            escape(f.found),
            "" if f.usable else escape(f.remedy),
        )
    console = Console()
    console.print(table)
    for stage, works in stages.items():
        console.print(f"{'[green]✓[/]' if works else '[red]✗[/]'} {stage}", highlight=False)


def main(args: list[str] | None = None) -> None:
    """Run the command with `args` (default: those of the process)."""
    run(command, "maskrt doctor", args)


if __name__ == "__main__":
    main()
