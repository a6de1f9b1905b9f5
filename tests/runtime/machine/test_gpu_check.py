"""`make gpu-check` as far as it goes without a GPU: what is recorded, what counts as agreement, what is reported."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest

from benchmarks.gpu_check import check
from benchmarks.gpu_check.agreement import Agreement, agree
from benchmarks.gpu_check.bundle import Bundle, Form, Operator, save_canvas
from benchmarks.gpu_check.latency import ROUNDS, WARM_UP, Latency, summarise
from benchmarks.gpu_check.operators import check_operator, difference
from benchmarks.gpu_check.report import EngineResult, OperatorResult, Results
from maskrt.runtime.backends.open import Outputs, Session
from maskrt.runtime.backends.trt.device import Gpu
from maskrt.runtime.contract import Contract
from maskrt.runtime.errors import MaskrtError
from tests.conftest import REPOSITORY
from tests.runtime.recordings import BATCH, DYNAMIC, MODEL, STATIC, as_it_is, halve_boxes, record

PERFECT = Agreement(500, 400, 400, 0, 0, (), 1.0, 1.0, None, 0.0, 0.0)
CHECK_WITHOUT_TORCH = """
import sys
for name in ("torch", "torchvision", "onnxscript", "lightning", "onnxruntime"):
    sys.modules[name] = None
import benchmarks.gpu_check.check as check
sys.argv = ["check", "no-such-folder"]
check.main()
"""


@pytest.fixture
def recorded(tiny_session: Session, tmp_path: Path) -> Callable[..., Path]:
    """Records the model's own answers, with a fault."""
    return lambda fault=as_it_is: record(tiny_session, tmp_path, fault)


class Answering(Session):
    """What another session answers, under another contract."""

    def __init__(self, inner: Session, contract: Contract) -> None:
        self.contract, self.name, self._inner = contract, inner.name, inner

    def _run(self, images: np.ndarray, image_sizes: np.ndarray) -> Outputs:
        return self._inner.infer(images, image_sizes)


def swap_labels(o: Outputs) -> Outputs:
    return Outputs(o | {"labels": (o["labels"] + 1) % 3})


def one_less(o: Outputs) -> Outputs:
    return Outputs(o | {"num_detections": o["num_detections"] - 1})


def invert_masks(o: Outputs) -> Outputs:
    return Outputs(o | {"masks": 1 - o["masks"]})


def find_nothing(o: Outputs) -> Outputs:
    return Outputs(o | {"num_detections": o["num_detections"] * 0})


def test_a_model_agrees_with_its_own_recording(recorded: Callable[..., Path], tiny_session: Session) -> None:
    found = agree(tiny_session, MODEL, DYNAMIC, recorded())

    assert found.instances == 9
    assert (found.missed, found.extra, found.sure_matched) == (0, 0, found.sure)
    assert all(found.passes(precision) for precision in ("fp32", "fp16", "int8"))


@pytest.mark.parametrize(("form", "instances"), [(STATIC, 3), (BATCH, 6), (DYNAMIC, 9)])
def test_a_form_sees_only_canvases_of_its_shape(
    form: Form, instances: int, recorded: Callable[..., Path], tiny_session: Session
) -> None:
    assert agree(tiny_session, MODEL, form, recorded()).instances == instances


@pytest.mark.parametrize("fault", [halve_boxes, swap_labels, invert_masks, find_nothing])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_another_model_does_not_agree(
    fault: Callable[[Outputs], Outputs], precision: str, recorded: Callable[..., Path], tiny_session: Session
) -> None:
    form = Form("dynamic", precision)
    assert not agree(tiny_session, MODEL, form, recorded(fault)).passes(precision)


def test_fp32_takes_no_instance_more_or_less(recorded: Callable[..., Path], tiny_session: Session) -> None:
    found = agree(tiny_session, MODEL, DYNAMIC, recorded(one_less))

    assert found.extra == 3
    assert not found.passes("fp32")


