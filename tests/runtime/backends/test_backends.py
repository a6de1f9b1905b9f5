"""ONNX Runtime and OpenVINO answer alike, and the faster is taken where that is asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import maskrt
from benchmarks.samples import scene
from maskrt.runtime import evaluate
from maskrt.runtime.backends import open_onnx as backends
from maskrt.runtime.backends.open import Outputs, Session, open_session
from maskrt.runtime.backends.open_onnx import fastest, noise
from maskrt.runtime.backends.openvino_session import OpenVinoSession
from maskrt.runtime.backends.ort_session import OrtSession
from maskrt.runtime.errors import ModelError
from tests.runtime.spinning import Spinning

pytest.importorskip("openvino")
# Both compute in float32, in another order: the graph is ~60 layers deep, and its sums have up to 2000 terms.
SCORE_TOLERANCE, BOX_TOLERANCE_PX, MASK_TOLERANCE = 1e-4, 0.01, 1e-3


def canvas(session: Session) -> tuple[np.ndarray, np.ndarray]:
    images = np.zeros((2, 256, 320, 3), np.uint8)
    images[0], images[1, :200] = scene(0), scene(1)[:200]
    return images, np.array([[256, 320], [200, 320]], np.float32)


@pytest.fixture(scope="module")
def pair(random_onnx: Path) -> tuple[Session, Session]:
    return OrtSession(random_onnx), OpenVinoSession(random_onnx, threads=1)


def test_openvino_finds_what_onnx_runtime_finds(pair: tuple[Session, Session]) -> None:
    expected, got = (session.infer(*canvas(session)) for session in pair)

    assert expected["num_detections"].min() > 0
    np.testing.assert_array_equal(got["num_detections"], expected["num_detections"])
    np.testing.assert_array_equal(got["labels"], expected["labels"])
    np.testing.assert_allclose(got["scores"], expected["scores"], atol=SCORE_TOLERANCE)
    np.testing.assert_allclose(got["boxes"], expected["boxes"], atol=BOX_TOLERANCE_PX)
    rows = int(expected["num_detections"].max())
    np.testing.assert_allclose(got["masks"][:, :rows], expected["masks"][:, :rows], atol=MASK_TOLERANCE)


def test_openvino_s_answers_are_the_caller_s_own(pair: tuple[Session, Session]) -> None:
    images, sizes = canvas(pair[1])
    first = pair[1].infer(images, sizes)
    kept = first["boxes"].copy()
    pair[1].infer(np.zeros_like(images), sizes)

    np.testing.assert_array_equal(first["boxes"], kept)


def test_openvino_may_be_called_from_several_threads(tiny_onnx: Path) -> None:
    session = open_session(tiny_onnx, backend="openvino", threads=1)
    black, lit = np.zeros((1, 64, 96, 3), np.uint8), np.full((1, 64, 96, 3), 9, np.uint8)
    counts: dict[int, set[int]] = {0: set(), 1: set()}

    def work(which: int, images: np.ndarray) -> None:
        for _ in range(200):
            answer = session.infer(images, np.array([[64, 96]], np.float32))
            counts[which].add(int(answer["num_detections"][0]))

    threads = [threading.Thread(target=work, args=pair) for pair in ((0, black), (1, lit))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert counts == {0: {0}, 1: {3}}


class Slow(Session):
    def __init__(self, inner: Session, calls: int) -> None:
        self.contract, self.name, self._inner, self._calls = inner.contract, inner.name, inner, calls

    def _run(self, images: np.ndarray, image_sizes: np.ndarray) -> Outputs:
        for _ in range(self._calls):
            outputs = self._inner.infer(images, image_sizes)
        return outputs


@pytest.mark.parametrize("backend", backends.BACKENDS)
def test_a_call_that_fails_is_told_in_a_sentence(
    backend: str, write_model: Callable[..., Path], contract_with: Callable[..., Any]
) -> None:
    """As for want of memory: here, of a size that the graph does not take."""
    session = open_session(write_model(contract=contract_with(height_px=64, width_px=96)), backend=backend)
    session.contract = contract_with()

    with pytest.raises(ModelError, match=r"failed on a canvas of 1x32x32 \(.+\)\. If memory was short"):
        session.infer(np.zeros((1, 32, 32, 3), np.uint8), np.array([[32, 32]], np.float32))


class WithoutMemory:
    """In place of a backend's own object: fails as C++ does for want of memory, without a text."""

    def run(self, *arguments: Any, **options: Any) -> None:
        raise MemoryError

    infer = run


