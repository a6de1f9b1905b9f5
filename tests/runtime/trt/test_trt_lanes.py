"""What goes to the GPU and back, and how many calls are under way: on a GPU that is played (played_gpu.py)."""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from maskrt.runtime import infer
from maskrt.runtime.backends.open import Session
from maskrt.runtime.backends.trt import device
from maskrt.runtime.backends.trt import session as trt_session
from maskrt.runtime.backends.trt.device import available_bytes, describe_gpu
from maskrt.runtime.backends.trt.execution import SMALL_BYTES
from maskrt.runtime.backends.trt.library import TensorRtError
from maskrt.runtime.backends.trt.session import TrtSession
from maskrt.runtime.preprocess import preprocess
from tests.runtime.conftest import make_contract
from tests.runtime.played_gpu import Arrays, Function, PlayedCuda, PlayedTensorRt, play

ROWS, SIDE, FOUND, CANVAS = 100, 28, 3, (64, 96)
MASK_BYTES = SIDE * SIDE * 4
SIZES = np.array([CANVAS], np.float32)
CONTRACT = make_contract(max_detections=ROWS, mask_size=SIDE)

Open = Callable[..., TrtSession]


def brightness(feed: Arrays) -> Arrays:
    """Finds FOUND objects in each image, whose masks are as bright as it; all other rows are rubbish."""
    images = feed["images"]
    batch, rows = len(images), np.arange(1, ROWS + 1, dtype=np.float32)
    bright = images.reshape(batch, -1).max(axis=1).astype(np.float32) / 255
    return {
        "num_detections": np.full(batch, FOUND, np.int32),
        "boxes": np.tile(rows[None, :, None], (batch, 1, 4)),
        "scores": np.tile(1 / rows, (batch, 1)),
        "labels": np.zeros((batch, ROWS), np.int32),
        "masks": np.broadcast_to(bright[:, None, None, None], (batch, ROWS, SIDE, SIDE)).copy(),
    }


