"""How a build runs: memory and its limits, progress, Ctrl-C, and errors out of TensorRT's callbacks."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import onnx
import pytest
from onnx import ModelProto
from rich.console import Console

from maskrt.export.engine.memory import (
    build_within,
    check_memory,
    is_out_of_memory,
    needed_bytes,
    workspace_limits,
)
from maskrt.export.engine.progress import BuildProgress, InterruptedBuildError, run_cancellable
from maskrt.runtime.backends.trt.device import Gpu
from maskrt.runtime.errors import ExportError
from tests.conftest import REPOSITORY

MIB = 1 << 20
GIB = 1 << 30
NO_KERNEL = "TensorRT says: Error Code 10: Could not find any implementation for node {ForeignNode[a...b]}."


def model(text: str) -> ModelProto:
    return onnx.shape_inference.infer_shapes(
        onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> {text}')
    )


def test_what_a_build_needs_at_least_is_weights_and_the_largest_layer() -> None:
    given = model(
        "g (float[1,4,8,8] images) => (float[1,2,8,8] y) <float[4,4,1,1] w, float[2,4,1,1] v>"
        " { x = Conv (images, w) z = Relu (x) y = Conv (z, v) }"
    )
    given.graph.initializer.extend(
        onnx.helper.make_tensor(name, onnx.TensorProto.FLOAT, dims, [0.0] * dims[0] * dims[1])
        for name, dims in (("w", (4, 4, 1, 1)), ("v", (2, 4, 1, 1)))
    )
    weights, map_bytes = 4 * (16 + 8), 4 * 4 * 64
    assert needed_bytes(given, None) == weights + 2 * map_bytes


def test_dynamic_shapes_count_at_the_largest_profile() -> None:
    text = "g (uint8[n,h,w,3] images) => (float[n,h,w,3] y) { y = Cast <to = 1> (images) }"
    assert needed_bytes(model(text), (2, 64, 96)) == 2 * 64 * 96 * 3 * (1 + 4)
    assert needed_bytes(model(text), (1, 64, 96)) == 64 * 96 * 3 * (1 + 4)


def test_a_build_that_cannot_fit_is_refused_before_it_begins() -> None:
    gpu = Gpu("Orin", "8.7", "12.6", "12.6", 8 * GIB, 100 * MIB)
    check_memory("model.onnx", 100 * MIB, gpu)
    with pytest.raises(
        ExportError, match=r"model\.onnx: .* need 101 MiB .* and 100 MiB are free\. End other"
    ):
        check_memory("model.onnx", 101 * MIB, gpu)


def test_where_cpu_and_gpu_share_memory_a_build_that_may_not_fit_is_a_warning(
    capsys: pytest.CaptureFixture[str],
) -> None:
    gpu = Gpu("Orin", "8.7", "12.6", "12.6", 8 * GIB, 100 * MIB, shares_memory=True)

    check_memory("model.onnx", 101 * MIB, gpu)

    assert "need 101 MiB" in (said := " ".join(capsys.readouterr().err.split()))
    assert "Trying all the same" in said


@pytest.mark.parametrize(
    ("asked_mib", "free", "expected_mib"),
    [
        (None, 80 * GIB, [40960, 10240, 2560, 640]),
        (None, 4 * GIB, [2048, 512, 128, 32]),
        (1000, 80 * GIB, [1000, 250, 62]),
        (100, 80 * GIB, [100]),
        (8, 80 * GIB, [8]),
        (None, 10 * MIB, [32]),
    ],
)
def test_workspaces_to_try(asked_mib: int | None, free: int, expected_mib: list[int]) -> None:
    assert workspace_limits(asked_mib, free) == [mib * MIB for mib in expected_mib]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (NO_KERNEL, True),
        ("Requested amount of GPU memory (1 bytes) could not be allocated. [Out of memory]", True),
        ("Error Code 2: OutOfMemory (Requested size was 8 bytes.)", True),
        ("Error Code 4: Internal Error (Network must have at least one output)", False),
        ("TensorRT does not say why", False),
    ],
)
def test_lack_of_memory_is_known_by_tensorrts_words(words: str, expected: bool) -> None:
    assert is_out_of_memory(words) is expected


def test_a_smaller_workspace_is_tried_and_said() -> None:
    tried: list[int] = []
    said: list[str] = []

    def attempt(workspace: int) -> bytes | None:
        tried.append(workspace)
        return b"plan" if len(tried) == 3 else None

    plan = build_within(attempt, lambda: NO_KERNEL, workspace_limits(1024, 0), "model.onnx", said.append)
    assert plan == b"plan"
    assert tried == [1024 * MIB, 256 * MIB, 64 * MIB]
    assert said == [
        "model.onnx: out of memory with a workspace of 1024 MiB; trying 256 MiB",
        "model.onnx: out of memory with a workspace of 256 MiB; trying 64 MiB",
    ]


def test_after_the_smallest_workspace_it_is_explained() -> None:
    with pytest.raises(ExportError, match=r"every workspace tried \(1024, 256, 64 MiB\).*--jetson"):
        build_within(
            lambda _: None, lambda: NO_KERNEL, workspace_limits(1024, 0), "model.onnx", lambda _: None
        )


def test_another_failure_is_not_tried_again() -> None:
    tried: list[int] = []
    with pytest.raises(ExportError, match=r"could not build it\. Error Code 4"):
        build_within(
            tried.append, lambda: "Error Code 4", workspace_limits(1024, 0), "model.onnx", lambda _: None
        )
    assert tried == [1024 * MIB]


def progress_on_a_terminal() -> tuple[BuildProgress, io.StringIO]:
    screen = io.StringIO()
    return BuildProgress(Console(file=screen, force_terminal=True, width=100)), screen


def test_phases_show_as_bars_within_bars() -> None:
    progress, screen = progress_on_a_terminal()
    with progress:
        progress.phase_start("Building Engine", None, 2)
        progress.phase_start("Timing Runners", "Building Engine", 4)
        assert progress.step_complete("Timing Runners", 0)
        assert progress.step_complete("Timing Runners", 1)
        progress._bars.refresh()
        shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue())
        progress.phase_finish("Timing Runners")
        progress.phase_finish("Building Engine")
    assert re.search(r"Building Engine .* 0/2 ", shown)
    assert re.search(r"  Timing Runners .* 2/4 ", shown)


def test_where_nobody_watches_nothing_is_drawn() -> None:
    screen = io.StringIO()
    with BuildProgress(Console(file=screen)) as progress:
        progress.phase_start("Building Engine", None, 2)
        progress.step_complete("Building Engine", 0)
        progress.phase_finish("Building Engine")
    assert screen.getvalue() == ""


def test_phases_come_from_several_threads() -> None:
    progress, _ = progress_on_a_terminal()

    def work(name: str) -> None:
        for _ in range(50):
            progress.keep(progress.phase_start, name, None, 3)
            for step in range(3):
                progress.keep(progress.step_complete, name, step)
            progress.keep(progress.phase_finish, name)

    threads = [threading.Thread(target=work, args=(f"phase {i}",)) for i in range(4)]
    with progress:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    progress.raise_kept()


def test_what_a_callback_raises_stops_the_build_and_is_raised_after() -> None:
    progress, _ = progress_on_a_terminal()

    def build() -> None:
        assert progress.keep(progress.step_complete, "a phase that never began", 0) is False
        assert progress.keep(progress.step_complete, "another", 0) is False

    with progress, pytest.raises(KeyError, match="a phase that never began"):
        run_cancellable(build, progress)


def test_what_the_build_raises_is_raised() -> None:
    progress, _ = progress_on_a_terminal()
    with pytest.raises(ExportError, match="of a plugin"):
        run_cancellable(lambda: (_ for _ in ()).throw(ExportError("of a plugin")), progress)


def test_the_builds_result_comes_back() -> None:
    assert run_cancellable(lambda: b"plan", progress_on_a_terminal()[0]) == b"plan"


@pytest.fixture
def hears_ctrl_c() -> Iterator[None]:
    """A shell starts programs in the background with SIGINT ignored, the tests among them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("hears_ctrl_c")
def test_ctrl_c_stops_the_build_at_its_next_step() -> None:
    progress, _ = progress_on_a_terminal()
    steps = 0

    def build() -> None:
        nonlocal steps
        progress.phase_start("Building Engine", None, 1000)
        while progress.step_complete("Building Engine", steps) and steps < 1000:
            steps += 1
            time.sleep(0.01)

    interrupter = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
    interrupter.start()
    with progress, pytest.raises(InterruptedBuildError, match="nothing was written") as stopped:
        run_cancellable(build, progress)
    assert 0 < steps < 1000
    assert stopped.value.exit_code == 130


def test_ctrl_c_ends_a_build_that_cannot_be_asked_to_stop() -> None:
    code = (
        "import signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from maskrt.export.engine.progress import run_until_killed\n"
        "def deaf():\n"
        "    print('building', flush=True)\n"
        "    while True: sum(range(10_000_000))\n"
        "assert run_until_killed(lambda: 3) == 3\n"
        "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
        "run_until_killed(deaf)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    assert child.stdout is not None
    assert child.stdout.readline() == "building\n"
    child.send_signal(signal.SIGINT)
    assert child.wait(timeout=30) == -signal.SIGINT  # at once, with no traceback of KeyboardInterrupt
    child.stdout.close()
