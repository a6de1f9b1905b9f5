"""One image through both models: their results and their stages, added to a report."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maskrt.runtime.backends.session import Outputs, Session
from maskrt.runtime.contract import Contract, Stages
from maskrt.runtime.parity.inside.culprits import culprits
from maskrt.runtime.parity.inside.evidence import Evidence
from maskrt.runtime.parity.inside.knowledge import knowledge_of
from maskrt.runtime.parity.inside.samples import Sample, whole_samples
from maskrt.runtime.parity.inside.stages import (
    Aligned,
    StageError,
    align,
    compare_stages,
    first_image,
    order_of,
)
from maskrt.runtime.parity.report import Report
from maskrt.runtime.preprocess import Batch, corner
from maskrt.runtime.tasks import task_of
from maskrt.runtime.tasks.answers import Answer
from maskrt.runtime.tasks.comparison import Seen
from maskrt.runtime.tasks.found import Found

# Of the proposals: where equal logits choose as many (a picture of one colour), what one side alone finds is
# no difference, and only boxes that both have are compared. On photographs the share is below 0.01.
CHOSEN_BY_TIES = 0.5


@dataclass(frozen=True)
class Expected(Answer):
    """The reference's answer to one image. samples: of its stages, None if they were not recorded."""

    samples: dict[str, Sample] | None = None


def on_canvas(batch: Batch) -> Batch:
    """The batch as if the canvas's valid area were the image: results come in pixels of the canvas."""
    sizes = tuple((int(h), int(w)) for h, w in batch.image_sizes)
    return Batch(batch.images, batch.image_sizes, sizes)


def expect(reference: Session, batch: Batch, *, look: bool) -> Expected:
    """Run the reference on a batch of one image; look: at its stages too."""
    outputs, stages = _run(reference, batch, look)
    result = result_of(reference, outputs, on_canvas(batch))
    return Expected(
        reference.contract, outputs, result, samples=None if stages is None else whole_samples(stages)
    )


def answer(session: Session, batch: Batch) -> Answer:
    """Run a model on a batch of one image; its result is in pixels of the image itself."""
    outputs = outputs_of(session, batch)
    return Answer(session.contract, outputs, result_of(session, outputs, batch))


def result_of(session: Session, outputs: Outputs, batch: Batch) -> Found:
    """Outputs of a batch of one as a result in the image's pixels, as the session's users are given it."""
    results = task_of(session.contract).decode(outputs, batch, session.contract)
    return session.repaste(list(results), outputs)[0]


def outputs_of(session: Session, batch: Batch) -> Outputs:
    """Run a model on a batch of one image."""
    return _run(session, batch, look=False)[0]


def _run(session: Session, batch: Batch, look: bool) -> tuple[Outputs, Stages | None]:
    """The outputs of a batch of one image and, if asked to look, its stages.

    A model of a fixed batch gets as many copies of the image, and its first answer counts.
    """
    copies = session.contract.batch or 1
    images, sizes = (np.repeat(x[:1], copies, axis=0) for x in (batch.images, batch.image_sizes))
    if look:
        outputs, stages = session.infer_with_stages(images, sizes)
    else:
        outputs, stages = session.infer(images, sizes), None
    first = Outputs({name: values[:1] for name, values in outputs.items()})
    return first, None if stages is None else first_image(stages, outputs, session.contract)


def judge(name: str, batch: Batch, expected: Expected, candidate: Session, report: Report) -> Outputs:
    """Run the candidate on the batch of one that the reference saw, and add to `report` how it differs.

    Results are compared in canvas pixels: what the models see, whatever the image's size. Returns the
    candidate's outputs.
    """
    with report.time.measure("candidate"):
        outputs, stages = _run(candidate, batch, candidate.has_stages and expected.samples is not None)
    with report.time.measure("comparison"):
        _add(name, batch, expected, outputs, stages, candidate.contract, report)
    return outputs


def _add(
    name: str,
    batch: Batch,
    expected: Expected,
    outputs: Outputs,
    stages: Stages | None,
    contract: Contract,
    report: Report,
) -> None:
    """Add how the outputs and stages of a candidate of this contract differ from what is expected."""
    tied = 0.0 if expected.samples is None else knowledge_of(expected.contract).tied(expected.samples)
    canvas = on_canvas(batch)
    seen = report.results.look(expected, outputs, canvas, contract, shared_only=tied >= CHOSEN_BY_TIES)
    exercised = report.results.exercised(expected)
    report.coverage.add(expected.contract, exercised, expected.samples, batch, report.unseen.facts)
    report.results.add(name, seen)
    result = expected.result
    sides = batch.images.shape[1:3]
    top, left = corner((result.height_px, result.width_px), sides, contract.canvas.placement)
    report.results.picture(name, batch.images[0, top:, left:], seen)
    errors = output_errors(seen)
    aligned: dict[str, Aligned] = {}
    if expected.samples is not None and stages is not None:
        boxes = next((tap.name for tap in contract.inside.taps if tap.kind == "boxes"), "")
        within = report.inside(boxes, contract.precision.name)
        aligned = align(expected.samples, stages, seen, within, contract, tied)
        errors += compare_stages(aligned, stages, lambda stage: report.inside(stage, contract.precision.name))
    evidence = Evidence(
        aligned,
        expected.samples or {},
        stages or {},
        seen=seen,
        contracts=(expected.contract, contract),
        measured=report.unseen.causes,
    )
    report.stages.order = order_of(contract)
    report.stages.add(
        name,
        errors,
        lambda error: culprits(error, evidence),
        inside=bool(aligned),
        judged=lambda stage: report.inside(stage, contract.precision.name).judged,
    )


def output_errors(seen: Seen) -> list[StageError]:
    """The outputs of one image, as stages that come after all that is inside."""
    return [
        StageError(one.output, max_error=one.max_error, compared=one.compared, reason=one.reason)
        for one in seen.errors
    ]
