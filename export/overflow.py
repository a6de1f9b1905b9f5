"""Scans a model on the user's images for units whose values half precision cannot hold."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from maskrt.models.checkpoint import Checkpoint
from maskrt.models.parts.half import HALF_MAX, too_large, unit_of, watch
from maskrt.runtime.commands.cli import say, track
from maskrt.runtime.contract import Contract
from maskrt.runtime.inputs.images import find_images, read_image
from maskrt.runtime.preprocess import preprocess


@dataclass(frozen=True)
class Scan:
    """The result of a scan: tensors near or above float16's largest number, their peaks, and their units."""

    images: int
    peaks: dict[str, float]
    float32_units: tuple[str, ...]

    def lines(self) -> list[str]:
        """The report, one line per tensor."""
        return [
            f"{name}: {peak:.0f}, of {HALF_MAX:.0f} that float16 can hold; its unit stays float32"
            for name, peak in sorted(self.peaks.items())
        ]


def scan(checkpoint: Checkpoint, contract: Contract, inputs: list[str]) -> Scan:
    """Run the float32 graph over image files, folders and globs, and keep the peaks of its tensors.

    Raises ImageError where an input names no image or one cannot be read.
    """
    graph = checkpoint.family.graph(checkpoint.build(), detections="dynamic").eval()
    paths = find_images(inputs)
    with torch.inference_mode(), watch(graph) as peaks:
        for path in track(paths, "Scanning for overflow"):
            batch = preprocess([read_image(path)], contract.canvas)
            graph(torch.from_numpy(batch.images), torch.from_numpy(batch.image_sizes))
    large = too_large(peaks)
    return Scan(len(paths), large, tuple(sorted({unit_of(name, graph) for name in large})))


def half_contract(checkpoint: Checkpoint, contract: Contract, inputs: list[str]) -> Contract:
    """The contract of an FP16 file; units that exceed float16 on the images of `inputs` stay in float32."""
    if inputs:
        found = scan(checkpoint, contract, inputs)
        for line in found.lines():
            say(line)
    else:
        found = Scan(0, {}, ())
        say(f"no --images: it is not known whether this model's values fit float16 (up to {HALF_MAX:.0f}).")
    details = {"scanned_images": found.images, "float32_units": list(found.float32_units)}
    return contract.in_precision("fp16", details)
