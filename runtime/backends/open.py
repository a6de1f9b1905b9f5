"""Opens a model file: the session of the backend that runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from maskrt.runtime.backends.onnx_weights import read_metadata
from maskrt.runtime.backends.open_onnx import open_onnx
from maskrt.runtime.backends.session import Outputs, Session
from maskrt.runtime.backends.trt.engine_file import read_header
from maskrt.runtime.backends.trt.session import TrtSession
from maskrt.runtime.contract import METADATA_KEY, Contract
from maskrt.runtime.errors import ModelError
from maskrt.runtime.siblings import load_reference

__all__ = ["CHECKPOINTS", "Outputs", "Session", "open_session", "read_contract"]

CHECKPOINTS = (".pt", ".pth", ".pkl", ".h5")  # whose they are, their content tells: docs/checkpoints.md


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
    backend: of an ONNX file on the CPU: "onnxruntime", "openvino", "openvino-bf16", or "auto", the faster
    of the first two here (it is tried).
    threads: of the CPU, for an ONNX file; default all.
    lanes: calls that an engine runs at a time, for several threads; each takes GPU memory.
    class_names: for a foreign checkpoint that has none of its own.
    settings: of a checkpoint, in place of its own: a contract's `chosen_settings`, or KEY=VALUE texts.
    stages: so that `infer_with_stages` works; an ONNX file exported without needs the package onnx for it.
    Raises ModelError or ContractError where the file is none that this maskrt can run.
    """
    path = Path(path)
    _check_there(path)
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


def read_contract(path: str | Path) -> Contract:
    """What a model file promises, without loading what runs it (but for a checkpoint, whose family does).

    Raises ModelError or ContractError where the file is none that this maskrt can run.
    """
    path = Path(path)
    _check_there(path)
    if path.suffix == ".engine":
        return read_header(path).contract
    if path.suffix == ".onnx":
        return Contract.from_json(read_metadata(path).get(METADATA_KEY, ""), str(path))
    contract: Contract = load_reference(path).contract
    return contract


def _check_there(path: Path) -> None:
    if not path.is_file():
        make = {
            **dict.fromkeys(CHECKPOINTS, f"maskrt train --data DATA -o {path.parent}"),
            ".engine": f"maskrt build MODEL.onnx -o {path}",
        }.get(path.suffix, f"maskrt export CHECKPOINT -o {path}")
        raise ModelError(f"{path}: no such model file. Make one: {make}")
