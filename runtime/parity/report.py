"""The report of a comparison, gathered image by image, and its failures. It is blind to tasks: what results
hold, their task's comparison knows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from maskrt.runtime.parity.annotated import Annotated
from maskrt.runtime.parity.coverage import Coverage
from maskrt.runtime.parity.findings import FEWEST_IMAGES, MAX_DROP, Finding, of_rows, of_score
from maskrt.runtime.parity.inside.stage_report import PartReport, StageReport
from maskrt.runtime.parity.inside.unseen import Unseen, finer
from maskrt.runtime.parity.tolerances import STAGES_BY_PRECISION, StageTolerance
from maskrt.runtime.pipeline.stopwatch import Stopwatch
from maskrt.runtime.tasks.comparison import Comparison
from maskrt.runtime.tasks.rows import Count, Row


@dataclass
class Report:
    """Differences over a set of images, and the one judgement of them, which calibration, parity and
    evaluation share. Fill its parts image by image, then read `failures`, `undecided` and `doubts`.

    max_drop: points that the score may fall by. by_score_alone: what instances differ by counts for nothing.
    """

    results: Comparison
    promises: list[str] = field(default_factory=list)  # broken_promises of the candidate
    unseen: Unseen = field(default_factory=Unseen)
    coverage: Coverage = field(default_factory=Coverage)
    laid: list[str] = field(default_factory=list)  # what users get otherwise, where each side lays the images
    stages: StageReport = field(default_factory=StageReport)
    parts: PartReport = field(default_factory=PartReport)
    time: Stopwatch = field(default_factory=Stopwatch)
    scores: dict[str, dict[str, float]] | None = None  # Annotated.difference, where there are annotations
    score_name: str = ""  # of the first of them, by which a model is judged: "mask AP"
    max_drop: float = MAX_DROP
    by_score_alone: bool = False
    _found: tuple[int, list[Finding]] | None = field(default=None, init=False, repr=False)

    def score(self, annotated: Annotated) -> None:
        """Take over what both models score on annotated images."""
        self.scores = annotated.difference()
        self.score_name = annotated.metric.named(next(iter(self.scores)))
        self._found = None

    def inside(self, stage: str, claimed: str) -> StageTolerance:
        """Tolerance of a stage: of the precision that the file claims, or of a finer one that it shows."""
        return STAGES_BY_PRECISION[finer(claimed, self.unseen.precisions.get(stage, claimed))]

    @property
    def findings(self) -> list[Finding]:
        """Everything that is held to a limit over all images, the score last."""
        images = len(self.results.images)
        if self._found is None or self._found[0] != images:
            found = [] if self.by_score_alone else of_rows(self.results.rows)
            if self.scores:
                score = next(iter(self.scores.values()))
                found.append(of_score(self.score_name, score, self.max_drop, images))
            self._found = images, found
        return self._found[1]

    @property
    def failures(self) -> list[str]:
        """Why the candidate is not the reference; empty if it is."""
        first = self.stages.first
        lost = [found.fault for found in self.findings if found.answer == "loses"]
        if not self.by_score_alone:
            lost += faults(self.results.rows, self.results.images)
        broken = [
            *(fault.beside_the_first() for fault in self.stages.unseen if fault is not first),
            *self.parts.failures,
            *lost,
        ]
        named = first is not None and (first.judged or bool(broken))
        return [*self.promises, *self.laid, *([str(first)] if named else []), *broken]

    @property
    def undecided(self) -> str:
        """Why there is no answer, where nothing failed; empty if there is one, or the limits seem to hold."""
        if self.failures:
            return ""
        beyond = [found.doubt for found in self.findings if found.answer == "open" and found.beyond]
        nothing = "" if self.by_score_alone else self.results.undecided
        return nothing or (beyond or [""])[0]

    @property
    def doubts(self) -> list[str]:
        """What these images are too few to tell, and what that takes; a verdict stands under them."""
        open_ones = [found.doubt for found in self.findings if found.answer == "open"]
        count = len(self.results.images)
        if self.scores and count < FEWEST_IMAGES:
            few = f"judged on {count} annotated images, {FEWEST_IMAGES} are advised: the interval is rough"
            return [*open_ones, few]
        return open_ones

    def row(self, name: str) -> Row:
        """The row of this name, such as "mask IoU". Raises KeyError if there is none."""
        return {row.name: row for row in self.results.rows}[name]

    def to_dict(self) -> dict[str, Any]:
        """The verdict, the statistics and every image, for JSON."""
        failures = self.failures
        return {
            "passed": not failures and not self.undecided,
            "undecided": self.undecided,
            "failures": failures,
            "findings": [found.to_dict() for found in self.findings],
            "doubts": self.doubts,
            "tolerance": self.results.limits,
            "summary": {
                "images": len(self.results.images),
                **self.results.counts,
                **{row.key: row.spread for row in spreads(self.results.rows)},
            },
            "stages": self.stages.to_dict(),
            "parts": self.parts.to_dict(),
            "coverage": self.coverage.to_dict(),
            "without_images": self.unseen.to_dict(),
            "task": self.scores,
            "time_ms": self.time.per_image_ms(),
            "per_image": self.results.per_image(),
        }


def faults(rows: list[Row], images: list[str]) -> list[str]:
    """Sentences on single values out of tolerance, with the image's name."""
    return [
        f"{image}: {fault}"
        for number, image in enumerate(images)
        for row in rows
        if (fault := row.fault_in(number))
    ]


def spreads(rows: list[Row]) -> list[Row]:
    """The rows that tables show by their quantiles."""
    return [row for row in rows if row.listed and not isinstance(row, Count)]


def counts(rows: list[Row]) -> list[Count]:
    """The rows that tables show by their totals."""
    return [row for row in rows if row.listed and isinstance(row, Count)]


def shown(rows: list[Row]) -> list[Row]:
    """Rows that hold values, since a model may not give all of them; every row if none does."""
    there = [row for row in rows if row.there]
    return there or rows


def averages(rows: list[Row]) -> list[Row]:
    """The rows that have a limit over all images; what must be large comes first."""
    return sorted((row for row in rows if row.held), key=lambda row: not row.at_least)
