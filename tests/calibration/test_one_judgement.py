"""What `maskrt calibrate` says of a file, `maskrt parity` and `maskrt evaluate` say too: it is one judgement."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from benchmarks.samples import scene
from maskrt.calibration import calibrate
from maskrt.calibration.decide.candidate import observed_tensors
from maskrt.calibration.decide.gate import Judge, Verdict
from maskrt.calibration.decide.layers import Graph
from maskrt.calibration.decide.plan import Plan
from maskrt.calibration.decide.search import Search
from maskrt.calibration.measure.images import CalibrationImage, find
from maskrt.calibration.options import Asked
from maskrt.calibration.quantise import read_floats
from maskrt.runtime import evaluate
from maskrt.runtime.backends.ort_session import OrtSession
from maskrt.runtime.errors import EXIT_FAILED_CHECK, EXIT_UNDECIDED, AccuracyError
from maskrt.runtime.files.atomic import write_png
from maskrt.runtime.parity import command as parity
from maskrt.runtime.parity.compare import compare
from maskrt.runtime.parity.judgement import judge_on
from maskrt.runtime.parity.options import Allowed
from maskrt.runtime.parity.report import Report
from maskrt.runtime.parity.sides import annotated_by, report_for
from maskrt.runtime.tasks.instances.compare.comparison import InstancesComparison
from maskrt.runtime.tasks.instances.compare.match import Matching
from maskrt.runtime.tasks.instances.compare.tolerances import INT8
from maskrt.training.data import load_dataset
from tests.runtime.bisected import network
from tests.runtime.conftest import BOXES, CLASSES, LABELS

PICTURES = 3
# Nothing of what eight bits move may be lost, or all of it.
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
def val(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures with the objects that the tiny model always finds, as COCO's annotations."""
    folder = tmp_path_factory.mktemp("val")
    images, objects = [], []
    for number in range(PICTURES):
        write_png(folder / f"{number}.png", picture := scene(number))
        height, width = picture.shape[:2]
        images.append({"id": number, "file_name": f"{number}.png", "height": height, "width": width})
        for (left, top, right, bottom), label in zip(BOXES, LABELS, strict=True):
            x1, y1, x2, y2 = left * width, top * height, right * width, bottom * height
            shape = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": 0}
            about = {"id": len(objects) + 1, "image_id": number, "category_id": CLASSES[label].id}
            objects.append({**about, **shape, "segmentation": [[x1, y1, x2, y1, x2, y2, x1, y2]]})
    names = [{"id": one.id, "name": one.name} for one in CLASSES]
    annotations = {"images": images, "annotations": objects, "categories": names}
    (folder / "annotations.json").write_text(json.dumps(annotations))
    return folder / "annotations.json"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    onnx.save_model(network(), path := tmp_path_factory.mktemp("float") / "model.onnx")
    return path


