"""Columns of the matrix: each makes or runs a file, and reports a figure and a failure.

On random weights instances come and go with the least rounding, so below FP32 a cell is judged by what is
inside: the smallest signal-to-noise ratio of the maps, backbone to RPN, against PyTorch in float32, held to
the limits that parity has for trained models. The number of instances found again is reported, not judged.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnx

from benchmarks.matrix.models import Size
from benchmarks.samples import scene
from maskrt.calibration.decide.candidate import build, read_model, share_in_int8, sign
from maskrt.calibration.decide.layers import Graph
from maskrt.calibration.decide.plan import Plan
from maskrt.calibration.flavours import CPU
from maskrt.calibration.measure.images import find, readable
from maskrt.calibration.measure.ranges import measured
from maskrt.calibration.measure.scales import Key
from maskrt.export.engine.prepare import prepare
from maskrt.export.onnx_model import export_onnx, save_onnx
from maskrt.models.load import load_checkpoint
from maskrt.models.rcnn.layout import MAPS
from maskrt.models.reference import open_reference
from maskrt.runtime.backends.ort_session import OrtSession
from maskrt.runtime.errors import ExportError
from maskrt.runtime.parity.compare import compare
from maskrt.runtime.parity.judge import on_canvas
from maskrt.runtime.parity.report import Report
from maskrt.runtime.parity.sides import comparison_for
from maskrt.runtime.parity.tolerances import STAGES_BY_PRECISION
from maskrt.runtime.preprocess import Batch
from maskrt.runtime.tasks.instances.compare.comparison import InstancesComparison
from maskrt.runtime.tasks.instances.compare.match import match
from maskrt.runtime.tasks.instances.compare.paste import paste_alike
from maskrt.runtime.tasks.instances.compare.tolerances import FP32

TENSORRT = ((8, 6), (10, 3), (10, 13), (11, 4))
CALIBRATION_IMAGES, METHOD = 4, "percentile"


@dataclass(frozen=True)
class Cell:
    """What was measured, and why it is not good enough: empty where it is."""

    figure: str
    failure: str = ""


@dataclass(frozen=True)
class Files:
    """The files of one model, in a folder."""

    folder: Path

    @property
    def checkpoint(self) -> Path:
        """Its weights."""
        return self.folder / "model.pt"

    def onnx(self, precision: str) -> Path:
        """In fp32 or int8 of any shape, in fp16 of one."""
        return self.folder / f"{precision}.onnx"


def export(files: Files, size: Size) -> Cell:
    """FP32, of any shape, the branch after the boxes on the detections found."""
    checkpoint = load_checkpoint(files.checkpoint)
    start_s = time.perf_counter()
    save_onnx(export_onnx(checkpoint, checkpoint.contract(detections="dynamic")), files.onnx("fp32"))
    spent_s = time.perf_counter() - start_s
    return Cell(f"{files.onnx('fp32').stat().st_size / 1e6:.0f} MB, {spent_s:.0f} s")


def fp32(files: Files, size: Size) -> Cell:
    """The FP32 file on ONNX Runtime, inside the tolerances of FP32 at every stage and instance."""
    report = _compared(files, "fp32", size)
    found, box_px = report.results.counts["instances"], _worst_px(report)
    figure = f"{found} found, {box_px:.1g} px, {_least_db(report):.0f} dB"
    return Cell(figure, "; ".join(report.failures) or report.undecided)


def dynamic(files: Files, size: Size) -> Cell:
    """The same file on other canvases, and on two images at once."""
    reference, candidate = open_reference(files.checkpoint), OrtSession(files.onnx("fp32"))
    results = InstancesComparison(FP32)
    report = Report(results)
    for count, height, width in size.shapes:
        images = np.stack([cv2.resize(scene(i), (width, height)) for i in range(count)])
        sizes = np.array([[height, width]] * count, np.float32)
        batch = on_canvas(Batch(images, sizes, ((height, width),) * count))
        both = (session.infer(images, sizes) for session in (reference, candidate))
        pasted = paste_alike(*both, batch, candidate.contract, within_px=FP32.rounding_px)
        for ours, theirs in zip(*pasted, strict=True):
            results.add_matching(f"{count}x{height}x{width}", match(ours, theirs), ours.scores, theirs.scores)
    return Cell(
        f"{len(size.shapes)} shapes, {_worst_px(report):.1g} px",
        "; ".join(report.failures) or report.undecided,
    )


def fp16(files: Files, size: Size) -> Cell:
    """FP16 of one shape with fixed rows, as TensorRT takes it; run on ONNX Runtime."""
    checkpoint = load_checkpoint(files.checkpoint)
    contract = checkpoint.contract(height_px=size.height_px, width_px=size.width_px, batch=1)
    contract = contract.in_precision("fp16", {"float32_units": []})
    save_onnx(export_onnx(checkpoint, contract), files.onnx("fp16"))
    return _judged_by_maps(files, "fp16", size)


def tensorrt(files: Files, size: Size) -> Cell:
    """The FP16 file held against what each TensorRT's parser takes: with plugins every one of them.

    Bodies may be refused: TensorRT's NMS considers 5000 boxes an image, and some models have more.
    """
    model = onnx.load(files.onnx("fp16"))
    refused: dict[str, list[str]] = {"plugin": [], "body": []}
    for version in TENSORRT:
        for operators, why in refused.items():
            try:
                prepare(model, version, operators, str(files.onnx("fp16")))
            except ExportError as error:
                why.append(str(error))
    return Cell("taken with plugins" if refused["body"] else "taken", "; ".join(refused["plugin"][:3]))


def int8(files: Files, size: Size) -> Cell:
    """The FP32 file with the CPU's Q/DQ pairs, run on ONNX Runtime.

    Where it falls short, groups of layers go back to float from the input on, until it does not.
    """
    model, contract = read_model(files.onnx("fp32"), "fp32")
    images, pixels_sha256 = readable(find(f"synthetic:{CALIBRATION_IMAGES}:7", CALIBRATION_IMAGES))
    key = Key.of(files.onnx("fp32"), contract, pixels_sha256)
    scales = measured(model, key, contract, images, files.folder / "scales.json")
    plan = Plan.default(Graph.of(model), CPU, METHOD)
    waiting, in_float = plan.int8_groups, list[str]()
    while True:
        tried = plan.without(in_float)
        quantised = build(model, tried, scales.ranges(METHOD))
        sign(quantised, contract, {"images": scales.images, "method": METHOD})
        onnx.save_model(quantised, files.onnx("int8"))
        cell = _judged_by_maps(files, "int8", size)
        if not cell.failure or len(waiting) == 1:
            break
        in_float.append(waiting.pop(0))
    share = share_in_int8(tried, scales.multiply_adds)
    said = f", {', '.join(in_float)} in float" if in_float else ""
    return Cell(f"{cell.figure}, {share:.0%} of the work{said}", cell.failure)


def _worst_px(report: Report) -> float:
    return max(report.row("box difference").there, default=0.0)


def _judged_by_maps(files: Files, precision: str, size: Size) -> Cell:
    report = _compared(files, precision, size)
    least_db, allowed_db = _least_db(report), STAGES_BY_PRECISION[precision].snr_db
    failure = "" if least_db >= allowed_db else f"{least_db:.1f} dB in the maps, {allowed_db:g} dB expected"
    return Cell(f"{least_db:.0f} dB, {report.results.matched:.0%} matched", failure)


def _compared(files: Files, precision: str, size: Size) -> Report:
    reference = open_reference(files.checkpoint)
    candidate = OrtSession(files.onnx(precision), stages=True)
    report = Report(comparison_for(reference, candidate))
    picture = cv2.resize(scene(1), (size.width_px, size.height_px))
    compare(reference, candidate, "scene", picture, report)
    return report


def _least_db(report: Report) -> float:
    return min(
        (error.snr_db for stage in MAPS for error in report.stages.errors.get(stage, ())), default=np.nan
    )


#: In the order in which they can be run: each needs the files of those before it.
COLUMNS = {
    "export": export,
    "FP32": fp32,
    "dynamic shapes": dynamic,
    "INT8": int8,
    "FP16": fp16,
    "TensorRT": tensorrt,
}
