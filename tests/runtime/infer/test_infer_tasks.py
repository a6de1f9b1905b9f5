"""`maskrt infer` with models that find boxes alone, or boxes and points: what is written, and what cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskrt.runtime.infer import main
from maskrt.runtime.inputs.images import read_image
from tests.runtime.conftest import BOXES_ALONE, POINTS, WITH_POINTS
from tests.runtime.videos import moving, read_video, write_video

Run = Callable[..., Any]
COORDINATE_TOLERANCE_PX = 1e-3  # float32, scaled to the canvas and back


@pytest.fixture(params=[BOXES_ALONE, WITH_POINTS], ids=["boxes alone", "with points"])
def model(request: pytest.FixtureRequest, write_model: Run, contract_with: Run) -> Path:
    return write_model(contract=contract_with(**request.param))


def test_rows_hold_what_the_model_finds_and_nothing_else(
    command: Run, model: Path, picture_file: Path, tmp_path: Path
) -> None:
    assert command(main, model, picture_file, "-o", tmp_path / "out").code == 0

    rows = json.loads((tmp_path / "out" / "predictions.json").read_text())
    (line,) = map(json.loads, (tmp_path / "out" / "results.jsonl").read_text().splitlines())
    assert [{k: v for k, v in row.items() if k != "name"} for row in line["detections"]] == rows
    assert [row["category_id"] for row in rows] == [90, 17]
    assert rows[0]["bbox"] == pytest.approx([6.4, 9.6, 32, 33.6], abs=COORDINATE_TOLERANCE_PX)
    assert all("segmentation" not in row for row in rows)
    for row in rows:
        if "keypoints" in row:
            found, expected = np.array(row["keypoints"]).reshape(-1, 3), np.array(POINTS[0]) * [64, 48, 1]
            np.testing.assert_allclose(found, expected, atol=COORDINATE_TOLERANCE_PX)


def test_pictures_and_videos_show_it(
    command: Run, model: Path, picture: np.ndarray, picture_file: Path, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "clip.avi", moving(picture, 5))

    assert command(main, model, picture_file, video, "-o", tmp_path / "out").code == 0

    drawn = read_image(tmp_path / "out" / "overlays" / "picture.png")
    assert drawn.shape == picture.shape
    assert (drawn != picture).any(axis=2).sum() > 100, "boxes and labels"
    assert len(read_video(tmp_path / "out" / "overlays" / "clip.mp4")[0]) == 5


@pytest.mark.parametrize("option", ["--masks", "--contours", "--splash"])
def test_what_needs_masks_is_refused(
    option: str, command: Run, model: Path, picture_file: Path, tmp_path: Path
) -> None:
    ended = command(main, model, picture_file, "-o", tmp_path / "out", option)

    assert ended.code == 2
    assert ended.err.startswith(f"maskrt infer: {model}: finds no masks (it gives num_detections, ")
    assert not (tmp_path / "out").exists()
