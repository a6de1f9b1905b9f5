"""`maskrt calibrate` from end to end on a random network, and what it refuses.

On random weights INT8 changes what is found, so these tests have the model written anyway where they look at
something else; what the limits are worth is shown on trained weights (tests/full/test_precision.py).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest

from maskrt.calibration import calibrate
from maskrt.calibration.decide.gate import Verdict
from maskrt.calibration.decide.plan import Plan
from maskrt.runtime.backends.ort_session import OrtSession
from maskrt.runtime.contract import METADATA_KEY
from maskrt.runtime.parity.report import Report
from maskrt.runtime.tasks.instances.compare.comparison import InstancesComparison
from maskrt.runtime.tasks.instances.compare.match import Matching, Pair
from maskrt.runtime.tasks.instances.compare.tolerances import INT8

DATA = "synthetic:2:7"
ONE = np.ones(1, np.float32)
PAIR = Pair(
    0, 0, score_difference=0.0, box_difference_px=0.0, mask_iou=1.0, boundary_px=0.0, label=0, score=1.0
)
MATCHED = ("a.png", Matching((PAIR,), (), ()), ONE, ONE)


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        calibrate.main([str(a) for a in arguments])
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def calibrated(random_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with int8.onnx and what stands beside it."""
    folder = tmp_path_factory.mktemp("calibrated")
    files = ("-o", folder / "int8.onnx", "--to-cache", folder / "trt.cache")
    assert run(random_onnx, "--data", DATA, *files, "--anyway") == 0, "random weights: see above"
    return folder


def test_it_leaves_a_model_its_plan_and_the_ranges(calibrated: Path, random_onnx: Path) -> None:
    assert sorted(p.name for p in calibrated.iterdir()) == [
        "int8.onnx",
        "int8.plan.json",
        "int8.scales.json",
        "trt.cache",
    ]
    assert (calibrated / "int8.onnx").stat().st_size < 0.3 * random_onnx.stat().st_size
    assert Plan.read(calibrated / "int8.plan.json").float_layers == [
        "proposals.head.cls_logits",
        "proposals.head.bbox_pred",
        "detections.box_predictor.cls_score",
        "detections.box_predictor.bbox_pred",
        "mask_predictor.conv5_mask",
    ]


def test_the_contract_says_how_the_precision_was_reached(calibrated: Path) -> None:
    contract = OrtSession(calibrated / "int8.onnx").contract
    assert contract.precision.name == "int8"
    details = contract.precision.details
    assert (details["images"], details["method"], details["flavour"]) == (2, "percentile", "cpu")
    assert details["warning"].startswith("calibrated on 2 images: too few to see whether the ranges have")
    assert "detections.box_predictor.cls_score" in details["float_layers"]


def test_the_contract_is_the_float_model_s_in_all_else(calibrated: Path, random_onnx: Path) -> None:
    contract, before = (OrtSession(path).contract for path in (calibrated / "int8.onnx", random_onnx))
    assert dataclasses.replace(contract, precision=before.precision) == before


def test_the_quantised_model_runs(calibrated: Path) -> None:
    from benchmarks.samples import scene

    outputs = OrtSession(calibrated / "int8.onnx").infer(scene(0)[None], np.array([[256, 320]], np.float32))
    assert outputs["num_detections"][0] > 5


