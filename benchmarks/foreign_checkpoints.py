"""Foreign checkpoints against the implementations that they come from: the largest differences found.

    python -m benchmarks.foreign_checkpoints detectron2-r50-fpn

builds the original model from its project's own code and configuration, loads confident random weights,
writes them as a file of its kind, reads that with maskrt, and compares what is found on the same pixels by
the original, by maskrt in PyTorch and by the exported file on ONNX Runtime. It needs the original installed:
docs/checkpoints.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.originals import records
from benchmarks.originals.detectron2_model import Detectron2
from benchmarks.originals.files import Weights, detectron2_c4_weights, detectron2_weights, mmdetection_weights
from benchmarks.originals.mmdetection_model import MMDetection
from benchmarks.originals.original import Original
from benchmarks.samples import scene
from maskrt.export.onnx_model import export_onnx, save_onnx
from maskrt.models.checkpoint import Checkpoint
from maskrt.models.load import load_checkpoint
from maskrt.models.rcnn.random_weights import randomise
from maskrt.models.rcnn.reference.network import EagerSession
from maskrt.runtime.backends.open import Outputs, Session, open_session
from maskrt.runtime.contract import Contract
from maskrt.runtime.inputs.images import read_image
from maskrt.runtime.preprocess import Batch, preprocess
from maskrt.runtime.tasks.instances.compare.match import Matching, match
from maskrt.runtime.tasks.instances.compare.paste import paste_alike
from maskrt.runtime.tasks.instances.compare.tolerances import FP32

FOLDER = Path("out/foreign")
DETECTRON2, DETECTRON2_BOXES = "COCO-InstanceSegmentation/mask_rcnn_", "COCO-Detection/faster_rcnn_"
CASES: dict[str, tuple[Callable[[], Original], Callable[[Weights], Weights]]] = {
    "detectron2-r50-fpn": (lambda: Detectron2(DETECTRON2 + "R_50_FPN_3x.yaml"), detectron2_weights),
    "detectron2-r101-fpn": (lambda: Detectron2(DETECTRON2 + "R_101_FPN_3x.yaml"), detectron2_weights),
    "detectron2-r50-c4": (lambda: Detectron2(DETECTRON2 + "R_50_C4_3x.yaml"), detectron2_c4_weights),
    "detectron2-faster-r50-fpn": (
        lambda: Detectron2(DETECTRON2_BOXES + "R_50_FPN_3x.yaml"),
        detectron2_weights,
    ),
    "detectron2-x101-fpn": (lambda: Detectron2(DETECTRON2 + "X_101_32x8d_FPN_3x.yaml"), detectron2_weights),
    "mmdetection-r50-fpn": (
        lambda: MMDetection("mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py"),
        mmdetection_weights,
    ),
    "mmdetection-r50-caffe-fpn": (
        lambda: MMDetection("mask_rcnn/mask-rcnn_r50-caffe_fpn_1x_coco.py"),
        partial(mmdetection_weights, caffe=True),
    ),
    "mmdetection-faster-r50-fpn": (
        lambda: MMDetection("faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py"),
        mmdetection_weights,
    ),
    "mmdetection-r101-fpn": (
        lambda: MMDetection("mask_rcnn/mask-rcnn_r101_fpn_1x_coco.py"),
        mmdetection_weights,
    ),
}


@dataclasses.dataclass
class Differences:
    """The largest over all pictures so far."""

    pictures: int = 0
    instances: int = 0
    unmatched: int = 0
    box_px: float = 0.0
    score: float = 0.0
    mask: float = 0.0  # of the probabilities
    mask_iou: float = 1.0  # the smallest

    def add(self, matching: Matching, theirs: Outputs, ours: Outputs) -> None:
        """Of one picture."""
        self.pictures += 1
        self.instances += len(matching.pairs)
        self.unmatched += len(matching.missed) + len(matching.extra)
        for pair in matching.pairs:
            self.box_px = max(self.box_px, pair.box_difference_px)
            self.score = max(self.score, pair.score_difference)
            if pair.mask_iou is None:
                continue  # a model of boxes alone
            apart = np.abs(theirs["masks"][0, pair.reference] - ours["masks"][0, pair.candidate]).max()
            self.mask = max(self.mask, float(apart))
            self.mask_iou = min(self.mask_iou, pair.mask_iou)


def prepare(case: str) -> tuple[Original, Path]:
    """The original with confident weights, and a checkpoint of its kind that holds them."""
    build, to_foreign = CASES[case]
    original = build()
    keys = {key: tensor for key, tensor in original.model.state_dict().items() if tensor.ndim}
    blank = load_checkpoint(_write(case, original, keys))
    ours = dataclasses.replace(blank, config=records.at_its_size(blank.config)).build()
    weights = to_foreign(randomise(ours, [torch.from_numpy(scene()).permute(2, 0, 1) / 255]).state_dict())
    if {k: v.shape for k, v in weights.items()} != {k: v.shape for k, v in keys.items()}:
        raise AssertionError(
            f"{case}: other keys or shapes than the original's: {weights.keys() ^ keys.keys()}"
        )
    path = _write(case, original, weights)
    counters = [key for key, tensor in original.model.state_dict().items() if not tensor.ndim]
    missing, unexpected = original.model.load_state_dict(weights, strict=False)
    assert set(missing) <= set(counters)
    assert not unexpected
    return original, path


def _write(case: str, original: Original, weights: Weights) -> Path:
    FOLDER.mkdir(parents=True, exist_ok=True)
    suffix, content = original.file(weights)
    path = FOLDER / f"{case}{suffix}"
    if suffix == ".pkl":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path)
    return path


def compare(original: Original, session: Session, pictures: list[NDArray[np.uint8]]) -> Differences:
    """What the session finds beside what the original finds on the same pixels."""
    worst = Differences()
    for picture in pictures:
        batch = preprocess([picture], dataclasses.replace(session.contract.canvas, dtype="uint8"))
        height, width = (int(side) for side in batch.image_sizes[0])
        theirs = original.infer(batch.images[0, :height, :width], session.contract.options.max_detections)
        ours = session.infer(batch.images, batch.image_sizes)
        on_canvas = Batch(batch.images, batch.image_sizes, ((height, width),))
        (expected,), (found,) = paste_alike(theirs, ours, on_canvas, session.contract, within_px=FP32.box_px)
        worst.add(match(expected, found), theirs, ours)
    return worst


def on_small_canvases(checkpoint: Checkpoint, short_px: int) -> Checkpoint:
    """The same model for pictures of `short_px` on their short side, to save time."""
    config = dataclasses.replace(checkpoint.config, min_size_px=short_px, max_size_px=2 * short_px)
    return dataclasses.replace(checkpoint, config=config)


def print_rows(
    case: str,
    checkpoint: Checkpoint,
    contract: Contract,
    path: Path,
    compared: Callable[[Session], Differences],
) -> None:
    """Lines for the table of docs/checkpoints.md: of the model in PyTorch, and of the file that is exported
    beside `path`, on ONNX Runtime."""
    model = path.with_suffix(".onnx")
    save_onnx(export_onnx(checkpoint, contract), model)
    for name, session in (
        ("PyTorch", EagerSession(checkpoint.build(), contract, name=str(path))),
        ("ONNX Runtime", open_session(model)),
    ):
        d = compared(session)
        print(
            f"| {case} | {name} | {d.pictures} | {d.instances} | {d.unmatched} "
            f"| {d.box_px:.2g} | {d.score:.2g} | {d.mask:.2g} | {d.mask_iou:.4f} |"
        )


def main() -> None:
    """Compare one case, print a line for the table of docs/checkpoints.md per backend."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("case", choices=CASES)
    parser.add_argument("images", nargs="*", type=Path, help="photographs; three synthetic scenes are added")
    parser.add_argument("--short-side", type=int, default=320, help="of the canvas, in px")
    parser.add_argument("--record", type=Path, help="folder for what the tests need of the original")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    original, path = prepare(arguments.case)
    if arguments.record:
        found = original.infer(records.picture(), load_checkpoint(path).config.max_detections)
        records.write(arguments.record / f"{arguments.case}.npz", original.model.state_dict(), found)
    pictures = [*map(scene, (1, 2, 3)), *map(read_image, arguments.images)]
    checkpoint = on_small_canvases(load_checkpoint(path), arguments.short_side)
    contract = checkpoint.contract(detections="dynamic")
    print_rows(
        arguments.case, checkpoint, contract, path, lambda session: compare(original, session, pictures)
    )


if __name__ == "__main__":
    main()
