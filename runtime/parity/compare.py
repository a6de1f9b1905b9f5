"""One image through two sessions, compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.backends.open import Session
from maskrt.runtime.parity.inside.forced import ForcedParts
from maskrt.runtime.parity.judge import expect, judge
from maskrt.runtime.parity.laying import laid_otherwise
from maskrt.runtime.parity.report import Report
from maskrt.runtime.parity.task import Task
from maskrt.runtime.preprocess import preprocess
from maskrt.runtime.tasks.instances.compare.paste import results_of


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
