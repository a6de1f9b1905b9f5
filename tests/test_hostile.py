"""What is no file, what is too much, and what would deceive a terminal: refused at once, in a sentence."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

import maskrt
from tests.conftest import REPOSITORY
from tests.runtime.conftest import make_contract, tiny_model

Refuse = Callable[..., str]
ESCAPE = "\x1b]0;renamed\x07\x1b[2J"  # names the terminal's window, and clears it


@pytest.fixture
def refused(capfd: pytest.CaptureFixture[str]) -> Refuse:
    """Runs a verb in this process, which is to end with a sentence; gives that."""

    def run(verb: str, *args: object, code: int = 2) -> str:
        with pytest.raises(SystemExit) as ended:
            importlib.import_module(maskrt.VERBS[verb][0]).main([str(arg) for arg in args])
        out, said = capfd.readouterr()
        assert ended.value.code == code, said
        assert "Traceback" not in said
        assert "\x1b" not in out + said
        assert len(said) < 5000
        return said

    return run


@pytest.fixture
def model(tmp_path: Path) -> Path:
    made = tiny_model(make_contract())
    made.metadata_props.add(key="maskrt.contract", value=make_contract().to_json())
    path = tmp_path / "model.onnx"
    path.write_bytes(made.SerializeToString())
    return path


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), np.full((48, 64, 3), 90, np.uint8))
    return path


@pytest.mark.parametrize("kind", ["pipe", "device"])
@pytest.mark.parametrize(
    "line",
    [
        ("infer", "{model}", "{it}"),
        ("infer", "{it}", "{photo}"),
        ("evaluate", "{model}", "--data", "{it}"),
        ("evaluate", "{it}", "--data", "synthetic:1"),
        ("inspect-data", "{it}"),
        ("train", "--data", "{it}"),
        ("bench", "{model}", "--image", "{it}"),
        ("engine", "inspect", "{it}"),
        ("parity", "check", "{it}", "{model}"),
        ("export", "{it}"),
        ("calibrate", "{model}", "--data", "{it}"),
        ("calibrate", "{model}", "--data", "synthetic:2", "--plan", "{it}"),
        ("build", "{it}"),
        ("serve-triton", "{it}", "-o", "{folder}/repository"),
    ],
    ids=lambda line: " ".join(word for word in line if "{" not in word),
)
def test_what_has_no_end_or_waits_for_somebody_is_not_opened(
    kind: str, line: tuple[str, ...], refused: Refuse, model: Path, photo: Path, tmp_path: Path
) -> None:
    it = tmp_path / "it.mp4"
    if kind == "pipe":
        os.mkfifo(it)
    else:
        it.symlink_to("/dev/zero")
    names = {"it": it, "model": model, "photo": photo, "folder": tmp_path}

    said = refused(*(word.format(**names) for word in line))

    assert f"{it}: no file but a pipe, a socket or a device" in said


def test_one_among_the_names_on_standard_input(
    refused: Refuse, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "it.png")
    (tmp_path / "names").write_text(f"{tmp_path / 'it.png'}\n")
    with (tmp_path / "names").open() as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        said = refused("infer", model, "-", "-o", tmp_path / "out")
    assert "it.png: no file but a pipe" in said


def test_a_camera_s_number_that_none_has(refused: Refuse, model: Path, tmp_path: Path) -> None:
    said = refused("infer", model, "99999999999", "-o", tmp_path / "out")
    assert "99999999999: no such file, and no camera's number, which is 255 at most" in said


@pytest.mark.parametrize("verb", ["infer", "bench"])
def test_more_threads_than_any_machine_has(verb: str, refused: Refuse, model: Path, photo: Path) -> None:
    image = ("--image", photo) if verb == "bench" else (photo,)
    assert "1024" in refused(verb, model, *image, "--threads", 100_000)


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
    """In tables too, which rich draws."""
    document = {
        "images": [{"id": 1, "file_name": photo.name, "width": 64, "height": 48}],
        "categories": [{"id": 1, "name": ESCAPE}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9], "area": 81, "iscrowd": 0,
             "segmentation": [[1, 1, 10, 1, 10, 10, 1, 10]]}
        ],
    }  # fmt: skip
    (tmp_path / "ann.json").write_text(json.dumps(document))
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
