"""Opens an ONNX file on the requested backend, or on the fastest of those installed."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.backends.openvino_session import OpenVinoSession
from maskrt.runtime.backends.ort_session import OrtSession
from maskrt.runtime.backends.session import Session
from maskrt.runtime.commands.cli import say
from maskrt.runtime.contract import Contract
from maskrt.runtime.errors import ModelError
from maskrt.runtime.machine.idle import await_idle
from maskrt.runtime.preprocess import largest_canvas

#: Name → the packages that it needs.
BACKENDS = {"onnxruntime": ("onnxruntime",), "openvino": ("openvino", "onnx")}
BF16 = "openvino-bf16"  # never chosen by "auto": what it costs a model, only images tell
TRIALS = 5  # counted ones of each, after one that warms up


def open_onnx(path: Path, *, backend: str, device: str, stages: bool, threads: int | None) -> Session:
    """Open an ONNX file on a backend; see `maskrt.runtime.backends.open.open_session`.

    Raises ModelError for an unknown backend, and where OpenVINO is asked for a feature of ONNX Runtime alone.
    """
    if backend not in (*BACKENDS, BF16, "auto"):
        raise ModelError(f"{path}: backend {backend!r}, expected one of {[*BACKENDS, BF16, 'auto']}.")
    if device != "cpu" or stages:
        if backend in ("openvino", BF16):
            what = f"--device {device}" if device != "cpu" else "stages"
            raise ModelError(f"{path}: {what} works on ONNX Runtime alone: --backend onnxruntime")
        return OrtSession(path, device=device, stages=stages, threads=threads)
    if backend in ("openvino", BF16):
        return OpenVinoSession(path, threads=threads, brain_float=backend == BF16)
    if backend == "onnxruntime" or installed() == ["onnxruntime"]:
        return OrtSession(path, threads=threads)
    if "onnxruntime" not in installed():
        return OpenVinoSession(path, threads=threads)
    return fastest(
        {
            "onnxruntime": OrtSession(path, threads=threads),
            "openvino": OpenVinoSession(path, threads=threads),
        }
    )


def installed() -> list[str]:
    """List the backends that are installed here with all that they need."""
    return [
        name
        for name, packages in BACKENDS.items()
        if all(importlib.util.find_spec(package) for package in packages)
    ]


def fastest(sessions: dict[str, Session]) -> Session:
    """Choose the session with the smallest median time over a few interleaved calls on a canvas of noise.

    sessions: of one file, by their backends' names.
    """
    file = next(iter(sessions.values()))
    images, sizes = noise(file.contract)
    spent_s = np.zeros((TRIALS + 1, len(sessions)))
    for turn in spent_s:
        for i, session in enumerate(sessions.values()):
            await_idle()  # the other's threads spin after its call
            start_s = time.perf_counter()
            session.infer(images, sizes)
            turn[i] = time.perf_counter() - start_s
    median_ms = dict(zip(sessions, 1e3 * np.median(spent_s[1:], axis=0), strict=True))
    taken = min(median_ms, key=lambda name: median_ms[name])
    compared = ", ".join(f"{name} {ms:.1f} ms" for name, ms in median_ms.items())
    say(f"{file.name}: on {taken}, the faster here ({compared})")
    return sessions[taken]


def noise(contract: Contract) -> tuple[NDArray, NDArray[np.float32]]:
    """Random batch of the model's own size, or a landscape image of the largest that it is meant for."""
    height, width = largest_canvas(contract.canvas)
    shape = (contract.batch or 1, height, width, 3)
    images = np.random.default_rng(0).integers(0, 256, shape).astype(contract.canvas.dtype)
    return images, np.full((shape[0], 2), (height, width), np.float32)