@pytest.fixture(scope="module")
def int8(model: Path, val: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("int8") / "int8.onnx"
    arguments = [model, "--data", val, "--val", val, "-o", path, "--anyway", *NOTHING]
    assert run(calibrate, *arguments) == 0, "whatever it loses"
    return path


def test_three_commands_find_the_same_figures_and_answers(model: Path, int8: Path, val: Path) -> None:
    dataset = load_dataset(str(val)).for_model("instances", CLASSES)
    allowed = Allowed(max_ap_drop=0.5, limit=["matched=0.9"])
    sides = OrtSession(model), OrtSession(int8)

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


def test_a_search_tells_each_evaluation_and_writes_nothing_where_no_plan_passes(
    model: Path, val: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(calibrate, model, "--data", val, "-o", tmp_path / "x.onnx", "--limit", "score=1e-9") == 1

    said = " ".join(capsys.readouterr().err.split())
    for number in (2, 3):
        assert re.search(rf"evaluation {number}: \d layers back in float does not pass: score differs", said)
    assert "no plan with a layer in INT8 passes: score differs" in said
    assert not (tmp_path / "x.onnx").exists()


def lost(images: int, points: float, low: float, high: float) -> Verdict:
    """The verdict on a model that loses AP, and nothing else."""
    report = Report(InstancesComparison(INT8), by_score_alone=True, score_name="mask AP")
    for number in range(images):
        report.results.add_matching(f"{number}.png", Matching((), (), ()), *[np.zeros(0, np.float32)] * 2)
    told = {"reference": 0.8, "candidate": 0.8 - points / 100, "difference": -points / 100}
    report.scores = {"mask": {**told, "low": -high / 100, "high": -low / 100}}
    return Verdict(report, "mask_ap")


LOSES, OPEN, HOLDS = lost(40, 1.5, 1, 2), lost(40, 0.5, -0.5, 1.5), lost(40, 0, -0.1, 0.1)


def test_a_plan_of_the_search_is_judged_as_one_that_was_asked_for(
    model: Path, val: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Here two layers back are enough for the images to tell no loss, and four for them to tell that it holds."""
    floats, images = read_floats(model, Asked()), find(str(val.parent), 1)
    graph = Graph.of(floats.source)
    ranges = dict.fromkeys(observed_tensors(graph), (-8.0, 8.0))

    class Drawn(Judge):
        """Gives a plan's verdict by the number of its layers in float."""

        def judge(self, plan: Plan, count: int | None = None) -> Verdict:  # type: ignore[override]
            back = len(plan.float_layers)
            return LOSES if back < 2 else OPEN if back < 4 else HOLDS

    def search(plan: Plan) -> Search:
        judge: Any = Drawn(OrtSession(model), images)
        build: Any = lambda plan: plan  # noqa: E731
        return Search(floats.source, floats.contract, ranges, judge, build, plan)

    plan = Plan.default(graph, "cpu", "minmax")
    found, verdict = search(plan).passing_plan(fixed=False)
    assert (len(found.float_layers), verdict) == (2, OPEN)
    said = " ".join(capsys.readouterr().err.split())
    assert re.search(r"2 layers back in float passes, undecided: .*about 1000 would", said)

    assert search(found).passing_plan(fixed=True) == (found, OPEN)
    too_few = plan.with_float(found.float_layers[:1])
    with pytest.raises(AccuracyError, match=r"the plan does not pass: mask AP falls by 1\.50 points"):
        search(too_few).passing_plan(fixed=True)


def test_a_file_that_is_written_anyway_bears_the_verdict(int8: Path) -> None:
    loss = OrtSession(int8).contract.precision.details["loss"]

    assert loss["images"] == 3
    assert loss["failures"] or any(found["answer"] == "open" for found in loss["findings"])
    assert any("judged on 3 annotated images, 100 are advised" in doubt for doubt in loss["doubts"])


@pytest.mark.parametrize("limits", [NOTHING, ALL], ids=("nothing", "all"))
def test_evaluate_ends_as_the_contract_says(
    limits: list[str], model: Path, int8: Path, val: Path, tmp_path: Path
) -> None:
    out = tmp_path / "metrics.json"
    code = run(evaluate, int8, "--data", val, "--against", model, "-o", out, *limits)

    assert code in ((EXIT_FAILED_CHECK, EXIT_UNDECIDED) if limits is NOTHING else (0,))
    against = json.loads(out.read_text())["against"]
    assert against["passed"] == (code == 0)
    if limits is NOTHING:
        loss = OrtSession(int8).contract.precision.details["loss"]
        assert (against["findings"], against["failures"]) == (loss["findings"], loss["failures"])


@pytest.fixture(scope="module")
def bundle(model: Path, val: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "bundle.npz"
    assert run(parity, "record", model, val.parent, "-o", path) == 0
    return path


@pytest.mark.parametrize("limits", [NOTHING[2:], ALL[2:]], ids=("nothing", "all"))
def test_parity_and_its_check_end_as_the_limits_say(
    limits: list[str], model: Path, int8: Path, val: Path, bundle: Path
) -> None:
    expected = (EXIT_FAILED_CHECK, EXIT_UNDECIDED) if limits == NOTHING[2:] else (0,)

    assert run(parity, model, int8, val.parent, *limits) in expected
    assert run(parity, "check", bundle, int8, *limits) in expected


def test_bisect_finds_layers_for_strict_limits_and_none_for_wide_ones(
    model: Path, int8: Path, val: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {}
    # In INT8 the median is 1.8e-4 (interval from 2.6e-5 on), with all layers back 7e-5 (from 1e-6 on).
    for name, limits in (("strict", ["--limit", "score=0.00002"]), ("wide", ALL[2:])):
        capsys.readouterr()
        assert run(parity, "bisect", model, int8, val.parent, "--json", *limits) == 0
        found[name] = json.loads(capsys.readouterr().out)["float32"]

    assert found["strict"]
    assert found["wide"] == []


@pytest.mark.parametrize("verb", ["calibrate", "parity", "check", "bisect"])
def test_every_command_refuses_what_is_no_limit(
    verb: str,
    model: Path,
    int8: Path,
    val: Path,
    bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    program, *arguments = {
        "calibrate": [calibrate, model, "--data", val, "-o", tmp_path / "x.onnx"],
        "parity": [parity, model, int8, val.parent],
        "check": [parity, "check", bundle, int8],
        "bisect": [parity, "bisect", model, int8, val.parent],
    }[verb]

    assert run(program, *arguments, "--limit", "scores=1") == 2
    assert (
        "--limit scores=1: there is no such limit, expected one of score, box_px," in capsys.readouterr().err
    )
    assert list(tmp_path.iterdir()) == []


def test_a_model_loses_nothing_against_itself(
    model: Path, val: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With another number of threads, which adds in another order."""
    arguments = [model, "--data", val, "--threads", "1", "--limit", "by_quantiles=0"]
    assert run(evaluate, *arguments, "--against", model) == 2
    assert "there is no such limit" in capsys.readouterr().err
    assert run(evaluate, *arguments[:-2], "--against", model) == 0


@pytest.mark.parametrize(
    ("verb", "options", "said"),
    [
        ("evaluate", ["--limit", "matched=0.9"], "Name it: --against MODEL"),
        ("evaluate", ["--max-ap-drop", "1"], "Name it: --against MODEL"),
        ("parity", ["--max-ap-drop", "1"], "Name some: --data ANNOTATIONS"),
        ("calibrate", ["--max-ap-drop", "1"], "Name some: --val ANNOTATIONS"),
    ],
)
def test_a_limit_of_what_is_not_measured_is_refused(
    verb: str, options: list[str], said: str, model: Path, val: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program, *arguments = {
        "evaluate": [evaluate, model, "--data", val],
        "parity": [parity, model, model, val.parent],
        "calibrate": [calibrate, model, "--data", val, "-o", val.parent / "x.onnx"],
    }[verb]

    assert run(program, *arguments, *options) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (val.parent / "x.onnx").exists()
