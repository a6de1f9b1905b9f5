"""`make bench`: Mask R-CNN R50-FPN at 800×1088 on this CPU, PyTorch eager against the exported file.

Two comparisons, each interleaved in this process: the network alone, on one canvas; and what a user calls,
from a decoded image to binary masks. Peak memory is that of a fresh process for each. The weights are random
but confident: what is measured is the graph.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

import cv2
import numpy as np

HEIGHT_PX, WIDTH_PX = 800, 1088
FOLDER = Path("out/bench")
CHECKPOINT, MODEL = FOLDER / "resnet50.pt", FOLDER / "resnet50.onnx"
# About thirty detections, as an image of a street or a room gives; the cost of a mask head follows them.
SCORE_THRESHOLD = 0.49


def make_models() -> None:
    """Checkpoint and ONNX file, made anew: what is measured is the code as it stands."""
    from benchmarks.samples import confident_checkpoint
    from maskrt.export.onnx_model import export_onnx, save_onnx
    from maskrt.models.load import load_checkpoint

    confident_checkpoint("resnet50", score_threshold=SCORE_THRESHOLD).save(CHECKPOINT)
    checkpoint = load_checkpoint(CHECKPOINT)
    contract = checkpoint.contract(height_px=HEIGHT_PX, width_px=WIDTH_PX, batch=1, detections="dynamic")
    save_onnx(export_onnx(checkpoint, contract), MODEL)


def scene() -> np.ndarray:
    """One synthetic picture, as large as the canvas. (H, W, 3) uint8."""
    from maskrt.training.data import load_dataset

    return cv2.resize(load_dataset("synthetic:1:7")[0].image(), (WIDTH_PX, HEIGHT_PX))


def canvas() -> tuple[np.ndarray, np.ndarray]:
    """The picture as a model's two inputs."""
    return scene()[None], np.array([[HEIGHT_PX, WIDTH_PX]], np.float32)


def end_to_end() -> list[tuple[str, Callable[[], object]]]:
    """torchvision's model as its documentation calls it, and ours; both give boxes and full-size masks."""
    import torch

    from maskrt.models.load import load_checkpoint
    from maskrt.runtime.predictor import load

    image, model, predictor = scene(), load_checkpoint(CHECKPOINT).build(), load(MODEL)

    def torchvision() -> object:
        with torch.inference_mode():
            found = model([torch.from_numpy(image).permute(2, 0, 1) / 255])[0]
        return found["masks"] > 0.5

    return [
        ("torchvision: model(images)", torchvision),
        ("maskrt: predictor(image)", lambda: predictor(image, min_score=0)[0].masks),
    ]


def peak_memory_bytes(model: Path) -> int:
    """Largest resident set of a fresh process that loads the model and runs it a few times.

    Read from the process's own status: getrusage's figure would begin at that of the process it came from.
    """
    code = (
        "import sys; import numpy as np; from maskrt.runtime.backends.open import open_session\n"
        "session = open_session(sys.argv[1]); size = [int(n) for n in sys.argv[2:]]\n"
        "images = np.random.default_rng(0).integers(0, 255, (1, *size, 3), dtype=np.uint8)\n"
        "for _ in range(3): session.infer(images, np.array([size], np.float32))\n"
        "print(open('/proc/self/status').read())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(model), str(HEIGHT_PX), str(WIDTH_PX)],
        capture_output=True,
        text=True,
        check=True,
    )
    peak = re.search(r"VmHWM:\s+(\d+) kB", done.stdout)
    assert peak, "only Linux tells a process's peak memory this way"
    return int(peak[1]) * 1024


def processor() -> str:
    """The CPU's own name."""
    info = Path("/proc/cpuinfo")
    name = re.search(r"model name\s*:\s*(.+)", info.read_text()) if info.is_file() else None
    return name[1] if name else platform.machine()


def main() -> None:
    """Measure, print the tables, write out/bench/mask_rcnn.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    from maskrt.runtime.backends.open import open_session
    from maskrt.runtime.bench import interleave, measure, print_timings
    from maskrt.runtime.commands.cli import say
    from maskrt.runtime.files.atomic import write_text
    from maskrt.runtime.files.kinds import OWN_NAME

    make_models()
    title = f"R50-FPN, 1x{HEIGHT_PX}x{WIDTH_PX}, FP32, {rounds} rounds"
    sessions = [open_session(CHECKPOINT), open_session(MODEL)]
    detections = int(sessions[1].infer(*canvas())["num_detections"][0])
    network = measure(sessions, *canvas(), rounds=rounds)
    print_timings(network, f"{title}: network alone, {detections} detections")
    del sessions
    whole = interleave(end_to_end(), rounds)
    print_timings(whole, f"{title}: from image to masks")
    memory = {"eager": peak_memory_bytes(CHECKPOINT), "exported": peak_memory_bytes(MODEL)}
    share = memory["exported"] / memory["eager"]
    eager, exported = (f"{memory[name] / 1e9:.2f} GB {name}" for name in memory)
    print(f"peak memory: {eager}, {exported}: {share:.2f}")
    facts = {
        "machine": processor(),
        "versions": {name: metadata.version(name) for name in ("torch", "torchvision", "onnxruntime")},
        "rounds": rounds,
        "network": [asdict(t) for t in network],
        "end_to_end": [asdict(t) for t in whole],
        "peak_memory_bytes": memory,
    }
    write_text(FOLDER / "mask_rcnn.json", json.dumps(facts, indent=1), OWN_NAME)
    say(f"written to {FOLDER / 'mask_rcnn.json'}")


if __name__ == "__main__":
    main()
