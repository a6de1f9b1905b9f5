"""Measures of the instances of all images: one record an image, and the typed rows made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.tasks.instances.compare.flips import Flips
from maskrt.runtime.tasks.instances.compare.match import Matching, Pair
from maskrt.runtime.tasks.instances.compare.tolerances import Tolerance
from maskrt.runtime.tasks.rows import Count, Judged, Row, Share, jsonable

NO_FLIPS = Flips()


@dataclass(frozen=True)
class Measured:
    """One image, without what both sides score below the tolerance's above_score.

    missed_scores, extra_scores: of the reference's instances that the candidate lacks, and the other way
    round; missed_at_threshold, extra_at_threshold: how many of them are flips. swapped: how many pairs are
    of two nearly equal proposals.
    """

    image: str
    pairs: tuple[Pair, ...]
    missed_scores: tuple[float, ...]
    extra_scores: tuple[float, ...]
    missed_at_threshold: int
    extra_at_threshold: int
    same_order: bool
    swapped: int = 0

    @property
    def instances(self) -> int:
        """The reference's."""
        return len(self.pairs) + len(self.missed_scores)

    @property
    def missed(self) -> int:
        """Without flips."""
        return len(self.missed_scores) - self.missed_at_threshold

    @property
    def extra(self) -> int:
        """Without flips."""
        return len(self.extra_scores) - self.extra_at_threshold


def measured(
    image: str,
    matching: Matching,
    reference_scores: NDArray,
    candidate_scores: NDArray,
    limit: Tolerance,
    flips: Flips = NO_FLIPS,
) -> Measured:
    """Make the record of an image from its matching."""
    least = limit.above_score
    pairs = tuple(
        p
        for p in matching.pairs
        if max(reference_scores[p.reference], candidate_scores[p.candidate]) >= least
    )
    return Measured(
        image,
        pairs,
        missed_scores=tuple(
            float(reference_scores[i]) for i in matching.missed if reference_scores[i] >= least
        ),
        extra_scores=tuple(
            float(candidate_scores[i]) for i in matching.extra if candidate_scores[i] >= least
        ),
        missed_at_threshold=sum(bool(reference_scores[i] >= least) for i in flips.missed),
        extra_at_threshold=sum(bool(candidate_scores[i] >= least) for i in flips.extra),
        same_order=matching.same_order(reference_scores, limit.score),
        swapped=sum(
            p.box_difference_px > limit.swap_px and p.score_difference <= limit.flip_score for p in pairs
        ),
    )


def matched(images: Sequence[Measured]) -> float:
    """Share of the instances that have a counterpart, on the side where fewer have one; 1 of none."""
    pairs, missed, extra = totals(images)
    return pairs / (pairs + max(missed, extra)) if pairs + missed + extra else 1.0


def totals(images: Sequence[Measured]) -> tuple[int, int, int]:
    """Numbers of instances that both sides have, that were missed, and that are extra."""
    return (
        sum(len(image.pairs) for image in images),
        sum(len(image.missed_scores) for image in images),
        sum(len(image.extra_scores) for image in images),
    )


def differences(images: Sequence[Measured], limit: Tolerance) -> list[Row]:
    """Make rows of the differences of matched instances: score, box, mask, keypoints, boundary."""

    def row(
        name: str, unit: str, of: Callable[[Pair], float | None], allowed: float | None, **more: Any
    ) -> Row:
        values = tuple(tuple(of(pair) for pair in image.pairs) for image in images)
        tail = None if allowed is None else limit.of_nine_in_ten(allowed, at_least="at_least" in more)
        judged: Judged = "quantiles" if limit.by_quantiles else "each"
        return Row(name, unit, values, allowed, judged, tail=tail, **more)

    return [
        row("score difference", "", lambda p: p.score_difference, limit.score, says="score differs"),
        row("box difference", "px", lambda p: p.box_difference_px, limit.box_px, says="box differs"),
        row("mask IoU", "", lambda p: p.mask_iou, limit.mask_iou, at_least=True, says="mask IoU"),
        row("keypoint difference", "px", lambda p: p.keypoint_px, limit.keypoint_px, says="keypoints differ"),
        row("boundary distance", "px", lambda p: p.boundary_px, None),
    ]


