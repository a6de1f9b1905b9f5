"""Two models' instances over a set of images: matched, measured, judged."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.backends.session import Outputs
from maskrt.runtime.contract import Contract
from maskrt.runtime.preprocess import Batch
from maskrt.runtime.tasks.answers import Answer, Case, Detail, Exercised
from maskrt.runtime.tasks.comparison import Comparison
from maskrt.runtime.tasks.instances.compare import measured
from maskrt.runtime.tasks.instances.compare.flips import flips
from maskrt.runtime.tasks.instances.compare.match import Matching, match
from maskrt.runtime.tasks.instances.compare.measured import Measured
from maskrt.runtime.tasks.instances.compare.paste import Paste, pasted_like, resolve_ties
from maskrt.runtime.tasks.instances.compare.seen import SeenInstances
from maskrt.runtime.tasks.instances.compare.tolerances import Tolerance
from maskrt.runtime.tasks.instances.compare.worst import WorstCases
from maskrt.runtime.tasks.instances.detections import Detections
from maskrt.runtime.tasks.instances.masks import CanvasMasks
from maskrt.runtime.tasks.instances.options import TORCHVISION, BoxGrid
from maskrt.runtime.tasks.instances.result import Result
from maskrt.runtime.tasks.rows import Row

Masks = tuple[NDArray[np.float32] | None, NDArray[np.float32] | None]


class InstancesComparison(Comparison):
    """Differences over a set of images against one tolerance. `add` each image, then read `rows`."""

    things = "instances"

    def __init__(self, tolerance: Tolerance) -> None:
        self.tolerance = tolerance
        self._images: list[Measured] = []
        self._worst = WorstCases()

    @property
    def limits(self) -> dict[str, Any]:
        """The fields of its Tolerance."""
        return vars(self.tolerance)

    def look(
        self,
        expected: Answer,
        outputs: Outputs,
        batch: Batch,
        contract: Contract,
        *,
        shared_only: bool = False,
    ) -> SeenInstances:
        """Match the instances of an image; masks are pasted alike where their boxes differ by rounding."""
        limit, ours, grid = self.tolerance, expected.result, contract.options.masks
        (theirs,) = pasted_like(expected.outputs, outputs, batch, contract, within_px=limit.rounding_px)
        masks, paste = _compared(expected.outputs, outputs, batch, contract)
        if masks[0] is not None and masks[1] is not None and grid is not None:
            theirs = resolve_ties(
                ours,
                theirs,
                (masks[0], masks[1]),
                grid.threshold,
                within_px=limit.rounding_px,
                margin=limit.tied_probability,
                rule=grid.paste if isinstance(grid, BoxGrid) else TORCHVISION,
                paste=paste,
            )
        matching = match(ours, theirs)
        if shared_only:
            same = tuple(pair for pair in matching.pairs if pair.box_difference_px <= limit.box_px)
            matching = Matching(same, missed=(), extra=())
        flipped = flips(ours, theirs, matching, contract, limit)
        return SeenInstances(ours, theirs, matching, flipped, limit, expected.contract, masks=masks)

    def add(self, image: str, seen: SeenInstances) -> None:
        """Count an image's instances."""
        self.add_matching(image, seen.matching, seen.reference.scores, seen.candidate.scores, seen.flips)

    def add_matching(
        self,
        image: str,
        matching: Matching,
        reference_scores: NDArray,
        candidate_scores: NDArray,
        flipped: measured.Flips = measured.NO_FLIPS,
    ) -> None:
        """Count an image, from its matching and the scores (D,) of both sides."""
        scores = reference_scores, candidate_scores
        self._images.append(measured.measured(image, matching, *scores, self.tolerance, flipped))

    def picture(self, image: str, canvas: NDArray, seen: SeenInstances) -> None:
        """Keep the image's worst instances."""
        self._worst.add(image, canvas, seen.reference, seen.candidate, seen.matching, seen.flips)

    @property
    def cases(self) -> list[Case]:
        """The worst instances of all images, as pictures."""
        return self._worst.cases

    @property
    def images(self) -> list[str]:
        """Names of the images."""
        return [image.image for image in self._images]

    @property
    def rows(self) -> list[Row]:
        """Rows on what one side lacks, then on how far matched instances are apart."""
        return [*measured.counterparts(self._images, self.tolerance), *self._differences]

    @property
    def _differences(self) -> list[Row]:
        return measured.differences(self._images, self.tolerance)

    @property
    def counts(self) -> dict[str, int]:
        """Over all images."""
        _, missed, extra = measured.totals(self._images)
        return {
            "instances": sum(image.instances for image in self._images),
            "missed": missed,
            "extra": extra,
            "missed_at_threshold": sum(image.missed_at_threshold for image in self._images),
            "extra_at_threshold": sum(image.extra_at_threshold for image in self._images),
            "swapped": sum(image.swapped for image in self._images),
        }

    @property
    def title(self) -> str:
        """The number of the reference's instances."""
        return f"{self.counts['instances']} instances"

    @property
    def undecided(self) -> str:
        """Sentence for images in which neither side found anything."""
        if any(image.instances or image.extra_scores for image in self._images):
            return ""
        least = f" above a score of {self.tolerance.above_score:g}" if self.tolerance.above_score else ""
        return (
            f"neither model found anything{least} in {len(self._images)} images, so no detection could be "
            "compared. Give images with objects"
        )

    @property
    def matched(self) -> float:
        """Share of the instances that have a counterpart, on the side where fewer have one; 1 of none."""
        return measured.matched(self._images)

    @property
    def loss(self) -> float:
        """Loss by `measured.loss`."""
        return measured.loss(self._images, self.tolerance)

    def per_image(self) -> list[dict[str, Any]]:
        """Missed and extra instances of each image, and the differences of each matched one."""
        return measured.per_image(self._images, self._differences)

    @property
    def detail(self) -> Detail:
        """A row a matched instance."""
        score, box, iou, keypoints, boundary = self._differences
        columns = ("image", "class", "score", "score difference", "box (px)", "mask IoU", "boundary (px)")
        rows = [
            [image.image, image.pairs[i].label, image.pairs[i].score, *differences]
            for number, image in enumerate(self._images)
            for i, differences in enumerate(
                zip(*(row.values[number] for row in (score, box, iou, boundary, keypoints)), strict=True)
            )
        ]
        return Detail("Every matched instance", (*columns, "keypoints (px)"), rows, sorted_by=3)

    def exercised(self, answer: Answer) -> Exercised:
        """Detections by class, and the branch after the boxes."""
        contract = answer.contract
        branch = (
            "masks"
            if contract.options.masks is not None
            else "keypoints"
            if contract.options.keypoints
            else ""
        )
        return Exercised(Counter(answer.result.names), "detections", branch)

    def apart(self, ours: Result, theirs: Result) -> str:
        """Say how far boxes are apart, and how many instances one side lacks."""
        matching = match(ours, theirs)
        moved_px = max((pair.box_difference_px for pair in matching.pairs), default=0.0)
        return (
            f"boxes differ by up to {moved_px:.3g} px, {len(matching.missed)} of {len(ours)} instances "
            f"missed, {len(matching.extra)} extra"
        )


def _compared(
    reference: Outputs, candidate: Outputs, batch: Batch, contract: Contract
) -> tuple[Masks, Paste | None]:
    """The masks of both sides' one image, whose canvas it is, as arrays of probabilities; and how one is
    pasted where it is not one of a box."""
    if isinstance(contract.options.masks, BoxGrid) or contract.options.masks is None:
        first, second = (side["masks"][0] if "masks" in side else None for side in (reference, candidate))
        return (first, second), None
    both = [Detections(**side) for side in (reference, candidate)]
    if any(one.masks is None and one.prototypes is None for one in both):
        return (None, None), None
    sizes = batch.image_sizes[0], batch.original_sizes[0]
    first, second = (CanvasMasks(one, 0, contract, *sizes) for one in both)
    arrays = tuple(
        masks.probabilities(one.boxes[0, : int(one.num_detections[0])])
        for masks, one in zip((first, second), both, strict=True)
    )
    return (arrays[0], arrays[1]), first.paste
