"""What a comparison of two models found, gathered image by image, and the verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.parity.match import Matching
from runtime.parity.tolerances import Tolerance


@dataclass
class Report:
    """Differences over a set of images against one tolerance. `add` each image, then read `passed`."""

    tolerance: Tolerance
    images: list[dict[str, Any]] = field(default_factory=list)

    def add(
        self, name: str, matching: Matching, reference_scores: NDArray, candidate_scores: NDArray
    ) -> None:
        """Record one image's matching."""
        self.images.append(
            {
                "image": name,
                "instances": len(matching.pairs) + len(matching.missed),
                "missed_scores": [float(reference_scores[i]) for i in matching.missed],
                "extra_scores": [float(candidate_scores[i]) for i in matching.extra],
                "same_order": matching.same_order(reference_scores, self.tolerance.score),
                "score_differences": [p.score_difference for p in matching.pairs],
                "box_differences_px": [p.box_difference_px for p in matching.pairs],
                "mask_ious": [p.mask_iou for p in matching.pairs],
            }
        )

    def _all(self, key: str) -> list[float]:
        return [value for image in self.images for value in image[key]]

    @property
    def failures(self) -> list[str]:
        """Why the candidate is not the reference, worst first, each naming the image; empty if it is."""
        limit, failures = self.tolerance, []
        for image in self.images:
            name = image["image"]
            if image["missed_scores"]:
                failures.append(f"{name}: {len(image['missed_scores'])} instances of the reference missed")
            if image["extra_scores"]:
                failures.append(f"{name}: {len(image['extra_scores'])} instances the reference has not")
            if not image["same_order"]:
                failures.append(f"{name}: the same instances in another order")
            worst = _worst(image["score_differences"], 0)
            if not worst <= limit.score:
                failures.append(f"{name}: score differs by {worst:.2g}, allowed {limit.score:g}")
            worst = _worst(image["box_differences_px"], 0)
            if not worst <= limit.box_px:
                failures.append(f"{name}: box differs by {worst:.2g} px, allowed {limit.box_px:g} px")
            worst = -_worst([-iou for iou in image["mask_ious"]], -1)
            if not worst >= limit.mask_iou:
                failures.append(f"{name}: mask IoU {worst:.4f}, at least {limit.mask_iou:g} expected")
        if not any(image["instances"] for image in self.images):
            failures.append("the reference found nothing in any image, so nothing was compared")
        return failures

    def to_dict(self) -> dict[str, Any]:
        """The verdict, the statistics and every image, for JSON."""
        failures = self.failures
        return {
            "passed": not failures,
            "failures": failures,
            "tolerance": vars(self.tolerance),
            "summary": {
                "images": len(self.images),
                "instances": sum(image["instances"] for image in self.images),
                "missed": len(self._all("missed_scores")),
                "extra": len(self._all("extra_scores")),
                "score_difference": _spread(self._all("score_differences")),
                "box_difference_px": _spread(self._all("box_differences_px")),
                "mask_iou": _spread(self._all("mask_ious")),
            },
            "per_image": [{k: _jsonable(v) for k, v in image.items()} for image in self.images],
        }


def _worst(values: list[float], default: float) -> float:
    """The largest, or NaN where any is (Python's max keeps or drops a NaN depending on its place)."""
    return float(np.max(values)) if values else default


def _spread(values: list[float]) -> dict[str, float] | None:
    if not values:
        return None
    low, median, high = np.quantile(values, [0, 0.5, 1])
    spread = {"min": float(low), "median": float(median), "max": float(high), "mean": float(np.mean(values))}
    return {key: _jsonable(value) for key, value in spread.items()}


def _jsonable(value: Any) -> Any:
    """JSON has no NaN: None in its place."""
    if isinstance(value, list):
        return [_jsonable(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
