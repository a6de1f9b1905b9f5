"""Pooling on made maps: which level a RoI is pooled from, where its samples lie, and how they are weighed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from maskrt.models.rcnn.layout import PROPOSAL_COUNTS, PROPOSALS
from maskrt.models.rcnn.parity.probes.setting import Setting, around, sizes_of
from maskrt.runtime.parity.inside.knowledge import Finding
from maskrt.runtime.parity.inside.parts import Parts

#: Of a map: which level it is, x and y in px, and then noise.
LEVEL, X, Y, NOISE = 0, 1, 2, 3
SAME = 0.02  # of a cell or a size: half precision of coordinates up to 1000 px is finer than that
SAME_NOISE = 1e-2  # of the noise's power
STAGES = {
    "box_pooling": "box_features",
    "mask_pooling": "mask_features",
    "keypoint_pooling": "keypoint_features",
}


class PoolingProbes:
    """The probes of one of a model's pooling parts."""

    def __init__(self, setting: Setting, part: str, ours: Parts, theirs: Parts) -> None:
        self._setting, self._part, self._sides = setting, part, (ours, theirs)

    def run(self) -> Iterator[Finding]:
        """The level of RoIs of every size, then their samples."""
        boxes = self._rois()
        expected, found = (self._pooled(side, boxes) for side in self._sides)
        if expected.shape != found.shape:
            yield Finding(
                self._part, "samples", f"pools {found.shape[1:]}, the reference {expected.shape[1:]}"
            )
            return
        ours, theirs = (np.rint(side[:, LEVEL].mean(axis=(1, 2))).astype(int) for side in (expected, found))
        levels = self._setting.layout.levels[: self._setting.layout.pooled]
        for number, level in enumerate(levels):
            yield Finding(self._part, f"RoIs of {level}", self._moved(number, levels, boxes, ours, theirs))
        same = ours == theirs
        if same.any():
            yield self._samples(expected[same], found[same])

    def _rois(self) -> NDArray[np.float32]:
        """(R, 4): of every size, in the middle, so that no sample leaves the map."""
        height, width = self._setting.canvas_px
        rows = self._setting.proposals if self._part == "box_pooling" else self._setting.detections
        sizes = np.geomspace(6, 0.8 * min(height, width), min(rows, 60))
        shape = np.random.default_rng(0).uniform(0.9, 1.1, (len(sizes), 2))
        centres = np.array([width, height]) / 2 + np.random.default_rng(1).uniform(-3, 3, (len(sizes), 2))
        return around(centres, sizes * shape[:, 0], sizes * shape[:, 1]).astype(np.float32)

    def _pooled(self, side: Parts, boxes: NDArray) -> NDArray[np.float64]:
        """(R, C, S, S)."""
        setting = self._setting
        given, rows = setting.canvas(), len(boxes)
        for number, level in enumerate(setting.layout.levels[: setting.layout.pooled]):
            given[level] = self._map(number, level)
        if self._part == "box_pooling":
            filled = np.zeros((1, setting.proposals, 4), np.float32)
            filled[0, :rows] = boxes
            given |= {PROPOSALS: filled, PROPOSAL_COUNTS: np.array([rows], np.int32)}
        else:
            filled = np.zeros((1, setting.detections, 4), np.float32)
            filled[0, :rows] = boxes
            given |= {"boxes": filled, "num_detections": np.array([rows], np.int32)}
        return side.run(self._part, given)[STAGES[self._part]][:rows].astype(np.float64)

    def _map(self, number: int, level: str) -> NDArray[np.float32]:
        rows, columns = self._setting.map_px(level)
        height, width = self._setting.canvas_px
        values = np.random.default_rng(number).normal(size=(1, self._setting.channels, rows, columns))
        values[0, LEVEL] = number
        values[0, X] = (np.arange(columns) / columns * width)[None]
        values[0, Y] = (np.arange(rows) / rows * height)[:, None]
        return values.astype(np.float32)

    def _moved(
        self, number: int, levels: tuple[str, ...], boxes: NDArray, ours: NDArray, theirs: NDArray
    ) -> str:
        """Which RoIs of a level are pooled from another."""
        wrong = (ours == number) & (theirs != number)
        if not wrong.any():
            return ""
        sides_px = np.sqrt(np.prod(sizes_of(boxes[wrong]), axis=1))
        instead = ", ".join(
            levels[other] if 0 <= other < len(levels) else "none" for other in np.unique(theirs[wrong])
        )
        return (
            f"RoIs of {sides_px.min():.0f} to {sides_px.max():.0f} px are pooled from {instead}, "
            "another level "
            f"of the pyramid than the reference's {levels[number]}"
        )

    def _samples(self, expected: NDArray, found: NDArray) -> Finding:
        """Where the samples of RoIs lie that both sides pool from one level."""
        about = "samples"
        levels = np.rint(expected[:, LEVEL].mean(axis=(1, 2))).astype(int)
        strides = np.array(self._setting.layout.pooled_strides_px)[levels]
        moved, grown = [], []
        for channel, axis in ((X, 2), (Y, 1)):
            ours, theirs = (side[:, channel].mean(axis=3 - axis) for side in (expected, found))
            moved.append((theirs - ours).mean(axis=1) / strides)
            steps = (np.diff(side, axis=1).mean(axis=1) for side in (theirs, ours))
            with np.errstate(divide="ignore", invalid="ignore"):
                grown.append(np.divide(*steps))
        noise = np.square(found - expected)[:, NOISE:].sum() / np.square(expected[:, NOISE:]).sum()
        if noise <= SAME_NOISE**2:
            return Finding(self._part, about)
        dx, dy = (float(np.nanmedian(one)) for one in moved)
        wide, high = (float(np.nanmedian(one)) for one in grown)
        if max(abs(wide - 1), abs(high - 1)) > SAME:
            return Finding(
                self._part, about, f"RoIs are pooled {wide:.3g} times as wide and {high:.3g} times as high"
            )
        if max(abs(dx), abs(dy)) > SAME:
            aligned = ": half a pixel (aligned)" if abs(abs(dx) - 0.5) < SAME and abs(dx - dy) < SAME else ""
            return Finding(
                self._part, about, f"samples lie ({dx:+.2g}, {dy:+.2g}) cells off on every level{aligned}"
            )
        return Finding(
            self._part,
            about,
            f"samples lie where the reference's do on average, and yet {noise:.1%} of the power "
            "differs: another "
            "number of samples a bin, or another way to weigh them",
        )
