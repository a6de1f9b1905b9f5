"""What `make gpu-check-record` records, of the tiny model: canvases with its own answers, which may have a fault."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.gpu_check.bundle import Form, Model, save_canvas
from maskrt.runtime.backends.open import Outputs, Session

STATIC, BATCH, DYNAMIC = (Form(shape, "fp32") for shape in ("static", "batch", "dynamic"))
SIZES = {"smallest": (1, 256, 320), "usual": (1, 256, 320), "largest": (2, 256, 320)}
MODEL = Model("net", "net.pt", (STATIC, DYNAMIC), 2, **SIZES)


def as_it_is(o: Outputs) -> Outputs:
    return o


def halve_boxes(o: Outputs) -> Outputs:
    return Outputs(o | {"boxes": o["boxes"] * np.float32(0.5)})


def record(session: Session, folder: Path, fault: Callable[[Outputs], Outputs] = as_it_is) -> Path:
    """A canvas of one image and one of two; gives the folder."""
    for i, count in enumerate((1, 2)):
        images = np.full((count, 256, 320, 3), 7, np.uint8)
        sizes = np.array([[256, 320]] * count, np.float32)
        save_canvas(folder / MODEL.canvas(i), images, sizes, fault(session.infer(images, sizes)))
    return folder
