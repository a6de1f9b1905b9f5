"""A Jetson has numpy, OpenCV and a runtime: whatever else is missing is named when it is needed, not before."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maskrt.runtime.packages import install

Run = Callable[..., Any]
TRAINING = {"torch", "torchvision", "lightning"}
OPTIONAL = TRAINING | {
    "onnx",
    "onnxscript",
    "pycocotools",
    "scipy",
    "matplotlib",
    "PIL",
    "supervision",
    "pandas",
}
IMPORT_ALL = """
import importlib, pkgutil, maskrt.runtime
for module in pkgutil.walk_packages(maskrt.runtime.__path__, "maskrt.runtime."):
    importlib.import_module(module.name)
"""


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A file that is never read: the package to read it with is missing."""
    path = tmp_path / "best.pt"
    path.write_bytes(b"PK")
    return path


def one_line(ended: Any, program: str) -> str:
    assert (ended.code, ended.out) == (2, ""), ended.err
    assert len(ended.err.splitlines()) == 1, ended.err
    assert ended.err.startswith(f"{program}: ")
    return ended.err.removeprefix(f"{program}: ").rstrip()


def test_every_module_of_the_runtime_imports_with_the_core_alone(without: Run) -> None:
    ended = without(OPTIONAL | {"onnxruntime", "tensorrt"}, code=IMPORT_ALL)

    assert (ended.code, ended.err) == (0, "")


def test_what_is_hidden_is_hidden(without: Run) -> None:
    """The control of every test here."""
    ended = without({"onnxruntime"}, code="import onnxruntime")

    assert ended.code == 1
    assert "No module named 'onnxruntime'" in ended.err


def test_infers_with_onnxruntime_alone(
    without: Run, tiny_onnx: Path, picture_file: Path, tmp_path: Path
) -> None:
    ended = without(
        OPTIONAL, "maskrt.runtime.infer", tiny_onnx, picture_file, "-o", tmp_path / "out", "--json"
    )

    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["detections"] == 2
    rows = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert [row["category_id"] for row in rows] == [90, 17]
    assert (tmp_path / "out" / "overlays" / "picture.png").is_file()


def test_a_checkpoint_needs_torch(without: Run, checkpoint: Path, picture_file: Path, tmp_path: Path) -> None:
    ended = without(TRAINING, "maskrt.runtime.infer", checkpoint, picture_file, "-o", tmp_path / "out")

    said = one_line(ended, "maskrt infer")
    assert said.startswith(f"running the checkpoint {checkpoint} needs the package 'torch'")
    assert said.endswith(f"Install it: {install('export')}")


def test_a_checkpoint_runs_without_what_only_export_needs(
    without: Run, checkpoint: Path, picture_file: Path, tmp_path: Path
) -> None:
    """Past the imports, the file itself is what is wrong."""
    blocked = {"onnx", "onnxscript", "onnxruntime", "lightning", "pycocotools"}

    ended = without(blocked, "maskrt.runtime.infer", checkpoint, picture_file, "-o", tmp_path / "out")

    assert f"{checkpoint}: not a readable PyTorch checkpoint" in one_line(ended, "maskrt infer")


def test_an_onnx_file_needs_onnxruntime(
    without: Run, tiny_onnx: Path, picture_file: Path, tmp_path: Path
) -> None:
    ended = without({"onnxruntime"}, "maskrt.runtime.infer", tiny_onnx, picture_file, "-o", tmp_path / "out")

    said = one_line(ended, "maskrt infer")
    assert said.startswith(f"{tiny_onnx}: running an ONNX file needs onnxruntime")
    assert install("cpu") in said


def test_parity_needs_scipy(without: Run, tiny_onnx: Path, picture_file: Path) -> None:
    ended = without({"scipy"}, "maskrt.runtime.parity.command", tiny_onnx, tiny_onnx, picture_file)

    said = one_line(ended, "maskrt parity")
    assert said == f"matching instances needs scipy. Install it: {install('cpu')}"


def test_evaluation_needs_the_training_stage_s_readers(without: Run, tiny_onnx: Path) -> None:
    ended = without(TRAINING | {"pycocotools"}, "maskrt.runtime.evaluate", tiny_onnx, "--data", "synthetic:1")

    said = one_line(ended, "maskrt evaluate")
    assert "needs" in said
    assert install("cpu") in said
