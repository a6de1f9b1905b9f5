from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maskrt.runtime.backends.trt.engine_file import write_engine
from maskrt.runtime.engine import main
from tests.runtime.engines import make_header

Run = Callable[..., Any]
PLAN = b"plan" * 1000


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    path = tmp_path / "model.engine"
    write_engine(path, make_header(), PLAN)
    return path


def test_inspect_says_what_it_is_and_where_it_runs(engine: Path, command: Run) -> None:
    ended = command(main, "inspect", engine)

    assert (ended.code, ended.err) == (0, "")
    for fact in (
        "TensorRT",
        "10.3.0",
        "Orin, compute capability 8.7",
        "linux-aarch64",
        "large: 1x320x320 to 1x1344x1344, tuned for 1x800x1344",
        "plugin library abababababab, to be loaded beside it",
        "fp32",
    ):
        assert fact in ended.out


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"plugin_embedded": True}, "plugin library abababababab, embedded"),
        ({"plugin_sha256": None}, "plugins in Python"),
        ({"operators": "body", "plugin_sha256": None}, "no plugin needed"),
        ({"hardware_compatible": True}, "or any from 8.0 on"),
        ({"version_compatible": True}, "10.3.0 and later of its major version"),
        ({"profiles": ()}, "the shape is fixed"),
    ],
)
def test_inspect_tells_the_variants_apart(
    tmp_path: Path, command: Run, changes: dict[str, Any], said: str
) -> None:
    write_engine(tmp_path / "a.engine", make_header(**changes), PLAN)

    assert said in command(main, "inspect", tmp_path / "a.engine").out


def test_a_plan_is_told_in_mib(tmp_path: Path, command: Run) -> None:
    write_engine(tmp_path / "a.engine", make_header(), bytes(3 << 19))

    assert "1.5 MiB" in command(main, "inspect", tmp_path / "a.engine").out


def test_inspect_gives_the_header_as_json(engine: Path, command: Run) -> None:
    facts = json.loads(command(main, "inspect", engine, "--json").out)

    assert facts["plan_bytes"] == len(PLAN)
    assert facts["contract"]["family"] == "mask_rcnn"
    assert facts["profiles"][0] == {
        "name": "small",
        "min": [1, 320, 320],
        "opt": [1, 640, 640],
        "max": [4, 640, 640],
    }


def test_unpack_writes_the_plan_alone(engine: Path, tmp_path: Path, command: Run) -> None:
    ended = command(main, "unpack", engine, "-o", tmp_path / "model.plan")

    assert (ended.code, ended.out) == (0, "")
    assert (tmp_path / "model.plan").read_bytes() == PLAN
    assert "it needs the plugin library too" in ended.err


@pytest.mark.parametrize("verb", ["inspect", "unpack"])
def test_another_file_is_refused_in_one_sentence(
    verb: str, tiny_onnx: Path, tmp_path: Path, command: Run
) -> None:
    output = ["-o", tmp_path / "plan"] if verb == "unpack" else []
    ended = command(main, verb, tiny_onnx, *output)

    assert ended.code == 2
    assert ended.err.startswith(
        f"maskrt engine {verb}: {tiny_onnx}: no engine file of maskrt but an ONNX model."
    )
    assert ended.err.count("\n") == 1
    assert not (tmp_path / "plan").exists()
