"""What would deceive a terminal, or cannot be printed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.hostile.conftest import Refuse, coco

ESCAPE = "\x1b]0;renamed\x07\x1b[2J"  # names the terminal's window, and clears it


def test_standard_output_that_cannot_be_written(model: Path, photo: Path, tmp_path: Path) -> None:
    line = [sys.executable, "-m", "maskrt", "infer", str(model), str(photo), "-o", str(tmp_path / "out")]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*line, "--json"], stdout=full, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY
        )
    assert done.returncode == 2
    assert "maskrt infer: standard output: No space left on device." in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "line",
    [
        ("infer", "{model}", "{folder}/{escape}.png"),
        ("infer", "{folder}/{escape}", "{photo}"),
        ("infer", "{model}", "{photo}", "--{escape}"),
        ("infer", "{model}", "{photo}", "--min-score", "{escape}"),
        ("evaluate", "{model}", "--data", "{escape}"),
        ("evaluate", "{model}", "--data", "synthetic:1", "--format", "{escape}"),
        ("train", "--data", "synthetic:1", "--set", "{escape}=1"),
        ("parity", "{model}", "{folder}/{escape}.onnx", "{photo}"),
        ("engine", "inspect", "{escape}"),
    ],
    ids=lambda line: " ".join(word for word in line if "{" not in word),
)
def test_an_escape_sequence_in_a_name_is_shown_not_obeyed(
    line: tuple[str, ...], refused: Refuse, model: Path, photo: Path, tmp_path: Path
) -> None:
    names = {"model": model, "photo": photo, "folder": tmp_path, "escape": ESCAPE}
    said = refused(*(word.format(**names) for word in line))
    assert "\\x1b" in said or "--min-score" in said


def test_an_escape_sequence_in_a_class_s_name(refused: Refuse, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "ann.json").write_text(json.dumps(coco(photo, ESCAPE)))
    said = refused("inspect-data", tmp_path / "ann.json", "-o", tmp_path / "page.html", code=0)
    assert "\\x1b]0;renamed" in said


@pytest.mark.parametrize("option", ["--scales", "--plan", "--from-cache"])
def test_another_file_than_the_one_asked_for_is_not_printed(
    option: str, refused: Refuse, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "large.onnx").write_bytes(b"\xff\xfe" + bytes(range(256)) * 1000)
    line = (
        "calibrate",
        model,
        "--data",
        "synthetic:2",
        option,
        tmp_path / "large.onnx",
        "--flavour",
        "tensorrt",
    )
    assert len(refused(*line)) < 1000
