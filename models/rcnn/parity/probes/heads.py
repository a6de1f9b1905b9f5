"""The heads on random features: every class and every point once, whatever the images show."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from maskrt.models.rcnn.layout import (
    BOX_DELTAS,
    BOX_FEATURES,
    CLASS_LOGITS,
    KEYPOINT_FEATURES,
    KEYPOINT_LOGITS,
    MASK_FEATURES,
    MASK_LOGITS,
)
from maskrt.models.rcnn.parity.probes.setting import Setting
from maskrt.runtime.parity.inside.knowledge import Finding
from maskrt.runtime.parity.inside.parts import Parts
from maskrt.runtime.parity.inside.stages import measure
from maskrt.runtime.parity.tolerances import StageTolerance

ROWS = 32
NAMES = 3  # of classes, shown
OTHER_CLASSES = (-2, -1, 1, 2)


class HeadProbes:
    """The probes of a model's heads."""

    def __init__(self, setting: Setting, ours: Parts, theirs: Parts, limit: StageTolerance) -> None:
        self._setting, self._sides, self._limit = setting, (ours, theirs), limit

    def box_head(self) -> Iterator[Finding]:
        """Logits and deltas of every class."""
        config, count = self._setting.contract.config, self._setting.proposals
        side = int(config.get("box_roi_size", 7))
        features = self._features(count, self._setting.channels, side)
        ours, theirs = (one.run("box_head", {BOX_FEATURES: features}) for one in self._sides)
        for stage, each in ((CLASS_LOGITS, 1), (BOX_DELTAS, 4)):
            expected, found = (made[stage].reshape(count, -1, each) for made in (ours, theirs))
            if expected.shape != found.shape:
                cause = f"{stage} of {found.shape[1]} classes, the reference has {expected.shape[1]}"
                yield Finding("box_head", stage, cause)
                continue
            scale = float(np.ptp(expected))
            wrong = [
                number
                for number in range(expected.shape[1])
                if self._differ(expected[:, number], found[:, number], scale)
            ]
            yield Finding("box_head", stage, self._of_classes(stage, [n - 1 for n in wrong]))

    def mask_head(self) -> Iterator[Finding]:
        """The mask of every class."""
        wrong: list[int] = []
        offsets: set[int] = set()
        rows = self._setting.detections
        features = self._features(
            rows, self._setting.channels, int(self._setting.contract.config.get("mask_roi_size", 14))
        )
        for first in range(0, self._setting.classes, rows):
            classes = (first + np.arange(rows)) % self._setting.classes
            expected, found = (self._masks(side, features, classes) for side in self._sides)
            scale = float(np.ptp(expected))
            bad = [row for row in range(rows) if self._differ(expected[row], found[row], scale)]
            wrong += [int(classes[row]) for row in bad]
            if bad:
                offsets |= self._taken_for(features, classes, found, bad, scale)
        known = f": the mask of the class {offsets.pop():+d} is taken" if len(offsets) == 1 else ""
        yield Finding(
            "mask_head",
            MASK_LOGITS,
            self._of_classes(MASK_LOGITS, sorted(set(wrong))) + (known if wrong else ""),
        )

    def keypoint_head(self) -> Iterator[Finding]:
        """The heat map of every point."""
        config, contract = self._setting.contract.config, self._setting.contract
        features = self._features(
            self._setting.detections, self._setting.channels, int(config["keypoint_roi_size"])
        )
        expected, found = (
            side.run("keypoint_head", {KEYPOINT_FEATURES: features})[KEYPOINT_LOGITS] for side in self._sides
        )
        assert contract.options.keypoints is not None
        scale = float(np.ptp(expected))
        wrong = [
            name
            for number, name in enumerate(contract.options.keypoints.names)
            if self._differ(expected[:, number], found[:, number], scale)
        ]
        cause = (
            f"{KEYPOINT_LOGITS} differ of {len(wrong)} points ({', '.join(wrong[:NAMES])})" if wrong else ""
        )
        yield Finding("keypoint_head", KEYPOINT_LOGITS, cause)

    def _masks(self, side: Parts, features: NDArray, classes: NDArray) -> NDArray:
        rows = len(classes)
        given = {
            MASK_FEATURES: features,
            "labels": classes.astype(np.int32)[None],
            "num_detections": np.array([rows], np.int32),
        }
        return side.run("mask_head", given)[MASK_LOGITS][:rows]

    def _taken_for(
        self, features: NDArray, classes: NDArray, found: NDArray, bad: list[int], scale: float
    ) -> set[int]:
        """Offsets of a class whose masks are what was found for all of the wrong rows."""
        explained = set()
        for offset in OTHER_CLASSES:
            other = (classes + offset) % self._setting.classes
            guess = self._masks(self._sides[0], features, other)
            inside = [row for row in bad if 0 <= classes[row] + offset < self._setting.classes]
            if inside and not any(self._differ(guess[row], found[row], scale) for row in inside):
                explained.add(offset)
        return explained

    def _differ(self, expected: NDArray, found: NDArray, scale: float) -> bool:
        """True if two tensors differ by more than the tolerance; scale: the range of the whole stage, since a
        class whose values are all near zero says nothing of its own rounding."""
        if not np.isfinite(found).all():
            return True
        noise = float(np.abs(found.astype(np.float64) - expected).max())
        error = measure("", expected.astype(np.float32), found.astype(np.float32), self._limit)
        return bool(error.reason) and noise > self._limit.relative_error * scale

    def _of_classes(self, stage: str, wrong: list[int]) -> str:
        if not wrong:
            return ""
        names = ["background", *self._setting.contract.class_names]
        shown = ", ".join(names[number + 1] for number in wrong[:NAMES])
        more = f" and {len(wrong) - NAMES} more" if len(wrong) > NAMES else ""
        return f"{stage} differ for {shown}{more}"

    def _features(self, rows: int, channels: int, side: int) -> NDArray[np.float32]:
        """(R, C, S, S), as after a ReLU."""
        values = np.abs(np.random.default_rng(0).normal(size=(min(rows, ROWS), channels, side, side)))
        return np.resize(values, (rows, channels, side, side)).astype(np.float32)
