"""Twelve faults that deployments have, each planted in the file or the runtime, each named by its stage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest

from export.reference import open_reference
from export.stages import show_stages
from runtime import postprocess
from runtime.ort_session import OrtSession
from runtime.parity import judge as judge_module
from runtime.parity import stages
from runtime.parity.forced import ForcedParts
from runtime.parity.judge import Expected, expect, judge
from runtime.parity.report import Report
from runtime.parity.stages import StageError
from runtime.parity.tolerances import FP32
from runtime.preprocess import Batch, preprocess
from runtime.results import MaskCrop
from runtime.stages import PARTS
from tests.models import scene
from tests.runtime import faults

Plant = Callable[[onnx.ModelProto], None]

FAULTS = [
    (faults.mean_and_std_swapped, "canvas", "another mean or std"),
    (faults.bgr, "canvas", "BGR where RGB is expected"),
    (faults.canvas_padded_too_far, "canvas", "beyond the reference's 256x320"),
    (faults.overflow_of_one_layer, "C4", "float16 holds 65504 at most"),
    (faults.anchors_half_a_stride_off, "proposals", "anchors off by a part of a stride"),
    (faults.roi_align_half_a_pixel_off, "box_features", "half a pixel"),
    (faults.rois_of_another_level, "box_features", "pooled from another level"),
    (faults.box_deltas_of_other_weights, "detections", "decoded with other weights"),
    (faults.nms_threshold_changed, "detections", "NMS with a higher threshold"),
    (faults.class_index_off_by_one, "detections", "labels off by +1: class index"),
    (faults.mask_of_another_class, "mask_logits", "the mask of another class is taken"),
]


@pytest.fixture(scope="module")
def model(random_onnx: Path) -> onnx.ModelProto:
    return onnx.load(random_onnx)


@pytest.fixture(scope="module")
def batch(random_onnx: Path) -> Batch:
    return preprocess([scene(1)], OrtSession(random_onnx).contract.canvas)


@pytest.fixture(scope="module")
def expected(random_checkpoint: Path, batch: Batch) -> Expected:
    return expect(open_reference(random_checkpoint), batch, look=True)


@pytest.fixture
def parity_with(
    model: onnx.ModelProto, batch: Batch, expected: Expected, tmp_path: Path
) -> Callable[[Plant], Report]:
    def run(plant: Plant) -> Report:
        faulty = onnx.ModelProto()
        faulty.CopyFrom(model)
        plant(faulty)
        show_stages(faulty, "faulty.onnx")
        onnx.save_model(faulty, tmp_path / "faulty.onnx")
        report = Report(FP32)
        judge("scene", batch, expected, OrtSession(tmp_path / "faulty.onnx", stages=True), report)
        return report

    return run


@pytest.mark.parametrize(("fault", "stage", "culprit"), FAULTS, ids=lambda x: getattr(x, "__name__", ""))
def test_a_planted_fault_is_named(
    fault: Plant, stage: str, culprit: str, parity_with: Callable[[Plant], Report]
) -> None:
    report = parity_with(fault)

    first = report.stages.first
    assert first is not None
    assert (first.stage, culprit in first.culprits[0]) == (stage, True), str(first)
    assert report.failures[0] == str(first)
    assert report.to_dict()["passed"] is False


def test_masks_pasted_a_pixel_off_are_named(
    parity_with: Callable[[Plant], Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the runtime, which pastes for every model file; the reference's masks are torchvision's."""
    right = postprocess.paste_mask

    def off(mask: np.ndarray, box: np.ndarray, height: int, width: int, threshold: float) -> MaskCrop:
        crop = right(mask, box, height, width, threshold)
        return MaskCrop(top=crop.top, left=crop.left + 1, bits=crop.bits)

    monkeypatch.setattr(postprocess, "paste_mask", off)

    first = parity_with(lambda model: None).stages.first

    assert first is not None
    assert (first.stage, first.culprits[0]) == ("masks", "pasted (+1, +0) px off")


def test_nothing_is_named_where_nothing_is_wrong(parity_with: Callable[[Plant], Report]) -> None:
    report = parity_with(lambda model: None)

    assert report.failures == []
    assert report.stages.first is None
    assert report.to_dict()["summary"]["instances"] >= 20


def sees_nothing(stage: str, reference: np.ndarray, candidate: np.ndarray, limit: object) -> StageError:
    return StageError(stage, snr_db=200.0, relative_error=0.0)


def no_errors(*_: object) -> list[StageError]:
    return []


@pytest.mark.parametrize(
    ("module", "comparison", "blind", "fault", "stage"),
    [
        (stages, "measure", sees_nothing, faults.mask_of_another_class, "mask_logits"),
        (judge_module, "compare_stages", no_errors, faults.bgr, "canvas"),
        (judge_module, "instance_errors", no_errors, faults.class_index_off_by_one, "detections"),
    ],
)
def test_a_comparison_that_sees_nothing_would_be_noticed(
    module: ModuleType,
    comparison: str,
    blind: Callable[..., object],
    fault: Plant,
    stage: str,
    parity_with: Callable[[Plant], Report],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The faults above are named by the comparison that is meant to, and by no other."""
    monkeypatch.setattr(module, comparison, blind)

    first = parity_with(fault).stages.first

    assert first is None or first.stage != stage


@pytest.fixture
def wrong_parts(
    model: onnx.ModelProto, batch: Batch, expected: Expected, tmp_path: Path
) -> Callable[..., set[str]]:
    """The parts that are wrong on the reference's own inputs, of a file with faults."""

    def run(*plants: Plant) -> set[str]:
        faulty = onnx.ModelProto()
        faulty.CopyFrom(model)
        for plant in plants:
            plant(faulty)
        onnx.save_model(faulty, tmp_path / "faulty.onnx")
        session = OrtSession(tmp_path / "faulty.onnx")
        parts = ForcedParts(tmp_path / "faulty.onnx", session.contract).run(batch, expected, FP32)
        assert list(parts) == list(PARTS)
        return {part for part, error in parts.items() if error.reason}

    return run


@pytest.mark.parametrize(
    ("plants", "parts"),
    [
        ((), set()),
        ((faults.overflow_of_one_layer,), {"backbone"}),
        ((faults.anchors_half_a_stride_off,), {"proposals"}),
        ((faults.roi_align_half_a_pixel_off,), {"box_pooling", "mask_pooling"}),
        (
            (faults.rois_of_another_level, faults.nms_threshold_changed, faults.mask_of_another_class),
            {"box_pooling", "detections", "mask_head"},
        ),
    ],
    ids=lambda x: "+".join(sorted(getattr(p, "__name__", str(p)) for p in x)) or "none",
)
def test_on_the_reference_s_inputs_only_the_faulty_parts_are_blamed(
    plants: tuple[Plant, ...], parts: set[str], wrong_parts: Callable[..., set[str]]
) -> None:
    assert wrong_parts(*plants) == parts
