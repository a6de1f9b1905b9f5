"""The choice of proposals on made maps: every level's anchors, their decoding, and each limit of the choice.

A map's logits and deltas are set so that a box comes to lie where it is wanted, and whether it is among the
proposals shows one thing at a time. Blank positions have a logit that none of the others comes near.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from maskrt.models.rcnn.layout import PROPOSAL_COUNTS, PROPOSALS
from maskrt.models.rcnn.parity.probes.setting import (
    Setting,
    around,
    centres_of,
    places,
    sizes_of,
    there,
)
from maskrt.models.rcnn.parity.probes.sweeps import STEP, border_cause, ious_to_try, pairs, turning_point
from maskrt.runtime.parity.inside.knowledge import Finding
from maskrt.runtime.parity.inside.parts import Parts

PART = "proposals"
BLANK = -40.0
VANISHING = -30.0  # of dw and dh: nothing is left of the box, and no proposal is made of it
SHRUNK_PX = 20.0  # the shorter side of an anchor then: none reaches the border or its neighbour
SAME = 1e-3  # of a size; half precision of the RPN's head is cast before anything is decoded
BOX_PX = 16.0
RANKS = 150  # between the first and the last: each 5% further down


class ProposalProbes:
    """The probes of one model's part."""

    def __init__(self, setting: Setting, ours: Parts, theirs: Parts) -> None:
        self._setting = setting
        self._finest = setting.layout.levels[0]
        self._sides = ours, theirs

    def run(self) -> Iterator[Finding]:
        """All there are, the most elementary first."""
        gains = self._gains()
        yield gains
        anchors = list(self._anchors(known=bool(gains.cause)))
        yield from anchors
        if gains.cause or any(one.cause for one in anchors):  # the probes below need right anchors
            yield from self._at_random()
            return
        least = self._least_side()
        yield least
        if least.cause:
            return
        yield self._growth()
        yield self._clip()
        yield self._nms()
        yield self._score()
        yield self._rows_a_level()
        yield self._rows()
        yield from self._at_random()

    def _boxes(self, given: dict[str, NDArray]) -> tuple[NDArray, NDArray]:
        """The proposals of both sides, (A, 4) and (B, 4)."""
        found = []
        for side in self._sides:
            made = side.run(PART, given)
            found.append(made[PROPOSALS][0, : int(made[PROPOSAL_COUNTS][0])].astype(np.float64))
        return found[0], found[1]

    def _blank(self, valid_px: tuple[int, int] | None = None) -> dict[str, NDArray]:
        setting, layout = self._setting, self._setting.layout
        given = setting.canvas(valid_px)
        for level, logits, deltas in zip(layout.levels, layout.rpn_logits, layout.rpn_deltas, strict=True):
            anchors = len(setting.cells[level])
            given[logits] = np.full((1, anchors, *setting.map_px(level)), BLANK, np.float32)
            given[deltas] = np.zeros((1, 4 * anchors, *setting.map_px(level)), np.float32)
            for size in (2, 3):
                given[deltas][:, size::4] = VANISHING
            given[level] = np.zeros((1, setting.channels, *setting.map_px(level)), np.float32)
        return given

    def _anchor(self, level: str, kind: int, row: NDArray, column: NDArray) -> NDArray:
        """(R, 4) anchors of one kind at cells of a level."""
        down, across = self._setting.stride_px(level)
        shift = np.stack([column * across, row * down] * 2, axis=1)
        return self._setting.cells[level][kind].astype(np.float64) + shift

    def _put(self, given: dict[str, NDArray], level: str, boxes: NDArray, logits: NDArray) -> None:
        """Make boxes (R, 4) proposals of a level, each by the first anchor of a cell of its own."""
        layout = self._setting.layout
        number = layout.levels.index(level)
        rows, columns = self._setting.map_px(level)
        cells = np.linspace(0, rows * columns - 1, len(boxes)).astype(int)
        assert len(np.unique(cells)) == len(boxes), f"{level} has too few cells for {len(boxes)} boxes"
        row, column = np.divmod(cells, columns)
        anchors = self._anchor(level, 0, row, column)
        deltas = np.hstack(
            [
                (centres_of(boxes) - centres_of(anchors)) / sizes_of(anchors),
                np.log(np.maximum(sizes_of(boxes), 1e-9) / sizes_of(anchors)),
            ]
        )
        given[layout.rpn_logits[number]][0, 0, row, column] = logits
        given[layout.rpn_deltas[number]][0, :4, row, column] = deltas

    def _gains(self) -> Finding:
        """How much a delta moves a box by."""
        level, kind = self._finest, 0
        given = self._blank()
        layout, (height, width) = self._setting.layout, self._setting.canvas_px
        down, across = self._setting.stride_px(level)
        centres = places(5, height, width)
        row, column = (centres[:, 1] / down).astype(int), (centres[:, 0] / across).astype(int)
        deltas = np.zeros((5, 4))
        deltas[np.arange(1, 5), np.arange(4)] = STEP
        given[layout.rpn_logits[0]][0, kind, row, column] = 9.0 - np.arange(5)
        given[layout.rpn_deltas[0]][0, :4, row, column] = deltas
        ours, theirs = self._boxes(given)
        anchors = self._anchor(level, kind, row, column)
        gains = [_gains(_nearest(anchors, side), anchors) for side in (ours, theirs)]
        about = "decoding of box deltas"
        if not np.abs(gains[0] - gains[1]).max() > 0.02:  # nor where there is nothing to measure
            return Finding(PART, about)
        said = ", ".join(
            f"{name} {gain:.2f}" for name, gain in zip(("dx", "dy", "dw", "dh"), gains[1], strict=True)
        )
        return Finding(
            PART, about, f"proposals are decoded with other delta weights: {said} times what is given"
        )

    def _anchors(self, *, known: bool) -> Iterator[Finding]:
        """Each anchor of each level, shrunk. known: whether the decoding is wrong already."""
        setting, layout = self._setting, self._setting.layout
        kinds = [(level, kind) for level in layout.levels for kind in range(len(setting.cells[level]))]
        given, wanted = self._blank(), []
        for number, ((level, kind), place) in enumerate(
            zip(kinds, places(len(kinds), *setting.canvas_px), strict=True)
        ):
            down, across = setting.stride_px(level)
            rows, columns = setting.map_px(level)
            row, column = min(int(place[1] / down), rows - 1), min(int(place[0] / across), columns - 1)
            index = layout.levels.index(level)
            anchor = self._anchor(level, kind, np.array([row]), np.array([column]))
            shrunk = SHRUNK_PX / sizes_of(anchor).min()
            given[layout.rpn_logits[index]][0, kind, row, column] = 10 - 10 * number / len(kinds)
            given[layout.rpn_deltas[index]][0, 4 * kind + 2 : 4 * kind + 4, row, column] = np.log(shrunk)
            wanted.append(around(centres_of(anchor), *(sizes_of(anchor)[0] * shrunk))[0])
        ours, theirs = self._boxes(given)
        expected = _nearest(np.array(wanted), ours)
        found = _nearest(expected, theirs)
        field_px = np.sqrt(np.prod(setting.canvas_px) / len(kinds))
        found[np.linalg.norm(centres_of(found) - centres_of(expected), axis=1) > field_px * 0.75] = np.nan
        for level in layout.levels:
            rows_of = [number for number, (name, _) in enumerate(kinds) if name == level]
            cause = "" if known else self._of_level(level, expected[rows_of], found[rows_of])
            yield Finding(PART, f"anchors of {level}", cause)

    def _of_level(self, level: str, expected: NDArray, found: NDArray) -> str:
        kinds = len(expected)
        if np.isnan(found).any(axis=1).all():
            return f"anchors of {level}: none of its {kinds} kinds is decoded where the reference has it"
        moved = centres_of(found) - centres_of(expected)
        ratio = sizes_of(found) / sizes_of(expected)
        wrong = ~((np.abs(ratio - 1).max(axis=1) <= SAME) & (np.abs(moved).max(axis=1) <= 0.05))
        if not wrong.any():
            return ""
        if np.isnan(found[wrong]).all():
            return f"anchors of {level}: {np.count_nonzero(wrong)} of {kinds} kinds are not decoded"
        dx, dy = np.nanmedian(moved[wrong], axis=0)
        wide, high = np.nanmedian(ratio[wrong], axis=0)
        down, across = self._setting.stride_px(level)
        which = "" if wrong.all() else f" ({np.count_nonzero(wrong)} of {kinds} kinds)"
        said = []
        if max(abs(wide - 1), abs(high - 1)) > SAME:
            said.append(f"of another size, {wide:.3g} times as wide and {high:.3g} times as high")
        if max(abs(dx), abs(dy)) > 0.05:
            said.append(
                f"moved by ({dx:+.3g}, {dy:+.3g}) px, ({dx / across:+.2g}, {dy / down:+.2g}) of a stride"
            )
        return f"anchors of {level}{which}: {' and '.join(said) or 'not decoded'}"

    def _growth(self) -> Finding:
        """How far a box may grow: large dw and dh are clamped."""
        given, layout = self._blank(), self._setting.layout
        height, width = self._setting.canvas_px
        down, across = self._setting.stride_px(self._finest)
        row, column = np.array([int(height / 2 / down)]), np.array([int(width / 2 / across)])
        largest = []
        for side in range(2):
            steps = []
            for growth in np.arange(0.5, 6.1, 0.5):
                given[layout.rpn_logits[0]][0, 0, row, column] = 9.0
                given[layout.rpn_deltas[0]][0, 2:4, row, column] = growth
                made = self._sides[side].run(PART, given)
                steps.append(sizes_of(made[PROPOSALS][0, :1]).max() if made[PROPOSAL_COUNTS][0] else 0.0)
            largest.append(np.array(steps))
        cell = sizes_of(self._anchor(self._finest, 0, row, column)).max()
        if np.abs(largest[0] - largest[1]).max() <= 0.05 + SAME * largest[0].max():
            return Finding(PART, "clamp of a proposal's growth")
        return Finding(
            PART,
            "clamp of a proposal's growth",
            f"a proposal grows to {largest[1].max() / cell:.3g} times its anchor at most, the reference's to "
            f"{largest[0].max() / cell:.3g} times: another clamp of dw and dh, or of the border",
        )

    def _clip(self) -> Finding:
        """Boxes beyond each border of a picture smaller than its canvas."""
        height, width = self._setting.canvas_px
        valid = height - 40, width - 24
        given = self._blank(valid)
        centres = np.array([[0, height / 2], [width / 2, 0], [width, height / 3], [width / 3, height]])
        boxes = around(centres, 160.0, 120.0)
        self._put(given, self._finest, boxes, 9.0 - np.arange(4.0))
        ours, theirs = self._boxes(given)
        return Finding(PART, "clipping of proposals", border_cause(boxes, ours[:4], theirs, "proposals"))

    def _least_side(self) -> Finding:
        values = 2.0 ** np.arange(-14, 6)
        centres = places(len(values), *self._setting.canvas_px)
        boxes = around(centres, values, values)
        kept = self._kept(boxes, np.linspace(9, 6, len(values)), within_px=1e-5)
        said = turning_point(values, *kept)
        cause = f"proposals are kept from a least side in px {said}" if said else ""
        return Finding(PART, "least side of a proposal", cause)

    def _nms(self) -> Finding:
        values = ious_to_try(self._setting.proposals // 2, self._room())
        boxes, seconds = pairs(values, self._setting.canvas_px, BOX_PX)
        logits = np.concatenate([np.full(len(values), 9.0), np.full(len(values), 6.0)])
        kept = self._kept(np.vstack([boxes, seconds]), logits - np.linspace(0, 1, len(logits)), of=seconds)
        said = turning_point(values, *kept)
        cause = f"NMS of the proposals drops from an IoU {said}: another threshold" if said else ""
        return Finding(PART, "NMS of the proposals", cause)

    def _score(self) -> Finding:
        values = np.linspace(-12.13, 7.87, 41)
        boxes = around(places(len(values), *self._setting.canvas_px), BOX_PX, BOX_PX)
        said = turning_point(values, *self._kept(boxes, values))
        cause = f"proposals are kept from a logit {said}: another score threshold" if said else ""
        return Finding(PART, "score threshold of the proposals", cause)

    def _rows_a_level(self) -> Finding:
        """How many of a level contend: all positions give one box, but for some ranks that give their own."""
        level, setting, given = self._finest, self._setting, self._blank()
        rows, columns = setting.map_px(level)
        count = rows * columns
        steps = min(RANKS, setting.proposals - 2)
        ranks = np.unique(np.geomspace(10, count * 0.98, steps).astype(int))
        height, width = setting.canvas_px
        own = around(places(len(ranks) + 1, height, width), BOX_PX, BOX_PX)
        boxes = np.repeat(own[-1:], count, axis=0)
        boxes[ranks] = own[:-1]
        self._put(given, level, boxes, np.linspace(12, -12, count))
        ours, theirs = self._boxes(given)
        said = turning_point(ranks.astype(float), there(own[:-1], ours), there(own[:-1], theirs))
        cause = (
            f"proposals of a level contend up to rank {said}: another number a level before NMS"
            if said
            else ""
        )
        return Finding(PART, "number of contenders a level", cause)

    def _rows(self) -> Finding:
        """How many are kept in all."""
        level, given = self._finest, self._blank()
        count = min(2 * self._setting.proposals, self._room())
        boxes = around(places(count, *self._setting.canvas_px), 3.0, 3.0)
        self._put(given, level, boxes, np.linspace(12, -12, count))
        ours, theirs = (np.count_nonzero(there(boxes, side)) for side in self._boxes(given))
        cause = "" if ours == theirs else f"{theirs} proposals are kept at most, the reference keeps {ours}"
        return Finding(PART, "number of proposals", cause)

    def _at_random(self) -> Iterator[Finding]:
        """Random maps of one level at a time."""
        layout = self._setting.layout
        for number, level in enumerate(layout.levels):
            random, given = np.random.default_rng(number), self._blank()
            given[layout.rpn_logits[number]][:] = random.normal(0, 3, given[layout.rpn_logits[number]].shape)
            given[layout.rpn_deltas[number]][:] = random.normal(
                0, 0.3, given[layout.rpn_deltas[number]].shape
            )
            ours, theirs = self._boxes(given)
            most = max(len(ours), len(theirs), 1)
            share = np.count_nonzero(there(ours, theirs)) / most
            cause = (
                ""
                if share >= 0.95
                else f"of random maps of {level} {share:.0%} of the proposals are the same"
            )
            yield Finding(PART, f"proposals of {level}", cause, named=False)

    def _kept(
        self, boxes: NDArray, logits: NDArray, of: NDArray | None = None, within_px: float = 0.05
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which of the boxes, or of those named, each side keeps."""
        given = self._blank()
        self._put(given, self._finest, boxes, logits)
        wanted = boxes if of is None else of
        ours, theirs = self._boxes(given)
        return there(wanted, ours, within_px), there(wanted, theirs, within_px)

    def _room(self) -> int:
        """Boxes that the finest level has cells for."""
        return int(np.prod(self._setting.map_px(self._finest))) // 2


def _nearest(wanted: NDArray, found: NDArray) -> NDArray:
    """For each box wanted (R, 4) the nearest of those found by its centre; NaN where none is."""
    if not len(found):
        return np.full_like(wanted, np.nan)
    apart = np.linalg.norm(centres_of(wanted)[:, None] - centres_of(found)[None], axis=2)
    sizes = np.abs(sizes_of(wanted)[:, None] - sizes_of(found)[None]).max(axis=2)
    return found[(apart + 0.1 * sizes).argmin(axis=1)]


def _gains(boxes: NDArray, anchors: NDArray) -> NDArray:
    """(4,): how often each delta of STEP counts. boxes: one without a delta, then one a delta, each of the
    anchor in the same row."""
    moved = (centres_of(boxes) - centres_of(anchors)) / sizes_of(anchors) / STEP
    grown = np.log(sizes_of(boxes) / sizes_of(boxes)[:1]) / STEP
    return np.array([moved[1, 0] - moved[0, 0], moved[2, 1] - moved[0, 1], grown[3, 0], grown[4, 1]])