def test_a_call_that_fails_without_a_text_is_told_by_its_kind(
    tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ort, openvino = OrtSession(tiny_onnx), OpenVinoSession(tiny_onnx, threads=1)
    monkeypatch.setattr(ort, "_session", WithoutMemory())
    monkeypatch.setattr(openvino._own, "request", WithoutMemory(), raising=False)

    for session in (ort, openvino):
        with pytest.raises(
            ModelError, match=r"failed on a canvas of 1x32x32 \(MemoryError\)\. If memory was"
        ):
            session.infer(np.zeros((1, 32, 32, 3), np.uint8), np.array([[32, 32]], np.float32))


def test_none_is_timed_while_threads_of_the_other_spin(
    tiny_session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    spins, looks, watched = Slow(tiny_session, 0), Slow(tiny_session, 0), Spinning()
    monkeypatch.setattr(spins, "infer", watched.leave_a_thread)
    monkeypatch.setattr(looks, "infer", watched.look)

    fastest({"spins": spins, "looks": looks})

    assert watched.seen
    assert not any(watched.seen)


def test_the_faster_is_taken(tiny_session: Session, capfd: pytest.CaptureFixture[str]) -> None:
    quick, slow = Slow(tiny_session, 1), Slow(tiny_session, 50)

    assert fastest({"slow": slow, "quick": quick}) is quick
    assert fastest({"quick": quick, "slow": slow}) is quick
    assert f"{tiny_session.name}: on quick, the faster here (slow " in capfd.readouterr().err


@pytest.mark.parametrize("batch", [None, 2])
def test_it_is_tried_on_what_the_model_takes(contract_with: Callable[..., Any], batch: int | None) -> None:
    images, sizes = noise(contract_with(batch=batch))

    assert (images.shape, str(images.dtype)) == ((batch or 1, 64, 96, 3), "uint8")
    np.testing.assert_array_equal(sizes, [[64, 96]] * (batch or 1))


@pytest.mark.parametrize(
    ("installed", "expected"),
    [(["onnxruntime"], OrtSession), (["openvino"], OpenVinoSession)],
    ids=lambda value: str(value),
)
def test_what_is_installed_alone_is_taken_untried(
    installed: list[str], expected: type, tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "installed", lambda: installed)

    assert type(open_session(tiny_onnx, backend="auto")) is expected


def test_names_a_backend_that_is_unknown(tiny_onnx: Path) -> None:
    with pytest.raises(
        ModelError,
        match=r"backend 'tvm', expected one of \['onnxruntime', 'openvino', 'openvino-bf16', 'auto'\]",
    ):
        maskrt.load(tiny_onnx, backend="tvm")


def test_evaluate_takes_a_backend_too(command: Callable[..., Any], tiny_onnx: Path) -> None:
    ended = command(evaluate.main, tiny_onnx, "--data", "synthetic:1", "--backend", "tvm")

    assert ended.code == 2
    assert "backend 'tvm', expected one of" in ended.err


def test_names_a_file_that_is_no_model(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_text("not an ONNX file")

    with pytest.raises(ModelError, match="not an ONNX file that can be read"):
        open_session(broken, backend="openvino")


def test_a_device_that_openvino_does_not_serve_here(tiny_onnx: Path) -> None:
    with pytest.raises(ModelError, match="--device cuda works on ONNX Runtime alone"):
        open_session(tiny_onnx, backend="openvino", device="cuda")
