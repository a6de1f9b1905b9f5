"""Gets the ranges of a model's tensors from images, from TensorRT's cache, or from training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from onnx import ModelProto

from maskrt.calibration.decide.layers import Graph
from maskrt.calibration.measure.cache import read_cache
from maskrt.calibration.measure.collect import measure
from maskrt.calibration.measure.convergence import doubt
from maskrt.calibration.measure.images import CalibrationImage
from maskrt.calibration.measure.learned import learned_ranges
from maskrt.calibration.measure.scales import Key, Scales
from maskrt.calibration.rewrite.qdq import Ranges
from maskrt.runtime.commands.cli import say
from maskrt.runtime.contract import LEARNED_SCALES, Contract


@dataclass(frozen=True)
class KnownRanges:
    """Ranges by tensor. details: where they are from, for the contract.

    multiply_adds: of each layer, the mean of an image; empty where no image was run.
    """

    ranges: Ranges
    details: Mapping[str, object]
    multiply_adds: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of_cache(cls, path: Path) -> KnownRanges:
        """Read the ranges from TensorRT's calibration cache."""
        return cls(read_cache(path), {"ranges": path.name})

    @classmethod
    def of_images(cls, found: Scales, method: str) -> KnownRanges:
        """Read the measured ranges by one method; warn if there were too few images for them to settle."""
        details: dict[str, object] = {
            "images": found.images,
            "images_sha256": found.key.images,
            "method": method,
        }
        if warning := doubt(found.images, found.convergence):
            details["warning"] = warning
            say(f"warning: {warning}. The warning stays in the model's contract.")
        return cls(found.ranges(method), details, found.multiply_adds)

    def with_learned(self, model: ModelProto, scales: dict[str, float]) -> KnownRanges:
        """Replace measured scales by the ones that training learned, if there are any."""
        if not scales:
            return self
        say(f"{len(scales)} scales learned in training replace measured ones.")
        ranges = self.ranges | learned_ranges(Graph.of(model), scales)
        return replace(self, ranges=ranges, details={**self.details, LEARNED_SCALES: scales})


def measured(
    model: ModelProto, key: Key, contract: Contract, images: list[CalibrationImage], scales: Path
) -> Scales:
    """Read the ranges from the file `scales` if it was measured on just this; else measure and write it."""
    if scales.is_file():
        found = Scales.read(scales)
        found.check(key, scales)
        say(f"{scales}: measured before, on these {found.images} images.")
        return found
    partial_file = scales.with_suffix(".partial.npz")
    found = measure(model, contract, images, key, partial_file)
    found.write(scales)
    partial_file.unlink(missing_ok=True)
    return found
