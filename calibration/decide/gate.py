"""The accuracy gate: compares a quantised model with the float model on images."""

from __future__ import annotations

import dataclasses
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
from maskrt.runtime.cli import say, track
from maskrt.runtime.parity.report import Report
from maskrt.runtime.parity.tolerances import INT8
from maskrt.runtime.preprocess import Batch, preprocess
from maskrt.runtime.siblings import load_dataset
from maskrt.runtime.tasks.instances.compare.match import match
from maskrt.runtime.tasks.instances.compare.paste import paste_alike
from maskrt.runtime.tasks.instances.decode import postprocess
from maskrt.runtime.tasks.instances.measure.coco import KINDS, coco_metrics

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
    """What one candidate loses. The APs are None without annotations; in 0–1, and of what `kind` says, by
    which a model is judged (maskrt.runtime.tasks.instances.measure.coco.KINDS)."""

    report: Report
    ap: float | None
    reference_ap: float | None
    limits: Limits
    kind: str = "mask"

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
                f"{self.kind} AP falls by {self.ap_drop:.2f} points, allowed {self.limits.max_ap_drop:g} "
                "(--max-ap-drop)"
            )
        return found

    @property
    def loss(self) -> float:
        """One number to rank by: instances not matched, area of masks not shared, score differences.

        Without masks the boxes stand in for them, and the keypoints where there are any: a box or a point as
        far off as is allowed counts like a mask that is.
        """
        score, iou = self.report.mean("score_differences"), self.report.mean("mask_ious")
        lost, allowed = 1 - self.report.matched, self.report.tolerance
        if np.isnan(score):
            return lost
        if not np.isnan(iou):
            return lost + score + 1 - iou
        boxes = self.report.mean("box_differences_px") / allowed.box_px
        points = np.nan_to_num(self.report.mean("keypoint_differences_px")) / allowed.keypoint_px
        return lost + score + (boxes + float(points)) * (1 - allowed.mask_iou)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it: None in place of NaN, where no instance was matched."""
        numbers = {
            "matched": self.report.matched,
            "mean_mask_iou": self.report.mean("mask_ious"),
            "mean_score_difference": self.report.mean("score_differences"),
            "mean_box_difference_px": self.report.mean("box_differences_px"),
            f"{self.kind}_ap": self.ap,
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
    _expected: list[Outputs] = field(default_factory=list, init=False)
    _reference_ap: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        for image in track(self.images, "Float model"):
            batch = self._laid(image)
            self._expected.append(self.reference.infer(batch.images, batch.image_sizes))
        if self.dataset is not None:
            self._reference_ap = self._ap(self._expected)

    def judge(self, model: ModelProto, count: int | None = None) -> Verdict:
        """Judge a candidate on the images, or on the first `count` of them without AP."""
        self.verdicts += 1
        tolerance = dataclasses.replace(INT8, mask_iou=self.limits.min_mask_iou)
        report, found = Report(tolerance), []
        with tempfile.TemporaryDirectory() as folder:  # ONNX Runtime's limit of 2 GB is of models in memory
            path = Path(folder) / "candidate.onnx"
            onnx.save_model(model, path)
            session = OrtSession(path)
            pairs = list(zip(self.images[:count], self._expected[:count], strict=True))
            # A ranking runs few images, and has a progress bar of its own.
            shown = track(pairs, f"Evaluation {self.verdicts}") if count is None else pairs
            for image, expected in shown:
                batch = self._laid(image)
                actual = session.infer(batch.images, batch.image_sizes)
                found.append(actual)
                sizes = tuple((int(h), int(w)) for h, w in batch.image_sizes)
                on_canvas = Batch(batch.images, batch.image_sizes, sizes)
                (theirs, *_), (ours, *_) = paste_alike(
                    expected, actual, on_canvas, self.reference.contract, within_px=tolerance.rounding_px
                )
                report.add(image.name, match(theirs, ours), theirs.scores, ours.scores)
        with_ap = self.dataset is not None and count is None
        ap = self._ap(found) if with_ap else None
        return Verdict(report, ap, self._reference_ap, self.limits, self._kind)

    @property
    def _kind(self) -> str:
        return KINDS[self.reference.contract.old_task][0]

    def _laid(self, image: CalibrationImage) -> Batch:
        contract = self.reference.contract
        return preprocess([image.read()] * (contract.batch or 1), contract.canvas)

    def _ap(self, outputs: list[Outputs]) -> float:
        rows: list[dict[str, Any]] = []
        for sample, image, found in zip(self.dataset, self.images, outputs, strict=True):
            result = postprocess(found, self._laid(image), self.reference.contract)[0]
            rows += result.to_coco(sample.image_id)
        return coco_metrics(self.dataset.to_coco(), rows, self.reference.contract.old_task)[
            f"{self._kind}_ap"
        ]


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
    dataset: Any = load_dataset(val, **options).with_classes(session.contract.classes)
    judged = [CalibrationImage(sample.source, sample.image) for sample in dataset]
    return Judge(session, judged, limits, dataset)
