"""The report of a comparison, gathered image by image, and its failures. It is blind to tasks: what results
hold, their task's comparison knows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from maskrt.runtime.parity.coverage import Coverage
from maskrt.runtime.parity.inside.stage_report import PartReport, StageReport
from maskrt.runtime.parity.inside.unseen import Unseen, finer
from maskrt.runtime.parity.tolerances import STAGES_BY_PRECISION, StageTolerance
from maskrt.runtime.pipeline.stopwatch import Stopwatch
from maskrt.runtime.tasks.comparison import Comparison
from maskrt.runtime.tasks.rows import Count, Row


@dataclass
class Report:
    """Differences over a set of images. Fill its parts image by image, then read `failures`."""

    results: Comparison
    promises: list[str] = field(default_factory=list)  # broken_promises of the candidate
    unseen: Unseen = field(default_factory=Unseen)
    coverage: Coverage = field(default_factory=Coverage)
    laid: list[str] = field(default_factory=list)  # what users get otherwise, where each side lays the images
    stages: StageReport = field(default_factory=StageReport)
    parts: PartReport = field(default_factory=PartReport)
    time: Stopwatch = field(default_factory=Stopwatch)
    scores: dict[str, dict[str, float]] | None = None  # Annotated.difference, where there are annotations

    def inside(self, stage: str, claimed: str) -> StageTolerance:
        """Tolerance of a stage: of the precision that the file claims, or of a finer one that it shows."""
        return STAGES_BY_PRECISION[finer(claimed, self.unseen.precisions.get(stage, claimed))]

    @property
    def failures(self) -> list[str]:
        """Why the candidate is not the reference; empty if it is."""
        first = self.stages.first
        return [
            *self.promises,
            *self.laid,
            *([] if first is None else [str(first)]),
            *(fault.beside_the_first() for fault in self.stages.unseen if fault is not first),
            *self.parts.failures,
            *faults(self.results.rows, self.results.images),
        ]

    @property
    def undecided(self) -> str:
        """Why there is no answer, where nothing failed; empty if there is one."""
        return "" if self.failures else self.results.undecided

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
    """Sentences on means out of tolerance, then on each image, which is named."""
    average = [row.fault for row in rows if row.fault]
    return average + [
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
    """The rows whose means have a limit; what must be large comes first."""
    judged = [row for row in rows if row.judged == "mean" and row.limit is not None]
    return sorted(judged, key=lambda row: not row.at_least)
