"""`make gpu-check-record`: export models in every form and record PyTorch's answers, for `make gpu-check`.

Needs PyTorch and no GPU. Without checkpoints of your own it takes R18-FPN and R50-FPN with random weights:
enough to hold FP32 and to measure speed, but how much FP16 costs is told by trained weights alone.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
from importlib import metadata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.gpu_check.bundle import PRECISIONS, SHAPES, Bundle, Model, save_canvas
from benchmarks.gpu_check.record_operators import record_operators
from export import to_onnx
from export.weights import load_checkpoint
from runtime.cli import say, track
from runtime.errors import MaskrtError
from runtime.preprocess import preprocess, round_up
from runtime.sources import find_images, read_image
from training.checkpoint import CANVAS_STRIDE
from training.data import load_dataset
from training.eager import EagerSession

IMAGES = 4
LARGEST_BATCH = 2


def default_checkpoints(folder: Path) -> list[Path]:
    """R18-FPN and R50-FPN of 90 classes at torchvision's sizes, with lively random weights."""
    from tests.models import lively_checkpoint

    paths = [folder / f"{backbone}-random.pt" for backbone in ("resnet18", "resnet50")]
    for path in paths:
        lively_checkpoint(path.stem.removesuffix("-random")).save(path)
    return paths


def default_images() -> list[NDArray[np.uint8]]:
    """Synthetic pictures, (256, 320, 3) uint8."""
    dataset = load_dataset(f"synthetic:{IMAGES}:7")
    return [dataset[i].image() for i in range(IMAGES)]


def record_model(
    checkpoint: Path, images: list[NDArray[np.uint8]], scanned: list[str], folder: Path
) -> Model:
    """Export all forms of a checkpoint, and record what PyTorch finds on canvases of several shapes.

    scanned: image files on which the FP16 export looks for what passes its range.

    The first canvases are those of the static form; then come the images upright (portrait) and, together,
    as a batch, each on the canvas that the dynamic form gives them.
    """
    loaded = load_checkpoint(checkpoint)
    short = round_up(loaded.config.min_size_px, CANVAS_STRIDE)
    long = round_up(loaded.config.max_size_px, CANVAS_STRIDE)
    fixed, any_size = loaded.contract(height_px=short, width_px=long, batch=1), loaded.contract()
    batches = [preprocess([image], fixed.canvas) for image in images]
    batches += [preprocess([np.rot90(image).copy()], any_size.canvas) for image in images[:2]]
    batches += [preprocess((images * LARGEST_BATCH)[:LARGEST_BATCH], any_size.canvas)]
    for shape in SHAPES:
        for precision in PRECISIONS:
            name = f"{checkpoint.stem}-{shape}-{precision}.onnx"
            form = ["--dynamic"] if shape == "dynamic" else ["--height", str(short), "--width", str(long)]
            scan = [word for image in scanned for word in ("--images", image)] if precision == "fp16" else []
            _export([str(checkpoint), "-o", str(folder / name), "--precision", precision, *form, *scan])
    reference = EagerSession(loaded.build(), any_size, name=str(checkpoint))
    for i, batch in enumerate(track(batches, f"Recording {checkpoint.stem}")):
        outputs = reference.infer(batch.images, batch.image_sizes)
        save_canvas(folder / f"{checkpoint.stem}-{i}.npz", batch.images, batch.image_sizes, outputs)
    alone = preprocess(images[:1], any_size.canvas)  # not recorded, but timed in the dynamic form
    sides = [batch.images.shape[1:3] for batch in (*batches, alone)]
    return Model(
        name=checkpoint.stem,
        weights="random" if checkpoint.stem.endswith("-random") else str(checkpoint.name),
        canvases=len(batches),
        smallest=(1, min(h for h, _ in sides), min(w for _, w in sides)),
        usual=(1, short, long),
        largest=(LARGEST_BATCH, max(h for h, _ in sides), max(w for _, w in sides)),
    )


def _export(arguments: list[str]) -> None:
    try:
        to_onnx.main(arguments)
    except SystemExit as finished:
        if finished.code:
            raise MaskrtError(f"`maskrt export {' '.join(arguments)}` failed.") from finished


def main() -> None:
    """Record into the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoints", nargs="*", type=Path, help="trained checkpoints (.pt)")
    parser.add_argument("--images", nargs="+", help=f"image files or folders; the first {IMAGES} are taken")
    parser.add_argument("-o", "--output", type=Path, default=Path("out/gpu-check"))
    options = parser.parse_args()
    folder: Path = options.output
    folder.mkdir(parents=True, exist_ok=True)
    paths = find_images(options.images)[:IMAGES] if options.images else []
    images = [read_image(path) for path in paths] or default_images()
    with tempfile.TemporaryDirectory() as scratch:
        checkpoints = options.checkpoints or default_checkpoints(Path(scratch))
        scanned = [str(path) for path in paths]
        models = tuple(record_model(path, images, scanned, folder) for path in checkpoints)
    made_with = {name: metadata.version(name) for name in ("torch", "torchvision", "onnx")}
    made_with |= {"python": platform.python_version(), "machine": platform.machine()}
    Bundle(made_with, models, record_operators(folder)).save(folder)
    size = sum(path.stat().st_size for path in folder.iterdir())
    say(f"{folder}: {size / 1e6:.0f} MB. Bring it to the GPU, then: make gpu-check BUNDLE={folder}")


if __name__ == "__main__":
    main()
