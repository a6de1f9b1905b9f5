"""What a comparison of two models found, gathered image by image, and the verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.parity.coverage import Coverage
from maskrt.runtime.parity.inside.stage_report import PartReport, StageReport
from maskrt.runtime.parity.inside.unseen import Unseen, finer
from maskrt.runtime.parity.tolerances import STAGES_BY_PRECISION, StageTolerance, Tolerance
from maskrt.runtime.pipeline.stopwatch import Stopwatch
from maskrt.runtime.tasks.instances.compare.flips import Flips
from maskrt.runtime.tasks.instances.compare.match import Matching
from maskrt.runtime.tasks.instances.compare.worst import WorstCases

NO_FLIPS = Flips()


@dataclass
class Report:
    """Differences over a set of images against one tolerance. `add` each image, then read `passed`."""

    tolerance: Tolerance
    promises: list[str] = field(default_factory=list)  # broken_promises of the candidate
    unseen: Unseen = field(default_factory=Unseen)
    coverage: Coverage = field(default_factory=Coverage)
    laid: list[str] = field(default_factory=list)  # what users get otherwise, where each side lays the images
    images: list[dict[str, Any]] = field(default_factory=list)
    stages: StageReport = field(default_factory=StageReport)
    worst: WorstCases = field(default_factory=WorstCases)
    parts: PartReport = field(default_factory=PartReport)
    time: Stopwatch = field(default_factory=Stopwatch)
    task: dict[str, dict[str, float]] | None = None  # what Task.difference gives, where there are annotations

    def add(
        self,
        name: str,
        matching: Matching,
        reference_scores: NDArray,
        candidate_scores: NDArray,
        flips: Flips = NO_FLIPS,
    ) -> None:
        """Record one image's matching, without what both sides score below the tolerance's above_score."""
        least = self.tolerance.above_score
        pairs = [
            p
            for p in matching.pairs
            if max(reference_scores[p.reference], candidate_scores[p.candidate]) >= least
        ]
        missed = [float(reference_scores[i]) for i in matching.missed if reference_scores[i] >= least]
        extra = [float(candidate_scores[i]) for i in matching.extra if candidate_scores[i] >= least]
        self.images.append(
            {
                "image": name,
                "instances": len(pairs) + len(missed),
                "missed_scores": missed,
                "extra_scores": extra,
                "missed_at_threshold": sum(bool(reference_scores[i] >= least) for i in flips.missed),
                "extra_at_threshold": sum(bool(candidate_scores[i] >= least) for i in flips.extra),
                "same_order": matching.same_order(reference_scores, self.tolerance.score),
                "score_differences": [p.score_difference for p in pairs],
                "box_differences_px": [p.box_difference_px for p in pairs],
                "mask_ious": [p.mask_iou for p in pairs],
                "keypoint_differences_px": [p.keypoint_px for p in pairs],
                "boundary_distances_px": [p.boundary_px for p in pairs],
                "scores": [p.score for p in pairs],
                "labels": [p.label for p in pairs],
            }
        )

    def inside(self, stage: str, claimed: str) -> StageTolerance:
        """What a stage is held to: the precision that the file claims, or a finer one that it shows."""
        return STAGES_BY_PRECISION[finer(claimed, self.unseen.precisions.get(stage, claimed))]

    def _all(self, key: str) -> list[float]:
        """Of all images; None, where a model has no such thing, left out."""
        return [value for image in self.images for value in image[key] if value is not None]

    @property
    def failures(self) -> list[str]:
        """Why the candidate is not the reference; empty if it is."""
        failures = [*self.promises, *self.laid]
        first = self.stages.first
        failures += [] if first is None else [str(first)]
        failures += [fault.beside_the_first() for fault in self.stages.unseen if fault is not first]
        failures += self.parts.failures
        failures += self._failures_on_average() if self.tolerance.on_average else self._failures_by_image()
        return failures

    @property
    def undecided(self) -> str:
        """Why there is no answer, where nothing failed; empty if there is one."""
        if self.failures or any(image["instances"] or image["extra_scores"] for image in self.images):
            return ""
        least = f" above a score of {self.tolerance.above_score:g}" if self.tolerance.above_score else ""
        return (
            f"neither model found anything{least} in {len(self.images)} images, so no detection could be "
            "compared. Give images with objects"
        )

    @property
    def matched(self) -> float:
        """Share of the instances that have a counterpart, on the side where fewer have one; 1 of none."""
        keys = ("score_differences", "missed_scores", "extra_scores")
        pairs, missed, extra = (len(self._all(key)) for key in keys)
        return pairs / (pairs + max(missed, extra)) if pairs + missed + extra else 1.0

    def mean(self, key: str) -> float:
        """Of "score_differences", "mask_ious" or another list, over all matched instances."""
        values = self._all(key)
        return float(np.mean(values)) if values else float("nan")

    def _failures_on_average(self) -> list[str]:
        limit, failures = self.tolerance, []
        if not self.matched >= limit.matched:
            missed, extra = len(self._all("missed_scores")), len(self._all("extra_scores"))
            failures.append(
                f"{self.matched:.1%} of the instances matched ({missed} missed, {extra} extra), "
                f"at least {limit.matched:.1%} expected"
            )
        if not self._all("score_differences"):
            return failures
        for what, key, allowed in (
            ("score differs", "score_differences", limit.score),
            ("box differs", "box_differences_px", limit.box_px),
            ("keypoints differ", "keypoint_differences_px", limit.keypoint_px),
        ):
            if self._all(key) and not self.mean(key) <= allowed:
                unit = " px" if key.endswith("_px") else ""
                failures.append(f"{what} by {self.mean(key):.2g}{unit} on average, allowed {allowed:g}{unit}")
        if self._all("mask_ious") and not self.mean("mask_ious") >= limit.mask_iou:
            failures.append(
                f"mean mask IoU {self.mean('mask_ious'):.4f}, at least {limit.mask_iou:g} expected"
            )
        return failures

    def _failures_by_image(self) -> list[str]:
        """Worst first, each naming the image. What lies at a threshold is no failure: see Flips."""
        limit, failures = self.tolerance, []
        for image in self.images:
            name = image["image"]
            if lost := len(image["missed_scores"]) - image["missed_at_threshold"]:
                failures.append(f"{name}: {lost} instances of the reference missed")
            if lost := len(image["extra_scores"]) - image["extra_at_threshold"]:
                failures.append(f"{name}: {lost} instances the reference has not")
            if not image["same_order"]:
                failures.append(f"{name}: the same instances in another order")
            worst = _worst(image["score_differences"], 0)
            if not worst <= limit.score:
                failures.append(f"{name}: score differs by {worst:.2g}, allowed {limit.score:g}")
            worst = _worst(image["box_differences_px"], 0)
            if not worst <= limit.box_px:
                failures.append(f"{name}: box differs by {worst:.2g} px, allowed {limit.box_px:g} px")
            worst = _worst([px for px in image["keypoint_differences_px"] if px is not None], 0)
            if not worst <= limit.keypoint_px:
                failures.append(
                    f"{name}: keypoints differ by {worst:.2g} px, allowed {limit.keypoint_px:g} px"
                )
            worst = -_worst([-iou for iou in image["mask_ious"] if iou is not None], -1)
            if not worst >= limit.mask_iou:
                failures.append(f"{name}: mask IoU {worst:.4f}, at least {limit.mask_iou:g} expected")
        return failures

    def to_dict(self) -> dict[str, Any]:
        """The verdict, the statistics and every image, for JSON."""
        failures = self.failures
        return {
            "passed": not failures and not self.undecided,
            "undecided": self.undecided,
            "failures": failures,
            "tolerance": vars(self.tolerance),
            "summary": {
                "images": len(self.images),
                "instances": sum(image["instances"] for image in self.images),
                "missed": len(self._all("missed_scores")),
                "extra": len(self._all("extra_scores")),
                "missed_at_threshold": sum(image["missed_at_threshold"] for image in self.images),
                "extra_at_threshold": sum(image["extra_at_threshold"] for image in self.images),
                "score_difference": _spread(self._all("score_differences")),
                "box_difference_px": _spread(self._all("box_differences_px")),
                "mask_iou": _spread(self._all("mask_ious")),
                "keypoint_difference_px": _spread(self._all("keypoint_differences_px")),
                "boundary_distance_px": _spread(self._all("boundary_distances_px")),
            },
            "stages": self.stages.to_dict(),
            "parts": self.parts.to_dict(),
            "coverage": self.coverage.to_dict(),
            "without_images": self.unseen.to_dict(),
            "task": self.task,
            "time_ms": self.time.per_image_ms(),
            "per_image": [{k: _jsonable(v) for k, v in image.items()} for image in self.images],
        }


def _worst(values: list[float], default: float) -> float:
    """The largest, or NaN where any is (Python's max keeps or drops a NaN depending on its place)."""
    return float(np.max(values)) if values else default


def _spread(values: list[float]) -> dict[str, float] | None:
    if not values:
        return None
    shares = {"min": 0.0, "p1": 0.01, "p10": 0.1, "median": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    quantiles = np.quantile(values, list(shares.values()))
    spread = dict(zip(shares, map(float, quantiles), strict=True)) | {"mean": float(np.mean(values))}
    return {key: _jsonable(value) for key, value in spread.items()}


def _jsonable(value: Any) -> Any:
    """JSON has no NaN: None in its place."""
    if isinstance(value, list):
        return [_jsonable(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