@pytest.fixture
def open_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Opens an engine that is the function, on a played GPU; `machine` of the session is that and TensorRT."""

    def open_it(
        function: Function = brightness, cuda: PlayedCuda | None = None, contexts: int = 1, **header: Any
    ) -> Any:
        path, cuda, trt = play(monkeypatch, tmp_path, CONTRACT, function, cuda, **header)
        session = TrtSession(path, contexts=contexts)
        session.machine = SimpleNamespace(cuda=cuda, trt=trt)
        return session

    return open_it


def picture(value: int, height: int = CANVAS[0], width: int = CANVAS[1]) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def canvas(session: Session, *values: int) -> np.ndarray:
    return preprocess([picture(v) for v in values], CONTRACT.canvas, empty=session.empty_canvas).images


@pytest.mark.parametrize("integrated", [False, True], ids=["card", "Jetson"])
@pytest.mark.parametrize("batch", [1, 2])
def test_answers_are_the_engine_s_and_zero_past_the_count(
    integrated: bool, batch: int, open_engine: Open
) -> None:
    """Call after call over canvases that come and go: eager, captured, and from other memory."""
    session = open_engine(cuda=PlayedCuda(integrated=integrated))
    sizes = np.repeat(SIZES, batch, axis=0)
    held = []
    for value in range(10, 90, 10):
        images = canvas(session, *[value + i for i in range(batch)])
        given = images if value % 20 else images.copy()  # pinned, and anyone's
        held = [*held[-2:], images]
        got, expected = session.infer(given, sizes), brightness({"images": images})

        for name, values in got.items():
            if name == "num_detections":
                np.testing.assert_array_equal(values, expected[name])
                continue
            np.testing.assert_array_equal(values[:, :FOUND], expected[name][:, :FOUND])
            assert not values[:, FOUND:].any(), name
    assert session.machine.cuda.launches, "the engine was never captured"


def test_images_are_copied_from_where_they_were_preprocessed(open_engine: Open) -> None:
    session = open_engine()
    for _ in range(3):
        images = canvas(session, 7)
        session.infer(images, SIZES)

        kind, source, size_bytes = session.machine.cuda.copied[0]
        assert (kind, source, size_bytes) == ("to device", images.ctypes.data, images.nbytes)
        session.machine.cuda.copied.clear()


def test_of_the_masks_the_rows_that_were_found_come_back(open_engine: Open) -> None:
    session = open_engine()
    for call in range(3):
        session.machine.cuda.copied.clear()
        session.infer(canvas(session, 7, 8), np.repeat(SIZES, 2, axis=0))

        back = [size for kind, _, size in session.machine.cuda.copied if kind == "to host"]
        masks = [size for size in back if size % MASK_BYTES == 0]
        assert masks == [FOUND * MASK_BYTES] * 2, f"call {call}"
        assert all(size <= SMALL_BYTES for size in back)
    assert session.machine.cuda.launches == 2, "from the second call on the rest is a graph"


@pytest.mark.parametrize("count", [-1, ROWS + 7, 2**31 - 1])
def test_a_count_that_cannot_be_reaches_over_nothing(count: int, open_engine: Open) -> None:
    session = open_engine(lambda feed: brightness(feed) | {"num_detections": np.array([count], np.int32)})

    session.infer(canvas(session, 7), SIZES)

    assert all(size <= ROWS * MASK_BYTES for _, _, size in session.machine.cuda.copied)


def test_where_memory_is_shared_nothing_is_copied(open_engine: Open) -> None:
    session = open_engine(cuda=PlayedCuda(integrated=True))
    for value in (7, 8, 9):
        assert session.infer(canvas(session, value), SIZES)["masks"][0, 0, 0, 0] == np.float32(value) / 255

    assert session.machine.cuda.copied == []


def test_memory_serves_again_once_an_array_and_its_views_are_forgotten(open_engine: Open) -> None:
    session = open_engine()
    first = session.empty_canvas((1, *CANVAS, 3), "uint8")
    view, address = first[0, 4:, 4:], first.ctypes.data
    del first
    assert session.empty_canvas((1, *CANVAS, 3), "uint8").ctypes.data != address
    del view
    smaller = session.empty_canvas((1, 32, 32, 3), "uint8")
    again = session.empty_canvas((1, *CANVAS, 3), "uint8")

    assert address in (smaller.ctypes.data, again.ctypes.data)
    session.close()
    again[:] = 7  # ours until we forget it
    del smaller, again
    assert not session.machine.cuda.memory, "some of it was never given back"


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CUDA driver whose wait ends once as many as expected have come, or after two seconds."""
    folder = tmp_path_factory.mktemp("driver")
    (folder / "driver.c").write_text(
        """
        #include <stdatomic.h>
        #include <unistd.h>
        static atomic_int came, wanted, alone;
        void expect(int count) { came = 0; alone = 0; wanted = count; }
        int have_come(void) { return came; }
        void come(void) { came++; }
        int stayed_alone(void) { return alone; }
        int cuStreamSynchronize(void *stream) {
            come();
            for (int ms = 0; ms < 2000 && came < wanted; ms++) usleep(1000);
            if (came < wanted) alone++;
            return 0;
        }
        """
    )
    library = folder / "libcuda.so.1"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, folder / "driver.c"], check=True)
    return library


class HoldingCuda(PlayedCuda):
    """cuda-python before 12.9.1: its wait holds Python's lock, as ctypes.PyDLL does."""

    def __init__(self, library: Path) -> None:
        super().__init__()
        self._library = ctypes.PyDLL(str(library))

    def cudaStreamSynchronize(self, stream: int) -> Any:
        self._library.cuStreamSynchronize(stream)
        return super().cudaStreamSynchronize(stream)


def test_other_threads_go_on_while_one_waits_for_the_gpu(
    driver: Path, open_engine: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, library = open_engine(cuda=HoldingCuda(driver)), ctypes.CDLL(str(driver))
    monkeypatch.setattr(device, "driver", lambda: library)
    session.infer(canvas(session, 7), SIZES)
    library.expect(2)
    waiter = threading.Thread(target=session.infer, args=(canvas(session, 8), SIZES))
    waiter.start()
    while not library.have_come():  # which this thread sees only if it gets Python's lock
        waiter.join(0.001)
    library.come()
    waiter.join()

    assert not library.stayed_alone()


def test_three_contexts_wait_for_the_gpu_at_a_time(
    driver: Path, open_engine: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    meeting = threading.Barrier(3, timeout=20)

    def meet(feed: Arrays) -> Arrays:
        if feed["images"].any():  # shapes are worked out on black images
            meeting.wait()
        return brightness(feed)

    session, library = open_engine(meet, HoldingCuda(driver), contexts=3), ctypes.CDLL(str(driver))
    monkeypatch.setattr(device, "driver", lambda: library)
    library.expect(0)
    with ThreadPoolExecutor(3) as threads:
        images = [canvas(session, value) for value in (7, 8, 9)]
        list(threads.map(session.infer, images, [SIZES] * 3))
        library.expect(3)
        found = list(threads.map(session.infer, images, [SIZES] * 3))

    assert not library.stayed_alone()
    assert [outputs["masks"][0, 0, 0, 0] * 255 for outputs in found] == pytest.approx([7, 8, 9])


def test_infer_has_two_calls_of_an_engine_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., Any]
) -> None:
    import cv2

    meeting = threading.Barrier(2, timeout=20)

    def meet(feed: Arrays) -> Arrays:
        if feed["images"].any():
            meeting.wait()
        return brightness(feed)

    path, *_ = play(monkeypatch, tmp_path, CONTRACT, meet)
    (tmp_path / "photos").mkdir()
    for i in range(4):
        cv2.imwrite(str(tmp_path / "photos" / f"{i}.png"), picture(100 + i))

    ended = command(infer.main, path, tmp_path / "photos", "-o", tmp_path / "out", "--no-overlays")

    assert (ended.code, not meeting.broken) == (0, True), ended.err


