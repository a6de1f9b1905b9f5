"""Measures a model's peak memory, in a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

CODE = """
import sys
import numpy as np
from maskrt.runtime.backends.open import open_session
model, backend, device, *size = sys.argv[1:]
batch, height, width = map(int, size)
session = open_session(model, backend=backend, device=device)
pixels = np.random.default_rng(0).integers(0, 255, (batch, height, width, 3), dtype=np.uint8)
for _ in range(3):
    sizes = np.full((batch, 2), (height, width), np.float32)
    session.infer(pixels.astype(session.contract.canvas.dtype), sizes)
print(open("/proc/self/status").read())
"""


def peak_memory_bytes(
    model: Path, canvas: tuple[int, int, int], *, backend: str = "onnxruntime", device: str = "cpu"
) -> int | None:
    """Largest resident set of a fresh process that loads the model and runs it thrice.

    canvas: (N, H, W). Read from the process's own status, since getrusage's figure would begin at that of the
    process it came from; None where there is no such status (other systems than Linux), or the run fails.
    """
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(model.resolve()), backend, device, *map(str, canvas)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).resolve().parents[1],
    )
    peak = re.search(r"VmHWM:\s+(\d+) kB", done.stdout)
    return int(peak[1]) * 1024 if peak else None
