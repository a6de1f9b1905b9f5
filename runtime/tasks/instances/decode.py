"""From a model's outputs to results in the original image's pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.backends.session import Outputs
from maskrt.runtime.contract import Contract
from maskrt.runtime.errors import ModelError
from maskrt.runtime.preprocess import Batch
from maskrt.runtime.tasks.instances.detections import Detections
from maskrt.runtime.tasks.instances.instances import MaskCrop
from maskrt.runtime.tasks.instances.masks import CanvasMasks
from maskrt.runtime.tasks.instances.options import TORCHVISION, BoxGrid
from maskrt.runtime.tasks.instances.paste import boxes_to_image, paste_mask
from maskrt.runtime.tasks.instances.result import Result
from maskrt.runtime.tasks.keep import EVERYTHING, Keep

FARTHEST = 2  # times the picture that a box may reach; rounding in half precision passes the border by little


def postprocess(
    outputs: Outputs, batch: Batch, contract: Contract, *, keep: Keep = EVERYTHING
) -> list[Result]:
    """One Result per image of the batch, with the detections that are to be kept."""
    results, options, found = [], contract.options, Detections(**outputs)
    for row, (height, width) in enumerate(batch.original_sizes):
        count = _checked_count(found, row, batch.image_sizes[row])
        _check_labels(found.labels[row, :count], contract)
        kept = keep.rows(found.scores[row, :count], found.labels[row, :count], contract.classes)
        size = batch.image_sizes[row]
        rule = options.masks.paste if isinstance(options.masks, BoxGrid) else TORCHVISION
        boxes = boxes_to_image(found.boxes[row, kept], size, (height, width), rule)
        results.append(
            Result(
                height_px=height,
                width_px=width,
                boxes=boxes,
                scores=found.scores[row, kept],
                labels=found.labels[row, kept],
                classes=contract.classes,
                crops=_paste_all(found, row, kept, boxes, batch, contract),
                skeleton=options.keypoints.skeleton if options.keypoints else (),
                keypoints=_scaled(found.keypoints, row, kept, np.array([height, width], np.float32) / size),
            )
        )
    return results


def _checked_count(found: Detections, row: int, size: NDArray[np.float32]) -> int:
    """Detections of an image. Raises ModelError for more than there are rows, and for boxes far off the
    valid area (height, width), to which the graph clips them: pasting one mask could take all memory."""
    count, rows = int(found.num_detections[row]), found.boxes.shape[1]
    if not 0 <= count <= rows:
        raise ModelError(
            f"output 'num_detections' holds {count}, but there are {rows} rows. Export the model again: "
            "maskrt export CHECKPOINT"
        )
    far = float(np.abs(found.boxes[row, :count]).max(initial=0))
    if far > FARTHEST * size.max():
        raise ModelError(
            f"output 'boxes' reaches to {far:.4g} px in a picture of {size[0]:g}x{size[1]:g} px, to which "
            "boxes are clipped. Export the model again: maskrt export CHECKPOINT"
        )
    return count


def _check_labels(labels: NDArray[np.int32], contract: Contract) -> None:
    wrong = labels[(labels < 0) | (labels >= len(contract.classes))]
    if len(wrong):
        raise ModelError(
            f"output 'labels' holds {wrong[0]}, but the model names only {len(contract.classes)} classes. "
            "Export it again with all names: maskrt export CHECKPOINT --classes NAME,NAME,…"
        )


def _paste_all(
    found: Detections,
    row: int,
    kept: NDArray[np.intp],
    boxes: NDArray[np.float32],
    batch: Batch,
    contract: Contract,
) -> tuple[MaskCrop, ...] | None:
    grid, size = contract.options.masks, batch.original_sizes[row]
    if grid is None or (found.masks is None and found.prototypes is None):
        return None
    if not isinstance(grid, BoxGrid):
        return CanvasMasks(found, row, contract, batch.image_sizes[row], size).pasted(kept, boxes)
    assert found.masks is not None
    pairs = zip(found.masks[row, kept], boxes, strict=True)
    return tuple(paste_mask(mask, box, *size, grid.threshold, grid.paste) for mask, box in pairs)


def _scaled(
    keypoints: NDArray[np.float32] | None, row: int, kept: NDArray[np.intp], ratio: NDArray[np.float32]
) -> NDArray[np.float32] | None:
    """As torchvision's resize_keypoints."""
    if keypoints is None:
        return None
    return keypoints[row, kept] * np.array([ratio[1], ratio[0], 1], np.float32)
