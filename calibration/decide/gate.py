"""The accuracy gate: compares a quantised model with the float model on images."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto

from maskrt.calibration.measure.images import CalibrationImage
from maskrt.runtime.backends.open import Outputs, Session
from maskrt.runtime.backends.ort_session import OrtSession
from maskrt.runtime.commands.cli import say, track
from maskrt.runtime.parity.judge import Expected, expect, on_canvas, outputs_of
from maskrt.runtime.parity.report import Report, averages
from maskrt.runtime.preprocess import Batch, preprocess
from maskrt.runtime.siblings import load_dataset
from maskrt.runtime.tasks import task_of

GATE_IMAGES = 16  # of the calibration images, where no --val is given


@dataclass(frozen=True)
class Limits:
    """What a quantised model may lose. max_ap_drop: in points of AP (hundredths).

    by_ap_alone: judge by AP only, and allow differences from the float model instance by instance.
    """

    max_ap_drop: float
    min_mask_iou: float
    by_ap_alone: bool = False


@dataclass(frozen=True)
class Verdict:
    """What one candidate loses. The APs are None without annotations; in 0–1, and of `figure`, by which
    a model is judged (`Metric.main`)."""

    report: Report
    ap: float | None
    reference_ap: float | None
    limits: Limits
    figure: str = "mask_ap"
    named: str = "mask AP"  # the figure, for people

    @property
    def ap_drop(self) -> float | None:
        """AP lost, in points; negative if the candidate is better."""
        if self.ap is None or self.reference_ap is None:
            return None
        return 100 * (self.reference_ap - self.ap)

    @property
    def failures(self) -> list[str]:
        """Why the candidate does not pass; empty if it does."""
        found = (
            [] if self.limits.by_ap_alone else [*self.report.failures, *filter(None, [self.report.undecided])]
        )
        if self.ap_drop is not None and not self.ap_drop <= self.limits.max_ap_drop:
            found.append(
                f"{self.named} falls by {self.ap_drop:.2f} points, allowed {self.limits.max_ap_drop:g} "
                "(--max-ap-drop)"
            )
        return found

    @property
    def loss(self) -> float:
        """One number to rank by."""
        return self.report.results.loss

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it: None in place of NaN, where no instance was matched."""
        results = self.report.results
        numbers = {
            "matched": results.matched,
            **{f"mean_{row.key}": row.mean for row in averages(results.rows) if row.listed},
            self.figure: self.ap,
            "ap_drop": self.ap_drop,
        }
        known = {key: None if value is None or np.isnan(value) else value for key, value in numbers.items()}
        return {**known, "failures": self.failures}


@dataclass
class Judge:
    """Runs candidates over images and compares them with the float model, which runs once.

    dataset: annotations of the images (maskrt.training.data.Dataset), for AP; None without.
    """

    reference: Session
    images: list[CalibrationImage]
    limits: Limits
    dataset: Any = None
    verdicts: int = field(default=0, init=False)
    _expected: list[Expected] = field(default_factory=list, init=False)
    _reference_ap: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        contract = self.reference.contract
        self._task = task_of(contract)
        self._metric = self._task.metric(contract)
        for image in track(self.images, "Float model"):
            self._expected.append(expect(self.reference, self._laid(image), look=False))
        if self.dataset is not None:
            self._reference_ap = self._ap([expected.outputs for expected in self._expected])

    def judge(self, model: ModelProto, count: int | None = None) -> Verdict:
        """Judge a candidate on the images, or on the first `count` of them without AP."""
        self.verdicts += 1
        results, found = self._task.compare("int8", {"mask_iou": self.limits.min_mask_iou}), []
        with tempfile.TemporaryDirectory() as folder:  # ONNX Runtime's limit of 2 GB is of models in memory
            path = Path(folder) / "candidate.onnx"
            onnx.save_model(model, path)
            session = OrtSession(path)
            pairs = list(zip(self.images[:count], self._expected[:count], strict=True))
            # A ranking runs few images, and has a progress bar of its own.
            shown = track(pairs, f"Evaluation {self.verdicts}") if count is None else pairs
            for image, expected in shown:
                batch = self._laid(image)
                found.append(outputs_of(session, batch))
                seen = results.look(expected, found[-1], on_canvas(batch), self.reference.contract)
                results.add(image.name, seen)
        with_ap = self.dataset is not None and count is None
        ap = self._ap(found) if with_ap else None
        main = self._metric.main
        return Verdict(Report(results), ap, self._reference_ap, self.limits, main, self._metric.named(main))

    def _laid(self, image: CalibrationImage) -> Batch:
        return preprocess([image.read()], self.reference.contract.canvas)

    def _ap(self, outputs: list[Outputs]) -> float:
        parts = [
            self._metric.part(sample, self._task.decode(found, self._laid(image), self.reference.contract)[0])
            for sample, image, found in zip(self.dataset, self.images, outputs, strict=True)
        ]
        return self._metric.figures(self.dataset, parts)[self._metric.main]


def open_judge(
    model: Path, images: list[CalibrationImage], limits: Limits, val: str | None, **options: Any
) -> Judge:
    """Open a judge over the annotated images of `val`, or over some of `images` without AP.

    options: of maskrt.training.data.load_dataset.
    """
    session = OrtSession(model)
    if val is None:
        say(f"no --val: judged by agreement with the float model on {min(GATE_IMAGES, len(images))} images.")
        return Judge(session, images[:: max(1, len(images) // GATE_IMAGES)][:GATE_IMAGES], limits)
    contract = session.contract
    dataset: Any = load_dataset(val, **options).for_model(contract.task, contract.classes)
    judged = [CalibrationImage(sample.source, sample.image) for sample in dataset]
    return Judge(session, judged, limits, dataset)
