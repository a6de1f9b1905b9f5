"""The instances that differ most, as pictures: taken when they are seen, so that no image must be kept."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.boxes import box_iou
from maskrt.runtime.reports.html_page import jpeg_url
from maskrt.runtime.tasks.answers import Case
from maskrt.runtime.tasks.instances.compare.flips import Flips
from maskrt.runtime.tasks.instances.compare.match import Matching, Pair
from maskrt.runtime.tasks.instances.result import Result

KEPT = 8
MARGIN = 0.25  # of the box's longer side, shown around it
SIDE_PX = 240  # of a picture, at most
REFERENCE_RGB, CANDIDATE_RGB, BOTH_RGB = (64, 128, 255), (255, 144, 32), (64, 220, 96)
OPACITY = 0.5


@dataclass
class WorstCases:
    """The `KEPT` worst instances of all images."""

    cases: list[Case] = field(default_factory=list)

    def add(
        self,
        name: str,
        canvas: NDArray,
        reference: Result,
        candidate: Result,
        matching: Matching,
        flips: Flips,
    ) -> None:
        """Look through one image. canvas: (H, W, 3), RGB 0–255; results in its pixels."""
        rows: list[tuple[float, str, int | None, int | None]] = [
            (
                1 - iou,
                f"{what} {iou:.4f}, box {p.box_difference_px:.3g} px{_points(p)}",
                p.reference,
                p.candidate,
            )
            for p in matching.pairs
            for what, iou in [_overlap(p, reference, candidate)]
        ]
        rows += [
            (1 + float(reference.scores[i]), "missed", i, None)
            for i in matching.missed
            if i not in flips.missed
        ]
        rows += [
            (1 + float(candidate.scores[i]), "extra", None, i) for i in matching.extra if i not in flips.extra
        ]
        least = self.cases[-1].badness if len(self.cases) == KEPT else -1.0
        rows = sorted((row for row in rows if row[0] > least), key=lambda row: -row[0])[:KEPT]
        for badness, what, ours, theirs in rows:
            side, i = (reference, ours) if ours is not None else (candidate, theirs)
            assert i is not None
            title = f"{name}: {side.names[i]} {side.scores[i]:.2f}, {what}"
            pictures = _pictures(canvas, side.boxes[i], (reference, ours), (candidate, theirs))
            self.cases.append(Case(badness, title, *pictures))
        self.cases = sorted(self.cases, key=lambda case: -case.badness)[:KEPT]


def _overlap(pair: Pair, reference: Result, candidate: Result) -> tuple[str, float]:
    """Of the masks or, where there are none, of the boxes."""
    if pair.mask_iou is not None:
        return "mask IoU", pair.mask_iou
    ours, theirs = reference.boxes[[pair.reference]], candidate.boxes[[pair.candidate]]
    return "box IoU", float(box_iou(ours, theirs)[0, 0])


def _points(pair: Pair) -> str:
    return "" if pair.keypoint_px is None else f", keypoints {pair.keypoint_px:.3g} px"


def _pictures(
    canvas: NDArray, box: NDArray, reference: tuple[Result, int | None], candidate: tuple[Result, int | None]
) -> tuple[str, str, str]:
    height, width = canvas.shape[:2]
    x1, y1, x2, y2 = (float(v) for v in box)
    margin = MARGIN * max(x2 - x1, y2 - y1, 8)
    left, top = (int(np.clip(v - margin, 0, None)) for v in (x1, y1))
    right, bottom = int(min(x2 + margin + 1, width)), int(min(y2 + margin + 1, height))
    crop = canvas[top:bottom, left:right].astype(np.uint8)
    ours, theirs = (
        _mask(result, row, height, width)[top:bottom, left:right] for result, row in (reference, candidate)
    )
    return (
        jpeg_url(_tinted(crop, ours, REFERENCE_RGB), SIDE_PX),
        jpeg_url(_tinted(crop, theirs, CANDIDATE_RGB), SIDE_PX),
        jpeg_url(
            _tinted(
                _tinted(_tinted(crop, ours & theirs, BOTH_RGB), ours & ~theirs, REFERENCE_RGB),
                theirs & ~ours,
                CANDIDATE_RGB,
            ),
            SIDE_PX,
        ),
    )


def _mask(result: Result, row: int | None, height: int, width: int) -> NDArray[np.bool_]:
    """(H, W): the mask of one instance or, without masks, its box; empty for None."""
    full = np.zeros((height, width), bool)
    if row is not None and result.crops is None:
        x1, y1, x2, y2 = np.rint(result.boxes[row]).astype(int).clip(min=0)
        full[y1:y2, x1:x2] = True
    elif row is not None and result.crops is not None:
        crop = result.crops[row]
        h, w = crop.bits.shape
        full[crop.top : crop.top + h, crop.left : crop.left + w] = crop.bits
    return full


def _tinted(image: NDArray, mask: NDArray[np.bool_], colour: tuple[int, int, int]) -> NDArray:
    tinted = image.copy()
    tinted[mask] = (image[mask] * (1 - OPACITY) + np.array(colour) * OPACITY).astype(np.uint8)
    return tinted
