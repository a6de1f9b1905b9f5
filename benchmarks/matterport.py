"""A Matterport .h5 file against the original on TensorFlow: the largest differences found.

    python -m benchmarks.matterport --python TF_ENVIRONMENT/bin/python --backbone resnet101

makes confident random weights, writes them as Matterport's file, lets the original find objects on three
canvases, and compares what maskrt finds there in PyTorch and on ONNX Runtime. The original's environment:
docs/checkpoints.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import subprocess
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.foreign_checkpoints import FOLDER, Differences, print_rows
from benchmarks.originals.matterport_files import matterport_layers, write_h5
from benchmarks.samples import confident_checkpoint, scene
from maskrt.models.checkpoint import Checkpoint
from maskrt.models.load import load_checkpoint
from maskrt.models.rcnn.matterport.config import MatterportConfig
from maskrt.runtime.backends.open import Outputs, Session
from maskrt.runtime.contract import Contract
from maskrt.runtime.preprocess import Batch, corner, preprocess
from maskrt.runtime.tasks.instances.compare.match import match
from maskrt.runtime.tasks.instances.compare.paste import paste_alike
from maskrt.runtime.tasks.instances.compare.tolerances import FP32

PROGRAM = Path(__file__).parent / "originals" / "matterport_model.py"
# A random network is so sure of its classes that float32 makes ties of its scores.
CLASS_SCALE = 0.4


def original_outputs(
    found: dict[str, NDArray], row: int, canvas: tuple[int, int], picture: tuple[int, int]
) -> Outputs:
    """One picture's detections as maskrt's outputs: edges in px from the picture's corner."""
    detections = found["detections"][row].copy()
    count = int((detections[:, 4] > 0).sum())
    top, left = corner(picture, canvas, "square")
    edges = detections[:, :4] * (np.array(canvas * 2) - 1) + [0, 0, 1, 1] - [top, left, top, left]
    edges[count:] = 0
    return Outputs(
        num_detections=np.array([count], np.int32),
        boxes=edges[None, :, [1, 0, 3, 2]].astype(np.float32),
        scores=detections[None, :, 5].astype(np.float32),
        labels=np.maximum(detections[None, :, 4].astype(np.int32) - 1, 0),
        masks=found["masks"][None, row].astype(np.float32),
    )


def compare(session: Session, batches: list[Batch], found: dict[str, NDArray]) -> Differences:
    """What the session finds beside what the original found on the same canvases."""
    worst = Differences()
    for row, batch in enumerate(batches):
        height, width = batch.images.shape[1:3]
        size = (int(batch.image_sizes[0, 0]), int(batch.image_sizes[0, 1]))
        theirs = original_outputs(found, row, (height, width), size)
        ours = session.infer(batch.images, batch.image_sizes)
        on_canvas = Batch(batch.images, batch.image_sizes, (size,))
        (expected,), (actual,) = paste_alike(theirs, ours, on_canvas, session.contract, within_px=FP32.box_px)
        worst.add(match(expected, actual), theirs, ours)
    return worst


def run_original(python: Path, weights: Path, batches: list[Batch]) -> dict[str, NDArray]:
    """What the original finds on the batches' canvases."""
    canvases, found = weights.with_suffix(".canvases.npz"), weights.with_suffix(".found.npz")
    windows = []
    for batch in batches:
        h, w = (int(side) for side in batch.image_sizes[0])
        top, left = corner((h, w), batch.images.shape[1:3], "square")
        windows.append((top, left, top + h, left + w))
    np.savez(canvases, images=np.concatenate([b.images for b in batches]), windows=np.array(windows))
    quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run([python, PROGRAM, weights, canvases, found], check=True, env=quiet)
    return dict(np.load(found))


def on_a_square(checkpoint: Checkpoint, side_px: int) -> tuple[Checkpoint, Contract]:
    """The same model for canvases of `side_px`, to save time."""
    config = dataclasses.replace(checkpoint.config, min_size_px=side_px, max_size_px=side_px)
    small = dataclasses.replace(checkpoint, config=config)
    return small, small.contract(height_px=side_px, width_px=side_px, batch=1, detections="dynamic")


def confident_file(backbone: str) -> Path:
    """Matterport's file of random weights that find many objects."""
    torch.manual_seed(0)
    sides = {"min_size_px": 256, "max_size_px": 384}
    confident = confident_checkpoint(backbone, 5, kind=MatterportConfig, **sides, num_classes=81)
    for kind in ("weight", "bias"):
        confident.state_dict[f"roi_heads.box_predictor.cls_score.{kind}"] *= CLASS_SCALE
    FOLDER.mkdir(parents=True, exist_ok=True)
    return write_h5(FOLDER / f"matterport-{backbone}.h5", matterport_layers(confident.state_dict))


def main() -> None:
    """Compare one backbone, print a line for the table of docs/checkpoints.md per backend."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", type=Path, required=True, help="of an environment with the original")
    parser.add_argument("--backbone", choices=("resnet50", "resnet101"), default="resnet101")
    parser.add_argument("--side", type=int, default=512, help="of the canvas, in px")
    arguments = parser.parse_args()
    path = confident_file(arguments.backbone)
    checkpoint, contract = on_a_square(load_checkpoint(path), arguments.side)
    batches = [preprocess([scene(index)], contract.canvas) for index in (1, 2, 3)]
    found = run_original(arguments.python, path, batches)
    touching, zeroed = found["beyond"].sum(axis=0)
    print(f"RoIs that touch the right or lower edge: {touching}; with zeros for their last samples: {zeroed}")
    print_rows(
        f"matterport-{arguments.backbone}",
        checkpoint,
        contract,
        path,
        lambda session: compare(session, batches, found),
    )


if __name__ == "__main__":
    main()