@pytest.mark.parametrize("room", [3 << 19, 5 << 19], ids=["its activations", "its buffers"])
def test_without_memory_for_a_second_context_one_serves_all(
    room: int, open_engine: Open, capsys: pytest.CaptureFixture[str]
) -> None:
    session = open_engine(contexts=2)
    session.machine.cuda.room = room  # activations take 1 MiB a context, buffers a third of that
    with session._borrowed_lane((1, *CANVAS), 0) as first:
        assert first is not None
        waiting = threading.Thread(target=session.infer, args=(canvas(session, 7), SIZES))
        waiting.start()
        while session.lanes == 2 and waiting.is_alive():
            waiting.join(0.001)
    waiting.join()

    assert "calls at a time: 1, not 2, since cudaMalloc failed" in capsys.readouterr().err
    assert session.infer(canvas(session, 8), SIZES)["num_detections"].tolist() == [FOUND]


def test_without_memory_for_any_context_every_call_is_told(open_engine: Open) -> None:
    session = open_engine(contexts=3)
    session.machine.cuda.room = 1 << 10
    with ThreadPoolExecutor(3) as threads:
        calls = [threads.submit(session.infer, canvas(session, 7), SIZES) for _ in range(6)]

    assert {str(call.exception()).split(" ")[0] for call in calls} == {"cudaMalloc"}
    session.close()


def test_a_plan_is_given_as_bytes(open_engine: Open) -> None:
    """TensorRT's Python package asks for the buffer without Python's lock."""
    assert [type(plan) for plan in open_engine().machine.trt.plans] == [bytes]


@pytest.mark.parametrize(
    ("flags", "header", "told"),
    [
        (os.ST_NOEXEC, {}, True),
        (os.ST_NOEXEC, {"plugin_embedded": False, "version_compatible": True}, True),
        (os.ST_NOEXEC, {"plugin_embedded": False, "operators": "body"}, False),
        (0, {}, False),
    ],
)
def test_a_folder_that_runs_no_programs_is_named_where_a_library_is_unpacked(
    flags: int,
    header: dict[str, Any],
    told: bool,
    open_engine: Open,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_flag=flags))
    monkeypatch.setattr(trt_session, "load_for_engine", lambda *_: "the plugins")
    monkeypatch.setattr(PlayedTensorRt, "_load", lambda *_: None)

    with pytest.raises(TensorRtError, match=r"refuses its plan\..*maskrt build") as caught:
        open_engine(**header)

    assert (f"unpacks into {tmp_path}, and that is mounted noexec" in str(caught.value)) is told
    assert ("TMPDIR=DIR" in str(caught.value)) is told


def test_on_a_jetson_memory_that_linux_would_give_up_counts_as_free(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  7990000 kB\nMemFree:  300000 kB\nMemAvailable:  6000000 kB\n")
    assert available_bytes(meminfo) == 6000000 * 1024
    assert available_bytes(tmp_path / "none") == 0
    monkeypatch.setattr(device, "available_bytes", lambda: available_bytes(meminfo))
    for integrated, free_bytes in ((True, 6000000 * 1024), (False, 1 << 20)):
        cuda = PlayedCuda(integrated=integrated, free_bytes=1 << 20)
        monkeypatch.setattr(device, "cudart", lambda played=cuda: played)
        gpu = describe_gpu()
        assert (gpu.shares_memory, gpu.free_bytes) == (integrated, free_bytes)