def counterparts(images: Sequence[Measured], limit: Tolerance) -> list[Row]:
    """Make rows of what one side alone has, of swaps, and of the order. A flip is no failure of an image;
    where quantiles are judged, shares of the instances are."""

    def count(name: str, values: list[int], says: str, **more: Any) -> Count:
        none = None if limit.by_quantiles else 0
        few = "0" if limit.matched == 1 else f"{1 - limit.matched:.0%}"
        by_image = tuple((float(value),) for value in values)
        return Count(
            name, "", by_image, none, "each", says=says, allowed=few, excuse="at a threshold", **more
        )

    return [
        *(_shares(images, limit) if limit.by_quantiles else []),
        count(
            "missed",
            [image.missed for image in images],
            "{:g} instances of the reference missed",
            excused=sum(image.missed_at_threshold for image in images),
        ),
        count(
            "extra",
            [image.extra for image in images],
            "{:g} instances the reference has not",
            excused=sum(image.extra_at_threshold for image in images),
        ),
        count(
            "in another order",
            [not image.same_order for image in images],
            "the same instances in another order",
            listed=False,
        ),
        *([_swaps(images)] if limit.by_quantiles else []),
    ]


def _swaps(images: Sequence[Measured]) -> Count:
    """Pairs of two nearly equal proposals: no loss, and no failure. They are among the pairs whose quantiles
    are judged, so that boxes which all are elsewhere are no swaps."""
    values = tuple((float(image.swapped),) for image in images)
    return Count("swapped for a near-equal", "", values, None, "each", allowed="–")


def _shares(images: Sequence[Measured], limit: Tolerance) -> list[Row]:
    """The share of instances that have a counterpart, on the side where fewer have one, without flips; and
    the share of flips."""
    missed, extra = (sum(getattr(image, side) for image in images) for side in ("missed", "extra"))
    side = "missed" if missed >= extra else "extra"
    return [
        Share(
            f"instances above {limit.above_score:g} matched",
            "",
            tuple((1.0,) * len(image.pairs) + (0.0,) * getattr(image, side) for image in images),
            limit.matched,
            "mean",
            at_least=True,
            says="of the instances matched",
            listed=False,
            detail=f" ({missed} missed, {extra} extra)",
        ),
        Share(
            f"instances above {limit.above_score:g} at a threshold",
            "",
            tuple(
                (0.0,) * len(image.pairs) + (1.0,) * (image.missed_at_threshold + image.extra_at_threshold)
                for image in images
            ),
            limit.flipped,
            "mean",
            says="of the instances come or go at a threshold",
            listed=False,
        ),
    ]


def per_image(images: Sequence[Measured], rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Records of all images, for JSON. rows: of `differences`."""
    return [
        jsonable(
            {
                "image": image.image,
                "instances": image.instances,
                "missed_scores": image.missed_scores,
                "extra_scores": image.extra_scores,
                "missed_at_threshold": image.missed_at_threshold,
                "extra_at_threshold": image.extra_at_threshold,
                "swapped": image.swapped,
                "same_order": image.same_order,
                **{row.keys: row.values[number] for row in rows},
                "scores": [p.score for p in image.pairs],
                "labels": [p.label for p in image.pairs],
            }
        )
        for number, image in enumerate(images)
    ]


def loss(images: Sequence[Measured], limit: Tolerance) -> float:
    """Instances not matched, area of masks not shared, score differences, in one number.

    Without masks the boxes stand in for them, and the keypoints where there are any: a box or a point as far
    off as is allowed counts like a mask that is.
    """
    score, box_px, iou, keypoint_px, _ = (row.mean for row in differences(images, limit))
    lost = 1 - matched(images)
    if np.isnan(score):
        return lost
    if not np.isnan(iou):
        return lost + score + 1 - iou
    points = np.nan_to_num(keypoint_px) / limit.keypoint_px
    return lost + score + (box_px / limit.box_px + float(points)) * (1 - limit.mask_iou)
