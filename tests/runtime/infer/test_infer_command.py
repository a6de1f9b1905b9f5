from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from maskrt.runtime.infer import main
from maskrt.runtime.inputs.images import read_image

Run = Callable[..., Any]
# PNG to canvas and back: 0.1 of 64 px is 6.4 px at any scale, but for float32.
PX = 1e-4
STAGES = ("decode", "preprocess", "infer", "postprocess", "draw", "write")


def write_picture(path: Path, picture: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", picture[:, :, ::-1])[1].tobytes())
    return path


@pytest.fixture
def folder(picture: np.ndarray, tmp_path: Path) -> Path:
    """photos/{000000000139.png, day/two.png (wider, mirrored), night.png (black)}."""
    write_picture(tmp_path / "photos" / "000000000139.png", picture)
    write_picture(tmp_path / "photos" / "day" / "two.png", np.tile(picture[:, ::-1], (1, 2, 1)))
    write_picture(tmp_path / "photos" / "night.png", np.zeros_like(picture))
    return tmp_path / "photos"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "results" / "deep"


def rows(out: Path) -> list[dict[str, Any]]:
    return json.loads((out / "predictions.json").read_text())


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def test_writes_coco_results_that_pycocotools_takes(
    command: Run, tiny_onnx: Path, folder: Path, out: Path
) -> None:
    ended = command(main, tiny_onnx, folder, "-o", out)

    assert (ended.code, ended.out) == (0, "")
    truth = COCO()
    sizes = {139: (48, 64), "two": (48, 128), "night": (48, 64)}
    truth.dataset = {
        "images": [{"id": i, "height": h, "width": w} for i, (h, w) in sizes.items()],
        "categories": [{"id": 17, "name": "cat"}, {"id": 90, "name": "toothbrush"}, {"id": 3, "name": "car"}],
        "annotations": [],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        loaded = truth.loadRes(rows(out))
    of_139 = loaded.loadAnns(loaded.getAnnIds(imgIds=[139]))
    assert [(a["category_id"], round(a["score"], 5)) for a in of_139] == [(90, 0.9), (17, 0.8)]
    assert of_139[0]["bbox"] == pytest.approx([6.4, 9.6, 32, 33.6], abs=PX)
    assert loaded.getAnnIds(imgIds=["night"]) == []
    (wide,) = (a for a in loaded.loadAnns(loaded.getAnnIds(imgIds=["two"])) if a["category_id"] == 90)
    x, y, w, h = coco_mask.toBbox(wide["segmentation"])
    assert 12.8 <= x < x + w <= 12.8 + 64, "the mask lies in its box"
    assert 9.6 <= y < y + h <= 9.6 + 33.6
    assert coco_mask.area(wide["segmentation"]) > 0.3 * 64 * 33.6


def test_writes_a_line_per_image(command: Run, tiny_onnx: Path, folder: Path, out: Path) -> None:
    command(main, tiny_onnx, folder, "-o", out)

    first, second, third = lines(out)
    assert [Path(line["file"]).name for line in (first, second, third)] == [
        "000000000139.png",
        "two.png",
        "night.png",
    ]
    assert (second["width_px"], second["height_px"]) == (128, 48)
    assert [d["name"] for d in first["detections"]] == ["toothbrush", "cat"]
    assert third["detections"] == []
    assert [{k: v for k, v in d.items() if k != "name"} for d in first["detections"]] == rows(out)[:2]


def test_draws_overlays_in_the_layout_of_the_inputs(
    command: Run, tiny_onnx: Path, folder: Path, out: Path
) -> None:
    command(main, tiny_onnx, folder, "-o", out)

    drawn = {str(p.relative_to(out / "overlays")) for p in (out / "overlays").rglob("*") if p.is_file()}
    assert drawn == {"000000000139.png", "day/two.png", "night.png"}
    for name in drawn:
        before, after = read_image(folder / name), read_image(out / "overlays" / name)
        assert before.shape == after.shape
        assert (before != after).any() == (name != "night.png"), "detections are drawn, and nothing else is"


def test_overlays_can_be_left_out(command: Run, tiny_onnx: Path, picture_file: Path, out: Path) -> None:
    assert command(main, tiny_onnx, picture_file, "-o", out, "--no-overlays").code == 0
    assert {p.name for p in out.iterdir()} == {"predictions.json", "results.jsonl"}


@pytest.mark.parametrize(("min_score", "expected"), [(0.0, 3), (0.5, 2), (0.85, 1), (0.95, 0)])
def test_keeps_detections_above_the_score(
    min_score: float, expected: int, command: Run, tiny_onnx: Path, picture_file: Path, out: Path
) -> None:
    ended = command(main, tiny_onnx, picture_file, "-o", out, "--min-score", min_score, "--json")

    assert len(rows(out)) == expected
    assert json.loads(ended.out) == {"images": 1, "detections": expected, "failed": {}, "output": str(out)}
    said, spent = ended.err.splitlines()
    assert said == f"{expected} objects in 1 images; results in {out}"
    assert re.fullmatch(r"per image: " + ", ".join(rf"{stage} \d+\.\d ms" for stage in STAGES), spent)


def test_files_of_one_stem_do_not_overwrite_each_other(
    command: Run, tiny_onnx: Path, picture: np.ndarray, tmp_path: Path, out: Path
) -> None:
    inputs = [tmp_path / n for n in ("one/a.png", "two/a.png", "two/a.bmp")]
    for path in inputs:
        path.parent.mkdir(exist_ok=True)
        assert cv2.imwrite(str(path), picture)

    command(main, tiny_onnx, *inputs, "-o", out)

    assert len([p for p in (out / "overlays").rglob("*.png") if p.is_file()]) == len(inputs)
    assert [line["file"] for line in lines(out)] == [str(p) for p in inputs]
    assert len(rows(out)) == 2 * len(inputs)


@pytest.mark.parametrize(
    "files", [("a.png", "a.bmp"), ("one/7.png", "two/7.png"), ("7.png", "007.png")], ids=" ".join
)
def test_coco_results_tell_images_apart(
    files: tuple[str, str], command: Run, tiny_onnx: Path, picture: np.ndarray, tmp_path: Path, out: Path
) -> None:
    inputs = [write_picture(tmp_path / name, picture) for name in files]

    command(main, tiny_onnx, *inputs, "-o", out)

    assert len(rows(out)) == 4
    assert len({row["image_id"] for row in rows(out)}) == 2, "the detections of two images became one image's"


def test_names_need_not_be_utf8(command: Run, tiny_onnx: Path, picture_file: Path, out: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(picture_file.parent) + b"/caf\xe9.png"))
    try:
        picture_file.rename(odd)
    except OSError:
        pytest.skip("this filesystem takes UTF-8 names alone")

    ended = command(main, tiny_onnx, odd, "-o", out, "--json")

    assert ended.code == 0
    assert len(rows(out)) == 2
    assert os.fsencode(next((out / "overlays").iterdir()).name) == b"caf\xe9.png"


def test_is_one_program_by_three_names(
    program: Run, tiny_onnx: Path, picture_file: Path, tmp_path: Path
) -> None:
    script = Path(sysconfig.get_path("scripts")) / "maskrt"
    if not script.exists():
        pytest.skip("maskrt is not installed: pip install -e .")
    callers = {
        "file": (sys.executable, "runtime/infer.py"),
        "module": (sys.executable, "-m", "maskrt.runtime.infer"),
        "umbrella": (script, "infer"),
    }
    helps = {name: program(*caller, "--help") for name, caller in callers.items()}
    for name, caller in callers.items():
        ended = program(*caller, tiny_onnx, picture_file, "-o", tmp_path / name)
        assert (ended.code, ended.out) == (0, ""), ended.err

    assert helps["file"].out == helps["module"].out == helps["umbrella"].out
    assert "Example: maskrt infer model.onnx photos/" in helps["file"].out
    assert [h.code for h in helps.values()] == [0, 0, 0]
    assert rows(tmp_path / "file") == rows(tmp_path / "module") == rows(tmp_path / "umbrella") != []
