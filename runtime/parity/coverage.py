"""How often images exercised what a model is made of: its levels, its classes, its branches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskrt.models.rcnn.parity.rois import fpn_levels
from maskrt.runtime.backends.session import Outputs
from maskrt.runtime.contract import Contract
from maskrt.runtime.parity.inside.samples import Sample
from maskrt.runtime.parity.inside.stages import same_boxes
from maskrt.runtime.preprocess import Batch
from maskrt.runtime.stages import PROPOSALS, layout_of

SAME_PX = 0.05
Cells = Mapping[str, NDArray[np.float32]]


@dataclass
class Coverage:
    """Of all images, by what the reference says. proposals: by the level whose anchors they are of or, where
    the anchors are not known, by the level that they are pooled from; detections: by class."""

    proposals: Counter[str] = field(default_factory=Counter)
    detections: Counter[str] = field(default_factory=Counter)
    levels: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    branch: str = ""  # what follows the boxes: "masks", "keypoints" or nothing

    def add(
        self,
        contract: Contract,
        outputs: Outputs,
        samples: Mapping[str, Sample] | None,
        batch: Batch,
        cells: Cells | None,
    ) -> None:
        """One image, a batch of one. cells: the anchors (A, 4) a level around the position 0, 0."""
        layout = layout_of(contract.config)
        self.classes = tuple(contract.class_names)
        self.branch = {"instance": "masks", "keypoint": "keypoints"}.get(contract.task, "")
        labels = outputs.labels[0, : int(outputs.num_detections[0])]
        self.detections.update(self.classes[label] for label in labels if 0 <= label < len(self.classes))
        if samples is None or PROPOSALS not in samples:
            return
        boxes, canvas_px = samples[PROPOSALS].values, batch.images.shape[1:3]
        outside_px = batch.image_sizes[0, ::-1]
        whole = all(samples[name].rows is None for name in layout.rpn_logits)
        if cells is not None and whole:
            self.levels = layout.levels
            for level, logits, deltas in zip(
                layout.levels, layout.rpn_logits, layout.rpn_deltas, strict=True
            ):
                maps = samples[logits].values, samples[deltas].values
                most = contract.config.get("rpn_pre_nms_test", 1000)
                made = _decoded(cells[level], *maps, canvas_px, most)
                made = np.clip(made, 0, np.tile(outside_px, 2))
                self.proposals[level] += len(same_boxes(boxes, made, SAME_PX)[0])
        elif layout.pooled > 1:
            self.levels = layout.levels[: layout.pooled]
            numbers = fpn_levels(boxes, layout.pooled_strides_px)
            self.proposals.update(f"P{number}" for number in numbers.tolist())

    def lines(self) -> list[str]:
        """For people."""
        found = []
        if self.levels:
            counts = ", ".join(f"{level} {self.proposals[level]}" for level in self.levels)
            found.append(f"proposals by level: {counts}")
        count = sum(self.detections.values())
        branch = f", each with its {self.branch}" if self.branch and count else ""
        found.append(f"{count} detections of {len(self.detections)} of {len(self.classes)} classes{branch}")
        return found

    def missing(self) -> list[str]:
        """What no image exercised."""
        unseen = [level for level in self.levels if not self.proposals[level]]
        lacking = [f"proposals of {', '.join(unseen)}"] if unseen else []
        classes = len(self.classes) - len(self.detections)
        lacking += [f"{classes} of {len(self.classes)} classes"] if classes else []
        return lacking

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "proposals": {level: self.proposals[level] for level in self.levels},
            "detections": dict(self.detections),
            "classes": len(self.classes),
            "branch": self.branch,
            "not_exercised": self.missing(),
        }


def _decoded(
    cells: NDArray, logits: NDArray, deltas: NDArray, canvas_px: tuple[int, ...], most: int
) -> NDArray[np.float32]:
    """(K, 4) boxes of the best anchors of a level: logits (A, h, w), deltas (4A, h, w), in canvas pixels."""
    kinds, rows, columns = logits.shape
    best = np.argsort(-logits, axis=None)[:most]
    kind, row, column = np.unravel_index(best, logits.shape)
    shift = np.stack([column * (canvas_px[1] // columns), row * (canvas_px[0] // rows)] * 2, axis=1)
    anchors = cells[kind] + shift
    sizes, centres = anchors[:, 2:] - anchors[:, :2], (anchors[:, 2:] + anchors[:, :2]) / 2
    move = deltas.reshape(kinds, 4, rows, columns)[kind, :, row, column]
    centres = centres + move[:, :2] * sizes
    half = sizes * np.exp(np.minimum(move[:, 2:], np.log(1000 / 16))) / 2
    return np.hstack([centres - half, centres + half]).astype(np.float32)
