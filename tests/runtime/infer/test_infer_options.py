"""`maskrt infer`: which detections are kept, and how overlays look."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskrt.runtime.infer import main
from maskrt.runtime.inputs.images import read_image
from maskrt.runtime.predictor import load
from maskrt.runtime.tasks.instances.drawing.draw import draw
from maskrt.runtime.tasks.style import Style

Run = Callable[..., Any]


def test_classes_are_kept_in_all_that_is_written(
    command: Run, tiny_onnx: Path, picture: np.ndarray, picture_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    arguments = (tiny_onnx, picture_file, "-o", out, "--masks", "--contours", "--min-score", 0)

    assert command(main, *arguments, "--classes", "car, cat").code == 0

    (line,) = map(json.loads, (out / "results.jsonl").read_text().splitlines())
    (contours,) = map(json.loads, (out / "contours.jsonl").read_text().splitlines())
    assert [row["category_id"] for row in json.loads((out / "predictions.json").read_text())] == [17, 3]
    assert [found["name"] for found in line["detections"]] == ["cat", "car"]
    assert [found["name"] for found in contours["objects"]] == ["cat", "car"]
    assert len(list((out / "masks").rglob("*.png"))) == 2
    (kept,) = load(tiny_onnx)(picture, min_score=0, classes=["cat", "car"])
    np.testing.assert_array_equal(read_image(out / "overlays" / "picture.png"), kept.plot())


def test_names_a_class_that_the_model_does_not_have(
    command: Run, tiny_onnx: Path, picture_file: Path, tmp_path: Path
) -> None:
    ended = command(main, tiny_onnx, picture_file, "-o", tmp_path / "out", "--classes", "cat,dog")

    assert ended.code == 2
    assert ended.err == ("maskrt infer: no class is named 'dog'. This model's are: cat, toothbrush, car.\n")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "style"),
    [
        ((), Style()),
        (("--color-by", "instance"), Style("instance")),
        (("--no-labels", "--boxes", "--alpha", "0.2"), Style(labels=False, boxes=True, alpha=0.2)),
    ],
)
def test_an_overlay_is_drawn_as_asked_for(
    options: tuple[str, ...],
    style: Style,
    command: Run,
    tiny_onnx: Path,
    picture: np.ndarray,
    picture_file: Path,
    tmp_path: Path,
) -> None:
    assert command(main, tiny_onnx, picture_file, "-o", tmp_path / "out", *options).code == 0

    expected = draw(picture, load(tiny_onnx)(picture)[0], style)
    np.testing.assert_array_equal(read_image(tmp_path / "out" / "overlays" / "picture.png"), expected)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--color-by", "colour", "color_by is 'colour', expected one of auto, class, instance"),
        ("--alpha", "nan", "not a number from 0 to 1"),
        ("--alpha", "2", "not a number from 0 to 1"),
        ("--min-score", "nan", "not a number from 0 to 1"),
    ],
)
def test_names_an_option_that_cannot_be(
    option: str, value: str, said: str, command: Run, tiny_onnx: Path, picture_file: Path, tmp_path: Path
) -> None:
    ended = command(main, tiny_onnx, picture_file, "-o", tmp_path / "out", option, value)

    assert ended.code == 2
    assert said in " ".join(ended.err.split())
    assert not (tmp_path / "out").exists()
