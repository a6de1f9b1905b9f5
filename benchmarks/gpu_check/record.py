"""`make gpu-check-record`: export models in every form and record PyTorch's answers, for `make gpu-check`.

Needs PyTorch and no GPU. Without checkpoints of your own it takes R18-FPN and R50-FPN with random weights:
enough to hold FP32 and to measure speed, but only trained weights show what FP16 and INT8 cost. Beside
them always come three small models with random weights: C4, Detectron2's rules, keypoints.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.gpu_check.bundle import ALL_FORMS, BATCH, RANDOM, TWO_FORMS, Bundle, Form, Model, save_canvas
from benchmarks.gpu_check.record_operators import record_operators
from maskrt.calibration import calibrate
from maskrt.export import to_onnx
from maskrt.models.load import load_checkpoint
from maskrt.models.rcnn.config import C4
from maskrt.models.rcnn.reference.network import EagerSession
from maskrt.runtime.commands.cli import say, track
from maskrt.runtime.errors import MaskrtError
from maskrt.runtime.inputs.images import find_images, read_image
from maskrt.runtime.preprocess import preprocess, round_up
from maskrt.training.data import load_dataset

IMAGES = 4
#: R18-FPN with something that models of other projects have and ours do not.
VARIANTS: dict[str, dict[str, Any]] = {
    "c4": {
        name: getattr(C4, name) for name in ("neck", "anchor_sizes_px", "rpn_pre_nms_test", "box_roi_size")
    },
    "detectron2": {"roi_aligned": True, "sampling_ratio": 0, "exact_anchors": True},
    "keypoints": {"task": "keypoint", "num_classes": 2},
}


def random_checkpoint(name: str, folder: Path, backbone: str = "resnet18", **settings: Any) -> Path:
    """A checkpoint of confident random weights at torchvision's sizes."""
    from benchmarks.samples import confident_checkpoint

    path = folder / f"{name}-{RANDOM}.pt"
    confident_checkpoint(backbone, **settings).save(path)
    return path


def default_images() -> list[NDArray[np.uint8]]:
    """Synthetic pictures, (256, 320, 3) uint8."""
    dataset = load_dataset(f"synthetic:{IMAGES}:7")
    return [dataset[i].image() for i in range(IMAGES)]


def record_model(
    checkpoint: Path, forms: tuple[Form, ...], images: list[NDArray[np.uint8]], folder: Path
) -> Model:
    """Export a checkpoint in these forms, and record what PyTorch finds on canvases of several shapes.

    The first canvases are those of the static form, then one of the form "batch"; then come the images
    upright (portrait) and, together, as a batch, each on the canvas that the dynamic form gives them.
    """
    loaded = load_checkpoint(checkpoint)
    short = round_up(loaded.config.min_size_px, loaded.config.stride)
    long = round_up(loaded.config.max_size_px, loaded.config.stride)
    fixed, any_size = loaded.contract(height_px=short, width_px=long, batch=1), loaded.contract()
    together = (images * BATCH)[:BATCH]
    batches = [preprocess([image], fixed.canvas) for image in images]
    batches += [preprocess(together, fixed.canvas)]
    batches += [preprocess([np.rot90(image).copy()], any_size.canvas) for image in images[:2]]
    batches += [preprocess(together, any_size.canvas)]
    alone = preprocess(images[:1], any_size.canvas)  # not recorded, but timed in the dynamic form
    sides = [batch.images.shape[1:3] for batch in (*batches, alone)]
    model = Model(
        name=checkpoint.stem,
        weights=RANDOM if checkpoint.stem.endswith(f"-{RANDOM}") else checkpoint.name,
        forms=forms,
        canvases=len(batches),
        smallest=(1, min(h for h, _ in sides), min(w for _, w in sides)),
        usual=(1, short, long),
        largest=(BATCH, max(h for h, _ in sides), max(w for _, w in sides)),
    )
    with tempfile.TemporaryDirectory() as scratch:
        pictures = Path(scratch, "pictures")
        pictures.mkdir()
        for i, image in enumerate(images):
            cv2.imwrite(str(pictures / f"{i}.png"), image[..., ::-1])
        for form in sorted(forms, key=lambda form: form.precision == "int8"):  # which is made of FP32
            make = _calibrate if form.precision == "int8" else _export
            make(checkpoint, model, form, pictures, folder)
    reference = EagerSession(loaded.build(), any_size, name=str(checkpoint))
    for i, batch in enumerate(track(batches, f"Recording {checkpoint.stem}")):
        outputs = reference.infer(batch.images, batch.image_sizes)
        save_canvas(folder / model.canvas(i), batch.images, batch.image_sizes, outputs)
    return model


def _export(checkpoint: Path, model: Model, form: Form, pictures: Path, folder: Path) -> None:
    """The FP16 export of trained weights looks on the pictures for what passes its range."""
    _, short, long = model.usual
    size = ["--height", str(short), "--width", str(long)]
    shape = {"static": size, "batch": [*size, "--batch", str(BATCH)], "dynamic": ["--dynamic"]}[form.shape]
    scan = ["--images", str(pictures)] if form.precision == "fp16" and model.trained else []
    output = ["-o", str(folder / model.onnx(form)), "--precision", form.precision]
    _run(to_onnx.main, "export", [str(checkpoint), *output, *shape, *scan])


def _calibrate(_: Path, model: Model, form: Form, pictures: Path, folder: Path) -> None:
    """Over the FP32 export, as TensorRT 8.6 wants it. Of random weights no accuracy is asked."""
    source, output = folder / model.onnx(Form(form.shape, "fp32")), pictures.parent / model.onnx(form)
    limits = [] if model.trained else ["--anyway"]
    given = ["--data", str(pictures), "--flavour", "tensorrt", "-o", str(output)]
    _run(calibrate.main, "calibrate", [str(source), *given, *limits])
    shutil.copyfile(output, folder / output.name)


def _run(main: Callable[[list[str]], None], name: str, arguments: list[str]) -> None:
    try:
        main(arguments)
    except SystemExit as finished:
        if finished.code:
            raise MaskrtError(f"`maskrt {name} {' '.join(arguments)}` failed.") from finished


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
        home = Path(scratch)
        checkpoints = options.checkpoints or [
            random_checkpoint(backbone, home, backbone) for backbone in ("resnet18", "resnet50")
        ]
        variants = [random_checkpoint(name, home, **settings) for name, settings in VARIANTS.items()]
        models = (
            *(record_model(path, ALL_FORMS, images, folder) for path in checkpoints),
            *(record_model(path, TWO_FORMS, images, folder) for path in variants),
        )
    made_with = {name: metadata.version(name) for name in ("torch", "torchvision", "onnx")}
    made_with |= {"python": platform.python_version(), "machine": platform.machine()}
    Bundle(made_with, models, record_operators(folder)).save(folder)
    size = sum(path.stat().st_size for path in folder.iterdir())
    say(f"{folder}: {size / 1e6:.0f} MB. Bring it to the GPU, then: make gpu-check BUNDLE={folder}")


if __name__ == "__main__":
    main()
