"""A run that is stopped from outside keeps what it has found, and leaves nothing that looks complete."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from maskrt.runtime.infer import main
from maskrt.runtime.tasks.instances.files import CocoSink
from tests.conftest import REPOSITORY
from tests.runtime.cameras import camera
from tests.runtime.videos import read_video

WAIT_S = 30.0  # for a program to start on a busy machine
FRAMES = 20_000  # far more than are done before the signal comes
STUCK = """
import sys, time
from maskrt.runtime import infer
from maskrt.runtime.inputs import open as inputs
from maskrt.runtime.pipeline import prefetch
prefetch.CLOSING_S = 0.2
read = inputs.read_image
inputs.read_image = lambda name, **how: time.sleep(1000) if "second" in str(name) else read(name, **how)
infer.main(sys.argv[1:])
"""


def wait_for(condition: object) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline_s, "it never came to that"
        time.sleep(0.02)


def lines(out: Path) -> list[str]:
    file = out / "results.jsonl"
    return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
def stuck_run(tiny_onnx: Path, picture_file: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A run that has done one image and waits for the second, as if its disk did not answer."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "predictions.json").write_text("[]")
    second = tmp_path / "second.png"
    second.write_bytes(picture_file.read_bytes())
    arguments = ["-c", STUCK, tiny_onnx, picture_file, second, "-o", tmp_path / "out"]
    with subprocess.Popen(
        [sys.executable, *map(str, arguments)], cwd=REPOSITORY, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_for(lambda: lines(tmp_path / "out"))
        yield process
        process.kill()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_was_done_is_kept(
    number: int, code: int, stuck_run: subprocess.Popen[str], tmp_path: Path
) -> None:
    """And of an earlier run into the same folder, what would pass for this one's."""
    stuck_run.send_signal(number)
    _, said = stuck_run.communicate(timeout=WAIT_S)

    assert stuck_run.returncode == code
    assert said == f"maskrt infer: stopped after 1 images; what was found in them is in {tmp_path / 'out'}\n"
    (line,) = lines(tmp_path / "out")
    assert len(json.loads(line)["detections"]) == 2
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"results.jsonl", "overlays"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_to_be_stopped_is_a_camera_s_usual_end(
    number: int, tiny_onnx: Path, picture: np.ndarray, tmp_path: Path
) -> None:
    frame = cv2.imencode(".jpg", picture[:, :, ::-1])[1].tobytes()
    with camera(frame, connections=1, frames=FRAMES, pace_s=0.01) as url:
        arguments = [sys.executable, "-m", "maskrt.runtime.infer", tiny_onnx, url, "-o", tmp_path / "out.mp4"]
        with subprocess.Popen(list(map(str, arguments)), cwd=REPOSITORY) as process:
            wait_for(lambda: len(lines(tmp_path / "out")) >= 10)
            process.send_signal(number)
            assert process.wait(WAIT_S) == 0

    done = len(lines(tmp_path / "out"))
    assert len(json.loads((tmp_path / "out" / "predictions.json").read_text())) == 2 * done
    assert len(read_video(tmp_path / "out.mp4")[0]) == done


def test_a_signal_that_comes_while_the_last_files_are_finished_changes_nothing(
    command: Callable[..., Any],
    tiny_onnx: Path,
    picture_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finish = CocoSink.close

    def finish_slowly(self: CocoSink) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        finish(self)

    monkeypatch.setattr(CocoSink, "close", finish_slowly)

    assert command(main, tiny_onnx, picture_file, "-o", tmp_path / "out").code == 0
    assert len(json.loads((tmp_path / "out" / "predictions.json").read_text())) == 2


def test_two_runs_do_not_write_into_one_folder(
    stuck_run: subprocess.Popen[str], tiny_onnx: Path, picture_file: Path, tmp_path: Path
) -> None:
    arguments = ["-m", "maskrt.runtime.infer", tiny_onnx, picture_file, "-o", tmp_path / "out"]
    second = [sys.executable, *map(str, arguments)]
    done = subprocess.run(second, cwd=REPOSITORY, capture_output=True, text=True, timeout=WAIT_S)

    assert done.returncode == 2
    assert done.stderr == (
        f"maskrt infer: {tmp_path / 'out'}: another run is writing into it. "
        "Wait for it, or choose another output.\n"
    )
    stuck_run.kill()
    stuck_run.wait(WAIT_S)
    assert subprocess.run(second, cwd=REPOSITORY, capture_output=True, timeout=WAIT_S).returncode == 0


#: In a process of its own: a signal too many ends it, and not the tests.
SIGNALLED_WHILE_WRITING = """
import os, signal, sys
from maskrt.runtime.infer import main
from maskrt.runtime.tasks.instances.files import CocoSink

add = CocoSink.add

def add_slowly(self, item):
    os.kill(os.getpid(), signal.SIGINT)
    add(self, item)

CocoSink.add = add_slowly
main(sys.argv[1:])
"""


def test_a_signal_that_comes_while_an_image_is_written_waits_until_it_is_in_every_file(
    tiny_onnx: Path, picture_file: Path, tmp_path: Path
) -> None:
    second = tmp_path / "second.png"
    second.write_bytes(picture_file.read_bytes())
    arguments = [tiny_onnx, picture_file, second, "-o", tmp_path / "out"]

    done = subprocess.run(
        [sys.executable, "-c", SIGNALLED_WHILE_WRITING, *map(str, arguments)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
    )

    assert done.returncode == 130, done.stderr
    assert "stopped after 1 images" in done.stderr
    assert len(lines(tmp_path / "out")) == 1
    assert len(list((tmp_path / "out" / "overlays").iterdir())) == 1


def test_a_video_can_be_watched_up_to_where_it_was_stopped(
    tiny_onnx: Path, picture: np.ndarray, tmp_path: Path
) -> None:
    source, out = tmp_path / "long.avi", tmp_path / "out.mp4"
    writer = cv2.VideoWriter(str(source), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    for _ in range(FRAMES):
        writer.write(picture)
    writer.release()
    arguments = ["-m", "maskrt.runtime.infer", tiny_onnx, source, "-o", out]
    with subprocess.Popen([sys.executable, *map(str, arguments)], cwd=REPOSITORY) as process:
        wait_for(lambda: len(lines(tmp_path / "out")) >= 10)
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) == 143

    watched = len(read_video(out)[0])
    done = len(lines(tmp_path / "out"))
    assert 10 <= done < FRAMES
    assert watched == done
    assert not (tmp_path / "out" / "predictions.json").exists()
