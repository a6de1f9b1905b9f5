"""What `maskrt calibrate` says of a file, `maskrt parity` and `maskrt evaluate` say too: it is one judgement."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

from maskrt.calibration import calibrate
from maskrt.calibration.decide.gate import Judge
from maskrt.calibration.measure.images import CalibrationImage
from maskrt.runtime import evaluate
from maskrt.runtime.backends.ort_session import OrtSession
from maskrt.runtime.errors import EXIT_FAILED_CHECK, EXIT_UNDECIDED
from maskrt.runtime.parity.compare import compare
from maskrt.runtime.parity.judgement import judge_on
from maskrt.runtime.parity.options import Allowed
from maskrt.runtime.parity.sides import annotated_by, report_for
from maskrt.training.data import load_dataset

VAL = "synthetic:3:7"
# On random weights eight bits lose much: nothing of it may be lost, or all of it.
NOTHING = ["--max-ap-drop", "0", "--limit", "score=0", "--limit", "matched=1"]
ALL = [
    *("--max-ap-drop", "100", "--limit", "score=1", "--limit", "box_px=999", "--limit", "mask_iou=0"),
    *("--limit", "matched=0", "--limit", "flipped=1", "--limit", "keypoint_px=999"),
]


def run(program: object, *arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        program.main([str(a) for a in arguments])  # type: ignore[attr-defined]
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def int8(random_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("int8") / "int8.onnx"
    arguments = [random_onnx, "--data", VAL, "--val", VAL, "-o", path, "--anyway", *NOTHING]
    assert run(calibrate, *arguments) == 0, "whatever it loses"
    return path


def test_three_commands_find_the_same_figures_and_answers(random_onnx: Path, int8: Path) -> None:
    dataset = load_dataset(VAL)
    allowed = Allowed(max_ap_drop=0.5, limit=["matched=0.9"])
    sides = OrtSession(random_onnx), OrtSession(int8)

    images = [CalibrationImage(sample.source, sample.image) for sample in dataset]
    calibrated = Judge(sides[0], images, allowed, dataset).judge(onnx.load(int8)).report
    evaluated, _ = judge_on(*sides, dataset, allowed)
    compared, annotated = report_for(*sides, limits=allowed), annotated_by(dataset, sides[1])
    for sample in dataset:
        compare(*sides, sample.source, sample.image(), compared, annotated)
    compared.score(annotated)

    assert len(calibrated.findings) > 5
    assert calibrated.findings == evaluated.findings == compared.findings
    assert calibrated.undecided == evaluated.undecided == compared.undecided


def test_a_file_that_is_written_anyway_bears_the_verdict(int8: Path) -> None:
    loss = OrtSession(int8).contract.precision.details["loss"]

    assert loss["images"] == 3
    assert loss["failures"] or any(found["answer"] == "open" for found in loss["findings"])
    assert any("judged on 3 annotated images, 30 are advised" in doubt for doubt in loss["doubts"])


@pytest.mark.parametrize("limits", [NOTHING, ALL], ids=("nothing", "all"))
def test_evaluate_ends_as_the_contract_says(
    limits: list[str], random_onnx: Path, int8: Path, tmp_path: Path
) -> None:
    out = tmp_path / "metrics.json"
    code = run(evaluate, int8, "--data", VAL, "--against", random_onnx, "-o", out, *limits)

    assert code in ((EXIT_FAILED_CHECK, EXIT_UNDECIDED) if limits is NOTHING else (0,))
    against = json.loads(out.read_text())["against"]
    assert against["passed"] == (code == 0)
    if limits is NOTHING:
        loss = OrtSession(int8).contract.precision.details["loss"]
        assert (against["findings"], against["failures"]) == (loss["findings"], loss["failures"])


def test_a_model_loses_nothing_against_itself(
    random_onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With another number of threads, which adds in another order."""
    arguments = [random_onnx, "--data", VAL, "--threads", "1", "--limit", "by_quantiles=0"]
    assert run(evaluate, *arguments, "--against", random_onnx) == 2
    assert "there is no such limit" in capsys.readouterr().err
    assert run(evaluate, *arguments[:-2], "--against", random_onnx) == 0
