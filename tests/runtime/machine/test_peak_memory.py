"""Peak memory of a model's process, as Linux says it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from maskrt.runtime.machine.peak_memory import peak_memory_bytes

STATUS = "Name:\tpython\nVmPeak:\t 4194304 kB\nVmHWM:\t  102400 kB\nVmRSS:\t   51200 kB\n"


@pytest.mark.parametrize(("said", "peak"), [(STATUS, 104_857_600), ("", None), ("VmRSS:\t 51200 kB\n", None)])
def test_a_hundred_mebibytes_are_104857600_bytes(
    said: str, peak: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """proc(5): kB in /proc/PID/status are 1024 bytes; VmHWM is the largest resident set."""
    given: list[Any] = []

    def run(arguments: list[str], **_: Any) -> SimpleNamespace:
        given.extend(arguments)
        return SimpleNamespace(stdout=said)

    monkeypatch.setattr(subprocess, "run", run)

    assert peak_memory_bytes(Path("/a.onnx"), (2, 64, 96), backend="openvino", device="cuda") == peak
    assert given[-6:] == ["/a.onnx", "openvino", "cuda", "2", "64", "96"]
