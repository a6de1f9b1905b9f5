"""The task of giving every pixel a class."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.backends.session import Outputs
from maskrt.runtime.contract import Contract
from maskrt.runtime.errors import ModelError
from maskrt.runtime.preprocess import Batch
from maskrt.runtime.tasks.answers import Answer
from maskrt.runtime.tasks.keep import EVERYTHING, Keep
from maskrt.runtime.tasks.semantic.compare.comparison import SemanticComparison
from maskrt.runtime.tasks.semantic.compare.recorded import pack, unpack
from maskrt.runtime.tasks.semantic.compare.tolerances import BY_PRECISION
from maskrt.runtime.tasks.semantic.decode import decode
from maskrt.runtime.tasks.semantic.drawing import Overlay, draw, paint_splash
from maskrt.runtime.tasks.semantic.files import SemanticFiles
from maskrt.runtime.tasks.semantic.measure.metric import SemanticMetric
from maskrt.runtime.tasks.semantic.options import SCORES, SEMANTIC, SemanticOptions
from maskrt.runtime.tasks.semantic.result import SemanticResult
from maskrt.runtime.tasks.style import Wanted
from maskrt.runtime.tasks.task import Painter, Task


class SemanticTask(Task):
    """Results are `SemanticResult`s, a record the classes' areas; it is measured by mean IoU."""

    things = "classes"
    stages: Mapping[str, str] = {SCORES: SEMANTIC, SEMANTIC: SEMANTIC}

    def decode(
        self, outputs: Outputs, batch: Batch, contract: Contract, *, keep: Keep = EVERYTHING
    ) -> list[SemanticResult]:
        """See `decode.decode`."""
        return decode(outputs, batch, contract, keep=keep)

    def whole(self, result: SemanticResult) -> NDArray[np.uint8]:
        """(H, W) labels."""
        return result.labels

    def record(self, result: SemanticResult, image_id: int | str) -> dict[str, Any]:
        """See `SemanticResult.to_line`."""
        return result.to_line(image_id)

    def check(self, contract: Contract, name: str, wanted: Wanted) -> None:
        """Outlines are of objects, and a class may lie in many pieces."""
        if wanted.contours:
            raise ModelError(
                f"{name}: gives each pixel a class, and no objects, so --contours has nothing to show. "
                "Leave it out; --masks writes a mask a class."
            )

    def painters(self, wanted: Wanted) -> dict[str, Painter]:
        """Overlays, and the classes in colour on grey."""
        known: dict[str, Painter] = {"overlays": Overlay(wanted.style), "splash": paint_splash}
        return {kind: known[kind] for kind in wanted.pictures}

    def draw(self, image: NDArray[np.uint8], result: SemanticResult) -> NDArray[np.uint8]:
        """See `drawing.draw`."""
        return draw(image, result)

    def truth(self, sample: Any, dataset: Any) -> SemanticResult:
        """The sample's label map."""
        return SemanticResult(sample.height_px, sample.width_px, sample.labels(), dataset.classes)

    def files(self, wanted: Wanted) -> SemanticFiles:
        """Label PNGs."""
        return SemanticFiles(wanted)

    def metric(self, contract: Contract) -> SemanticMetric:
        """Mean IoU, and the other figures of one confusion matrix."""
        return SemanticMetric(contract)

    def compare(self, precision: str, limits: Mapping[str, Any] | None = None) -> SemanticComparison:
        """By the Tolerance of the precision."""
        return SemanticComparison(dataclasses.replace(BY_PRECISION[precision], **(limits or {})))

    def card(self, contract: Contract) -> tuple[str, dict[str, str]]:
        """What the values of the map mean."""
        options: SemanticOptions = contract.options
        rows = {"class map": f"`{SEMANTIC}`: for each pixel of the canvas a class, by its place in the list"}
        if stride := options.scores_stride_px:
            rows["scores"] = f"`{SCORES}`: logits of the classes, a cell for {stride} × {stride} pixels"
        return "Gives each pixel a class.", rows

    def pack(self, answer: Answer) -> dict[str, NDArray]:
        """See `recorded.pack`."""
        return pack(answer)

    def unpack(self, arrays: Mapping[str, NDArray], batch: Batch, contract: Contract) -> Answer:
        """See `recorded.unpack`."""
        return unpack(arrays, batch, contract)


TASK = SemanticTask()
