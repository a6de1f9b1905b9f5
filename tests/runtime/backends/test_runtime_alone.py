"""The runtime in an environment of its own, without torch and onnx: as on the machine that it is shipped to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

WAIT_S = 600
NOT_NEEDED = ("torch", "torchvision", "lightning", "onnx", "onnxscript", "openvino")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with `.[cpu]` in it, at the versions of requirements.txt."""
    folder = tmp_path_factory.mktemp("alone") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=WAIT_S)
    # Modules that are imported compile themselves; of scipy's most are not.
    install = [sys.executable, "-m", "pip", "--python", folder, "install", "--quiet", "--no-compile"]
    install += ["-c", REPOSITORY / "requirements.txt", f"{REPOSITORY}[cpu]"]
    done = subprocess.run([str(a) for a in install], capture_output=True, text=True, timeout=WAIT_S)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


def run(environment: Path, cwd: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """The installed `maskrt`, away from the repository."""
    command = [str(environment / "bin" / "maskrt"), *map(str, arguments)]
    variables = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, timeout=WAIT_S)


def test_what_is_not_needed_is_not_there(environment: Path, tmp_path: Path) -> None:
    code = f"import importlib.util as u; print([n for n in {NOT_NEEDED} if u.find_spec(n)])"
    done = subprocess.run(
        [str(environment / "bin" / "python"), "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout == "[]\n"


def test_a_model_runs(environment: Path, tiny_onnx: Path, picture_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run(environment, tmp_path, "infer", tiny_onnx, picture_file, "-o", out, "--masks", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["detections"] == 2
    assert (out / "overlays" / "picture.png").is_file()
    assert len(list((out / "masks" / "picture").iterdir())) == 2


def test_the_other_commands_of_the_runtime_run(
    environment: Path, tiny_onnx: Path, picture_file: Path, tmp_path: Path
) -> None:
    bench = run(environment, tmp_path, "bench", tiny_onnx, "--image", picture_file, "--rounds", 3, "--json")
    assert bench.returncode == 0, bench.stderr
    doctor = run(environment, tmp_path, "doctor")
    assert doctor.returncode == 0, doctor.stderr
    assert "onnxruntime" in doctor.stdout


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (("export", "best.pt", "-o", "model.onnx"), "export"),
        (("train", "--data", "data", "-o", "out"), "train"),
        (("infer", "best.pt", "picture.png"), "export"),
        (("infer", "model.onnx", "picture.png", "--backend", "openvino"), "openvino"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else value,
)
def test_what_needs_more_says_what(
    arguments: tuple[str, ...], extra: str, environment: Path, tiny_onnx: Path, picture_file: Path
) -> None:
    folder = picture_file.parent
    (folder / "best.pt").write_bytes(b"weights")
    (folder / "model.onnx").write_bytes(tiny_onnx.read_bytes())

    done = run(environment, folder, *arguments)

    assert done.returncode == 2
    assert f"pip install '.[{extra}" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
