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
from maskrt.runtime.contract import IMAGE_SIZES, IMAGES, Contract
from maskrt.runtime.contract.options import FIXED
from maskrt.runtime.parity.inside.knowledge import knowledge_of
from maskrt.runtime.parity.inside.parts import GraphParts
from maskrt.runtime.parity.inside.samples import Sample
from maskrt.runtime.parity.inside.stages import Aligned, StageError, compare_stages
from maskrt.runtime.parity.judge import Expected, on_canvas, output_errors
from maskrt.runtime.parity.tolerances import STAGES_BY_PRECISION
from maskrt.runtime.preprocess import Batch
from maskrt.runtime.tasks import task_of
from maskrt.runtime.tasks.answers import Answer
from maskrt.runtime.tasks.comparison import Comparison


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
        taps = {tap.name: tap for tap in self._contract.inside.taps}
        for name, values in made.items():
            kind = taps[name].kind
            if kind == "counts":
                continue
            sample = expected.samples[name]
            row = values[0] if kind in ("map", "boxes") else values[: sample.shape[0]]
            found[name] = row.astype(np.float32, copy=False)
            aligned[name] = Aligned(sample.values, found[name], np.arange(len(row)), compared=1.0)
            if kind == "boxes":
                boxes = found[name] = found[name][: int(made[taps[name].rows_of or ""][0])]
                ours, theirs = same_boxes(sample.values, boxes, inside.proposals_px)
                share = len(ours) / max(len(sample.values), len(boxes), 1)
                pair = sample.values[ours], boxes[theirs], ours
                tied = knowledge_of(self._contract).tied(expected.samples)
                aligned[name] = Aligned(*pair, compared=share, boxes=True, tied=tied)
        errors = compare_stages(aligned, found, inside)
        return min(errors, key=lambda error: (not error.reason, error.snr_db))

    def _judge_outputs(
        self, part: str, made: dict[str, NDArray], batch: Batch, expected: Expected, results: Comparison
    ) -> StageError:
        # What other parts make of them, as masks of boxes, is not this part's to give.
        given, canvas = Outputs({name: expected.outputs[name] for name in made}), on_canvas(batch)
        (result,) = task_of(self._contract).decode(given, canvas, self._contract)
        answer = Answer(self._contract, given, result)
        found = output_errors(results.look(answer, Outputs(made), canvas, self._contract))
        return found[0] if found else StageError(part)

    def _inputs(self, batch: Batch, expected: Expected, samples: dict[str, Sample]) -> dict[str, NDArray]:
        """All that any part takes, as a batch of one."""
        given: dict[str, NDArray] = {IMAGES: batch.images, IMAGE_SIZES: batch.image_sizes}
        given |= expected.outputs
        taps = {tap.name: tap for tap in self._contract.inside.taps}
        rows = {name: self._parts.side(name, 1) or tap.rows or 0 for name, tap in taps.items() if tap.rows}
        if self._contract.options.detections == FIXED:
            counted = (tensor for tensor in self._contract.outputs if tensor.counted_by)
            rows |= {tensor.name: side for tensor in counted if isinstance(side := tensor.axes[1], int)}
        for name, sample in samples.items():
            tap, values = taps[name], sample.values
            if tap.kind == "map":
                values = values[None]
            elif tap.kind == "boxes":
                given[tap.rows_of or ""] = np.array([len(values)], np.int32)
                values = _filled_up(values, rows[name])[None]
            else:
                values = _filled_up(values, rows.get(tap.rows_of or "", len(values)))
            given[name] = values
        return given


def _filled_up(values: NDArray, rows: int) -> NDArray:
    """With rows of zeros at the end, as a graph of fixed shapes has them."""
    missing: list[Any] = [(0, rows - len(values))] + [(0, 0)] * (values.ndim - 1)
    return np.pad(values, missing)
