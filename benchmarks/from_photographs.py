"""Foreign checkpoints from the JPEG to the mask, against what each project's own inference API gives.

    python -m benchmarks.from_photographs detectron2 photos/*.jpg

The original builds its model from its own configuration, takes the photographs from disk and resizes, finds
and pastes by itself; maskrt reads a checkpoint of it, with the same confident random weights, and does all of
it by what the reader puts into the contract. It needs the original installed: docs/checkpoints.md.

Of --trained, weights that Detectron2 is given in its own format. --models: files made of that checkpoint in
FP16 or INT8, each held to what `maskrt parity` allows its precision.
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

from benchmarks.foreign_checkpoints import DETECTRON2, FOLDER, prepare
from benchmarks.matterport import confident_file
from benchmarks.originals.detectron2_model import Detectron2, configured_as
from benchmarks.originals.files import detectron2_weights
from benchmarks.originals.original import result_of
from benchmarks.originals.tolerated import Tolerated
from maskrt.export.onnx_model import export_onnx, save_onnx
from maskrt.models.checkpoint import Checkpoint
from maskrt.models.load import load_checkpoint
from maskrt.models.rcnn.reference.network import EagerSession
from maskrt.runtime.backends.open import Session, open_session
from maskrt.runtime.contract import Category
from maskrt.runtime.inputs.images import read_image
from maskrt.runtime.preprocess import preprocess, resized_size
from maskrt.runtime.tasks import task_of
from maskrt.runtime.tasks.instances.compare.match import match
from maskrt.runtime.tasks.instances.result import Result

CASE = {
    "detectron2": "detectron2-r50-fpn",
    "detectron2-c4": "detectron2-r50-c4",
    "mmdetection": "mmdetection-r50-fpn",
}
SIZES = [480, 800]  # px: of the shortest side, and of the longest at most
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


def trained(weights: Path) -> tuple[Detectron2, Path]:
    """Detectron2's model with the weights of a checkpoint of ours, and the file of them that its trainer
    would leave."""
    checkpoint: Any = load_checkpoint(weights)
    original = Detectron2(DETECTRON2 + "R_50_FPN_3x.yaml", configured_as(checkpoint.config))
    counted = {k: v for k, v in checkpoint.state_dict.items() if not k.endswith("num_batches_tracked")}
    foreign = detectron2_weights(counted)
    original.model.load_state_dict(foreign)
    path = FOLDER / "detectron2-trained" / "model_final.pth"
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"model": foreign}, path)
    path.with_name("config.yaml").write_text(original.described)
    return original, path


def of_originals(
    arguments: argparse.Namespace,
) -> tuple[str, Path, Callable[[int, Path, list[int], tuple[Category, ...]], Result]]:
    """The case's name, its checkpoint, and what the original finds in a photograph of that number, resized to
    these sides."""
    if arguments.project == "matterport":
        path = confident_file("resnet50")
        found = matterports(arguments.python, path, arguments.sizes or SIZES, arguments.photographs)

        def result(number: int, photograph: Path, sizes: list[int], classes: tuple[Category, ...]) -> Result:
            rois, labels, scores, masks = (
                found[f"{name}_{number}"] for name in ("rois", "labels", "scores", "masks")
            )
            return result_of(rois[:, [1, 0, 3, 2]], scores, labels - 1, masks, classes)

        return "matterport-resnet50", path, result
    case = CASE[arguments.project]
    original, path = trained(arguments.trained) if arguments.trained else prepare(case)

    def predicted(number: int, photograph: Path, sizes: list[int], classes: tuple[Category, ...]) -> Result:
        return original.photograph(photograph, *sizes, arguments.fixed, classes)

    return f"{case}, trained" if arguments.trained else case, path, predicted


def fixed_canvas(checkpoint: Checkpoint, photographs: list[Path]) -> tuple[int, int]:
    """(height, width): a square of the long side, to which the original pads too, or of a model that pads
    nothing the one size that all photographs are resized to."""
    canvas = checkpoint.contract().canvas
    if canvas.stride > 1:
        return canvas.max_size_px, canvas.max_size_px
    sizes = {resized_size(*read_image(path).shape[:2], canvas) for path in photographs}
    if len(sizes) > 1:
        raise SystemExit(f"--fixed: it pads nothing, and these photographs are resized to {sorted(sizes)}")
    return sizes.pop()


def main() -> None:
    """Compare one project, print a line a backend and the detections that are not the same."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("project", choices=(*CASE, "matterport"))
    parser.add_argument("photographs", nargs="+", type=Path)
    parser.add_argument(
        "--sizes", nargs=2, type=int, help="of the resize rule, in px; 480 800, or as trained"
    )
    parser.add_argument("--set", nargs="*", default=[], help="settings that the reader would not have set")
    parser.add_argument("--fixed", action="store_true", help="on one canvas: `fixed_canvas`")
    parser.add_argument("--no-export", action="store_true", help="compare PyTorch alone")
    parser.add_argument(
        "--trained", type=Path, help="detectron2: a checkpoint of ours by its rules, for random"
    )
    parser.add_argument(
        "--models", nargs="*", default=[], type=Path, help="files made of the same checkpoint"
    )
    parser.add_argument("--python", type=Path, help="of an environment with Matterport's package")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    case, path, original = of_originals(arguments)
    names = [c.name for c in load_checkpoint(arguments.trained).classes] if arguments.trained else None
    checkpoint = load_checkpoint(path, names)
    config: Any = checkpoint.config
    sizes = arguments.sizes or ([config.min_size_px, config.max_size_px] if arguments.trained else SIZES)
    given = dict(zip(("min_size_px", "max_size_px"), sizes, strict=True))
    checkpoint = checkpoint.with_settings(given, "--sizes").with_settings(arguments.set, "--set")
    height, width = fixed_canvas(checkpoint, arguments.photographs) if arguments.fixed else (None, None)
    contract = checkpoint.contract(height_px=height, width_px=width, detections="dynamic")
    sessions: dict[str, Session] = {"PyTorch": EagerSession(checkpoint.build(), contract, name=str(path))}
    if not arguments.no_export:
        model = FOLDER / f"{case}-photographs{'-fixed' if arguments.fixed else ''}.onnx"
        save_onnx(export_onnx(checkpoint, contract), model)
        sessions["ONNX Runtime"] = open_session(model)
    others = {path: open_session(path) for path in arguments.models}
    agreements = {name: Agreement() for name in sessions}
    tolerated = {path: Tolerated(session.contract) for path, session in others.items()}
    for number, photograph in enumerate(arguments.photographs):
        theirs = original(number, photograph, sizes, checkpoint.classes)
        for name, session in sessions.items():
            whole_px = arguments.project == "matterport"
            agreements[name].add(photograph.name, theirs, found(session, photograph), whole_px=whole_px)
        for model, session in others.items():
            tolerated[model].add(photograph.name, theirs, found(session, photograph))
    for name, agreement in agreements.items():
        print(agreement.row(case, name))
        print("\n".join(f"  {line}" for line in agreement.exceptions))
    for model, held in tolerated.items():
        print("\n".join((f"{model}, {others[model].contract.precision.name}", *held.rows())))


if __name__ == "__main__":
    main()
