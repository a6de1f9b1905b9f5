"""Twelve faults that deployments have, each planted in the file or the runtime, each named by its stage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import typer

from benchmarks.samples import scene
from maskrt.export.stages import ShowStages
from maskrt.models.reference import open_reference
from maskrt.runtime.backends.ort_session import OrtSession
from maskrt.runtime.errors import EXIT_FAILED_CHECK
from maskrt.runtime.parity.conclude import conclude
from maskrt.runtime.parity.inside.forced import ForcedParts
from maskrt.runtime.parity.judge import Expected, expect, judge
from maskrt.runtime.parity.report import Report
from maskrt.runtime.preprocess import Batch, preprocess
from maskrt.runtime.tasks.instances import decode as postprocess
from maskrt.runtime.tasks.instances.compare.comparison import InstancesComparison
from maskrt.runtime.tasks.instances.compare.tolerances import FP32
from maskrt.runtime.tasks.instances.instances import MaskCrop
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
        ShowStages("faulty.onnx")(faulty)
        onnx.save_model(faulty, tmp_path / "faulty.onnx")
        report = Report(InstancesComparison(FP32))
        judge("scene", batch, expected, OrtSession(tmp_path / "faulty.onnx", stages=True), report)
        return report

    return run


@pytest.fixture
def first_line(
    expected: Expected, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[[Report], str]:
    """What the command says first of a report, on a terminal that wraps nothing; it must end with 1."""
    monkeypatch.setenv("COLUMNS", "1000")
    side = SimpleNamespace(name="model.onnx", contract=expected.contract, has_stages=True)

    def say(report: Report) -> str:
        with pytest.raises(typer.Exit) as ended:
            conclude(report, side, side, output=None, html=None, as_json=False)
        assert ended.value.exit_code == EXIT_FAILED_CHECK
        return capsys.readouterr().out.splitlines()[0]

    return say


@pytest.mark.parametrize(("fault", "stage", "culprit"), FAULTS, ids=lambda x: getattr(x, "__name__", ""))
def test_a_planted_fault_is_named_in_the_first_line(
    fault: Plant,
    stage: str,
    culprit: str,
    parity_with: Callable[[Plant], Report],
    first_line: Callable[[Report], str],
) -> None:
    said = first_line(parity_with(fault))

    assert said.startswith(f"failed: not the same model. {stage} is the first stage that differs (scene): ")
    assert culprit in said


def test_masks_pasted_a_pixel_off_are_named(
    parity_with: Callable[[Plant], Report],
    first_line: Callable[[Report], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the runtime, which pastes for every model file; the reference's masks are torchvision's."""
    right = postprocess.paste_mask

    def off(mask: np.ndarray, box: np.ndarray, *how: Any) -> MaskCrop:
        crop = right(mask, box, *how)
        return MaskCrop(top=crop.top, left=crop.left + 1, bits=crop.bits)

    monkeypatch.setattr(postprocess, "paste_mask", off)

    said = first_line(parity_with(lambda model: None))

    assert said.startswith("failed: not the same model. masks is the first stage that differs (scene): ")
    assert said.endswith("pasted (+1, +0) px off")


def test_nothing_is_named_where_nothing_is_wrong(parity_with: Callable[[Plant], Report]) -> None:
    report = parity_with(lambda model: None)

    assert report.failures == []
    assert report.stages.first is None
    assert report.to_dict()["summary"]["instances"] >= 20


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
        parts = ForcedParts(tmp_path / "faulty.onnx", session.contract).run(
            batch, expected, InstancesComparison(FP32)
        )
        assert list(parts) == [part.name for part in session.contract.inside.parts]
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
