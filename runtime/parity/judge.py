"""One image through both models: their instances and their stages, added to a report."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.backends.session import Outputs, Session
from maskrt.runtime.contract import Contract
from maskrt.runtime.parity.inside.culprits import culprits
from maskrt.runtime.parity.inside.evidence import Evidence
from maskrt.runtime.parity.inside.knowledge import knowledge_of
from maskrt.runtime.parity.inside.samples import Sample, whole_samples
from maskrt.runtime.parity.inside.stage_report import instance_errors
from maskrt.runtime.parity.inside.stages import Aligned, align, compare_stages, first_image
from maskrt.runtime.parity.report import Report
from maskrt.runtime.preprocess import Batch, corner
from maskrt.runtime.stages import PROPOSALS, Stages
from maskrt.runtime.tasks.instances.compare.flips import flips
from maskrt.runtime.tasks.instances.compare.match import Matching, match
from maskrt.runtime.tasks.instances.compare.paste import paste_alike, resolve_ties, results_of
from maskrt.runtime.tasks.instances.instances import MaskCrop

# Of the proposals: where equal logits choose as many (a picture of one colour), what one side alone finds is
# no difference, and only boxes that both have are compared. On photographs the share is below 0.01.
CHOSEN_BY_TIES = 0.5


@dataclass(frozen=True)
class Expected:
    """What the reference says of one image.

    outputs: of a batch of one; samples: of its stages, None where they were not looked at;
    crops: its masks as the reference itself pastes them on the canvas; None without masks.
    """

    contract: Contract
    outputs: Outputs
    samples: dict[str, Sample] | None
    crops: tuple[MaskCrop, ...] | None


def on_canvas(batch: Batch) -> Batch:
    """The batch as if the canvas's valid area were the image: results come in pixels of the canvas."""
    sizes = tuple((int(h), int(w)) for h, w in batch.image_sizes)
    return Batch(batch.images, batch.image_sizes, sizes)


def expect(reference: Session, batch: Batch, *, look: bool) -> Expected:
    """Run the reference on a batch of one image; look: at its stages too."""
    outputs, stages = _run(reference, batch, look)
    crops = results_of(reference, outputs, on_canvas(batch))[0].crops
    samples = None if stages is None else whole_samples(stages)
    return Expected(reference.contract, outputs, samples, crops)


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
    first = Outputs(**{name: values[:1] for name, values in outputs.arrays().items()})
    return first, None if stages is None else first_image(stages, outputs)


def judge(name: str, batch: Batch, expected: Expected, candidate: Session, report: Report) -> Outputs:
    """Run the candidate on the batch of one that the reference saw, and add to `report` how it differs.

    Boxes and masks are compared in canvas pixels: what the models see, whatever the image's size. Returns
    the candidate's outputs.
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
    limit = report.tolerance
    (ours,), (theirs,) = paste_alike(
        expected.outputs, outputs, on_canvas(batch), contract, within_px=limit.rounding_px
    )
    ours = dataclasses.replace(ours, crops=expected.crops)
    probabilities, grid = (expected.outputs.masks, outputs.masks), contract.instances.masks
    if probabilities[0] is not None and probabilities[1] is not None and grid is not None:
        ties = {"within_px": limit.rounding_px, "margin": limit.tied_probability}
        theirs = resolve_ties(
            ours,
            theirs,
            (probabilities[0][0], probabilities[1][0]),
            grid.threshold,
            **ties,
        )
    matching = match(ours, theirs)
    tied = 0.0 if expected.samples is None else knowledge_of(expected.contract).tied(expected.samples)
    if tied >= CHOSEN_BY_TIES:
        same = tuple(pair for pair in matching.pairs if pair.box_difference_px <= limit.box_px)
        matching = Matching(same, missed=(), extra=())
    flipped = flips(ours, theirs, matching, contract, limit)
    report.coverage.add(expected.contract, expected.outputs, expected.samples, batch, report.unseen.facts)
    report.add(name, matching, ours.scores, theirs.scores, flipped)
    sides = batch.images.shape[1:3]
    top, left = corner((ours.height_px, ours.width_px), sides, contract.canvas.placement)
    report.worst.add(name, batch.images[0, top:, left:], ours, theirs, matching, flipped)
    errors = instance_errors(matching, flipped, limit)
    aligned: dict[str, Aligned] = {}
    if expected.samples is not None and stages is not None:
        within = report.inside(PROPOSALS, contract.precision.name)
        aligned = align(expected.samples, stages, matching, within, tied)
        errors += compare_stages(aligned, stages, lambda stage: report.inside(stage, contract.precision.name))
    evidence = Evidence(
        aligned,
        expected.samples or {},
        stages or {},
        results=(ours, theirs),
        contracts=(expected.contract, contract),
        limit=limit,
        masks=(_of_first(expected.outputs), _of_first(outputs)),
        measured=report.unseen.causes,
    )
    report.stages.add(name, errors, lambda error: culprits(error, evidence))


def _of_first(outputs: Outputs) -> NDArray[np.float32] | None:
    """(D, M, M): the first image's masks."""
    return None if outputs.masks is None else outputs.masks[0]
