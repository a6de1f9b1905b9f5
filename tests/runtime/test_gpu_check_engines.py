"""What `make gpu-check` does with an engine, on a machine whose GPU and TensorRT are played (played_gpu.py)."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.gpu_check import check, latency
from benchmarks.gpu_check.bundle import ALL_FORMS, Form, Model
from benchmarks.gpu_check.report import EngineResult
from maskrt.runtime.backends.open import Outputs, Session
from tests.runtime.played_gpu import play
from tests.runtime.recordings import MODEL, STATIC, as_it_is, halve_boxes, record

LAYERS = {"fp32": "45 FP32, 2 INT32", "fp16": "40 FP16, 7 FP32", "int8": "30 INT8, 17 FP32"}


@pytest.fixture
def machine(
    tiny_session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., EngineResult]:
    """Checks a form of the tiny model on a machine whose TensorRT answers as ONNX Runtime does, with a fault."""
    folder = record(tiny_session, tmp_path)

    def check_form(
        form: Form,
        model: Model = MODEL,
        fault: Callable[[Outputs], Outputs] = as_it_is,
        layers: str | None = None,
    ) -> EngineResult:
        def answer(feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return fault(tiny_session.infer(feed["images"], feed["image_sizes"]))

        def build(*arguments: object) -> check.Said:
            path, *_ = play(monkeypatch, tmp_path, tiny_session.contract, answer)
            assert arguments[0] == "build"
            path.rename(str(arguments[3]))
            kinds = LAYERS[form.precision] if layers is None else layers
            return check.Said("", f"{path}: layers: {kinds}; activations 1 MiB")

        monkeypatch.setattr(check, "maskrt", build)
        monkeypatch.setattr(latency, "WARM_UP", 1)
        monkeypatch.setattr(latency, "ROUNDS", 2)
        return check.check_engine(model, form, folder, tmp_path)

    return check_form


@pytest.mark.parametrize("form", ALL_FORMS, ids=lambda form: f"{form.shape} {form.precision}")
def test_every_form_is_built_counted_compared_and_timed(
    form: Form, machine: Callable[..., EngineResult]
) -> None:
    result = machine(form)

    assert (result.failure, result.passed) == ("", True)
    assert result.layers == LAYERS[form.precision]
    assert set(result.latencies) == {"on", "off"}


def test_an_int8_engine_without_int8_layers_is_none(machine: Callable[..., EngineResult]) -> None:
    int8 = Form("static", "int8")
    for layers in ("47 FP32", ""):
        result = machine(int8, dataclasses.replace(MODEL, weights="random"), layers=layers)
        assert not result.passed
        assert "exported in INT8, and its layers are" in result.failure


def test_a_second_context_that_answers_otherwise_is_found(machine: Callable[..., EngineResult]) -> None:
    """Two threads run at a time: where only one is answered wrongly, the engine does not pass."""
    threads: set[int] = set()
    both = threading.Barrier(2, timeout=20)

    def fault(outputs: Outputs) -> Outputs:
        if threading.current_thread() is threading.main_thread() or not outputs["num_detections"].any():
            return outputs  # in timing, and while shapes are worked out on black images
        if threading.get_ident() not in threads:
            threads.add(threading.get_ident())
            both.wait()
        return halve_boxes(outputs) if threading.get_ident() == max(threads) else outputs

    result = machine(STATIC, fault=fault)

    assert (result.failure, result.passed, len(threads)) == ("", False, 2)
