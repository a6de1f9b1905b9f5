"""Opens a model file: the session of the backend that runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from maskrt.runtime.backends.open_onnx import open_onnx
from maskrt.runtime.backends.session import Outputs, Session
from maskrt.runtime.backends.trt.session import TrtSession
from maskrt.runtime.contract import Contract
from maskrt.runtime.errors import ModelError
from maskrt.runtime.siblings import load_reference

__all__ = ["CHECKPOINTS", "Outputs", "Session", "check_masks", "open_session"]

CHECKPOINTS = (".pt", ".pth", ".pkl", ".h5")  # whose they are, their content tells: docs/checkpoints.md


def check_masks(contract: Contract, name: str) -> None:
    """Raise ModelError for a model that finds no masks, where outputs need them."""
    if contract.instances.masks is None:
        raise ModelError(
            f"{name}: finds no masks (it gives {', '.join(contract.output_names)}), so --masks, --contours "
            "and --splash have nothing to show. Leave them out."
        )


def open_session(
    path: str | Path,
    *,
    device: str = "cpu",
    class_names: list[str] | None = None,
    stages: bool = False,
    backend: str = "onnxruntime",
    threads: int | None = None,
    lanes: int = 1,
    settings: Mapping[str, Any] | Sequence[str] | None = None,
) -> Session:
    """Load a model file: `.onnx` on ONNX Runtime, `.engine` on TensorRT, one of CHECKPOINTS on PyTorch.

    device: "cpu" or "cuda"; an engine always runs on the GPU.
    backend: of an ONNX file on the CPU: "onnxruntime", "openvino", or "auto", the faster here (it is tried).
    threads: of the CPU, for an ONNX file; default all.
    lanes: calls that an engine runs at a time, for several threads; each takes GPU memory.
    class_names: for a foreign checkpoint that has none of its own.
    settings: of a checkpoint, in place of its own: a contract's `chosen_settings`, or KEY=VALUE texts.
    stages: so that `infer_with_stages` works; an ONNX file exported without needs the package onnx for it.
    Raises ModelError or ContractError where the file is none that this maskrt can run.
    """
    path = Path(path)
    if not path.is_file():
        make = {
            **dict.fromkeys(CHECKPOINTS, f"maskrt train --data DATA -o {path.parent}"),
            ".engine": f"maskrt build MODEL.onnx -o {path}",
        }.get(path.suffix, f"maskrt export CHECKPOINT -o {path}")
        raise ModelError(f"{path}: no such model file. Make one: {make}")
    if backend != "onnxruntime" and path.suffix != ".onnx":
        raise ModelError(f"{path}: --backend {backend} is for .onnx files, and this is none. Leave it out.")
    if path.suffix == ".onnx":
        return open_onnx(path, backend=backend, device=device, stages=stages, threads=threads)
    if path.suffix == ".engine":
        return TrtSession(path, contexts=lanes)
    if path.suffix in CHECKPOINTS:
        return load_reference(path, device=device, class_names=class_names, settings=settings)
    raise ModelError(
        f"{path}: the name ends in {path.suffix!r}, expected .onnx, .engine, {' or '.join(CHECKPOINTS)}."
    )
