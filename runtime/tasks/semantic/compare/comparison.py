"""Two models' class maps over a set of images: measured and judged."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.backends.session import Outputs
from maskrt.runtime.contract import Contract
from maskrt.runtime.preprocess import Batch
from maskrt.runtime.tasks.answers import Answer, Case, Detail, Exercised
from maskrt.runtime.tasks.comparison import Comparison
from maskrt.runtime.tasks.rows import Row, jsonable
from maskrt.runtime.tasks.semantic.compare.seen import SeenMaps
from maskrt.runtime.tasks.semantic.compare.tolerances import Tolerance
from maskrt.runtime.tasks.semantic.compare.worst import WorstCases
from maskrt.runtime.tasks.semantic.decode import valid_area
from maskrt.runtime.tasks.semantic.measure.matrix import Matrix, confusion, ious
from maskrt.runtime.tasks.semantic.options import MARGINS, SEMANTIC
from maskrt.runtime.tasks.semantic.result import SemanticResult


@dataclass(frozen=True)
class Measured:
    """One image. matrix: the candidate's classes (columns) where the reference has its own (rows)."""

    image: str
    differing: float
    surely_differing: float | None
    boundary: float
    matrix: Matrix

    @property
    def classes(self) -> dict[int, float]:
        """Labels that either side has, and the IoU of both sides' areas of each."""
        there = np.flatnonzero(self.matrix.sum(axis=0) + self.matrix.sum(axis=1))
        return dict(zip(there.tolist(), ious(self.matrix)[there].tolist(), strict=True))


class SemanticComparison(Comparison):
    """Differences over a set of images against one tolerance. `add` each image, then read `rows`."""

    things = "class maps"

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
    ) -> SeenMaps:
        """Put both maps side by side, as they are on the canvas."""
        ours, theirs = (
            valid_area(maps, batch, contract) for maps in (expected.outputs[SEMANTIC], outputs[SEMANTIC])
        )
        margins = expected.outputs.get(MARGINS)
        known = None if margins is None else valid_area(margins, batch, contract)
        return SeenMaps(ours, theirs, known, self.tolerance)

    def add(self, image: str, seen: SeenMaps) -> None:
        """Count an image's pixels."""
        classes = int(max(seen.ours.max(initial=0), seen.theirs.max(initial=0))) + 1
        matrix = confusion(seen.ours, seen.theirs, classes)
        self._images.append(Measured(image, seen.differing, seen.surely_differing, seen.boundary, matrix))

    def picture(self, image: str, canvas: NDArray, seen: SeenMaps) -> None:
        """Keep the image, if it is among the worst."""
        self._worst.add(image, canvas, seen)

    @property
    def cases(self) -> list[Case]:
        """The worst images, as pictures."""
        return self._worst.cases

    @property
    def images(self) -> list[str]:
        """Names of the images."""
        return [image.image for image in self._images]

    @property
    def rows(self) -> list[Row]:
        """Shares that differ, surely and in all, and how the borders fit."""
        limit, images = self.tolerance, self._images
        sure, every, fits = (
            tuple((getattr(image, name),) for image in images)
            for name in ("surely_differing", "differing", "boundary")
        )
        said = "class maps differ, as a share of the pixels,"
        surely = f"where the reference's best class leads by over {limit.margin:g}, {said}"

        def row(name: str, values: Any, allowed: float, **more: Any) -> Row:
            return Row(name, "", values, allowed, "mean" if limit.on_average else "each", **more)

        return [
            row("surely differing share", sure, limit.sure, says=surely),
            row("differing share", every, limit.differing, says=said),
            row("boundary F", fits, limit.boundary, at_least=True, says="boundary F-score"),
        ]

    @property
    def counts(self) -> dict[str, int]:
        """Over all images."""
        same = sum(int(np.trace(image.matrix)) for image in self._images)
        pixels = sum(int(image.matrix.sum()) for image in self._images)
        return {"pixels": pixels, "differing_pixels": pixels - same}

    @property
    def title(self) -> str:
        """The number of pixels."""
        return f"{self.counts['pixels']} pixels"

    @property
    def undecided(self) -> str:
        """Sentence for maps of one class, which a broken model may give too."""
        if any(np.count_nonzero(image.matrix) > 1 for image in self._images):
            return ""
        return (
            f"both models give all of an image one class, in {len(self._images)} images, so no border was "
            "compared. Give images with objects"
        )

    @property
    def matched(self) -> float:
        """Share of the pixels that are of the same class on both sides."""
        counts = self.counts
        return 1 - counts["differing_pixels"] / max(counts["pixels"], 1)

    @property
    def loss(self) -> float:
        """Share of the pixels that differ."""
        return 1 - self.matched

    def per_image(self) -> list[dict[str, Any]]:
        """The shares of each image, and by label how far both sides' areas overlap."""
        rows = self.rows
        return [
            jsonable(
                {
                    "image": image.image,
                    "pixels": int(image.matrix.sum()),
                    **{row.key: row.values[number][0] for row in rows},
                    "class_ious": {str(label): iou for label, iou in image.classes.items()},
                }
            )
            for number, image in enumerate(self._images)
        ]

    @property
    def detail(self) -> Detail:
        """A row a class of an image."""
        rows = [
            [image.image, label, int(image.matrix[label].sum()), 1 - iou, 1 - image.boundary]
            for image in self._images
            for label, iou in image.classes.items()
        ]
        columns = ("image", "class", "area (px)", "1 − IoU of both", "1 − boundary F of the image")
        return Detail("Every class of every image", columns, rows, sorted_by=3)

    def exercised(self, answer: Answer) -> Exercised:
        """Classes that an image has."""
        return Exercised(Counter(answer.result.names), "class areas", "")

    def apart(self, ours: SemanticResult, theirs: SemanticResult) -> str:
        """Say how many pixels differ."""
        return f"{(ours.labels != theirs.labels).mean():.2%} of the pixels are of another class"
