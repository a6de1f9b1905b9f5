"""How images exercised the levels of an R-CNN."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from maskrt.models.parts.layout import layout_of
from maskrt.models.rcnn.layout import PROPOSALS
from maskrt.models.rcnn.parity.rois import fpn_levels
from maskrt.runtime.boxes import same_boxes
from maskrt.runtime.contract import Contract
from maskrt.runtime.parity.inside.samples import Sample
from maskrt.runtime.preprocess import Batch

SAME_PX = 0.05
Cells = Mapping[str, NDArray[np.float32]]


def proposals_by_level(
    contract: Contract, samples: Mapping[str, Sample], batch: Batch, cells: Cells | None
) -> dict[str, int]:
    """Counts the proposals of one image, a batch of one, by the level whose anchors they are of or, where the
    anchors are not known, by the level that they are pooled from. Empty where neither can be known.

    cells: the anchors (A, 4) a level around the position 0, 0.
    """
    if PROPOSALS not in samples:
        return {}
    layout = layout_of(contract.config)
    boxes, canvas_px = samples[PROPOSALS].values, batch.images.shape[1:3]
    outside_px = batch.image_sizes[0, ::-1]
    whole = all(samples[name].rows is None for name in layout.rpn_logits)
    if cells is not None and whole:
        found = {}
        for level, logits, deltas in zip(layout.levels, layout.rpn_logits, layout.rpn_deltas, strict=True):
            maps = samples[logits].values, samples[deltas].values
            most = contract.config.get("rpn_pre_nms_test", 1000)
            made = _decoded(cells[level], *maps, canvas_px, most)
            made = np.clip(made, 0, np.tile(outside_px, 2))
            found[level] = len(same_boxes(boxes, made, SAME_PX)[0])
        return found
    if layout.pooled > 1:
        numbers = fpn_levels(boxes, layout.pooled_strides_px).tolist()
        return {level: numbers.count(int(level[1:])) for level in layout.levels[: layout.pooled]}
    return {}


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
