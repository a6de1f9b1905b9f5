"""One image through two sessions, compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.parity.forced import ForcedParts
from runtime.parity.judge import expect, judge
from runtime.parity.laying import laid_otherwise
from runtime.parity.paste import results_of
from runtime.parity.report import Report
from runtime.parity.task import Task
from runtime.preprocess import preprocess
from runtime.session import Session


def compare(
    reference: Session,
    candidate: Session,
    name: str,
    image: NDArray[np.uint8],
    report: Report,
    task: Task | None = None,
    forced: ForcedParts | None = None,
) -> None:
    """Run both on one image, on the candidate's canvas, and add the outcome to the report.

    Boxes and masks are compared in canvas pixels: what the models see, whatever the image's size.
    """
    batch = preprocess([image], candidate.contract.canvas)
    look = reference.has_stages and (candidate.has_stages or forced is not None)
    with report.time.measure("reference"):
        expected = expect(reference, batch, look=look)
    if forced is not None:
        with report.time.measure("parts"):
            report.parts.add(forced.run(batch, expected, report.tolerance))
    report.laid += laid_otherwise(reference, candidate, name, image)
    outputs = judge(name, batch, expected, candidate, report)
    if task is not None and (image_id := task.image_id(Path(name).name)) is not None:
        (ours,), (theirs,) = (
            results_of(reference, expected.outputs, batch),
            results_of(candidate, outputs, batch),
        )
        task.add(image_id, ours.to_coco(image_id), theirs.to_coco(image_id))
