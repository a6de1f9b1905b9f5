"""What only the TensorRT session does: graphs, contexts, memory, refusals. The rest: test_session.py."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path

import numpy as np
import pytest

from maskrt.runtime.backends.open import Outputs
from maskrt.runtime.backends.trt.device import CudaError, Stream, describe_gpu
from maskrt.runtime.backends.trt.engine_file import read_header, read_plan, write_engine
from maskrt.runtime.backends.trt.library import TensorRtError
from maskrt.runtime.backends.trt.session import SHAPES_KEPT, TrtSession
from maskrt.runtime.errors import ModelError
from tests.runtime.engines import build_engine, skip_without_tensorrt

pytestmark = pytest.mark.gpu
SIZES = np.array([[48, 64]], np.float32)
# What CUDA itself keeps of a closed session (contexts of libraries, fragments) varies by a few MB.
SLACK_BYTES = 32 << 20


@pytest.fixture(scope="module")
def engine(tiny_onnx: Path) -> Path:
    skip_without_tensorrt()
    return build_engine(tiny_onnx, min="1x32x32", opt="1x64x96", max="4x480x160")


def canvas(height: int = 64, width: int = 96, batch: int = 1) -> np.ndarray:
    return np.full((batch, height, width, 3), 7, np.uint8)


def assert_same(one: Outputs, other: Outputs) -> None:
    for name, value in vars(one).items():
        np.testing.assert_array_equal(getattr(other, name), value)


def test_a_cuda_graph_changes_no_result(engine: Path) -> None:
    eager, graphed = TrtSession(engine, cuda_graph=False), TrtSession(engine)

    for sizes in (SIZES, SIZES / 2, SIZES, SIZES / 4):  # from the second call on a replay, over new inputs
        assert_same(eager.infer(canvas(), sizes), graphed.infer(canvas(), sizes))


def test_canvases_in_pinned_memory_and_others_give_the_same(engine: Path) -> None:
    session = TrtSession(engine)
    for value in (7, 8, 9, 0):
        pinned = session.empty_canvas((1, 64, 96, 3), "uint8")
        pinned[:] = value
        assert_same(session.infer(pinned.copy(), SIZES), session.infer(pinned, SIZES))


def test_where_capture_is_refused_it_goes_on_without(
    engine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(stream: Stream, work: object) -> None:
        raise CudaError("cudaStreamEndCapture failed: cudaErrorStreamCaptureUnsupported")

    monkeypatch.setattr(Stream, "capture", refuse)
    session = TrtSession(engine)

    results = [session.infer(canvas(), SIZES) for _ in range(3)]

    assert_same(results[0], results[2])
    assert capsys.readouterr().err.count("without a CUDA graph") == 1


def test_a_capture_that_fails_midway_leaves_the_stream_usable(
    engine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real capture, with work that CUDA forbids in one: waiting for the stream."""
    session = TrtSession(engine)
    first = session.infer(canvas(), SIZES)
    capture = Stream.capture
    monkeypatch.setattr(
        Stream, "capture", lambda stream, work: capture(stream, lambda: (work(), stream.wait()))
    )

    assert_same(first, session.infer(canvas(), SIZES))
    assert_same(first, session.infer(canvas(), SIZES))


def test_several_contexts_serve_several_threads(engine: Path) -> None:
    session, results = TrtSession(engine, contexts=3), {}

    def work(i: int) -> None:
        for _ in range(5):
            results[i] = session.infer(canvas(32 + 32 * (i % 4)), np.array([[32, i + 1]], np.float32))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [float(results[i].boxes[0, 0, 2]) for i in range(12)] == pytest.approx(
        [0.6 * (i + 1) for i in range(12)]
    )


def test_shapes_beyond_those_kept_come_and_go(engine: Path) -> None:
    session = TrtSession(engine)

    for _ in range(3):
        for i in range(SHAPES_KEPT + 3):
            assert session.infer(canvas(32 + 32 * i), SIZES)["num_detections"].tolist() == [3]


def test_a_shape_outside_of_every_profile_is_refused_and_nothing_breaks(engine: Path) -> None:
    session = TrtSession(engine)

    with pytest.raises(ModelError, match=r"= 1x512x96, outside of what the engine was built for"):
        session.infer(canvas(512), SIZES)

    assert session.infer(canvas(), SIZES)["num_detections"].tolist() == [3]


def test_a_closed_session_gives_its_memory_back_and_says_so(engine: Path) -> None:
    TrtSession(engine).close()  # loads what stays
    free_bytes = describe_gpu().free_bytes
    for _ in range(5):
        session = TrtSession(engine, contexts=2)
        session.infer(canvas(480, 160, batch=4), np.repeat(SIZES, 4, axis=0))
        session.close()

    assert describe_gpu().free_bytes > free_bytes - SLACK_BYTES
    with pytest.raises(ModelError, match="this session is closed"):
        session.infer(canvas(), SIZES)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tensorrt_version": "9.3.0"}, "built for TensorRT 9.3.0, and here is TensorRT"),
        (
            {"gpu_name": "Titan", "compute_capability": "1.3"},
            r"built for Titan \(compute capability 1.3\), and",
        ),
    ],
)
def test_an_engine_of_another_machine_is_refused(
    engine: Path, tmp_path: Path, change: dict[str, str], said: str
) -> None:
    foreign = tmp_path / "foreign.engine"
    write_engine(foreign, dataclasses.replace(read_header(engine), **change), read_plan(engine))

    with pytest.raises(ModelError, match=said):
        TrtSession(foreign)


def test_a_plan_that_is_none_is_refused_in_tensorrt_s_words(engine: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.engine"
    write_engine(broken, read_header(engine), b"ftrt" + bytes(1000))

    with pytest.raises(TensorRtError, match=r"refuses its plan.*maskrt build.*TensorRT says: "):
        TrtSession(broken)