@pytest.mark.parametrize(
    ("changes", "passing"),
    [
        ({}, "fp32 fp16 int8"),
        ({"missed": 1}, "fp16 int8"),
        ({"at_threshold": ("net-0.npz, image 0: missed cat",)}, "fp32 fp16 int8"),
        ({"least_mask_iou": 0.98}, "fp16 int8"),
        ({"sure_matched": 396, "missed": 4}, "fp16 int8"),
        ({"sure_matched": 395, "missed": 5}, "int8"),
        ({"sure_matched": 391, "missed": 9}, ""),
        ({"mean_mask_iou": 0.979}, "fp32 int8"),
        ({"mean_mask_iou": 0.969}, "fp32"),
        ({"mean_mask_iou": None, "least_mask_iou": None, "keypoint_px": 0.2}, "fp32 fp16 int8"),
        ({"keypoint_px": 0.3}, "fp16 int8"),
        ({"keypoint_px": 1.1}, "int8"),
        ({"keypoint_px": 3.1}, ""),
        ({"instances": 0, "sure": 0, "sure_matched": 0}, ""),
    ],
)
def test_what_passes_is_what_the_page_says(changes: dict[str, Any], passing: str) -> None:
    found = dataclasses.replace(PERFECT, **changes)

    assert " ".join(p for p in ("fp32", "fp16", "int8") if found.passes(p)) == passing


def test_of_random_weights_in_int8_no_accuracy_is_asked() -> None:
    found = dataclasses.replace(PERFECT, sure_matched=0, missed=400)

    assert found.passes("int8", trained=False)
    assert not found.passes("fp32", trained=False)


def with_threshold(contract: Contract, score: float) -> Contract:
    return dataclasses.replace(contract, options=dataclasses.replace(contract.options, score_threshold=score))


def test_an_instance_at_a_threshold_is_named_and_passes(tiny_session: Session, tmp_path: Path) -> None:
    """Scores of 0.3 and 0.3001 on both sides of a threshold of 0.30005."""
    contract = with_threshold(tiny_session.contract, 0.29995)
    session = Answering(tiny_session, contract)
    images, sizes = np.full((1, 256, 320, 3), 7, np.uint8), np.array([[256, 320]], np.float32)
    save_canvas(tmp_path / MODEL.canvas(0), images, sizes, one_less(session.infer(images, sizes)))
    model = dataclasses.replace(MODEL, canvases=1)

    found = agree(session, model, STATIC, tmp_path)
    assert found.at_threshold == ("net-0.npz, image 0: extra car of score 0.300000",)
    assert found.passes("fp32")

    session.contract = with_threshold(contract, 0.29985)
    found = agree(session, model, STATIC, tmp_path)
    assert (found.at_threshold, found.extra, found.passes("fp32")) == ((), 1, False)


def test_a_difference_is_relative_to_large_values_and_nan_is_the_largest() -> None:
    assert difference(np.array([1.5, 200.0]), np.array([1.0, 100.0])) == 1.0
    assert difference(np.array([0.5]), np.array([0.0])) == 0.5
    assert difference(np.array([np.nan]), np.array([0.0])) == float("inf")


def test_latency_leaves_the_warm_up_out() -> None:
    times_ms = [1000.0] * WARM_UP + [2.0] * (ROUNDS - 10) + [5.0] * 10

    assert summarise(times_ms) == Latency(2.0, 5.0)


@pytest.mark.full
def test_operators_alone_give_torchvision_s_answers_on_onnx_runtime(tmp_path: Path) -> None:
    """So what is recorded is right, before a GPU is ever held to it."""
    from benchmarks.gpu_check.record_operators import record_operators

    operators = record_operators(tmp_path)

    for operator in (o for o in operators if o.has_answer):
        with np.load(tmp_path / operator.answer) as arrays:
            session = onnxruntime.InferenceSession(str(tmp_path / operator.onnx))
            names = [output.name for output in session.get_outputs()]
            feed = {value.name: arrays[value.name] for value in session.get_inputs()}
            for name, got in zip(names, session.run(names, feed), strict=True):
                assert difference(got, arrays[name]) <= operator.tolerance
    assert {o.name for o in operators} == {"roi_align", "roi_align_usual", "grouped_nms", "deform_conv"}


def test_what_nobody_foresaw_is_a_line_in_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = check_operator(Operator("absent", "fp32", has_answer=True, tolerance=0.0), "plugin", tmp_path)

    assert not result.passed
    assert "FileNotFoundError" in result.failure
    assert "Traceback" in capsys.readouterr().err


def test_a_bundle_is_read_as_it_was_written(tmp_path: Path) -> None:
    bundle = Bundle({"torch": "2.14"}, (MODEL,), (Operator("roi_align", "fp16", True, 1e-3),))
    bundle.save(tmp_path)

    assert Bundle.load(tmp_path) == bundle


