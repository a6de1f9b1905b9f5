"""The choice of detections on made scores and deltas: classes, scores, decoding, each limit of the choice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskrt.models.rcnn.layout import BOX_DELTAS, CLASS_LOGITS, PROPOSAL_COUNTS, PROPOSALS
from maskrt.models.rcnn.parity.probes.setting import (
    Setting,
    around,
    centres_of,
    places,
    sizes_of,
    there,
)
from maskrt.models.rcnn.parity.probes.sweeps import STEP, border_cause, pairs, turning_point
from maskrt.runtime.parity.inside.knowledge import Finding
from maskrt.runtime.parity.inside.parts import Parts

PART = "detections"
NONE = -40.0  # a class's logit where it has no share in the probability
SURE = 12.0
BOX_PX = 16.0
LARGE_PX = 60.0  # of boxes that may overlap, being of different classes
SAME_SCORE = 1e-4


@dataclass(frozen=True)
class Found:
    """Detections of one side: boxes (D, 4), scores and labels (D,)."""

    boxes: NDArray
    scores: NDArray
    labels: NDArray


class DetectionProbes:
    """The probes of one model's part."""

    def __init__(self, setting: Setting, ours: Parts, theirs: Parts) -> None:
        self._setting, self._sides = setting, (ours, theirs)
        self._rows = min(setting.detections, setting.proposals)

    def run(self) -> Iterator[Finding]:
        """All there are, the most elementary first."""
        labels = self._labels()
        yield labels
        yield self._scores()
        if labels.cause:  # the probes below match instances by their class
            return
        least = self._least_side()
        yield least
        if least.cause:
            return
        yield self._gains()
        yield self._growth()
        yield self._clip()
        yield self._nms()
        yield self._classes_apart()
        yield self._threshold()
        yield self._count()

    def _found(
        self,
        boxes: NDArray,
        labels: NDArray,
        logits: NDArray | float = SURE,
        deltas: NDArray | None = None,
        valid_px: tuple[int, int] | None = None,
    ) -> tuple[Found, Found]:
        """What both sides find of proposals (R, 4) that are of classes (R,), 0 the first after the
        background, by logits over the background's 0. deltas: (R, 4)."""
        setting, count = self._setting, len(boxes)
        given = setting.canvas(valid_px)
        proposals = np.zeros((1, setting.proposals, 4), np.float32)
        proposals[0, :count] = boxes
        scores = np.full((setting.proposals, setting.classes + 1), NONE, np.float32)
        scores[:, 0] = 0
        scores[np.arange(count), labels + 1] = logits
        moves = np.zeros((setting.proposals, setting.classes + 1, 4), np.float32)
        if deltas is not None:
            moves[np.arange(count), labels + 1] = deltas
        given |= {
            PROPOSALS: proposals,
            PROPOSAL_COUNTS: np.array([count], np.int32),
            CLASS_LOGITS: scores,
            BOX_DELTAS: moves.reshape(setting.proposals, -1),
        }
        found = []
        for side in self._sides:
            made = side.run(PART, given)
            rows = slice(0, int(made["num_detections"][0]))
            found.append(Found(*(made[name][0, rows] for name in ("boxes", "scores", "labels"))))
        return found[0], found[1]

    def _grid(self, count: int) -> NDArray:
        return around(places(count, *self._setting.canvas_px), BOX_PX, BOX_PX)

    def _labels(self) -> Finding:
        """Every class once, each in a place of its own."""
        wrong: dict[int, int] = {}
        for first in range(0, self._setting.classes, self._rows):
            labels = np.arange(first, min(first + self._rows, self._setting.classes))
            boxes = around(places(len(labels), *self._setting.canvas_px), LARGE_PX, LARGE_PX)
            ours, theirs = self._found(boxes, labels)
            wrong |= {
                a: b
                for a, b in zip(_labels_at(boxes, ours), _labels_at(boxes, theirs), strict=True)
                if a != b
            }
        about = f"each of {self._setting.classes} classes"
        if not wrong:
            return Finding(PART, about)
        offsets = {b - a for a, b in wrong.items() if b >= 0}
        lost = sum(b < 0 for b in wrong.values())
        if len(offsets) == 1 and not lost:
            cause = f"labels off by {offsets.pop():+d}: class index"
        else:
            a, b = next(iter(wrong.items()))
            one = f"class {a} is " + (f"called {b}" if b >= 0 else "not found")
            cause = f"{len(wrong)} of {self._setting.classes} classes are taken for others or lost: {one}"
        return Finding(PART, about, cause)

    def _scores(self) -> Finding:
        """Scores of two classes that compete."""
        logits = np.linspace(-2, 3, min(self._rows, 20))
        boxes, labels = self._grid(len(logits)), np.zeros(len(logits), int)
        ours, theirs = self._found(boxes, labels, logits)
        expected, found = (_scores_at(boxes, side) for side in (ours, theirs))
        both = np.isfinite(expected) & np.isfinite(found)
        about = "scores"
        if not both.any() or np.abs(expected - found)[both].max() <= SAME_SCORE:
            return Finding(PART, about)
        worst = int(np.argmax(np.where(both, np.abs(expected - found), 0)))
        return Finding(
            PART,
            about,
            f"of equal logits a score of {found[worst]:.4g} is made where the reference makes "
            f"{expected[worst]:.4g}: "
            "another softmax, or logits scaled",
        )

    def _gains(self) -> Finding:
        boxes, labels = self._grid(5), np.zeros(5, int)
        deltas = np.zeros((5, 4))
        deltas[np.arange(1, 5), np.arange(4)] = 10 * STEP
        gains = []
        for side in self._found(boxes, labels, deltas=deltas):
            found = _nearest(boxes, side.boxes)
            moved = (centres_of(found) - centres_of(boxes)) / BOX_PX / (10 * STEP)
            grown = np.log(sizes_of(found) / BOX_PX) / (10 * STEP)
            gains.append(np.array([moved[1, 0], moved[2, 1], grown[3, 0], grown[4, 1]]))
        if not np.abs(gains[1] / gains[0] - 1).max() > 0.02:
            return Finding(PART, "decoding of box deltas")
        said = ", ".join(
            f"{name} {1 / gain:.3g} where the reference has {1 / right:.3g}"
            for name, right, gain in zip(("dx", "dy", "dw", "dh"), *gains, strict=True)
            if abs(gain / right - 1) > 0.02
        )
        return Finding(PART, "decoding of box deltas", f"boxes are decoded with other weights: {said}")

    def _growth(self) -> Finding:
        centre = np.array([self._setting.canvas_px[::-1]]) / 2
        largest: tuple[list[float], list[float]] = ([], [])
        for growth in np.arange(2.5, 61, 5):
            deltas = np.array([[0, 0, growth, growth]])
            found = self._found(around(centre, 4.0, 4.0), np.zeros(1, int), deltas=deltas)
            for side, sizes in zip(found, largest, strict=True):
                sizes.append(sizes_of(side.boxes).max() if len(side.boxes) else 0.0)
        apart = np.abs(np.array(largest[0]) - np.array(largest[1])).max()
        about = "clamp of a box's growth"
        if apart <= 0.05 + 1e-3 * max(largest[0]):
            return Finding(PART, about)
        return Finding(
            PART,
            about,
            f"a box grows to {max(largest[1]) / 4:.3g} times its proposal at most, the reference's to "
            f"{max(largest[0]) / 4:.3g} times: another clamp of dw and dh, or of the border",
        )

    def _clip(self) -> Finding:
        height, width = self._setting.canvas_px
        centres = np.array([[0, height / 2], [width / 2, 0], [width, height / 3], [width / 3, height]])
        boxes = around(centres, 160.0, 120.0)
        ours, theirs = self._found(boxes, np.zeros(4, int), valid_px=(height - 40, width - 24))
        return Finding(PART, "clipping of boxes", border_cause(boxes, ours.boxes, theirs.boxes, "boxes"))

    def _least_side(self) -> Finding:
        values = 2.0 ** np.arange(-14, 7)
        boxes = around(places(len(values), *self._setting.canvas_px), values, values)
        kept = (there(boxes, side.boxes, 1e-5) for side in self._found(boxes, np.zeros(len(boxes), int)))
        said = turning_point(values, *kept)
        return Finding(
            PART, "least side of a box", f"boxes are kept from a least side in px {said}" if said else ""
        )

    def _nms(self) -> Finding:
        ious = np.linspace(0.025, 0.975, 96)
        a_time, kept = max(1, self._rows // 2), []
        for first in range(0, len(ious), a_time):
            some = ious[first : first + a_time]
            boxes, seconds = pairs(some, self._setting.canvas_px, BOX_PX)
            logits = np.concatenate([np.full(len(some), SURE), np.full(len(some), SURE - 2)])
            found = self._found(np.vstack([boxes, seconds]), np.zeros(2 * len(some), int), logits)
            kept.append([there(seconds, side.boxes) for side in found])
        said = turning_point(ious, *(np.concatenate(side) for side in zip(*kept, strict=True)))
        return Finding(
            PART, "NMS", f"NMS of the detections drops from an IoU {said}: another threshold" if said else ""
        )

    def _classes_apart(self) -> Finding:
        """One box of two classes is two instances, and the same of any two."""
        about = "NMS by class"
        if self._setting.classes < 2:
            return Finding(PART, about)
        count = min(self._setting.classes, self._rows // 2 * 2) // 2 * 2
        boxes = np.repeat(self._grid(count // 2), 2, axis=0)
        logits = np.tile([SURE, SURE - 2], count // 2)
        ours, theirs = (len(side.boxes) for side in self._found(boxes, np.arange(count), logits))
        if ours == theirs:
            return Finding(PART, about)
        return Finding(
            PART,
            about,
            f"of {count} boxes, each two of them in one place and of two classes, {theirs} are kept, the "
            f"reference keeps {ours}: NMS across classes, or not by class",
        )

    def _threshold(self) -> Finding:
        scores = np.linspace(0.0025, 0.9975, 200)
        kept = []
        for first in range(0, len(scores), self._rows):
            some = scores[first : first + self._rows]
            boxes = self._grid(len(some))
            found = self._found(boxes, np.zeros(len(some), int), np.log(some / (1 - some)))
            kept.append([there(boxes, side.boxes) for side in found])
        said = turning_point(scores, *(np.concatenate(side) for side in zip(*kept, strict=True)))
        cause = f"detections are kept from a score {said}: another score threshold" if said else ""
        return Finding(PART, "score threshold", cause)

    def _count(self) -> Finding:
        boxes = around(places(self._setting.proposals, *self._setting.canvas_px), 3.0, 3.0)
        logits = np.linspace(SURE, 2, len(boxes))
        ours, theirs = self._found(boxes, np.zeros(len(boxes), int), logits)
        about = "number of detections"
        if len(ours.boxes) != len(theirs.boxes):
            return Finding(
                PART,
                about,
                f"{len(theirs.boxes)} detections are kept at most, the reference keeps {len(ours.boxes)}",
            )
        if np.abs(ours.scores - theirs.scores).max(initial=0) > 10 * SAME_SCORE:
            return Finding(PART, about, "the detections come in another order than that of their scores")
        return Finding(PART, about)


def _labels_at(boxes: NDArray, found: Found) -> list[int]:
    """The class found at each box, −1 where none is."""
    if not len(found.boxes):
        return [-1] * len(boxes)
    apart = np.abs(boxes[:, None] - found.boxes[None]).max(axis=2)
    return [int(found.labels[row.argmin()]) if row.min() < BOX_PX / 2 else -1 for row in apart]


def _scores_at(boxes: NDArray, found: Found) -> NDArray:
    """The score at each box, NaN where there is none."""
    if not len(found.boxes):
        return np.full(len(boxes), np.nan)
    apart = np.abs(boxes[:, None] - found.boxes[None]).max(axis=2)
    return np.where(apart.min(axis=1) < BOX_PX / 2, found.scores[apart.argmin(axis=1)], np.nan)


def _nearest(boxes: NDArray, found: NDArray) -> NDArray:
    """For each box the nearest of those found, by its centre; NaN where there is none."""
    if not len(found):
        return np.full(boxes.shape, np.nan)
    apart = np.linalg.norm(centres_of(boxes)[:, None] - centres_of(found)[None], axis=2)
    return found[apart.argmin(axis=1)]
