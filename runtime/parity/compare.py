"""One image through two sessions, compared."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.backends.open import Session
from maskrt.runtime.parity.annotated import Annotated
from maskrt.runtime.parity.inside.forced import ForcedParts
from maskrt.runtime.parity.judge import expect, judge, result_of
from maskrt.runtime.parity.laying import laid_otherwise
from maskrt.runtime.parity.report import Report
from maskrt.runtime.preprocess import preprocess


def compare(
    reference: Session,
    candidate: Session,
    name: str,
    image: NDArray[np.uint8],
    report: Report,
    annotated: Annotated | None = None,
    forced: ForcedParts | None = None,
) -> None:
    """Run both on one image, on the candidate's canvas, and add the outcome to the report.

    Results are compared in canvas pixels: what the models see, whatever the image's size.
    """
    batch = preprocess([image], candidate.contract.canvas)
    look = reference.has_stages and (candidate.has_stages or forced is not None)
    with report.time.measure("reference"):
        expected = expect(reference, batch, look=look)
    if forced is not None:
        with report.time.measure("parts"):
            report.parts.add(forced.run(batch, expected, report.results))
    report.laid += laid_otherwise(reference, candidate, name, image, report.results)
    outputs = judge(name, batch, expected, candidate, report)
    if annotated is not None and (place := annotated.place(name)) is not None:
        ours = result_of(reference, expected.outputs, batch)
        annotated.add(place, ours, result_of(candidate, outputs, batch))
