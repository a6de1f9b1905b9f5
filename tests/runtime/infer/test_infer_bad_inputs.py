from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskrt.runtime.infer import main

Run = Callable[..., Any]


@pytest.fixture
def bad_files(tmp_path: Path) -> list[Path]:
    empty, letter = tmp_path / "0-empty.jpg", tmp_path / "1-letter.jpg"
    empty.touch()
    letter.write_text("Dear Sir or Madam")
    return [empty, letter]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def one_line(ended: Any) -> str:
    """The message of a command that did nothing: one line on stderr, no traceback, exit code 2."""
    assert (ended.code, ended.out) == (2, "")
    assert len(ended.err.splitlines()) == 1, ended.err
    assert ended.err.startswith("maskrt infer: ")
    return ended.err.removeprefix("maskrt infer: ").rstrip()


def test_a_batch_with_bad_files_finishes_the_others(
    command: Run, tiny_onnx: Path, picture_file: Path, bad_files: list[Path], out: Path
) -> None:
    ended = command(main, tiny_onnx, *bad_files, picture_file, "-o", out, "--json")

    assert ended.code == 3
    assert [line.split(": ")[0] for line in ended.err.splitlines()[:2]] == [f"skipped {p}" for p in bad_files]
    assert "the file is empty (0 bytes)" in ended.err
    assert "not an image that can be decoded" in ended.err
    assert ended.err.splitlines()[2] == f"2 objects in 1 images; results in {out}; 2 skipped"
    summary = json.loads(ended.out)
    assert (summary["images"], summary["detections"]) == (1, 2)
    assert list(summary["failed"]) == [str(p) for p in bad_files]
    assert len(json.loads((out / "predictions.json").read_text())) == 2
    assert [p.name for p in (out / "overlays").iterdir()] == ["picture.png"]


def test_a_batch_of_bad_files_alone_says_each(
    command: Run, tiny_onnx: Path, bad_files: list[Path], out: Path
) -> None:
    ended = command(main, tiny_onnx, *bad_files, "-o", out)

    assert (ended.code, ended.out) == (3, "")
    assert all(f"skipped {p}: " in ended.err for p in bad_files)
    assert ended.err.splitlines()[-1] == f"0 objects in 0 images; results in {out}; 2 skipped"
    assert json.loads((out / "predictions.json").read_text()) == []
    assert (out / "results.jsonl").read_text() == ""


def test_a_folder_without_images(command: Run, tiny_onnx: Path, tmp_path: Path, out: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()

    said = one_line(command(main, tiny_onnx, empty, "-o", out))

    assert said.startswith(f"{empty}: a folder with no images (looked for .jpg")
    assert not out.exists()


def test_an_input_that_is_not_there(command: Run, tiny_onnx: Path, tmp_path: Path, out: Path) -> None:
    said = one_line(command(main, tiny_onnx, tmp_path / "absent.png", "-o", out))

    assert said == f"{tmp_path / 'absent.png'}: no such file, folder, or glob with a match."


def test_a_model_that_is_not_there(command: Run, picture_file: Path, tmp_path: Path, out: Path) -> None:
    missing = tmp_path / "absent.onnx"

    said = one_line(command(main, missing, picture_file, "-o", out))

    assert said == f"{missing}: no such model file. Make one: maskrt export CHECKPOINT -o {missing}"
    assert not out.exists()


def test_a_model_that_is_no_model(command: Run, picture_file: Path, tmp_path: Path, out: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_text("not an ONNX file")

    said = one_line(command(main, broken, picture_file, "-o", out))

    assert said.startswith(f"{broken}: ONNX Runtime cannot load it")
    assert said.endswith(f"maskrt export CHECKPOINT -o {broken}")


@pytest.mark.parametrize(
    ("answer", "named"),
    [({"box_rows": np.full((3, 4), 3e38)}, "boxes"), ({"score_rows": [np.nan] * 3}, "score_rows")],
    ids=["overflow", "weights"],
)
def test_a_model_that_answers_nan(
    answer: dict[str, Any], named: str, command: Run, write_model: Run, picture_file: Path, out: Path
) -> None:
    broken = write_model(**answer)

    said = one_line(command(main, broken, picture_file, "-o", out))

    assert said.startswith(f"{broken}: ")
    assert f"'{named}'" in said
    assert "NaN" in said


def test_an_output_that_is_a_file(command: Run, tiny_onnx: Path, picture_file: Path, tmp_path: Path) -> None:
    taken = tmp_path / "taken.txt"
    taken.write_text("mine")

    said = one_line(command(main, tiny_onnx, picture_file, "-o", taken))

    assert str(taken) in said
    assert "Choose another output" in said
    assert taken.read_text() == "mine"


def test_a_file_in_the_place_of_a_folder_of_pictures(
    command: Run, tiny_onnx: Path, picture_file: Path, out: Path
) -> None:
    out.mkdir()
    (out / "overlays").write_text("mine")

    said = one_line(command(main, tiny_onnx, picture_file, "-o", out))

    assert said.startswith(f"{out / 'overlays'}: a file, where a folder is needed")
    assert [path.name for path in out.iterdir()] == ["overlays"]


def test_an_output_that_cannot_be_written(
    command: Run, tiny_onnx: Path, picture_file: Path, tmp_path: Path
) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    if os.access(locked, os.W_OK):
        pytest.skip("this user (root?) may write everywhere")

    said = one_line(command(main, tiny_onnx, picture_file, "-o", locked / "out"))

    assert str(locked) in said
    assert "Choose another output" in said


def test_a_device_that_is_unknown(command: Run, tiny_onnx: Path, picture_file: Path, out: Path) -> None:
    said = one_line(command(main, tiny_onnx, picture_file, "-o", out, "--device", "tpu"))

    assert said == f"{tiny_onnx}: device 'tpu', expected one of ['cpu', 'cuda']."


@pytest.mark.parametrize("value", ["nan", "inf", "-1"])
@pytest.mark.parametrize("option", ["--min-score", "--max-megapixels", "--batch-wait-ms"])
def test_numbers_that_are_none_are_a_usage_error(
    option: str, value: str, command: Run, tiny_onnx: Path, picture_file: Path, out: Path
) -> None:
    ended = command(main, tiny_onnx, picture_file, "-o", out, option, value)

    assert ended.code == 2
    assert f"Invalid value for '{option}'" in ended.err
    assert f"{value} is not a number from " in ended.err
    assert not out.exists()


def test_wrong_arguments_are_a_usage_error(command: Run, tiny_onnx: Path) -> None:
    ended = command(main, tiny_onnx)

    assert (ended.code, ended.out) == (2, "")
    assert "Missing argument" in ended.err
    assert "Traceback" not in ended.err
