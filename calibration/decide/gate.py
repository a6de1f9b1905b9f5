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
from maskrt.runtime.backends.open import Session
from maskrt.runtime.backends.ort_session import OrtSession
from maskrt.runtime.commands.cli import say, track
from maskrt.runtime.parity.annotated import Annotated, Side
from maskrt.runtime.parity.judge import Expected, expect, on_canvas, outputs_of, result_of
from maskrt.runtime.parity.options import Allowed
from maskrt.runtime.parity.report import Report, averages
from maskrt.runtime.preprocess import Batch, preprocess
from maskrt.runtime.siblings import load_dataset
from maskrt.runtime.tasks import task_of

GATE_IMAGES = 16  # of the calibration images, where no --val is given
KEPT_BYTES = 1 << 30  # of canvases, so that images are decoded once; the rest is decoded for every verdict


@dataclass(frozen=True)
class Verdict:
    """What one candidate loses, in the words of `maskrt parity` (runtime/parity/report.py).

    figure: what the score is called in JSON (`Metric.main`).
    """

    report: Report
    figure: str

    @property
    def failures(self) -> list[str]:
        """Why the candidate loses too much; empty where it does not, or where the images cannot tell."""
        return self.report.failures

    @property
    def passes(self) -> bool:
        """True unless too much is lost; where these images cannot tell too: no layer goes back by chance."""
        return not self.failures

    @property
    def loss(self) -> float:
        """One number to rank by."""
        return self.report.results.loss

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it: None in place of NaN, where no instance was matched."""
        report, results = self.report, self.report.results
        numbers: dict[str, Any] = {
            "matched": results.matched,
            **{f"mean_{row.key}": row.mean for row in averages(results.rows) if row.listed},
        }
        for score in list((report.scores or {}).values())[:1]:
            numbers |= {self.figure: score["candidate"], "ap_drop": -100 * score["difference"]}
        known = {key: None if value is None or np.isnan(value) else value for key, value in numbers.items()}
        return {
            **known,
            "images": len(results.images),
            "failures": self.failures,
            "doubts": report.doubts,
            "findings": [found.to_dict() for found in report.findings],
        }


@dataclass
class Judge:
    """Runs candidates over images and compares them with the float model, which runs once.

    dataset: annotations of the images (maskrt.training.data.Dataset), for AP; None without. by_score_alone:
    what such weights compute in float is not what was trained.
    """

    reference: Session
    images: list[CalibrationImage]
    allowed: Allowed = field(default_factory=Allowed)
    dataset: Any = None
    by_score_alone: bool = False
    verdicts: int = field(default=0, init=False)
    _expected: list[Expected] = field(default_factory=list, init=False)
    _canvases: list[Batch] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        contract = self.reference.contract
        self._task = task_of(contract)
        self._metric = self._task.metric(contract)
        self._scored = None if self.dataset is None else Side(self.dataset, self._metric)
        kept_bytes = 0
        for place, image in enumerate(track(self.images, "Float model")):
            batch = preprocess([image.read()], contract.canvas)
            if (kept_bytes := kept_bytes + batch.images.nbytes) <= KEPT_BYTES:
                self._canvases.append(batch)
            self._expected.append(expect(self.reference, batch, look=False))
            if self._scored is not None:
                result = result_of(self.reference, self._expected[-1].outputs, batch)
                self._scored.add(place, result)

    def judge(self, model: ModelProto, count: int | None = None) -> Verdict:
        """Judge a candidate on the images, or on the first `count` of them without AP."""
        self.verdicts += count is None
        report = Report(self.allowed.comparison(self._task, "int8"), max_drop=self.allowed.max_ap_drop)
        report.by_score_alone = self.by_score_alone
        annotated = None
        if self._scored is not None and count is None:
            annotated = Annotated(self.dataset, self._metric, self._scored)
        with tempfile.TemporaryDirectory() as folder:  # ONNX Runtime's limit of 2 GB is of models in memory
            path = Path(folder) / "candidate.onnx"
            onnx.save_model(model, path)
            session = OrtSession(path)
            pairs = list(zip(self.images[:count], self._expected[:count], strict=True))
            # A ranking runs few images, and has a progress bar of its own.
            shown = track(pairs, f"Evaluation {self.verdicts}") if count is None else pairs
            for place, (image, expected) in enumerate(shown):
                batch = self._laid(place)
                found = outputs_of(session, batch)
                seen = report.results.look(expected, found, on_canvas(batch), self.reference.contract)
                report.results.add(image.name, seen)
                if annotated is not None:
                    annotated.candidate.add(place, result_of(session, found, batch))
        if annotated is not None:
            report.score(annotated)
        return Verdict(report, self._metric.main)

    def _laid(self, place: int) -> Batch:
        if place < len(self._canvases):
            return self._canvases[place]
        return preprocess([self.images[place].read()], self.reference.contract.canvas)


def open_judge(
    model: Path,
    images: list[CalibrationImage],
    allowed: Allowed,
    val: str | None,
    *,
    by_score_alone: bool = False,
    **options: Any,
) -> Judge:
    """Open a judge over the annotated images of `val`, or over some of `images` without AP.

    options: of maskrt.training.data.load_dataset.
    """
    session = OrtSession(model)
    if val is None:
        say(f"no --val: judged by agreement with the float model on {min(GATE_IMAGES, len(images))} images.")
        return Judge(session, images[:: max(1, len(images) // GATE_IMAGES)][:GATE_IMAGES], allowed)
    contract = session.contract
    dataset: Any = load_dataset(val, **options).for_model(contract.task, contract.classes)
    judged = [CalibrationImage(sample.source, sample.image) for sample in dataset]
    return Judge(session, judged, allowed, dataset, by_score_alone)
