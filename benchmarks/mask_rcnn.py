"""`make bench`: Mask R-CNN R50-FPN at 800×1088 on this CPU, PyTorch eager against the exported file.

Speed is measured interleaved in one process, peak memory in a process of its own for each. The weights are
random but lively (100 detections), since what is measured is the graph.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

import cv2
import numpy as np

HEIGHT_PX, WIDTH_PX = 800, 1088
FOLDER = Path("out/bench")
CHECKPOINT, MODEL = FOLDER / "resnet50.pt", FOLDER / "resnet50.onnx"
MEMORY_RUNS = 3


def make_models() -> None:
    """Checkpoint and ONNX file, made once."""
    if MODEL.exists():
        return
    from export.to_onnx import export_onnx, save_onnx
    from export.weights import load_checkpoint
    from tests.models import lively_checkpoint

    lively_checkpoint("resnet50").save(CHECKPOINT)
    checkpoint = load_checkpoint(CHECKPOINT)
    contract = checkpoint.contract(height_px=HEIGHT_PX, width_px=WIDTH_PX, batch=1, detections="dynamic")
    save_onnx(export_onnx(checkpoint, contract), MODEL)


def canvas() -> tuple[np.ndarray, np.ndarray]:
    """One synthetic scene over the whole canvas, and its size."""
    from training.data import load_dataset

    scene = load_dataset("synthetic:1:7")[0].image()
    image = cv2.resize(scene, (WIDTH_PX, HEIGHT_PX))[None]
    return image, np.array([[HEIGHT_PX, WIDTH_PX]], np.float32)


def peak_memory_bytes(model: Path) -> int:
    """Largest resident set of a fresh process that loads the model and runs it a few times."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.mask_rcnn", "--memory-of", str(model)],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


def run_for_memory(model: Path) -> None:
    from runtime.session import open_session

    session = open_session(model)
    images = np.full((1, HEIGHT_PX, WIDTH_PX, 3), 127, np.uint8)
    images[:, ::7, ::5] = 30  # something to see
    for _ in range(MEMORY_RUNS):
        session.infer(images, np.array([[HEIGHT_PX, WIDTH_PX]], np.float32))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def main() -> None:
    """Measure, print the tables, write out/bench/mask_rcnn.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--memory-of", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory_of:
        run_for_memory(arguments.memory_of)
        return
    from runtime.bench import measure, print_timings
    from runtime.cli import say
    from runtime.files import write_text
    from runtime.session import open_session

    make_models()
    timings = measure([open_session(CHECKPOINT), open_session(MODEL)], *canvas(), rounds=arguments.rounds)
    print_timings(timings, f"R50-FPN, 1x{HEIGHT_PX}x{WIDTH_PX}, FP32, infer alone")
    eager, exported = peak_memory_bytes(CHECKPOINT), peak_memory_bytes(MODEL)
    print(
        f"peak memory: {eager / 1e9:.2f} GB eager, {exported / 1e9:.2f} GB exported: {exported / eager:.2f}"
    )
    facts = {
        "machine": platform.processor() or platform.machine(),
        "versions": {name: metadata.version(name) for name in ("torch", "torchvision", "onnxruntime")},
        "rounds": arguments.rounds,
        "timings": [asdict(t) for t in timings],
        "peak_memory_bytes": {"eager": eager, "exported": exported},
    }
    write_text(FOLDER / "mask_rcnn.json", json.dumps(facts, indent=1))
    say(f"written to {FOLDER / 'mask_rcnn.json'}")


if __name__ == "__main__":
    main()
