"""Foreign checkpoints from the JPEG to the mask, against what each project's own inference API gives.

    python -m benchmarks.from_photographs detectron2 photos/*.jpg

The original builds its model from its own configuration, takes the photographs from disk and resizes, finds
and pastes by itself; maskrt reads a checkpoint of it, with the same confident random weights, and does all of
it by what the reader puts into the contract. It needs the original installed: docs/checkpoints.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.foreign_checkpoints import FOLDER, prepare
from benchmarks.matterport import confident_file
from benchmarks.originals.original import result_of
from maskrt.export.onnx_model import export_onnx, save_onnx
from maskrt.models.load import load_checkpoint
from maskrt.models.rcnn.reference.network import EagerSession
from maskrt.runtime.backends.open import Session, open_session
from maskrt.runtime.contract import Category
from maskrt.runtime.inputs.images import read_image
from maskrt.runtime.preprocess import preprocess
from maskrt.runtime.tasks import task_of
from maskrt.runtime.tasks.instances.compare.match import match
from maskrt.runtime.tasks.instances.result import Result

CASE = {
    "detectron2": "detectron2-r50-fpn",
    "detectron2-c4": "detectron2-r50-c4",
    "mmdetection": "mmdetection-r50-fpn",
}
PROGRAM = Path(__file__).parent / "originals" / "matterport_photographs.py"
BOX_PX, SCORE, MASK_IOU = 0.05, 1e-3, 0.99  # what counts as the same


@dataclasses.dataclass
class Agreement:
    """Over all photographs so far. alike: of the original's detections, those that are found again within
    BOX_PX and SCORE; masks_alike: of these, those with an IoU of MASK_IOU."""

    photographs: int = 0
    detections: int = 0
    alike: int = 0
    masks_alike: int = 0
    exceptions: list[str] = dataclasses.field(default_factory=list)
    worst_iou: float = 1.0

    def add(self, name: str, theirs: Result, ours: Result, *, whole_px: bool) -> None:
        """Of one photograph. whole_px: the original gives boxes of whole pixels."""
        if whole_px:
            ours = dataclasses.replace(ours, boxes=np.around(ours.boxes))
        matching = match(theirs, ours)
        self.photographs += 1
        self.detections += len(theirs)
        for pair in matching.pairs:
            iou, box = pair.mask_iou or 0.0, theirs.boxes[pair.reference].round(2).tolist()
            same = pair.box_difference_px <= BOX_PX and pair.score_difference <= SCORE
            self.alike += same
            self.masks_alike += same and iou >= MASK_IOU
            self.worst_iou = min(self.worst_iou, iou)
            if not same or iou < MASK_IOU:
                self.exceptions.append(
                    f"{name}: {box}, score {theirs.scores[pair.reference]:.4f}: "
                    f"{pair.box_difference_px:.3g} px, {pair.score_difference:.2g}, mask IoU {iou:.4f}"
                )
        for row in matching.missed:
            box = theirs.boxes[row].round(2).tolist()
            self.exceptions.append(f"{name}: {box}, score {theirs.scores[row]:.4f}: not found")

    def row(self, case: str, on: str) -> str:
        """A line for the table of docs/checkpoints.md."""
        return (
            f"| {case} | {on} | {self.photographs} | {self.detections} | {self.alike} | {self.masks_alike} "
            f"| {self.worst_iou:.4f} |"
        )


def found(session: Session, path: Path) -> Result:
    """What maskrt's users are given for a photograph."""
    batch = preprocess([read_image(path)], session.contract.canvas)
    outputs = session.infer(batch.images, batch.image_sizes)
    (result,) = task_of(session.contract).decode(outputs, batch, session.contract)
    return result


def matterports(python: Path, weights: Path, sizes: list[int], photographs: list[Path]) -> dict[str, Any]:
    """What its own package finds, in its own environment."""
    found = weights.with_suffix(".photographs.npz")
    told = map(str, (python, PROGRAM, weights, *sizes, found, *photographs))
    subprocess.run([*told], check=True, env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"})
    return dict(np.load(found))


def of_originals(
    arguments: argparse.Namespace,
) -> tuple[str, Path, Callable[[int, Path, tuple[Category, ...]], Result]]:
    """The case's name, its checkpoint, and what the original finds in a photograph of that number."""
    if arguments.project == "matterport":
        path = confident_file("resnet50")
        found = matterports(arguments.python, path, arguments.sizes, arguments.photographs)

        def result(number: int, photograph: Path, classes: tuple[Category, ...]) -> Result:
            rois, labels, scores, masks = (
                found[f"{name}_{number}"] for name in ("rois", "labels", "scores", "masks")
            )
            return result_of(rois[:, [1, 0, 3, 2]], scores, labels - 1, masks, classes)

        return "matterport-resnet50", path, result
    original, path = prepare(CASE[arguments.project])

    def predicted(number: int, photograph: Path, classes: tuple[Category, ...]) -> Result:
        return original.photograph(photograph, *arguments.sizes, arguments.fixed, classes)

    return CASE[arguments.project], path, predicted


def main() -> None:
    """Compare one project, print a line a backend and the detections that are not the same."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("project", choices=(*CASE, "matterport"))
    parser.add_argument("photographs", nargs="+", type=Path)
    parser.add_argument("--sizes", nargs=2, type=int, default=[480, 800], help="of the resize rule, in px")
    parser.add_argument("--set", nargs="*", default=[], help="settings that the reader would not have set")
    parser.add_argument("--fixed", action="store_true", help="on a square of the long side, the original too")
    parser.add_argument("--no-export", action="store_true", help="compare PyTorch alone")
    parser.add_argument("--python", type=Path, help="of an environment with Matterport's package")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    case, path, original = of_originals(arguments)
    sizes = dict(zip(("min_size_px", "max_size_px"), arguments.sizes, strict=True))
    checkpoint = load_checkpoint(path).with_settings(sizes, "--sizes").with_settings(arguments.set, "--set")
    side = arguments.sizes[1] if arguments.fixed else None
    contract = checkpoint.contract(height_px=side, width_px=side, detections="dynamic")
    sessions: dict[str, Session] = {"PyTorch": EagerSession(checkpoint.build(), contract, name=str(path))}
    if not arguments.no_export:
        model = FOLDER / f"{case}-photographs{'-fixed' if arguments.fixed else ''}.onnx"
        save_onnx(export_onnx(checkpoint, contract), model)
        sessions["ONNX Runtime"] = open_session(model)
    agreements = {name: Agreement() for name in sessions}
    for number, photograph in enumerate(arguments.photographs):
        theirs = original(number, photograph, checkpoint.classes)
        for name, session in sessions.items():
            whole_px = arguments.project == "matterport"
            agreements[name].add(photograph.name, theirs, found(session, photograph), whole_px=whole_px)
    for name, agreement in agreements.items():
        print(agreement.row(case, name))
        print("\n".join(f"  {line}" for line in agreement.exceptions))


if __name__ == "__main__":
    main()