def test_ranges_measured_before_are_used_and_those_of_other_images_refused(
    calibrated: Path, random_onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [random_onnx, "-o", tmp_path / "x.onnx", "--scales", calibrated / "int8.scales.json"]
    assert run(*arguments, "--data", "synthetic:2:8") == 2
    assert "measured with different images than given now" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_plan_that_loses_too_much_ends_with_code_1_the_tensors_and_no_file(
    calibrated: Path, random_onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text((calibrated / "int8.plan.json").read_text().replace('"float"', '"int8"'))
    arguments = [random_onnx, "--data", DATA, "-o", tmp_path / "x.onnx", "--plan", plan, "--last-layers"]
    arguments += ["--scales", calibrated / "int8.scales.json", "--limit", "score=0"]
    assert run(*arguments) == 1
    said = capsys.readouterr().err
    assert "the plan does not pass: " in said
    assert "last layers in INT8: proposals.head.cls_logits" in said
    assert "of its signal is lost" in said
    assert [p.name for p in tmp_path.iterdir()] == ["plan.json"]


def test_the_last_layers_are_quantised_only_if_asked_for(
    calibrated: Path, random_onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text((calibrated / "int8.plan.json").read_text().replace('"float"', '"int8"'))
    assert run(random_onnx, "--data", DATA, "-o", tmp_path / "x.onnx", "--plan", plan) == 1
    said = capsys.readouterr().err
    assert "puts the last layers into INT8 (proposals.head.cls_logits, proposals.head.bbox_pred, " in said
    assert "--last-layers" in said
    assert [p.name for p in tmp_path.iterdir()] == ["plan.json"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--flavour", "gpu"], "--flavour is 'gpu', expected one of cpu, tensorrt"),
        (["--method", "guess"], "--method is 'guess', expected one of minmax, moving-average"),
        (["--onto", "half.onnx"], "--onto and --from-cache are for --flavour tensorrt"),
        (["--min-mask-iou", "97"], "expected 0 to 1"),
        (["--max-images", "0"], "0 are asked for"),
    ],
)
def test_it_refuses_what_makes_no_sense(
    arguments: list[str], said: str, random_onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(random_onnx, "--data", DATA, "-o", tmp_path / "x.onnx", *arguments) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_told_before_anything_is_measured(
    random_onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    for option in ("-o", "--scales", "--to-cache", "--sensitivity"):
        arguments = ["-o", tmp_path / "x.onnx", option, tmp_path / "file" / "below.onnx"]
        assert run(random_onnx, "--data", DATA, *arguments) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"maskrt calibrate: {tmp_path / 'file'}: cannot be written (Not a directory)")
        assert "cannot be written" in said
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_the_float_model_is_not_written_over(random_onnx: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = random_onnx.read_bytes()
    assert run(random_onnx, "--data", DATA, "-o", random_onnx) == 2
    assert f"{random_onnx}: is an input of this command" in capsys.readouterr().err
    assert random_onnx.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "arguments", "said"),
    [
        (
            ("layer1.0.conv1", "layer9.0.conv1"),
            [],
            "names layers that the model has not: backbone.body.layer9",
        ),
        (("percentile", "mse"), ["--method", "minmax"], "a plan by --method mse, not minmax"),
        (("", ""), ["--flavour", "tensorrt"], "a plan for --flavour cpu, not tensorrt"),
    ],
)
def test_a_plan_that_does_not_fit_is_refused_by_name_before_anything_is_measured(
    change: tuple[str, str],
    arguments: list[str],
    said: str,
    calibrated: Path,
    random_onnx: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text((calibrated / "int8.plan.json").read_text().replace(*change))
    assert run(random_onnx, "--data", DATA, "-o", tmp_path / "x.onnx", "--plan", plan, *arguments) == 2
    assert f"{plan}: {said}" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["plan.json"]


def test_it_refuses_a_model_that_is_int8_already(
    calibrated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(calibrated / "int8.onnx", "--data", DATA) == 2
    assert "a model in int8, expected fp32" in capsys.readouterr().err


def test_a_file_that_is_no_model_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.onnx").write_bytes(b"hello")
    assert run(tmp_path / "a.onnx", "--data", DATA) == 2
    assert f"{tmp_path / 'a.onnx'}: not an ONNX file of maskrt" in capsys.readouterr().err


def test_a_cache_of_another_model_is_refused(
    random_onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other.cache").write_text("TRT-8601-EntropyCalibration2\nx: 3f800000\n")
    arguments = ["--flavour", "tensorrt", "--from-cache", tmp_path / "other.cache"]
    assert run(random_onnx, "--data", DATA, "-o", tmp_path / "x.onnx", *arguments) == 2
    assert "no range is known of" in capsys.readouterr().err


def test_the_cache_gives_the_same_scales_as_the_ranges(calibrated: Path, random_onnx: Path) -> None:
    from maskrt.calibration.decide.candidate import build, read_model
    from maskrt.calibration.decide.layers import Graph
    from maskrt.calibration.flavours import TENSORRT
    from maskrt.calibration.measure.cache import read_cache
    from maskrt.calibration.measure.scales import Scales

    model, _ = read_model(random_onnx, "fp32")
    plan = Plan.default(Graph.of(model), TENSORRT, "percentile")
    ranges = Scales.read(calibrated / "int8.scales.json").ranges("percentile")
    one, other = (build(model, plan, r) for r in (ranges, read_cache(calibrated / "trt.cache")))
    scales = [
        {t.name: onnx.numpy_helper.to_array(t) for t in m.graph.initializer if t.name.endswith("/scale")}
        for m in (one, other)
    ]
    assert scales[0].keys() == scales[1].keys()
    for name, scale in scales[0].items():
        np.testing.assert_allclose(scale, scales[1][name], rtol=1e-6, err_msg=name)
    assert {p.key for p in one.metadata_props} == {METADATA_KEY}


def test_a_model_trained_in_eight_bits_is_held_by_its_ap_alone() -> None:
    apart = dataclasses.replace(PAIR, score_difference=0.5, mask_iou=0.5)
    report = Report(InstancesComparison(INT8))
    report.results.add_matching("a.png", Matching((apart,), (), ()), ONE, ONE)
    report.score_name = "mask AP"
    for by_score_alone, lost, failing in ((False, 0.0, True), (True, 0.0, False), (True, 0.01, True)):
        told = {"difference": -lost, "low": -lost, "high": -lost}
        judged = dataclasses.replace(report, scores={"mask": told}, by_score_alone=by_score_alone)
        assert bool(Verdict(judged, "mask_ap").failures) == failing
