"""`make bench`: from a photograph to the canvas, by each project's resize rule, interleaved, on one core.

OpenCV's resize into the canvas alone is what the others are compared with: nothing is quicker here. Pictures
of noise, which no filter has an easy time with.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.bench import interleave, print_timings
from maskrt.runtime.commands.cli import say
from maskrt.runtime.contract import Canvas
from maskrt.runtime.files.atomic import write_text
from maskrt.runtime.files.kinds import OWN_NAME
from maskrt.runtime.preprocess import preprocess, resized_size
from maskrt.runtime.resize.pillow import by_matrices

SHORT_PX, LONG_PX, STRIDE_PX = 800, 1333, 32
PICTURES_PX = ((1080, 1920), (480, 640))  # height and width: one that is made smaller, one that is enlarged
RULES = (
    ("torch", "uint8"),
    ("opencv", "uint8"),
    ("pil", "uint8"),
    ("skimage", "uint8"),
    ("torch", "float32"),
)
REPORT = Path("out/bench/preprocess_rules.json")


def runs(height: int, width: int) -> list[tuple[str, Callable[[], object]]]:
    """What is timed for a picture of that size, by name."""
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    shape = (1, SHORT_PX, -(-LONG_PX // STRIDE_PX) * STRIDE_PX, 3)
    memory: dict[str, NDArray] = {dtype: np.empty(shape, dtype) for dtype in ("uint8", "float32")}

    def to_canvas(canvas: Canvas) -> None:
        preprocess([image], canvas, empty=lambda _, dtype: memory[dtype])

    canvases = {
        f"{rule}, {dtype}": Canvas(SHORT_PX, LONG_PX, STRIDE_PX, *shape[1:3], dtype, resize=rule)
        for rule, dtype in RULES
    }
    size = resized_size(height, width, next(iter(canvases.values())))
    corner = memory["uint8"][0, : size[0], : size[1]]
    return [
        ("OpenCV alone", lambda: cv2.resize(image, size[::-1], dst=corner)),
        *((name, partial(to_canvas, canvas)) for name, canvas in canvases.items()),
        ("pil, no Pillow", partial(by_matrices, image, size)),
    ]


def main() -> None:
    """Measure, print a table a size, write out/bench/preprocess_rules.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    cv2.setNumThreads(1)
    report = {"rounds": rounds}
    for height, width in PICTURES_PX:
        timings = interleave(runs(height, width), rounds)
        print_timings(timings, f"{width}x{height} to a canvas of {SHORT_PX}/{LONG_PX} px, one core")
        report |= {f"{width}x{height}": [asdict(timing) for timing in timings]}
    write_text(REPORT, json.dumps(report, indent=1), OWN_NAME)
    say(f"written to {REPORT}")


if __name__ == "__main__":
    main()
