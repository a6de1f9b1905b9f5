"""Reads and writes scales.json: every tensor's ranges, and hashes of the model, images and preprocessing."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from maskrt.calibration.measure.convergence import Step
from maskrt.calibration.measure.observers import METHODS, Observer
from maskrt.runtime.contract import Contract
from maskrt.runtime.errors import CalibrationError
from maskrt.runtime.files.atomic import write_text
from maskrt.runtime.files.kinds import SCALES
from maskrt.runtime.structs import FileKind, Format, plain, read

FILE_KIND = FileKind(
    "scales.json", "not a scales.json of maskrt", "Delete it to measure again.", CalibrationError
)


@dataclass(frozen=True)
class Key:
    """Everything that the ranges depend on; SHA-256 of what is large."""

    model: str  # the float32 ONNX file
    checkpoint: str
    images: str
    preprocessing: str
    equalisation: str  # "none", or "weights" (calibration/rewrite/equalise.py)

    @classmethod
    def of(cls, model: Path, contract: Contract, images: str, *, equalised: bool = False) -> Key:
        """The key of a model file; images: the digest of the calibration images (measure/images.py)."""
        how = [dataclasses.asdict(contract.canvas), contract.normalise.mean, contract.normalise.std]
        return cls(
            model=hashlib.sha256(model.read_bytes()).hexdigest(),
            checkpoint=contract.origin.checkpoint_sha256,
            images=images,
            preprocessing=hashlib.sha256(json.dumps(how, sort_keys=True).encode()).hexdigest(),
            equalisation="weights" if equalised else "none",
        )


@dataclass(frozen=True)
class TensorScale:
    """A tensor's extremes, and the threshold that each method chooses for its absolute value."""

    minimum: float
    maximum: float
    thresholds: dict[str, float]

    @classmethod
    def of(cls, seen: Observer) -> TensorScale:
        """The summary of an observation."""
        if not seen.batches:
            return cls(0.0, 0.0, dict.fromkeys(METHODS, 0.0))
        return cls(seen.minimum, seen.maximum, {name: method(seen) for name, method in METHODS.items()})

    def range(self, method: str) -> tuple[float, float]:
        """(lowest, highest) value that eight bits are to hold."""
        threshold = self.thresholds[method]
        return max(self.minimum, -threshold), min(self.maximum, threshold)


@dataclass(frozen=True)
class Scales:
    """The content of a scales.json. multiply_adds: by layer, the mean over the images. convergence: how far
    the ranges moved each time the number of images doubled."""

    FORMAT: ClassVar[Format] = Format(2)
    key: Key
    images: int
    tensors: dict[str, TensorScale]
    multiply_adds: dict[str, float]
    convergence: tuple[Step, ...] = ()

    def ranges(self, method: str) -> dict[str, tuple[float, float]]:
        """The ranges of all tensors by one of `METHODS`. Raises CalibrationError for another."""
        if method not in METHODS:
            raise CalibrationError(f"--method is {method!r}, expected one of {', '.join(METHODS)}.")
        return {name: tensor.range(method) for name, tensor in self.tensors.items()}

    def check(self, key: Key, source: Path) -> None:
        """Raise CalibrationError, naming what differs, if the file was not measured on what `key` says."""
        ours, theirs = dataclasses.asdict(key), dataclasses.asdict(self.key)
        if wrong := [name for name in ours if ours[name] != theirs[name]]:
            raise CalibrationError(
                f"{source}: measured with different {' and '.join(wrong)} than given now. "
                "Measure again: delete the file, or name another with --scales."
            )

    def write(self, path: Path) -> None:
        """Write the file atomically."""
        write_text(path, json.dumps(plain(self), indent=1), SCALES)

    @classmethod
    def read(cls, path: Path) -> Scales:
        """Read it back. Raises CalibrationError for any other file."""
        return read(cls, path, path, FILE_KIND)
