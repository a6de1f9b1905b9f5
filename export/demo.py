"""`maskrt demo`: the whole way on synthetic images, in minutes, without a GPU or a download.

It types the commands a user would, so what it prints can be repeated by hand.
"""

from __future__ import annotations

import importlib
import shlex
import shutil
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from maskrt.runtime.commands.cli import say
from maskrt.runtime.commands.program import Program
from maskrt.runtime.errors import CheckpointError, MaskrtError
from maskrt.runtime.files.atomic import write_png
from maskrt.runtime.files.guard import Writes, overwrites
from maskrt.runtime.inputs.images import read_image

TRAIN, VALIDATION, IMAGES = "synthetic:280:0", "synthetic:40:1", "synthetic:12:2"
PROGRAMS = {
    "train": "maskrt.training.train",
    "export": "maskrt.export.to_onnx",
    "infer": "maskrt.runtime.infer",
    "evaluate": "maskrt.runtime.evaluate",
    "parity": "maskrt.runtime.parity.command",
}


def command(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for all of it"), Writes(None)] = Path(
        "out/demo"
    ),
    epochs: Annotated[int, typer.Option(min=1, help="Fewer is quicker and worse")] = 3,
) -> None:
    """Train, export, run and check a Mask R-CNN on synthetic images.

    Leaves model.onnx, predictions.json, overlay.png, metrics.json and parity.json in OUTPUT.

    Example: maskrt demo
    """
    start = time.perf_counter()
    images = output / "images"
    write_images(images)
    if is_of_a_demo(output / "train" / "best.pt"):
        shutil.rmtree(output / "train")
    checkpoint, model = output / "train" / "best.pt", output / "model.onnx"
    for line in (
        f"train --data {TRAIN} --val {VALIDATION} -o {_quote(output / 'train')} --preset tiny "
        f"--epochs {epochs}",
        f"export {_quote(checkpoint)} -o {_quote(model)} --detections dynamic",
        f"infer {_quote(model)} {_quote(images)} -o {_quote(output)}",
        f"evaluate {_quote(model)} --data {VALIDATION} -o {_quote(output / 'metrics.json')}",
        f"parity {_quote(checkpoint)} {_quote(model)} {_quote(images)} -o {_quote(output / 'parity.json')}",
    ):
        _type(line + " --overwrite" * overwrites())
    overlays = [read_image(path) for path in sorted((output / "overlays").glob("*.png"))]
    write_png(output / "overlay.png", contact_sheet(overlays, columns=4))
    say(f"\n{time.perf_counter() - start:.0f} s. Look at {output / 'overlay.png'}, then try your own images:")
    say("  maskrt train --help")


def write_images(folder: Path) -> None:
    """Write the demo's images, which training has not seen, as PNG files.

    Raises MaskrtError where another image has the name of one.
    """
    from maskrt.training.data import load_dataset  # its readers' packages are not needed for --help

    dataset = load_dataset(IMAGES)
    for index in range(len(dataset)):
        path, image = folder / f"{index:03d}.png", dataset[index].image()
        if path.exists() and not overwrites() and not np.array_equal(read_image(path), image):
            raise MaskrtError(
                f"{path}: no image of the demo. Choose another output: -o FOLDER; or have it replaced: "
                "--overwrite"
            )
        write_png(path, image)


def is_of_a_demo(checkpoint: Path) -> bool:
    """True if a checkpoint was trained on the demo's own data, so that its run may be replaced."""
    from maskrt.models.checkpoint import read_checkpoint  # which needs torch

    try:
        provenance = read_checkpoint(checkpoint).provenance
    except CheckpointError:
        return False
    return (provenance.get("data"), provenance.get("validation")) == (TRAIN, VALIDATION)


def contact_sheet(images: list[np.ndarray], columns: int) -> np.ndarray:
    """Equally large (H, W, 3) images in rows of `columns`, the last row filled up with black."""
    blank = [np.zeros_like(images[0])] * (-len(images) % columns)
    tiles = images + blank
    return np.vstack([np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)])


def _type(line: str) -> None:
    say(f"\n$ maskrt {line}")
    verb, *args = shlex.split(line)
    try:
        importlib.import_module(PROGRAMS[verb]).main(args)
    except SystemExit as finished:  # every program ends so, with its exit code
        if finished.code:
            raise MaskrtError(f"`maskrt {line}` ended with exit code {finished.code}.") from finished


def _quote(path: Path) -> str:
    return shlex.quote(str(path))


main = Program("maskrt demo", command)

if __name__ == "__main__":
    main()
