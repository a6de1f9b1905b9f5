"""Over a real Ray cluster of this machine, two workers: what one process gives, also where a worker is killed."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnx.numpy_helper
import psutil
import pytest

from maskrt.runtime.pipeline.cluster import PORTION
from tests.conftest import REPOSITORY
from tests.runtime.conftest import METADATA_KEY, make_contract, tiny_model

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]
pytest.importorskip("ray")

WAIT_S = 200.0
COUNT = 4 * PORTION  # as many portions, each of that size
BULK_BYTES = 1 << 20  # so that Ray keeps the model apart, as it does a real one, and not inside its messages


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    written = tiny_model(make_contract())
    bulk = np.random.default_rng(0).integers(0, 256, BULK_BYTES, np.uint8)
    written.graph.initializer.append(onnx.numpy_helper.from_array(bulk, "bulk"))
    written.metadata_props.add(key=METADATA_KEY, value=make_contract().to_json())
    onnx.save_model(written, path)
    return path


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures, all different; every tenth is black, and one is none."""
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(COUNT):
        image = np.full((48, 40 + i, 3), 0 if i % 10 == 0 else 2 * i, np.uint8)
        assert cv2.imwrite(str(folder / f"{i:03d}.png"), image)
    (folder / "050.png").write_bytes(b"no picture")
    return folder


STARTED: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def none_left() -> Iterator[None]:
    """A cluster ends with the command that started it, and that with its test."""
    yield
    for process in STARTED:
        process.kill()
        process.wait()


def start(model: Path, out: Path, *inputs: object, ray: bool = True) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "maskrt", "infer", model, *inputs, "-o", out, "--no-overlays", "--json"]
    command += ["--ray", "local", "--workers", "2"] if ray else []
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    STARTED.append(subprocess.Popen([str(a) for a in command], cwd=REPOSITORY, **pipes))
    return STARTED[-1]


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, err = process.communicate(timeout=WAIT_S)
    assert "Traceback" not in err, err
    print(err)
    return process.returncode, out


def lines(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + WAIT_S
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.2)


def test_a_cluster_finds_what_one_process_finds(model: Path, pictures: Path, tmp_path: Path) -> None:
    """In a folder, an archive, and a listing as of a bucket."""
    archive = tmp_path / "more.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(pictures / "001.png", "inside/a.png")
    inputs = [pictures, archive, f"file://{pictures}"]
    assert finish(start(model, tmp_path / "one", *inputs, ray=False))[0] == 3, "one picture is none"

    code, said = finish(start(model, tmp_path / "ray", *inputs))

    assert code == 3
    summary = json.loads(said)
    assert summary["images"] == 2 * (COUNT - 1) + 1
    assert len(summary["failed"]) == 2
    assert lines(tmp_path / "ray") == lines(tmp_path / "one"), "in the same order, too"
    both = [(tmp_path / run / "predictions.json").read_bytes() for run in ("one", "ray")]
    assert both[0] == both[1]


@contextmanager
def held_back(file: Path) -> Iterator[int]:
    """Whoever opens the file waits until this ends (Linux breaks such a lease after 45 s)."""
    before = signal.signal(
        signal.SIGIO, signal.SIG_IGN
    )  # what tells of an opener, and would end this process
    held = os.open(file, os.O_RDWR)
    try:
        fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        yield held
    finally:
        os.close(held)
        signal.signal(signal.SIGIO, before)


def somebody_waits(held: int) -> bool:
    """Whether a process waits for what is held back."""
    return fcntl.fcntl(held, fcntl.F_GETLEASE) != fcntl.F_WRLCK


def workers_of(process: subprocess.Popen[str]) -> set[psutil.Process]:
    """Ray's processes that run our steps, by the name that it gives them."""
    found = set()
    for one in psutil.Process(process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            found |= {one} if any("MapWorker" in part for part in one.cmdline()[:1]) else set()
    return found


def test_workers_killed_half_way_lose_nothing_and_write_nothing_twice(
    model: Path, pictures: Path, tmp_path: Path
) -> None:
    slow = tmp_path / "slow.png"
    slow.write_bytes((pictures / "001.png").read_bytes())
    names = sorted(pictures.glob("*.png"))
    names.remove(pictures / "050.png")
    names.insert(2 * PORTION + 5, slow)  # in the midst of the third portion
    with held_back(slow) as held:
        process = start(model, tmp_path / "ray", *names)
        wait_for(lambda: somebody_waits(held), process)
        wait_for(lambda: len(lines(tmp_path / "ray")) == 2 * PORTION, process)
        workers = workers_of(process)
        assert workers

        for worker in workers:
            worker.send_signal(signal.SIGKILL)

        wait_for(lambda: not workers & workers_of(process), process)
        assert len(lines(tmp_path / "ray")) == 2 * PORTION, "nothing of the portion that was lost was written"
    code, _ = finish(process)
    assert code == 0
    assert [line["file"] for line in lines(tmp_path / "ray")] == [str(name) for name in names]

    assert finish(start(model, tmp_path / "one", *names, ray=False))[0] == 0
    assert lines(tmp_path / "ray") == lines(tmp_path / "one")


def test_what_a_cluster_cannot_do_is_said(model: Path, pictures: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(model.read_bytes()[: BULK_BYTES // 2])

    process = start(broken, tmp_path / "out", pictures / "001.png")
    _, err = process.communicate(timeout=WAIT_S)

    assert process.returncode == 2
    assert err.splitlines()[-1].startswith("maskrt infer: broken.onnx: ONNX Runtime cannot load it")
    assert "Traceback" not in err
    assert not (tmp_path / "out/predictions.json").exists()