@pytest.mark.parametrize("content", [None, "{", "[]", '{"models": [{"name": "a"}]}'])
def test_a_folder_without_a_recording_is_told(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "bundle.json").write_text(content)

    with pytest.raises(MaskrtError, match=r"no recording that could be checked.*make gpu-check-record"):
        Bundle.load(tmp_path)


def test_the_check_runs_without_pytorch_and_says_what_is_missing() -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", CHECK_WITHOUT_TORCH], capture_output=True, text=True, env=environment
    )

    assert done.returncode == 1
    assert done.stderr.startswith("gpu-check: no-such-folder/bundle.json: no recording")


def test_a_run_that_is_cut_off_leaves_what_it_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = iter([EngineResult("net", "static", "fp32", failure="no memory")])

    def check_one_then_be_stopped(*_: object) -> EngineResult:
        return next(checked)

    gpu = Gpu("Orin", "8.7", "12.6", "12.6", 8 << 30, 4 << 30)
    monkeypatch.setattr(check, "import_tensorrt", lambda: SimpleNamespace(__version__="10.3.0"))
    monkeypatch.setattr(check, "describe_gpu", lambda: gpu)
    monkeypatch.setattr(check, "build_plugins", lambda: "none")
    monkeypatch.setattr(check, "check_engine", check_one_then_be_stopped)

    with pytest.raises(StopIteration):
        check.run(Bundle({}, (MODEL,), ()), tmp_path, tmp_path)

    page = (tmp_path / "results.md").read_text()
    assert "| engines | 1 of 2 |" in page
    assert "| net | static | fp32 | | | | | | | | | | | | | **no memory** |" in page


TIMES = {"on": {"network": Latency(1.25, 1.5)}}
GOOD = EngineResult("net", "static", "fp32", 60.0, "", "45 FP32, 2 INT32", PERFECT, True, TIMES)
PLUGIN = OperatorResult("roi_align", "fp32", "plugin", "", 1e-6, True, Latency(0.1, 0.2))
BODY = OperatorResult("roi_align", "fp32", "body", failure="TensorRT does not take it")


@pytest.mark.parametrize(
    ("operators", "engines", "passed"),
    [
        ([PLUGIN, BODY], [GOOD], True),  # bodies are there to be compared with
        ([], [], False),
        ([PLUGIN], [GOOD, dataclasses.replace(GOOD, passed=False)], False),
        ([dataclasses.replace(PLUGIN, passed=False)], [GOOD], False),
        ([PLUGIN], [EngineResult("net", "static", "fp16", failure="no memory")], False),
    ],
)
def test_all_must_pass(operators: list, engines: list, passed: bool) -> None:
    assert Results({}, operators, engines).passed is passed


def test_the_page_has_a_row_for_everything(tmp_path: Path) -> None:
    broken = EngineResult("net", "dynamic", "fp16", failure="no memory")
    named = dataclasses.replace(PERFECT, at_threshold=("net-0.npz, image 0: missed cat",))
    good = dataclasses.replace(GOOD, agreement=named)
    results = Results({"GPU": "Orin"}, [PLUGIN, BODY], [good, broken])
    results.write(tmp_path)

    page = (tmp_path / "results.md").read_text()
    for row in (
        "| GPU | Orin |",
        "| net | static | fp32 | 60 | 45 FP32, 2 INT32 | 500 | 0 | 0 | 1 | 400 of 400 | 1.0000 | 1.0000 |  | 0 "
        "| 0 | passed |",
        "| net | dynamic | fp16 | | | | | | | | | | | | | **no memory** |",
        "- net, static, fp32: net-0.npz, image 0: missed cat",
        "| roi_align | fp32 | plugin | 1e-06 | 0.1000 | 0.2000 | passed |",
        "| roi_align | fp32 | body |  |  |  | **TensorRT does not take it** |",
        "| net | static | fp32 | on | network | 1.25 | 1.50 |",
    ):
        assert row in page.splitlines()
    worded = dataclasses.replace(broken, failure="nvcc | ptxas\nfailed")
    assert "| **nvcc / ptxas failed** |" in Results({}, [], [worded]).to_markdown()
    columns = {row.count("|") for row in page.splitlines() if row.startswith("| net") and "on |" not in row}
    assert columns == {17}
