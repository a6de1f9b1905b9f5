"""Teacher forcing: each part of a candidate on the reference's own inputs.

In the course of the computation an early error blames every later stage, and a proposal that NMS decided
otherwise looks like a wrong box. Here every part gets what the reference had at its entrance, so what is
wrong is wrong in the part itself, and several faults are seen at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.backends.session import Outputs
from maskrt.runtime.boxes import same_boxes
from maskrt.runtime.contract import DETECTED, IMAGE_SIZES, IMAGES, Contract
from maskrt.runtime.parity.inside.knowledge import knowledge_of
from maskrt.runtime.parity.inside.parts import GraphParts
from maskrt.runtime.parity.inside.samples import Sample
from maskrt.runtime.parity.inside.stages import Aligned, StageError, compare_stages
from maskrt.runtime.parity.judge import Expected, on_canvas, output_errors
from maskrt.runtime.parity.tolerances import STAGES_BY_PRECISION
from maskrt.runtime.preprocess import Batch
from maskrt.runtime.stages import MAPS, PER_PROPOSAL, PROPOSAL_COUNTS, PROPOSALS
from maskrt.runtime.tasks import task_of
from maskrt.runtime.tasks.task import Answer, Comparison


class ForcedParts:
    """An ONNX file in parts, on ONNX Runtime."""

    def __init__(self, path: Path, contract: Contract, *, device: str = "cpu") -> None:
        """Raises ModelError for a file that is no ONNX, or names no stages."""
        self._contract = contract
        self._parts = GraphParts(path, contract, device=device)

    def run(self, batch: Batch, expected: Expected, results: Comparison) -> dict[str, StageError]:
        """Each part's worst stage on one image; expected: with whole samples of its stages; results: looks at
        what gives outputs."""
        assert expected.samples is not None
        given = self._inputs(batch, expected, expected.samples)
        return {part: self._judge(part, given, batch, expected, results) for part in self._parts.names}

    def _judge(
        self,
        part: str,
        given: dict[str, NDArray],
        batch: Batch,
        expected: Expected,
        results: Comparison,
    ) -> StageError:
        made = self._parts.run(part, given)
        if set(made) <= set(self._contract.output_names):
            return self._judge_outputs(part, made, batch, expected, results)
        return self._judge_tensors(made, expected)

    def _judge_tensors(self, made: dict[str, NDArray], expected: Expected) -> StageError:
        assert expected.samples is not None
        inside = STAGES_BY_PRECISION[self._contract.precision.name]
        found: dict[str, NDArray] = {}
        aligned: dict[str, Aligned] = {}
        for name, values in made.items():
            if name == PROPOSAL_COUNTS:
                continue
            sample = expected.samples[name]
            row = values[0] if name in MAPS or name == PROPOSALS else values[: sample.shape[0]]
            found[name] = row.astype(np.float32, copy=False)
            aligned[name] = Aligned(sample.values, found[name], np.arange(len(row)), compared=1.0)
        if PROPOSALS in found:
            boxes = found[PROPOSALS] = found[PROPOSALS][: int(made[PROPOSAL_COUNTS][0])]
            reference = expected.samples[PROPOSALS].values
            ours, theirs = same_boxes(reference, boxes, inside.proposals_px)
            share = len(ours) / max(len(reference), len(boxes), 1)
            tied = knowledge_of(self._contract).tied(expected.samples)
            aligned[PROPOSALS] = Aligned(reference[ours], boxes[theirs], ours, compared=share, tied=tied)
        errors = compare_stages(aligned, found, inside)
        return min(errors, key=lambda error: (not error.reason, error.snr_db))

    def _judge_outputs(
        self, part: str, made: dict[str, NDArray], batch: Batch, expected: Expected, results: Comparison
    ) -> StageError:
        # What other parts make of them, as masks of boxes, is not this part's to give.
        given, canvas = Outputs(**{name: getattr(expected.outputs, name) for name in made}), on_canvas(batch)
        (result,) = task_of(self._contract).decode(given, canvas, self._contract)
        answer = Answer(self._contract, given, result)
        found = output_errors(results.look(answer, Outputs(**made), canvas, self._contract))
        return found[0] if found else StageError(part)

    def _inputs(self, batch: Batch, expected: Expected, samples: dict[str, Sample]) -> dict[str, NDArray]:
        """All that any part takes, as a batch of one."""
        count = samples[PROPOSALS].shape[0]
        rows = self._parts.side(PROPOSALS, 1) or knowledge_of(self._contract).rows(PROPOSALS, self._contract)
        given: dict[str, NDArray] = {IMAGES: batch.images, IMAGE_SIZES: batch.image_sizes}
        given |= {name: getattr(expected.outputs, name) for name in DETECTED}
        given[PROPOSAL_COUNTS] = np.array([count], np.int32)
        for name, sample in samples.items():
            values = sample.values
            if name in MAPS:
                values = values[None]
            elif name == PROPOSALS:
                values = _filled_up(values, rows)[None]
            elif name in PER_PROPOSAL:
                values = _filled_up(values, rows)
            elif self._contract.instances.rows == "fixed":
                values = _filled_up(values, self._contract.instances.max_detections)
            given[name] = values
        return given


def _filled_up(values: NDArray, rows: int) -> NDArray:
    """With rows of zeros at the end, as a graph of fixed shapes has them."""
    missing: list[Any] = [(0, rows - len(values))] + [(0, 0)] * (values.ndim - 1)
    return np.pad(values, missing)
