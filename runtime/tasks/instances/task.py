"""The task of finding objects: their boxes, classes and scores, and masks or keypoints if there are any."""

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
from maskrt.runtime.tasks.instances.compare.comparison import InstancesComparison
from maskrt.runtime.tasks.instances.compare.recorded import pack, unpack
from maskrt.runtime.tasks.instances.compare.seen import DETECTIONS
from maskrt.runtime.tasks.instances.compare.tolerances import BY_PRECISION
from maskrt.runtime.tasks.instances.decode import postprocess
from maskrt.runtime.tasks.instances.drawing.draw import draw
from maskrt.runtime.tasks.instances.drawing.overlay import Overlay, paint_splash
from maskrt.runtime.tasks.instances.files import InstanceFiles
from maskrt.runtime.tasks.instances.measure.metric import InstancesMetric
from maskrt.runtime.tasks.instances.options import DETECTED, KEYPOINTS, LABELS, MASKS, InstancesOptions
from maskrt.runtime.tasks.instances.result import Result
from maskrt.runtime.tasks.instances.truth import annotated
from maskrt.runtime.tasks.keep import EVERYTHING, Keep
from maskrt.runtime.tasks.style import Wanted
from maskrt.runtime.tasks.task import Painter, Task


class InstancesTask(Task):
    """Results are `Result`s, a record COCO rows with names; it is measured by COCO AP."""

    things = "objects"
    stages: Mapping[str, str] = dict.fromkeys(DETECTED, DETECTIONS) | {MASKS: MASKS, KEYPOINTS: KEYPOINTS}
    labels = LABELS

    def decode(
        self, outputs: Outputs, batch: Batch, contract: Contract, *, keep: Keep = EVERYTHING
    ) -> list[Result]:
        """See `decode.postprocess`."""
        return postprocess(outputs, batch, contract, keep=keep)

    def whole(self, result: Result) -> Any:
        """(D, H, W) masks; the boxes of a model without."""
        return result.boxes if result.crops is None else result.masks

    def record(self, result: Result, image_id: int | str) -> dict[str, Any]:
        """See `Result.to_line`."""
        return result.to_line(image_id)

    def check(self, contract: Contract, name: str, wanted: Wanted) -> None:
        """Masks, contours and colour splashes are made of masks."""
        if contract.options.masks is None and (wanted.masks or wanted.contours or wanted.splash):
            raise ModelError(
                f"{name}: finds no masks (it gives {', '.join(contract.output_names)}), so --masks, "
                "--contours and --splash have nothing to show. Leave them out."
            )

    def painters(self, wanted: Wanted) -> dict[str, Painter]:
        """Overlays, and the objects in colour on grey."""
        known: dict[str, Painter] = {"overlays": Overlay(wanted.style), "splash": paint_splash}
        return {kind: known[kind] for kind in wanted.pictures}

    def draw(self, image: NDArray[np.uint8], result: Result) -> NDArray[np.uint8]:
        """See `drawing.draw`."""
        return draw(image, result)

    def truth(self, sample: Any, dataset: Any) -> Result:
        """See `truth.annotated`."""
        return annotated(sample, dataset)

    def files(self, wanted: Wanted) -> InstanceFiles:
        """COCO results, masks, outlines."""
        return InstanceFiles(wanted)

    def metric(self, contract: Contract) -> InstancesMetric:
        """COCO AP of what the model's outputs hold."""
        return InstancesMetric(contract)

    def compare(self, precision: str, limits: Mapping[str, Any] | None = None) -> InstancesComparison:
        """By the Tolerance of the precision."""
        return InstancesComparison(dataclasses.replace(BY_PRECISION[precision], **(limits or {})))

    def card(self, contract: Contract) -> tuple[str, dict[str, str]]:
        """Each object's parts, and what was settled inside the graph."""
        options: InstancesOptions = contract.options
        told = ["a class", "a score", "a box", *(["a mask"] if options.masks else [])]
        told += ["keypoints"] if options.keypoints else []
        rows = {
            "objects an image": f"at most {options.max_detections}, of scores above "
            f"{options.score_threshold:g}",
            "NMS": f"IoU {options.nms_threshold:g}, each class by itself",
        }
        if masks := options.masks:
            rows["masks"] = f"{masks.described}, cut at {masks.threshold:g}"
        if options.keypoints:
            rows["keypoints"] = ", ".join(options.keypoints.names)
        return f"Finds objects, each with {', '.join(told[:-1])} and {told[-1]}.", rows

    def pack(self, answer: Answer) -> dict[str, NDArray]:
        """See `recorded.pack`."""
        return pack(answer)

    def unpack(self, arrays: Mapping[str, NDArray], batch: Batch, contract: Contract) -> Answer:
        """See `recorded.unpack`."""
        return unpack(arrays, batch, contract)


TASK = InstancesTask()
